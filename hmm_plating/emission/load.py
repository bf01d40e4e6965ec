"""The emission: load impedance of the liquid over a frozen metal surface, differentiable in the surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from hmm_plating import morphology
from hmm_plating.emission.closed_form import Overtones, sauerbrey
from hmm_plating.emission.curvature import felt_fraction, free_rows
from hmm_plating.emission.media import ViscoelasticLayer, fitted
from hmm_plating.emission.problem import check_fraction
from hmm_plating.emission.solver import Backend, Solution, solve
from hmm_plating.materials import Electrolyte, Metal, Resonator


class _Attached(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, solid_fraction: Tensor, load: Tensor, gradient: Tensor, dimensions: int) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.dimensions, ctx.dtype = dimensions, solid_fraction.dtype
        return load.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangent: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        cells, overtone = (...,) + (None,) * ctx.dimensions, -1 - ctx.dimensions
        pulled = torch.zeros_like(gradient.select(overtone, 0).real)
        for weight, slope in zip(cotangent[0].conj().unbind(-1), gradient.unbind(overtone), strict=True):
            pulled += (weight[cells] * slope).real  # one overtone at a time takes little memory
        return pulled.to(ctx.dtype), None, None, None


def solve_surface(
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    *,
    dimensions: int = 2,
    **options: Any,
) -> Solution:
    """As `solve`, for the metal's own fractions: edges are moved to where they are felt, the load is differentiable.

    Edges in the uppermost rows are felt a little low; `load_impedance` adds rows.

    Args:
        solid_fraction, spacing, overtones, electrolyte, resonator, dimensions: as of `solve`.
        options: others of `solve` but `keep_gradient`: the gradient is made where `solid_fraction` requires it.

    Returns:
        Solution, its `load` (..., overtone) [Pa s/m] a function of `solid_fraction`.

    Raises:
        InputError, ConvergenceError: as `solve`.
    """
    felt = felt_fraction(solid_fraction, dimensions=dimensions)
    wanted = felt.requires_grad
    box = spacing, overtones, electrolyte, resonator
    solution = solve(felt.detach(), *box, dimensions=dimensions, keep_gradient=wanted, **options)
    if not wanted:
        return solution
    return solution._replace(load=_Attached.apply(felt, solution.load, solution.gradient, dimensions))


def load_impedance(
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    metal: Metal | None = None,
    *,
    layers: Sequence[ViscoelasticLayer] = (),
    tolerance: float = 1e-6,
    absolute_tolerance: float = 1e-6,
    precision: Literal["single", "double"] = "double",
    dimensions: int = 2,
    backend: Backend | None = None,
) -> Tensor:
    """Z_L above the crystal plane y = 0, by the frequency-domain lattice Boltzmann method.

    Source: Johannsmann et al., Adv. Theory Simul. 2401373. Edges are first moved to where they are felt.

    Args:
        solid_fraction: (..., y, x), or (..., z, y, x) with dimensions=3, in [0, 1]; row y = 0 at the crystal, x and z
            periodic, x the direction of shear. Leading dimensions are the batch. One row of liquid above the
            metal is enough: the half space above the box is exact.
        spacing: cell size [m].
        overtones: odd orders n.
        electrolyte, resonator: density and viscosity; f0 and Z_q.
        metal: where given, its inertia iωρ_s × areal volume is added; the liquid alone otherwise.
        layers: viscoelastic matter that fills cells in place of the liquid.
        tolerance: accepted error of the solver, relative to the excess over the flat surface [1]. The gradient's is
            about its square root. Data deserve 1e-2 to 1e-3, in a fraction of the time; checks of derivatives 1e-12.
        absolute_tolerance: or its accepted error in Δf [Hz], whichever is larger.
        precision: of the solver, as in `solve`.
        dimensions: 2 or 3, those of a surface: a shape alone cannot tell (z, y, x) from a batch of (y, x), so surfaces
            are two-dimensional unless this says otherwise.
        backend: as in `solve`.

    Returns:
        complex (..., overtone) [Pa s/m], differentiable in `solid_fraction`.

    Raises:
        InputError, ConvergenceError: as `solve`.
    """
    check_fraction(solid_fraction, dimensions)
    solid_fraction = solid_fraction.to(torch.float64)
    rows = free_rows(solid_fraction)
    layers = [replace(layer, fraction=pad(fitted(layer, solid_fraction.shape), (0, 0, 0, rows))) for layer in layers]
    load = solve_surface(
        pad(solid_fraction, (0, 0, 0, rows)),
        spacing,
        overtones,
        electrolyte,
        resonator,
        layers=layers,
        tolerance=tolerance,
        absolute_tolerance=absolute_tolerance,
        precision=precision,
        keep_field=False,  # the gradient is made while each field is at hand: it takes a ninth of the fields' memory
        dimensions=dimensions,
        backend=backend,
    ).load
    if metal is None:
        return load
    return load + metal_inertia(solid_fraction, spacing, overtones, metal, resonator, dimensions)


def metal_inertia(
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    metal: Metal,
    resonator: Resonator,
    dimensions: int = 2,
) -> Tensor:
    """Load iωρ_s × areal volume of the metal alone, which moves as one with the crystal.

    Args:
        solid_fraction, spacing, overtones, resonator, dimensions: as in `load_impedance`.
        metal: density ρ_s.

    Returns:
        complex (..., overtone) [Pa s/m].
    """
    thickness = morphology.thickness(solid_fraction.double(), spacing, dimensions=dimensions)
    return sauerbrey(metal.density * thickness.cpu(), overtones, resonator).to(solid_fraction.device)
