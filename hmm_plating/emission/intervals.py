"""Cell fractions of metal that is given, above every lateral point, as intervals of height."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]


def fill(
    section: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
    cells: tuple[int, int, int],
    spacing: float,
    samples: tuple[int, int],
) -> Tensor:
    """Fractions (z, y, x) of metal: lateral means over samples at equal distances, exact in height.

    Args:
        section: from positions z (z, 1) and x (x,) to the intervals (lower, upper) of metal, (object, z, x) [m].
        cells: (depth, rows, columns).
        samples: per cell in z and x.
    """
    depth, _, columns = cells
    x = (np.arange(columns * samples[1]) + 0.5) / samples[1] * spacing
    fraction = np.zeros(cells)
    for layer in range(depth):  # one at a time, which bounds the memory
        z = (layer + (np.arange(samples[0]) + 0.5) / samples[0])[:, None] * spacing
        start, end = united(*(bound / spacing for bound in section(z, x)))
        for row in range(math.ceil(end.max(initial=0.0))):
            filled = (np.clip(end - row, 0, 1) - np.clip(start - row, 0, 1)).sum(axis=0)
            fraction[layer, row] = filled.mean(axis=0).reshape(columns, samples[1]).mean(axis=1)
    return torch.from_numpy(fraction.clip(0, 1))


def united(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Disjoint intervals with the union of those given, above 0; all (object, z, x)."""
    lower, upper = np.broadcast_arrays(lower.clip(0), upper.clip(0))
    if len(lower) < 2:
        return lower, upper
    order = np.argsort(lower, axis=0)
    lower, upper = np.take_along_axis(lower, order, 0), np.take_along_axis(upper, order, 0)
    end = np.maximum.accumulate(upper, axis=0)
    start = lower.copy()
    start[1:] = np.maximum(lower[1:], end[:-1])
    return start, end
