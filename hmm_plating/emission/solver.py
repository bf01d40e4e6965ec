"""Solve for the liquid over frozen surfaces: many surfaces, many overtones, one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission import numba_solver, torch_solver
from hmm_plating.emission.closed_form import Overtones, kanazawa_gordon
from hmm_plating.emission.media import ViscoelasticLayer
from hmm_plating.emission.problem import Accuracy, set_up
from hmm_plating.errors import ConvergenceError, InputError
from hmm_plating.materials import Electrolyte, Resonator

Backend = Literal["numba", "torch"]


class Solution(NamedTuple):
    """Liquid over a batch of surfaces, on the device of the surfaces.

    Attributes:
        load: Z_L, complex (..., overtone) [Pa s/m].
        field: arriving populations, real and imaginary planes, (..., overtone, 18, y, x), in three dimensions
            (..., overtone, 38, z, y, x) [1]; empty if not kept.
        gradient: ∂Z_L/∂(solid fraction), complex (..., overtone, [z,] y, x) [Pa s/m]; empty if not wanted.
        applications: operator applications, int (..., overtone).
        estimated_error: of the load (..., overtone) [Pa s/m].
    """

    load: Tensor
    field: Tensor
    gradient: Tensor
    applications: Tensor
    estimated_error: Tensor


def solve(
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    *,
    layers: Sequence[ViscoelasticLayer] = (),
    tolerance: float = 1e-6,
    absolute_tolerance: float = 1e-6,
    applications: int = 20_000,
    precision: Literal["single", "double"] = "double",
    initial_guess: Tensor | None = None,
    keep_field: bool | torch.dtype = True,
    keep_gradient: bool = False,
    dimensions: int = 2,
    backend: Backend | None = None,
) -> Solution:
    """Load of the liquid over frozen surfaces, with the field that starts the next solve, and the gradient.

    Fractions are those of the lattice's cells; `load_impedance` first moves edges to where they are felt.

    A complex symmetric Lanczos recurrence in the bilinear form of the load (`kernels.lanczos`), whose estimate
    therefore converges with the square of the field's error. Reciprocity makes the field its own adjoint: the gradient
    needs no further solve, and has the relative error of the field, the square root of the load's.

    Args:
        solid_fraction: (..., y, x), or (..., z, y, x) with dimensions=3, in [0, 1]; row y = 0 at the crystal, x and z
            periodic, x the direction of shear. Leading dimensions are the batch. No metal in the top row.
        spacing: cell size Δx [m].
        overtones: odd orders n.
        electrolyte, resonator: density and viscosity; f0 and Z_q.
        layers: viscoelastic matter that fills cells in place of the liquid.
        tolerance: accepted error relative to the excess over the flat surface [1]. The gradient's is about its square
            root. Data deserve 1e-2 to 1e-3, in a fraction of the time; checks of derivatives 1e-12.
        absolute_tolerance: accepted error of the frequency shift Δf [Hz], whichever of the two is larger.
        applications: upper limit of operator applications.
        precision: of the recurrence. Single is corrected in double precision until it is as good, which needs the
            field: faster where field or gradient are wanted or memory is short, slower for the load alone.
        initial_guess: `field` of a similar batch; float32 will do. The wave above a flat wall otherwise.
        keep_field: whether `field` is wanted, to start the next solve; torch.float32 for half the memory.
        keep_gradient: whether `gradient` is wanted; `field` then has the liquid above the highest metal too.
        dimensions: 2 or 3, those of a surface: a shape alone cannot tell (z, y, x) from a batch of (y, x), so surfaces
            are two-dimensional unless this says otherwise.
        backend: "numba", kernels on the CPU, or "torch", on the device of `solid_fraction`: slower on a CPU, the same
            to round-off in double precision. None takes torch where `solid_fraction` lies on a GPU (CUDA), else Numba.

    Returns:
        Solution.

    Raises:
        InputError: fractions outside [0, 1] or of fewer dimensions than stated, metal in the top row, dimensions other
            than 2 and 3, spacing or tolerance not positive, a spacing beyond any use beside the penetration depth, an
            overtone not odd and positive, layers that overlap, a precision or backend that does not exist.
        ConvergenceError: the limit of applications was reached.
    """
    if precision not in ("single", "double"):
        raise InputError(f'precision must be "single" or "double", got {precision!r}')
    if backend not in (None, "numba", "torch"):
        raise InputError(f'backend must be "numba", "torch" or None, got {backend!r}')
    if not (0 < tolerance < math.inf):
        raise InputError(f"tolerance must be positive and finite, got {tolerance!r}")
    if not (0 <= absolute_tolerance < math.inf):
        raise InputError(f"absolute_tolerance must be finite and not negative, got {absolute_tolerance!r} Hz")
    problem = set_up(solid_fraction, spacing, overtones, electrolyte, resonator, layers, initial_guess, dimensions)
    hertz = math.pi * resonator.impedance / resonator.fundamental_frequency  # load of 1 Hz
    accepted = absolute_tolerance * hertz / np.abs(problem.unit) * problem.area
    accuracy = Accuracy(tolerance, accepted, applications)
    on_torch = solid_fraction.is_cuda if backend is None else backend == "torch"
    solve_problem = torch_solver.solve_problem if on_torch else numba_solver.solve_problem
    solved = solve_problem(problem, accuracy, precision == "single", keep_field, keep_gradient)

    device = problem.fraction.device
    unit, flat_load = (torch.from_numpy(part).to(device) for part in (problem.unit, problem.flat_load))
    excess = solved.load - flat_load
    if not bool(solved.converged.all()):
        surface, overtone = (~solved.converged).nonzero()[0].tolist()
        reached = float(solved.error[surface, overtone] / excess[surface, overtone].abs())
        raise ConvergenceError(
            f"surface {surface}, overtone index {overtone}: {int(solved.applications[surface, overtone])} operator "
            f"applications reached an estimated error of {reached:.2g} of the excess load, wanted is {tolerance:.2g}; "
            "raise `applications` or `tolerance`"
        )
    # what the lattice's flat wall lacks to the half space (O(kΔx)², the same for every surface) is put right here
    load = kanazawa_gordon(overtones, electrolyte, resonator).to(device) + excess * unit
    per_cell = (..., *(None,) * dimensions)
    gradient = solved.gradient.mul_(unit[per_cell]) if keep_gradient else solved.gradient
    batch = solid_fraction.shape[:-dimensions]
    return Solution(
        load.reshape(*batch, -1),
        solved.field.reshape(*batch, *problem.field_shape[1:]) if keep_field else solved.field,
        gradient.reshape(*batch, *gradient.shape[1:]) if keep_gradient else gradient,
        solved.applications.reshape(*batch, -1),
        (solved.error * unit.abs()).reshape(*batch, -1),
    )
