"""Tolerance rules against definitions evaluated by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.inference.smc_abc import (
    AcceptanceKernel,
    Quantile,
    Schedule,
    by_sample_size,
    epanechnikov,
    gaussian,
    uniform,
)
from hmm_plating.inference.smc_abc.tolerance import Candidates


def candidates(kernel: AcceptanceKernel, *, wanted: float = 50, previous: float = math.inf) -> tuple[Candidates, ...]:
    generator = torch.Generator().manual_seed(3)
    distances = torch.rand(400, dtype=torch.float64, generator=generator).sort().values
    log_weights = torch.randn(400, dtype=torch.float64, generator=generator)
    return Candidates(
        distances, lambda count: log_weights[:count], kernel, 1, previous, wanted, math.inf, False
    ), log_weights


@pytest.mark.parametrize("kernel", [uniform, epanechnikov, gaussian])
def test_sample_size_is_reached_and_by_no_smaller_attained_tolerance(kernel: AcceptanceKernel) -> None:
    given, log_weights = candidates(kernel)
    tolerance = by_sample_size(given)

    def size(h: float) -> float:
        scaled = given.distances.numpy() / h
        shape = {
            "uniform": np.ones_like(scaled),
            "epanechnikov": np.clip(1 - scaled**2, 0, None),
            "gaussian": np.exp(-0.5 * scaled**2),
        }[kernel.name]
        weights = np.exp(log_weights.numpy()) * shape * (scaled <= kernel.reach)
        return weights.sum() ** 2 / (weights**2).sum()

    attained = given.distances.numpy() / kernel.reach
    if kernel is gaussian:  # 50 of 400 within its reach of 8 tolerances are too few for it to find all within d/8
        attained = given.distances.numpy()
    assert tolerance in attained
    assert size(tolerance) >= 50
    assert size(attained[np.searchsorted(attained, tolerance) - 1]) < 50


def test_of_a_sample_size_that_none_has_half_the_largest_is_taken() -> None:
    """Even weights as far as 0.5, then one that outweighs all others, as of a draw from the prior alone."""
    distances = torch.arange(1, 401).double() / 400
    log_weights = torch.where(torch.arange(400) == 250, 20.0, 0.0).double()
    given = Candidates(distances, lambda count: log_weights[:count], uniform, 1, math.inf, 70, math.inf, False)
    assert by_sample_size(given) == distances[69]
    # Tried are the nearest 75, 113, 170, 255 and so on: 170 have a sample size of 170, 255 one of 1.
    assert by_sample_size(given._replace(wanted=300)) == pytest.approx(float(distances[84]), abs=0.0026)
    # Within a quarter of the distances there are a hundred.
    assert by_sample_size(given._replace(wanted=300, widest=0.25)) == pytest.approx(float(distances[49]), abs=0.0026)
    uneven = torch.linspace(0, 4, 400, dtype=torch.float64)
    given = given._replace(log_weights=lambda count: uneven[:count], wanted=399)
    weights = np.exp(uneven.numpy())
    sizes = np.cumsum(weights) ** 2 / np.cumsum(weights**2)
    assert sizes.max() < 399
    assert by_sample_size(given) == distances[int(np.argmax(sizes >= sizes[-1] / 2))]


def test_quantile_is_a_true_weighted_quantile() -> None:
    given, log_weights = candidates(uniform, previous=0.6)
    within = given.distances <= 0.6
    weights = torch.softmax(log_weights[within], 0)
    tolerance = Quantile(0.3)(given)
    assert float(weights[given.distances[within] <= tolerance].sum()) >= 0.3
    assert float(weights[given.distances[within] < tolerance].sum()) < 0.3


def test_quantile_of_a_discrete_distance_is_one_of_its_values() -> None:
    distances = torch.tensor([1.0, 1.0, 1.0, 2.0], dtype=torch.float64)
    given = Candidates(
        distances, lambda count: torch.zeros(count, dtype=torch.float64), uniform, 1, 5.0, 1, math.inf, False
    )
    assert Quantile(0.5)(given) == 1.0
    assert Quantile(0.76)(given) == 2.0


def test_schedule_keeps_its_last_value() -> None:
    given = candidates(uniform)[0]
    assert [Schedule([3.0, 1.0])(given._replace(population=number)) for number in range(4)] == [3.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "make", [lambda: Quantile(0.0), lambda: Quantile(1.0), lambda: Schedule([]), lambda: Schedule([-1.0])]
)
def test_impossible_rules_are_refused(make: object) -> None:
    with pytest.raises(InputError):
        make()
