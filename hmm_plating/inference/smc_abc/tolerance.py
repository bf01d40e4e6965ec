"""Rules for the tolerance of a population, from the distances and weights of all simulations so far.

A rule gives a value that the distances attain (over the reach of the kernel), infinity, or what the user fixed; it does
not interpolate, so that a quantile of a discrete distance is one of its values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.resampling import effective_sample_size
from hmm_plating.inference.smc_abc.acceptance import AcceptanceKernel


class Candidates(NamedTuple):
    """What a rule may look at.

    Attributes:
        distances: (n,), ascending, finite.
        log_weights: of the nearest k simulations, (k,), log p(θ)/q(θ); computed on demand, as it is costly.
        kernel: acceptance kernel.
        population: number of the population, from 0.
        previous: tolerance of the population before, infinite for the first.
        wanted: effective sample size to aim at.
        widest: distance within which nine tenths of the latest population are.
        final: no population follows: these are the weights of the result.
    """

    distances: Tensor
    log_weights: Callable[[int], Tensor]
    kernel: AcceptanceKernel
    population: int
    previous: float
    wanted: float
    widest: float
    final: bool


class ToleranceRule(Protocol):
    def __call__(self, candidates: Candidates) -> float: ...


def by_sample_size(candidates: Candidates) -> float:
    """The smallest tolerance whose weights have the wanted effective sample size, or half of the largest that is found.

    As Del Moral, Doucet and Jasra, Statistics and Computing 22 (2012) 1009, who reduce the tolerance as far as the
    sample size allows. It is no wider than the latest population: farther out are the few draws of earlier, wider
    ones, whose weights there are orders of magnitude larger, and a large tolerance would have a large sample of the
    prior.
    """
    distances, kernel, wanted = candidates.distances, candidates.kernel, candidates.wanted
    limit = max(1, int((distances <= candidates.widest).sum()))
    count, tried = min(limit, math.ceil(wanted / 4)), []
    while True:
        attained = distances[:count] / kernel.reach
        size = _sample_size(distances[:count], candidates.log_weights(count), kernel, float(attained[-1]))
        tried.append((attained, size))
        if size >= wanted or count == limit:
            break
        count = min(limit, math.ceil(1.5 * count))
    if size < wanted and kernel.reach > 1:  # a kernel with tails may have to be as wide as the distances themselves
        attained = distances[:limit]
        within = int((distances <= kernel.reach * attained[-1]).sum())
        size = _sample_size(distances[:within], candidates.log_weights(within), kernel, float(attained[-1]))
        tried.append((attained, size))
    best = max(size for _, size in tried)
    wanted = wanted if best >= wanted else best / 2
    attained = next(attained for attained, size in tried if size >= wanted)
    within = int((distances <= kernel.reach * attained[-1]).sum())
    nearest, log_weights = distances[:within], candidates.log_weights(within)
    low, high = 0, len(attained) - 1
    while low < high:
        middle = (low + high) // 2
        enough = _sample_size(nearest, log_weights, kernel, float(attained[middle])) >= wanted
        low, high = (low, middle) if enough else (middle + 1, high)
    return float(attained[high])


@dataclass(frozen=True)
class Quantile:
    """The weighted quantile of the distances of the population before, kernel included.

        inf {h : Σ_i W_i 1[d_i ≤ h] ≥ α}

    Attributes:
        fraction: α, between 0 and 1.
    """

    fraction: float

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise InputError(f"Quantile: the fraction must lie between 0 and 1, got {self.fraction!r}")

    def __call__(self, candidates: Candidates) -> float:
        if candidates.final:
            return candidates.previous
        distances, kernel = candidates.distances, candidates.kernel
        count = int((distances <= kernel.reach * candidates.previous).sum())
        if count == 0:
            return candidates.previous
        log_weights = candidates.log_weights(count) + kernel.log_weight(distances[:count], candidates.previous)
        cumulative = torch.softmax(log_weights, 0).cumsum(0)
        index = int(torch.searchsorted(cumulative, self.fraction * float(cumulative[-1])))
        return float(distances[min(index, count - 1)])


@dataclass(frozen=True)
class Schedule:
    """Given tolerances, one per population; the last one stays.

    Attributes:
        tolerances: positive numbers.
    """

    tolerances: Sequence[float]

    def __post_init__(self) -> None:
        if not self.tolerances or not all(tolerance > 0 for tolerance in self.tolerances):
            raise InputError(f"Schedule: tolerances must be positive numbers, got {self.tolerances!r}")

    def __call__(self, candidates: Candidates) -> float:
        return float(self.tolerances[min(candidates.population, len(self.tolerances) - 1)])


def _sample_size(distances: Tensor, log_weights: Tensor, kernel: AcceptanceKernel, tolerance: float) -> float:
    return float(effective_sample_size(log_weights + kernel.log_weight(distances, tolerance)).nan_to_num(0.0))
