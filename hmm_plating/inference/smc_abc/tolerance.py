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
        final: no population follows: these are the weights of the result.
    """

    distances: Tensor
    log_weights: Callable[[int], Tensor]
    kernel: AcceptanceKernel
    population: int
    previous: float
    wanted: float
    final: bool


class ToleranceRule(Protocol):
    def __call__(self, candidates: Candidates) -> float: ...


def by_sample_size(candidates: Candidates) -> float:
    """The smallest tolerance whose weights have the wanted effective sample size; infinite where none has.

    As Del Moral, Doucet and Jasra, Statistics and Computing 22 (2012) 1009, who reduce the tolerance as far as
    the sample size allows.
    """
    distances, kernel, wanted = candidates.distances, candidates.kernel, candidates.wanted
    count = min(len(distances), math.ceil(2 * wanted))

    def size(tolerance: float) -> float:
        return _sample_size(distances[:count], candidates.log_weights(count), kernel, tolerance)

    while size(float(distances[count - 1]) / kernel.reach) < wanted and count < len(distances):
        count = min(len(distances), 2 * count)
    attained = distances[:count] / kernel.reach
    if size(float(attained[-1])) < wanted:
        if size(float(distances[-1])) < wanted:
            return math.inf
        attained = distances  # a kernel with tails may have to be as wide as the distances themselves
    low, high = 0, len(attained) - 1  # the sample size grows with the tolerance
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if size(float(attained[middle])) >= wanted else (middle + 1, high)
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
