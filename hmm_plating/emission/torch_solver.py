"""The solve in plain torch, on the device of the surfaces: the reference of the kernels, and what runs on a GPU."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission.lanczos import correct_load
from hmm_plating.emission.open_liquid import continue_above
from hmm_plating.emission.operator import collide, drag, operator, residual_and_load, sensitivity
from hmm_plating.emission.problem import SOLID, Accuracy, LatticeSolution, Problem, blank_solution
from hmm_plating.emission.saturation import bubble

_POPULATIONS_AT_ONCE = 2**21  # bounds the memory: about ten fields of so many complex numbers


class _Cells(NamedTuple):
    """What fills the cells of a batch of pairs, each entry broadcast to the cells.

    Attributes:
        relaxation: momentum, even and odd factors of the liquid, complex (pair, [z,] y, x).
        saturation, ghost: terms of the calibration, lowest power first, complex (pair, [z,] y, x) each.
    """

    relaxation: list[Tensor]
    saturation: list[Tensor]
    ghost: list[Tensor]


def _fill_cells(problem: Problem, medium: Tensor, order: Tensor) -> _Cells:
    """Look up each cell's medium, (pair, [z,] y, x), at the overtone of its pair, (pair,)."""
    if len(problem.media[0].relaxation) == 1:
        medium = medium[(slice(None), *(slice(1),) * (medium.ndim - 1))]  # the liquid, in every cell
    overtone = order[(..., *(None,) * (medium.ndim - 1))]

    def spread(name: str) -> list[Tensor]:
        table = torch.from_numpy(np.stack([getattr(matter, name) for matter in problem.media])).to(order.device)
        return [column[overtone, medium] for column in table.unbind(-1)]

    return _Cells(spread("relaxation"), spread("saturation"), spread("ghost"))


@torch.no_grad()
def solve_problem(
    problem: Problem, accuracy: Accuracy, single: bool, keep_field: bool | torch.dtype, keep_gradient: bool
) -> LatticeSolution:
    """Solve every pair of surface and overtone; `single` is the precision of the recurrence, the rest as in `solve`."""
    solution = blank_solution(problem, problem.fraction.device, keep_field, keep_gradient)
    flat = LatticeSolution(*(part.flatten(0, 1) if part.ndim > 1 else part for part in solution))
    pairs = torch.arange(solution.load.numel(), device=problem.fraction.device)
    populations = len(problem.lattice.weights) * problem.fraction[0].numel()
    above = []
    for chunk in pairs.split(max(1, _POPULATIONS_AT_ONCE // populations)):
        part, leaving = _solve(problem, accuracy, chunk, single, keep_field, keep_gradient)
        for whole, of_chunk in zip(flat, part, strict=True):
            if len(whole):
                whole[chunk] = of_chunk
        above.append(leaving)
    if keep_gradient:
        rising, top = (torch.cat(parts).unflatten(0, solution.load.shape) for parts in zip(*above, strict=True))
        continue_above(problem, rising, top[:, 0], solution.gradient, solution.field if keep_field else None)
    return solution


def _solve(
    problem: Problem,
    accuracy: Accuracy,
    pairs: Tensor,
    single: bool,
    keep_field: bool | torch.dtype,
    keep_gradient: bool,
) -> tuple[LatticeSolution, tuple[Tensor, Tensor]]:
    """Solution of some pairs, one leading dimension, with what leaves each box upwards and the row above it."""
    orders, device = len(problem.media), pairs.device
    surface, order = pairs // orders, pairs % orders
    whole = problem.fraction[surface]
    lowest, top = _occupied_rows(whole, problem.medium[surface])
    bottom = 0 if keep_gradient else int(lowest.min())
    rows = slice(bottom, int(top.max()))
    fraction = whole[..., rows, :]
    solid = fraction > SOLID
    cells = _fill_cells(problem, problem.medium[surface][..., rows, :], order)
    saturation, saturation_slope = bubble(fraction, cells.saturation)
    ghost, ghost_slope = bubble(fraction, cells.ghost)
    response = torch.from_numpy(problem.reflections).to(device)[order]
    system = operator(problem.lattice, cells.relaxation, response, fraction + saturation, solid, top - bottom)
    ghosts = torch.where(solid, 0, ghost).flatten(1).sum(1)
    flat_load, absolute = (torch.from_numpy(part).to(device)[order] for part in (problem.flat_load, accuracy.absolute))
    reference = flat_load * problem.area + ghosts
    guess = _flat_wall(problem, whole, order) if problem.guess is None else _complex(problem.guess.flatten(0, 1)[pairs])
    field = torch.where(system.wet[:, None], guess[..., rows, :], 0)

    load = torch.full_like(reference, torch.inf)
    count = torch.zeros_like(pairs)
    error, converged = torch.empty_like(absolute), torch.zeros_like(pairs, dtype=torch.bool)
    keep = bool(keep_field) or keep_gradient or single
    left, part = torch.arange(len(pairs), device=device), system
    while len(left):
        residual, first_load = residual_and_load(part, field[left])
        wanted = torch.maximum(absolute[left], accuracy.relative * (first_load - reference[left]).abs())
        confirmed = (load[left] - first_load).abs() <= wanted  # single precision, in double
        load[left[confirmed]] = first_load[confirmed]
        going = (~confirmed).nonzero()[:, 0]
        if not len(going):
            break
        left, residual, part = left[going], residual[going], part.take(going)
        largest = residual.abs().flatten(1).amax(1)
        unit = torch.where(largest > 0, largest, 1)
        residual /= _per_pair(unit, residual)
        dtype = torch.complex64 if single else torch.complex128
        found = correct_load(
            part.to(dtype),
            residual.to(dtype),
            unit,
            first_load[going],
            reference[left],
            accuracy.relative,
            absolute[left],
            (accuracy.applications - count[left]).clamp(min=2),
            count[left],
            keep,
        )
        load[left], error[left], converged[left] = found.load, found.error, found.converged
        count[left] += found.applications
        load[left[found.broken]] = torch.inf
        if keep:
            field[left] += _per_pair(unit, field) * found.field
        keep = keep or bool(found.broken.any())  # from the start again, for the field to go on from
        going = found.broken | (found.converged & single)
        left, part = left[going], part.take(going)

    gradient, rising = field[:0], field[:0]
    if keep_gradient:
        change = sensitivity(system, cells.relaxation, field) * (1 + saturation_slope) - ghost_slope
        # a solid cell carries its liquid rigidly
        gradient = torch.where(solid, cells.relaxation[0] - 1, change) / problem.area
        gradient = torch.nn.functional.pad(gradient, (0, 0, 0, whole.shape[-2] - gradient.shape[-2]))
        # P C f has a population in the place of its opposite
        leaving = (collide(system, field) + drag(system))[:, problem.lattice.downward]
        highest = (top - 1 - bottom).reshape(-1, *(1,) * (field.ndim - 1))
        rising = torch.take_along_dim(leaving, highest, -2).squeeze(-2)
    planes = _fill_rows(problem, field, whole, bottom, top) if keep_field else field[:0]
    ended = LatticeSolution((load - ghosts) / problem.area, planes, gradient, count, error / problem.area, converged)
    return ended, (rising, top)


def _per_pair(values: Tensor, field: Tensor) -> Tensor:
    """One number per pair, shaped to multiply a field."""
    return values.reshape(-1, *(1,) * (field.ndim - 1))


def _complex(planes: Tensor) -> Tensor:
    """Real and imaginary planes (pair, planes, [z,] y, x), of any precision, as complex128."""
    real, imaginary = planes.to(torch.float64).chunk(2, 1)
    return torch.complex(real, imaginary)


def _occupied_rows(fraction: Tensor, medium: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [bottom, top) of each surface that hold its roughness, int64 (pair,), as the kernels find them."""
    fraction, medium = (part.movedim(-2, 1).flatten(2) for part in (fraction, medium))
    solid, filled = fraction > SOLID, (fraction > 0) | (medium > 0)
    bottom = solid.all(-1).cumprod(-1).sum(-1)
    above = torch.arange(1, solid.shape[1] + 1, device=solid.device)
    # the half space needs a row without solid cells below it
    top = torch.where(solid.any(-1), above + 1, torch.where(filled.any(-1), above, 0)).amax(-1)
    return bottom, torch.maximum(top, bottom + 1)


def _rigid(problem: Problem) -> Tensor:
    """Populations of liquid that moves with the crystal, complex (population, [1,] 1, 1)."""
    lattice = problem.lattice
    moving = torch.from_numpy(3 * lattice.weights * lattice.velocities[:, 0] + 0j).to(problem.fraction.device)
    return moving.reshape(-1, *(1,) * lattice.dimensions)


def _flat_wall(problem: Problem, fraction: Tensor, order: Tensor) -> Tensor:
    """First guess, the shear wave above a flat wall at the mean height: what is left to solve for is the excess."""
    wave, wavenumber = (
        torch.from_numpy(np.asarray(part)).to(order.device)[order] for part in (problem.waves, problem.wavenumbers)
    )
    mean = fraction.flatten(1).sum(1) / problem.area
    rows = torch.arange(fraction.shape[-2], device=order.device)
    above = (rows + 0.5 - mean[:, None]).reshape(len(order), *(1,) * (fraction.ndim - 2), -1, 1)
    wave, wavenumber = wave.reshape(*wave.shape, *(1,) * (fraction.ndim - 1)), _per_pair(wavenumber, above)
    return torch.where(above > 0, (-wavenumber * above).exp() * wave, _rigid(problem))


def _fill_rows(problem: Problem, field: Tensor, fraction: Tensor, bottom: int, top: Tensor) -> Tensor:
    """Planes (pair, planes, [z,] y, x): solid cells move with the crystal, rows above the box as its last."""
    above = torch.arange(fraction.shape[-2], device=field.device)
    row = torch.minimum(above, top[:, None] - 1).sub(bottom).clamp(min=0)
    row = row.reshape(len(field), *(1,) * (field.ndim - 3), -1, 1)
    whole = torch.where((fraction > SOLID)[:, None], _rigid(problem), torch.take_along_dim(field, row, -2))
    return torch.cat([whole.real, whole.imag], 1)
