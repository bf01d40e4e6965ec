"""The kernels as one differentiable function of the whole stretch of sub-steps between two shifts of the window.

The reverse recomputes the sub-steps from checkpoints whose number and whose distance both grow as the square root of
the number of sub-steps (Griewank and Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, ch. 12).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.threads import in_threads
from hmm_plating.transition import kernels
from hmm_plating.transition.reference import Coefficients, Progress, anisotropic

_FIRST_STRIDE = 8  # sub-steps between checkpoints, at first
_CHECKPOINTS_PER_STRIDE = 4
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
    field, dtype = progress.order_parameter, progress.order_parameter.dtype
    grid = kernels.Grid(c.width, c.anisotropy_fold, c.dimensions - 2, galvanostatic, anisotropic(c))
    scalars, coefficients = torch.stack(progress[1:], -1), torch.stack(c[:8], -1)
    volumes = [value if c.dimensions == 3 else value[:, None] for value in (field, noise)]
    arguments = [value.to(torch.float64) for value in (volumes[0], scalars, volumes[1], coefficients)]
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in arguments)
    fixed = _Fixed((base_rows > 0).tolist(), grid, margin, keep)
    advanced, scalars = (value.to(dtype) for value in _Advance.apply(*arguments, fixed))
    demand, time_left, overpotential, substeps = scalars.unbind(-1)
    return Progress(advanced.reshape(field.shape), demand, time_left.detach(), overpotential, substeps.detach())


def _copies(*values: Tensor) -> list[np.ndarray]:
    """Contiguous copies; torch would wait for all of its threads."""
    return [np.array(value.numpy(), order="C") for value in values]


class _Advance(torch.autograd.Function):
    """ξ (particle, z, y, x), and demand, time left, overpotential and sub-steps (particle, 4) after the sub-steps."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        fixed: _Fixed = arguments[4]
        fields, scalars, noise, c = (value.detach().contiguous() for value in arguments[:4])
        checkpoints: list[list[np.ndarray]] = []
        stride = _FIRST_STRIDE if fixed.keep else _UNLIMITED
        present, given = _copies(fields, scalars), (noise.numpy(), c.numpy())

        def run(k: int) -> None:
            field, progress, own = present[0][k], present[1][k], (given[0][k], given[1][k])
            kernels.advance(field, progress, *own, fixed.grid, fixed.on_base[k], fixed.margin, stride)

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
        return torch.from_numpy(present[0]), torch.from_numpy(present[1])

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        fixed: _Fixed = ctx.fixed
        noise, c = (value.numpy() for value in ctx.saved_tensors)
        results = [*_copies(*given), np.zeros_like(noise), np.zeros_like(c)]

        def run(k: int, start: list[np.ndarray]) -> None:
            own = [array[k] for array in (*start, noise, c)]
            by = [array[k] for array in results]
            kernels.reverse(*own, fixed.grid, fixed.on_base[k], fixed.margin, ctx.stride, *by)

        for start in reversed(ctx.checkpoints):
            in_threads(run, [(k, start) for k in range(len(noise))])
        return *(torch.from_numpy(value) for value in results), None
