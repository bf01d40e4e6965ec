"""The emission: load impedance of the liquid over a frozen metal surface, differentiable in the surface."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hmm_plating.emission.closed_form import Overtones
from hmm_plating.emission.solver import sensitivity, solve
from hmm_plating.materials import Electrolyte, Metal, Resonator


class _LoadImpedance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, solid_fraction: Tensor, arguments: tuple, tolerance: float, absolute: float) -> Tensor:
        solution = solve(solid_fraction, *arguments, tolerance=tolerance, absolute_tolerance=absolute, whole_box=True)
        ctx.save_for_backward(solid_fraction, solution.field)
        ctx.arguments = arguments
        return solution.load

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangent: Tensor) -> tuple[Tensor, None, None, None]:
        solid_fraction, field = ctx.saved_tensors
        gradient = sensitivity(solid_fraction, field, *ctx.arguments)
        pulled = (cotangent[0].conj()[..., None, None] * gradient).real.sum(-3)
        return pulled.to(solid_fraction.dtype), None, None, None


def load_impedance(
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    metal: Metal | None = None,
    *,
    tolerance: float = 1e-4,
    absolute_tolerance: float = 1e-4,
) -> Tensor:
    """Z_L above the crystal plane y = 0, by the frequency-domain lattice Boltzmann method.

    Source: Johannsmann et al., Adv. Theory Simul. 2401373.

    Args:
        solid_fraction: (..., y, x) in [0, 1], row 0 at the crystal, x periodic and the direction of shear. The box need
            not be higher than the metal: the half space of liquid above it is exact.
        spacing: cell size [m].
        overtones: odd orders n.
        electrolyte, resonator: density and viscosity; f0 and Z_q.
        metal: where given, its inertia iωρ_s × areal volume is added; the liquid alone otherwise.
        tolerance: accepted error of the solver, relative to the excess over the flat surface [1].
        absolute_tolerance: or its accepted error in Δf [Hz], whichever is larger.

    Returns:
        complex (..., overtone) [Pa s/m], differentiable in `solid_fraction`.

    Raises:
        InputError, ConvergenceError: as `solve`.
    """
    arguments = (spacing, overtones, electrolyte, resonator, metal)
    if torch.is_grad_enabled() and solid_fraction.requires_grad:
        return _LoadImpedance.apply(solid_fraction, arguments, tolerance, absolute_tolerance)
    return solve(
        solid_fraction, *arguments, tolerance=tolerance, absolute_tolerance=absolute_tolerance, keep_field=False
    ).load
