"""Resampling: from weights W to ancestor indices A with E[#{i : A_i = j}] = N W_j.

Douc, Cappé and Moulines, "Comparison of resampling schemes for particle filtering" (ISPA 2005); Chopin and
Papaspiliopoulos, "An Introduction to Sequential Monte Carlo" (2020), chapter 9.

All schemes invert the cumulative weights C in double precision, whatever the precision of the weights, never return a
particle of zero weight and give the ancestors in ascending order. Points on a grid need no search: the number of points
below C_j, c_j = #{i : (i + u_i) / N < C_j}, is known in closed form, and A_i = #{j : c_j ≤ i}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Generator, Tensor

from hmm_plating.errors import InputError


class Resampling(Protocol):
    """A scheme: log weights (N,), in any normalisation, to `count` ascending ancestor indices (default N)."""

    def __call__(
        self, log_weights: Tensor, count: int | None = None, *, generator: Generator | None = None
    ) -> Tensor: ...


def take(particles: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """The particles with these indices."""
    return {name: value.index_select(0, index.to(value.device)) for name, value in particles.items()}


def distinct(ancestors: Tensor) -> int:
    """How many of the ascending indices differ."""
    values = ancestors.numpy()
    return 1 + int(np.count_nonzero(values[1:] != values[:-1]))


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """1 / Σ W² over the last dimension, between 1 and N (Kong, Liu and Wong, JASA 89 (1994) 278)."""
    log_weights = log_weights.double()
    return torch.exp(2 * torch.logsumexp(log_weights, -1) - torch.logsumexp(2 * log_weights, -1))


def thinned(
    log_weights: Tensor, count: int, resampling: Resampling, *, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """At most `count` particles of positive weight that stand for all: their indices, and log weights of their own."""
    kept = log_weights.isfinite().nonzero()[:, 0]
    if len(kept) <= count:
        return kept, log_weights[kept]
    kept, copies = resampling(log_weights, count, generator=generator).unique(return_counts=True)
    return kept, copies.double().log()


def systematic(log_weights: Tensor, count: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """One uniform, `count` equally spaced points: every particle gets ⌊N W⌋ or ⌈N W⌉ offspring."""
    weights, count = _weights(log_weights, count)
    return _ancestors(weights, _uniform(1, generator).expand(count)).to(log_weights.device)


def stratified(log_weights: Tensor, count: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """One uniform in each of `count` equal strata."""
    weights, count = _weights(log_weights, count)
    return _ancestors(weights, _uniform(count, generator)).to(log_weights.device)


def multinomial(log_weights: Tensor, count: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Independent draws: the reference scheme, with the largest variance."""
    weights, count = _weights(log_weights, count)
    return _invert(weights, _uniform(count, generator).sort().values).to(log_weights.device)


def residual(log_weights: Tensor, count: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """⌊N W⌋ offspring for certain, the rest multinomial (Liu and Chen, JASA 93 (1998) 1032)."""
    weights, count = _weights(log_weights, count)
    expected = count * weights
    copies = torch.floor(expected + 1e-10).long()  # so that equal weights, N (1/N) = 1 - ulp, stay the identity
    remaining = count - int(copies.sum())
    if remaining > 0:
        left = (expected - copies).clamp(min=0)
        drawn = _invert(left / left.sum(), _uniform(remaining, generator))
        copies += torch.bincount(drawn, minlength=len(weights))
    return torch.repeat_interleave(torch.arange(len(weights)), copies).to(log_weights.device)


def _weights(log_weights: Tensor, count: int | None) -> tuple[Tensor, int]:
    if log_weights.dim() != 1 or len(log_weights) == 0:
        raise InputError(f"resampling needs log weights of shape (particles,), got {tuple(log_weights.shape)}")
    if count is not None and count < 1:
        raise InputError(f"resampling: count must be at least 1, got {count}")
    weights = torch.softmax(log_weights.double().cpu(), -1)
    if math.isnan(float(weights[0])):  # all are, where one log weight is NaN or +inf, or none is finite
        raise InputError("resampling needs at least one finite log weight, and none that is NaN or +inf")
    return weights, len(log_weights) if count is None else count


def _uniform(count: int, generator: Generator | None) -> Tensor:
    return torch.rand(count, dtype=torch.float64, generator=generator)


def _ancestors(weights: Tensor, inside: Tensor) -> Tensor:
    """Ancestors of points that lie `inside` of each stratum, as a fraction of it."""
    return torch.from_numpy(_invert_grid(weights.numpy(), inside.numpy()))


@njit(error_model="numpy", nogil=True, cache=True)
def _invert_grid(weights: NDArray[np.float64], inside: NDArray[np.float64]) -> NDArray[np.int64]:
    count, last = len(inside), len(weights) - 1
    while (
        weights[last] == 0
    ):  # the sum may end an ulp beside 1: the last particle of positive weight takes what is left
        last -= 1
    ancestors = np.zeros(count + 1, np.int64)
    cumulative = 0.0
    for j in range(last):
        cumulative += weights[j]
        scaled = count * cumulative
        stratum = min(int(scaled), count - 1)
        ancestors[stratum + (inside[stratum] < scaled - stratum)] += 1
    for i in range(1, count):
        ancestors[i] += ancestors[i - 1]
    return ancestors[:count]


def _invert(weights: Tensor, points: Tensor) -> Tensor:
    """The first index whose cumulative weight exceeds each point in [0, 1]."""
    index = torch.searchsorted(weights.cumsum(-1), points, right=True)
    # The cumulative sum may end an ulp below 1, or a point round up to 1: both belong to the last particle.
    return index.clamp(max=int(weights.nonzero()[-1]))
