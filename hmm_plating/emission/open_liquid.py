"""The liquid above the box, row by row from what leaves the box upwards, and the gradient of the load there.

A solve ends at the highest metal, where the half space begins; its liquid continues per lateral mode as

    f_{y+1} = M F↑_y,     F↑_{y+1} = (C f_{y+1})↑,

F↑ the populations that leave a row upwards and M the `continuation` of the half space. Metal that were to appear in
a cell of that liquid changes the load as in any other cell: by the local form 2 − 4 j_x + ⅓ fᵀW⁻¹P ∂C/∂B f.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.polynomial.polynomial import polyval
from torch import Tensor

from hmm_plating.emission.half_space import continuation
from hmm_plating.emission.lattice import Relaxation, collision_matrix
from hmm_plating.emission.problem import Problem


def continue_above(
    problem: Problem, overtone: int, rising: Tensor, top: Tensor, gradient: Tensor, field: Tensor | None
) -> None:
    """Write the rows of liquid above the box of each surface into its gradient and field.

    Args:
        problem: Problem.
        overtone: index of the overtone.
        rising: populations that leave the box upwards, complex (surface, lane, [z,] x).
        top: lowest row above each surface's box, int64 (surface,).
        gradient: ∂(load per cell of area)/∂fraction, complex (surface, [z,] y, x).
        field: planes (surface, planes, [z,] y, x), or None where it is not wanted.
    """
    lattice, matter = problem.lattice, problem.media[overtone]
    relaxation = Relaxation(*matter.relaxation[0].tolist())
    lateral = tuple(range(lattice.dimensions - 1))  # modes first, surfaces last: few large products of matrices
    rise, collision, slope = (
        torch.tensor(part, device=rising.device)
        for part in (
            continuation(lattice, relaxation, tuple(rising.shape[2:])),
            collision_matrix(lattice, relaxation),
            _slope(problem, relaxation),
        )
    )
    velocity = torch.from_numpy(lattice.velocities[:, 0] + 0j).to(rising.device)
    # derivatives of ε + ε(1 − ε) s and ε(1 − ε) g at ε = 0
    held, ghost = (complex(polyval(-1, terms[0])) for terms in (matter.saturation, matter.ghost))
    leaving = torch.fft.fftn(rising.movedim(0, -1).movedim(0, -2), dim=lateral)
    for row in range(int(top.min()), gradient.shape[-2]):
        open_ = top <= row
        arriving = rise @ leaving[..., open_]
        leaving[..., open_] = collision[lattice.upward] @ arriving
        f = torch.fft.ifftn(arriving, dim=lateral)
        change = 2 - 4 * torch.einsum("i,...is->...s", velocity, f) + (f * (slope @ f)).sum(-2) / 3
        change = (change * (1 + held) - ghost) / problem.area
        gradient.select(-2, row)[open_] = change.movedim(-1, 0)
        if field is not None:
            planes = torch.cat([f.real, f.imag], -2).movedim(-1, 0).movedim(-1, 1)
            field.select(-2, row)[open_] = planes.to(field.dtype)


def _slope(problem: Problem, relaxation: Relaxation) -> np.ndarray:
    """W⁻¹P ∂C/∂B of pure liquid, complex (population, population)."""
    lattice, (momentum, even, odd) = problem.lattice, relaxation
    kept = collision_matrix(lattice, Relaxation(-1 - momentum, 1 - even, momentum - 2 * odd - 1))
    kept -= collision_matrix(lattice, Relaxation(0, 0, 0))  # density keeps its value, whatever the saturation
    return kept[lattice.opposite] / lattice.weights[:, None]
