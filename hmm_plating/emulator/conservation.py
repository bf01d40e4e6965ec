"""Charge kept exactly: the even displacement of a surface that gives it a wanted amount of metal."""

from __future__ import annotations

import torch
from torch import Tensor

from hmm_plating.emulator.features import tanh_profile

_ITERATIONS = 60
_SETTLED = 1e-1  # cells, over the square root of the resolution


def conserving_shift(distance: Tensor, metal: Tensor, width: float) -> Tensor:
    """The shift s with Σ ½[1 + tanh 2(d + s)/ℓ] = metal (particle,) [cells], differentiable.

    Newton's method, safeguarded by a bracket: the sum rises from 0 to the number of cells. The last step carries the
    gradient (implicit function theorem).

    Args:
        distance: d, signed (particle, [z,] y, x) [cells].
        metal: wanted Σξ (particle,), above 0 and below the number of cells.
        width: ℓ [cells].
    """
    axes = tuple(range(1, distance.ndim))
    steepness = 4 / width

    def shifted(shift: Tensor) -> Tensor:
        return tanh_profile(distance + shift.reshape(-1, *[1] * len(axes)), width)

    with torch.no_grad():
        resolution = torch.finfo(distance.dtype).eps
        farthest = distance.abs().amax(axes) + 40 * width  # there every cell is metal, or liquid, to round-off
        low, high, shift = -farthest, farthest, torch.zeros_like(metal)
        for _ in range(_ITERATIONS):
            xi = shifted(shift)
            excess = xi.sum(axes) - metal
            low, high = torch.where(excess < 0, shift, low), torch.where(excess < 0, high, shift)
            following = shift - excess / (steepness * (xi * (1 - xi)).sum(axes))
            # also where the slope underflows; a root that is met is an end of the bracket
            following = torch.where((following >= low) & (following <= high), following, 0.5 * (low + high))
            # Newton's steps shrink quadratically: the last one is then round-off
            settled = bool(((following - shift).abs() <= _SETTLED * resolution**0.5).all())
            shift = following
            if settled:
                break
    if not torch.is_grad_enabled():
        return shift
    xi = shifted(shift)
    slope = (steepness * xi * (1 - xi)).sum(axes).detach()
    return shift - (xi.sum(axes) - metal) / slope
