"""Wandering parameters: their marginal is the prior at all times, their memory an Ornstein–Uhlenbeck process's."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hmm_plating import InputError, Wandering

DRAWS = 20_000


def trajectory(wandering: Wandering, durations: list[float]) -> list[torch.Tensor]:
    with torch.random.fork_rng(devices=[]), pyro.plate("draws", DRAWS):
        torch.manual_seed(0)
        latents = [wandering.init("z")]
        for duration in durations:
            latents.append(wandering.step("z", latents[-1], duration))
    return latents


def test_the_marginal_stays_the_prior() -> None:
    """Kolmogorov and Smirnov against SciPy's log-normal, after none, one and three uneven steps."""
    wandering = Wandering(dist.LogNormal(math.log(2.0), 0.8), correlation_time=10.0)
    oracle = stats.lognorm(0.8, scale=2.0)
    for latent in trajectory(wandering, [3.0, 0.1, 25.0]):
        assert stats.kstest(wandering.value(latent).numpy(), oracle.cdf).pvalue > 1e-3


@pytest.mark.parametrize("duration", [0.5, 5.0, 40.0])
def test_memory_decays_exponentially(duration: float) -> None:
    """Correlation exp(−t/τ) (Uhlenbeck and Ornstein, Phys. Rev. 36 (1930) 823), however the time is split."""
    wandering = Wandering(dist.Normal(0.0, 1.0), correlation_time=10.0)
    expected, error = math.exp(-duration / 10.0), 4 / math.sqrt(DRAWS)
    for splits in (1, 3):
        latents = trajectory(wandering, [duration / splits] * splits)
        assert float(torch.corrcoef(torch.stack([latents[0], latents[-1]]))[0, 1]) == pytest.approx(expected, abs=error)


def test_an_infinite_correlation_time_keeps_the_parameter() -> None:
    before, after = trajectory(Wandering(dist.Uniform(0.8, 1.0)), [100.0])
    assert torch.equal(before, after)


@given(st.floats(-50, 50))
def test_values_stay_in_the_support_and_finite(latent: float) -> None:
    z = torch.tensor([latent], dtype=torch.float64)
    assert 0.8 <= float(Wandering(dist.Uniform(0.8, 1.0)).value(z)) <= 1.0
    assert 0 < float(Wandering(dist.LogNormal(0.0, 1.0)).value(z)) < math.inf


@pytest.mark.parametrize("time", [0.0, -1.0, math.nan])
def test_a_correlation_time_must_be_positive(time: float) -> None:
    with pytest.raises(InputError, match="correlation_time must be positive"):
        Wandering(dist.Normal(0.0, 1.0), time)


def test_a_prior_without_quantiles_is_refused() -> None:
    with pytest.raises(InputError, match="Beta has no quantile function"):
        Wandering(dist.Beta(2.0, 2.0))


@pytest.mark.parametrize("prior", [0.9, dist.Normal])
def test_what_is_no_distribution_is_refused(prior: object) -> None:
    with pytest.raises(InputError, match=r"Wandering\.prior must be a Pyro distribution"):
        Wandering(prior)  # type: ignore[arg-type]


def test_a_prior_of_vectors_is_refused() -> None:
    with pytest.raises(InputError, match="univariate"):
        Wandering(dist.Normal(torch.zeros(2), 1.0))
