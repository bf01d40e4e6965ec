"""The liquid above the box, row by row from what leaves the box upwards, and the gradient of the load there.

A solve ends at the highest metal, where the half space begins; its liquid continues per lateral mode as

    f_{y+1} = M F↑_y,     F↑_{y+1} = (C f_{y+1})↑,

F↑ the populations that leave a row upwards and M the `continuation` of the half space. Metal that were to appear in
a cell of that liquid changes the load as in any other cell: by the local form 2 − 4 j_x + ⅓ fᵀW⁻¹P ∂C/∂B f.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.polynomial.polynomial import polyval
from torch import Tensor

from hmm_plating.emission.half_space import continuation
from hmm_plating.emission.lattice import Relaxation, collision_matrix
from hmm_plating.emission.problem import Problem


def continue_above(problem: Problem, rising: Tensor, top: Tensor, gradient: Tensor, field: Tensor | None) -> None:
    """Write the rows of liquid above the box of each surface into its gradient and field.

    Args:
        problem: Problem.
        rising: populations that leave the box upwards, complex (surface, overtone, lane, [z,] x).
        top: lowest row above each surface's box, int64 (surface,).
        gradient: ∂(load per cell of area)/∂fraction, complex (surface, overtone, [z,] y, x).
        field: planes (surface, overtone, planes, [z,] y, x), or None where it is not wanted.
    """
    lattice, period = problem.lattice, tuple(rising.shape[3:])
    relaxations = [Relaxation(*matter.relaxation[0].tolist()) for matter in problem.media]
    lateral = tuple(range(1, lattice.dimensions))  # overtones and modes first, surfaces last: few large products
    apart = (slice(None), *(None,) * len(period))
    rise = torch.from_numpy(np.stack([continuation(lattice, r, period) for r in relaxations])).to(rising.device)
    collision, slope = (
        torch.from_numpy(np.stack([part(r) for r in relaxations])[apart]).to(rising.device)
        for part in (partial(collision_matrix, lattice), partial(_slope, problem))
    )
    velocity = torch.from_numpy(lattice.velocities[:, 0] + 0j).to(rising.device)
    # derivatives of ε + ε(1 − ε) s and ε(1 − ε) g at ε = 0
    held, ghost = (
        torch.from_numpy(np.array([complex(polyval(-1, terms)) for terms in of])[(*apart, None)]).to(rising.device)
        for of in ([m.saturation[0] for m in problem.media], [m.ghost[0] for m in problem.media])
    )
    leaving = torch.fft.fftn(rising.movedim(0, -1).movedim(1, -2), dim=lateral)
    for row in range(int(top.min()), gradient.shape[-2]):
        open_ = top <= row
        arriving = rise @ leaving[..., open_]
        leaving[..., open_] = collision[..., lattice.upward, :] @ arriving
        f = torch.fft.ifftn(arriving, dim=lateral)
        change = 2 - 4 * torch.einsum("i,...is->...s", velocity, f) + (f * (slope @ f)).sum(-2) / 3
        change = (change * (1 + held) - ghost) / problem.area
        gradient.select(-2, row)[open_] = change.movedim(-1, 0)
        if field is not None:
            planes = torch.cat([f.real, f.imag], -2).movedim(-1, 0).movedim(-1, 2)
            field.select(-2, row)[open_] = planes.to(field.dtype)


def _slope(problem: Problem, relaxation: Relaxation) -> np.ndarray:
    """W⁻¹P ∂C/∂B of pure liquid, complex (population, population)."""
    lattice, (momentum, even, odd) = problem.lattice, relaxation
    kept = collision_matrix(lattice, Relaxation(-1 - momentum, 1 - even, momentum - 2 * odd - 1))
    kept -= collision_matrix(lattice, Relaxation(0, 0, 0))  # density keeps its value, whatever the saturation
    return kept[lattice.opposite] / lattice.weights[:, None]
