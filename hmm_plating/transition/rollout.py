"""The kernels as one differentiable function of the whole stretch of sub-steps between two shifts of the window.

The reverse recomputes the sub-steps from checkpoints whose number and whose distance both grow as the square root of
the number of sub-steps (Griewank and Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, ch. 12).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.errors import ConvergenceError
from hmm_plating.threads import in_threads
from hmm_plating.transition import kernels
from hmm_plating.transition.coefficients import Coefficients, anisotropic
from hmm_plating.transition.reference import Progress

_FIRST_STRIDE = 8  # sub-steps between checkpoints, at first
_CHECKPOINTS_PER_STRIDE = 8
_UNLIMITED = 2**62


class _Fixed(NamedTuple):
    """What has no gradient."""

    on_base: list[bool]
    grid: kernels.Grid
    margin: int
    keep: bool


def advance(
    progress: Progress, noise: Tensor, c: Coefficients, galvanostatic: bool, base_rows: Tensor, margin: int
) -> Progress:
    """As `reference.advance`, by kernels: on the CPU, in double precision, with a hand-written reverse.

    Particles are shared among threads; each is advanced serially, so that the result does not depend on their number.
    """
    field, inside, dtype = progress.order_parameter, progress.inside, progress.order_parameter.dtype
    grid = kernels.Grid(c.width, c.anisotropy_fold, c.dimensions - 2, galvanostatic, anisotropic(c))
    scalars, coefficients = torch.stack(progress[1:6], -1), torch.stack(c[:11], -1)
    volumes = [value if c.dimensions == 3 else value[:, None] for value in (field, noise)]
    arguments = [value.to(torch.float64) for value in (volumes[0], scalars, volumes[1], coefficients)]
    if inside is not None:
        arguments.append((inside if c.dimensions == 3 else inside[:, :, None]).to(torch.float64))
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in arguments)
    fixed = _Fixed((base_rows > 0).tolist(), grid, margin, keep)
    advanced, scalars, *after = (value.to(dtype) for value in _Advance.apply(fixed, *arguments))
    demand, time_left, overpotential, substeps, status = scalars.unbind(-1)
    return Progress(
        advanced.reshape(field.shape),
        demand,
        time_left.detach(),
        overpotential,
        substeps.detach(),
        status.detach(),
        after[0].reshape(inside.shape) if inside is not None else None,
    )


def _copies(*values: Tensor) -> list[np.ndarray]:
    """Contiguous copies; torch would wait for all of its threads."""
    return [np.array(value.numpy(), order="C") for value in values]


class _Advance(torch.autograd.Function):
    """What the sub-steps change: ξ (particle, z, y, x), the numbers of `Progress` (particle, 5), and, if given, c̃ and ψ
    (particle, 2, z, y, x); from these, the noise (particle, z, y, x) and the coefficients (particle, 11).
    """

    @staticmethod
    def forward(ctx: Any, fixed: _Fixed, *arguments: Tensor) -> tuple[Tensor, ...]:
        fields, scalars, noise, c, *inside = (value.detach().contiguous() for value in arguments)
        checkpoints: list[list[np.ndarray]] = []
        stride = _FIRST_STRIDE if fixed.keep else _UNLIMITED
        present, given = _copies(fields, scalars, *inside), (noise.numpy(), c.numpy())

        def run(k: int) -> None:
            field, progress, box = _own(present, k)
            kernels.advance(
                field, box, progress, given[0][k], given[1][k], fixed.grid, fixed.on_base[k], fixed.margin, stride
            )

        while True:
            if fixed.keep:
                checkpoints.append([value.copy() for value in present])
                if len(checkpoints) > _CHECKPOINTS_PER_STRIDE * stride:
                    checkpoints, stride = checkpoints[::2], 2 * stride
            taken = present[1][:, 3].copy()
            in_threads(run, [(k,) for k in range(len(taken))])
            if (present[1][:, 3] - taken < stride).all():
                break
        ctx.checkpoints, ctx.stride, ctx.fixed = checkpoints, stride, fixed
        ctx.save_for_backward(noise, c)
        return tuple(torch.from_numpy(value) for value in present)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        fixed: _Fixed = ctx.fixed
        noise, c = (value.numpy() for value in ctx.saved_tensors)
        results, by_noise, by_c = _copies(*given), np.zeros_like(noise), np.zeros_like(c)
        solved = [True] * len(noise)

        def run(k: int) -> None:
            by_field, by_progress, by_box = _own(results, k)
            tape = kernels.blank_tape(ctx.stride, by_field, by_box, fixed.grid.margin)
            for start in reversed(ctx.checkpoints):
                field, progress, box = _own(start, k)
                solved[k] &= kernels.reverse(
                    field,
                    box,
                    progress,
                    noise[k],
                    c[k],
                    fixed.grid,
                    fixed.on_base[k],
                    fixed.margin,
                    tape,
                    by_field,
                    by_box,
                    by_progress,
                    by_noise[k],
                    by_c[k],
                )

        in_threads(run, [(k,) for k in range(len(noise))])
        if not all(solved):
            raise ConvergenceError("a solve for the adjoint of concentration or potential did not converge")
        by_fields, by_scalars, *by_inside = (torch.from_numpy(value) for value in results)
        return None, by_fields, by_scalars, torch.from_numpy(by_noise), torch.from_numpy(by_c), *by_inside


def _own(values: list[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """One particle's fields, numbers, and box if there is one."""
    return values[0][k], values[1][k], values[2][k] if len(values) > 2 else None
