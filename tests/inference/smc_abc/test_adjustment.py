"""Adjustments on joint distributions whose conditional is known."""

from __future__ import annotations

import math

import pytest
import torch

from hmm_plating.inference.smc_abc import BestAdjustment, LinearAdjustment, MixtureAdjustment, NoAdjustment

COUNT = 4000


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def moved(adjustment: object, draws: torch.Tensor, summaries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = torch.zeros(len(draws), dtype=torch.float64)
    move = adjustment.fit(draws, summaries, flat, torch.Generator().manual_seed(0))
    result, change = move(draws, summaries, torch.zeros_like(summaries[0]))
    return result, torch.softmax(change, 0)


@pytest.mark.parametrize(
    "adjustment", [LinearAdjustment(), LinearAdjustment(heteroscedastic=True), MixtureAdjustment()]
)
def test_linear_gaussian_conditional(adjustment: object) -> None:
    summaries = noise(COUNT, 3, seed=1) + 0.5
    slopes = torch.tensor([[1.0, 0.0], [2.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    draws = 0.3 + summaries @ slopes + 0.2 * noise(COUNT, 2, seed=2)
    result, weights = moved(adjustment, draws, summaries)
    error = 0.2 / math.sqrt(COUNT)
    assert (weights @ result).numpy() == pytest.approx([0.3, 0.3], abs=6 * error)
    assert (weights @ (result - 0.3).square()).sqrt().numpy() == pytest.approx([0.2, 0.2], rel=0.06)


@pytest.mark.parametrize("adjustment", [LinearAdjustment(), MixtureAdjustment(most_components=1)])
def test_few_draws_and_many_summaries_keep_the_spread(adjustment: object) -> None:
    """24 draws, 8 summaries that tell nothing: the variance is that of the draws, in the mean over 300 data sets.

    The mean square residual of a regression is biased by 1 − p/n (any textbook); here that is 0.62.
    """
    squares = []
    for seed in range(300):
        draws, summaries = noise(24, 1, seed=seed), noise(24, 8, seed=1000 + seed)
        result, weights = moved(adjustment, draws, summaries)
        squares.append(float(weights @ (result - weights @ result).square()[:, 0]))
    error = 4 * math.sqrt(2 / 15 / 300)
    assert sum(squares) / 300 == pytest.approx(1.0, abs=error)


def test_spread_that_varies_with_the_summary() -> None:
    summaries = noise(COUNT, 1, seed=3)
    draws = torch.exp(summaries) * noise(COUNT, 1, seed=4)
    constant, _ = moved(LinearAdjustment(), draws, summaries)
    varying, _ = moved(LinearAdjustment(heteroscedastic=True), draws, summaries)
    assert float(varying.std()) == pytest.approx(1.0, rel=0.08)  # at s = 0; without it, sqrt(E e^{2s}) = e
    assert float(constant.std()) > 2


def test_two_modes_with_opposite_slopes_keep_their_own() -> None:
    summaries = noise(COUNT, 1, seed=5)
    sign = torch.where(torch.arange(COUNT)[:, None] % 2 == 0, 1.0, -1.0).double()
    draws = sign * (2 + 0.4 * summaries) + 0.05 * noise(COUNT, 1, seed=6)
    result, weights = moved(MixtureAdjustment(), draws, summaries)
    linear, _ = moved(LinearAdjustment(), draws, summaries)
    upper = result[:, 0] > 0
    assert float(weights[upper].sum()) == pytest.approx(0.5, abs=0.04)
    assert float(result[upper].std()) == pytest.approx(0.05, rel=0.1)
    assert float(linear[linear > 0].std()) > 0.3


def test_component_probabilities_depend_on_the_summary() -> None:
    """One of two modes is the likelier the larger the summary: p(+ | s) = 1/(1 + e^{−2s/σ²}), ½ at s = 0."""
    sign = torch.where(torch.arange(COUNT)[:, None] < 1000, 1.0, -1.0).double()
    summaries = sign + noise(COUNT, 1, seed=7)
    draws = 3 * sign + 0.3 * noise(COUNT, 1, seed=8)
    result, weights = moved(MixtureAdjustment(), draws, summaries)
    # Prior odds 1 : 3, and at s = 0 the summary is equally likely under both.
    assert float(weights[result[:, 0] > 0].sum()) == pytest.approx(0.25, abs=0.04)


def test_constant_summaries_do_no_harm() -> None:
    draws = noise(500, 1, seed=9)
    summaries = torch.cat([torch.zeros(500, 1, dtype=torch.float64), draws + 0.1 * noise(500, 1, seed=10)], 1)
    for adjustment in (LinearAdjustment(), MixtureAdjustment()):
        result, weights = moved(adjustment, draws, summaries)
        assert float((weights @ result.square()).sqrt()) == pytest.approx(0.1, rel=0.2)


def test_the_best_is_chosen_by_what_simulations_say() -> None:
    summaries = noise(COUNT, 1, seed=11)
    draws = 3 * summaries + 0.1 * noise(COUNT, 1, seed=12)
    result, _ = moved(BestAdjustment((NoAdjustment(), LinearAdjustment())), draws, summaries)
    assert float(result.std()) == pytest.approx(0.1, rel=0.1)

    class Harmful:
        def fit(self, *given: object) -> object:
            return lambda draws, summaries, target: (
                LinearAdjustment().fit(*given)(draws, summaries, target)._replace(draws=draws + 5)
            )

    result, _ = moved(BestAdjustment((Harmful(), NoAdjustment())), draws, summaries)
    assert torch.equal(result, draws)
