"""Calibration of a posterior that is exact, and of ones that are wrong in a known way."""

import math

import arviz
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from hmm_plating.errors import InputError
from hmm_plating.inference import ecdf_band, pareto_k, simulation_based_calibration

COUNT = 5  # observations of each of two means, noise 1


def prior():
    pyro.sample("mean", dist.Normal(torch.zeros(2, dtype=torch.float64), 1.0).to_event(1))


def simulate(parameters):
    return parameters["mean"] + torch.randn(COUNT, 2, dtype=torch.float64)


def conjugate(width=1.0, shift=0.0, draws=99):
    """The exact normal posterior, or one `width` times as wide and `shift` of its deviations aside."""

    def infer(data, seed):
        deviation = 1 / math.sqrt(1 + COUNT)
        centre = data.sum(0).numpy() / (1 + COUNT) + shift * deviation
        return {"mean": centre + width * deviation * np.random.default_rng(seed).normal(size=(draws, 2))}

    return infer


def calibrate(infer, simulations=300, **options):
    return simulation_based_calibration(prior, simulate, infer, simulations, **options)


def test_an_exact_posterior_has_uniform_ranks():
    result = calibrate(conjugate(), simulations=600, seed=1)
    assert set(result.ranks) == {"mean[0]", "mean[1]"}
    for name, ranks in result.ranks.items():
        assert len(ranks) == 600
        assert ranks.min() >= 0
        assert ranks.max() <= 99
        assert result.chi_square(name) > 1e-3
        assert result.kolmogorov_smirnov(name) > 1e-3
        for probability in (0.5, 0.9):  # 4 binomial standard errors
            error = math.sqrt(probability * (1 - probability) / 600)
            assert result.coverage(name, probability) == pytest.approx(probability, abs=4 * error)
    np.testing.assert_allclose(np.std(result.truth["mean[0]"]), 1, atol=4 / math.sqrt(1200))


@pytest.mark.parametrize("wrong", [{"width": 0.6}, {"width": 1.7}, {"shift": 0.5}])
def test_a_wrong_posterior_is_told(wrong):
    result = calibrate(conjugate(**wrong))
    assert result.chi_square("mean[0]") < 1e-4
    if "width" in wrong:
        expected = 2 * stats.norm.cdf(1.645 * wrong["width"]) - 1  # of a 90 % interval that is too narrow or wide
        assert result.coverage("mean[0]") == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 300))
    else:
        assert result.kolmogorov_smirnov("mean[0]") < 1e-6
        z, lower, upper = ecdf_band(300)
        below = (result.uniform("mean[0]")[:, None] <= z).mean(0)
        assert ((below < lower) | (below > upper)).any()


def test_the_band_holds_uniform_samples_as_often_as_it_says():
    z, lower, upper = ecdf_band(80, 0.9)
    samples = np.random.default_rng(1).random((2000, 80))
    below = np.stack([(samples <= value).mean(-1) for value in z], -1)
    inside = ((below >= lower) & (below <= upper)).all(-1).mean()
    # discrete, so a little more; 4 standard errors of both simulations
    assert 0.9 - 4 * math.sqrt(0.09 / 2000 + 0.09 / 4000) < inside < 0.95


def test_inference_data_are_thinned_and_chains_put_together():
    def infer(data, seed):
        draws = conjugate(draws=400)(data, seed)["mean"].reshape(4, 100, 2)
        return arviz.from_dict(posterior={"mean": draws})

    result = calibrate(infer, simulations=100, draws=49)
    assert result.draws == 49
    assert result.chi_square("mean[1]") > 1e-3
    data = result.inference_data()
    assert data["sample_stats"]["rank_mean[0]"].shape == (1, 100)
    assert data["prior"]["mean[1]"].dims == ("chain", "draw")
    summary = result.summary()
    assert summary["coverage_90"].sizes == {"parameter": 2}


def test_the_seed_decides():
    first, second, other = (calibrate(conjugate(), simulations=20, seed=seed).ranks["mean[0]"] for seed in (1, 1, 2))
    assert first.tolist() == second.tolist()
    assert first.tolist() != other.tolist()


def test_failures_are_counted_and_limited():
    calls = []

    def sometimes(data, seed):
        calls.append(seed)
        if len(calls) % 15 == 0:
            raise InputError("no particle can explain the observation")
        posterior = conjugate()(data, seed)
        return {"mean": posterior["mean"] * math.nan} if len(calls) % 20 == 0 else posterior

    result = calibrate(sometimes, simulations=60, tolerated_failures=0.2)
    assert result.failures == 6
    assert len(result.ranks["mean[0]"]) == 54
    with pytest.raises(InputError, match=r"failed, the last with: .*not finite"):
        calibrate(lambda data, seed: {"mean": np.full((99, 2), math.nan)}, simulations=20)
    for wrong in ({}, {"mean": np.zeros((99, 3))}, {"mean": np.zeros((98, 2))}):
        with pytest.raises(InputError, match="the inferred posterior"):
            calibrate(lambda data, seed, wrong=wrong: wrong, simulations=20)
    with pytest.raises(InputError, match="tolerated_failures must be a part"):
        calibrate(conjugate(), simulations=5, tolerated_failures=1.0)
    with pytest.raises(InputError, match="simulations must be an integer ≥ 1"):
        calibrate(conjugate(), simulations=0)


def test_shape_of_the_tail_of_importance_weights():
    """Weights of N(0, 1) against N(0, s²) have tails of shape k = 1 − s²: 0.75 at s = 1/2, thin from s = 1 on."""
    generator = np.random.default_rng(0)

    def log_weights(s):
        x = s * generator.normal(size=20_000)
        return stats.norm.logpdf(x) - stats.norm.logpdf(x, scale=s)

    k = pareto_k(np.stack([log_weights(0.5), log_weights(2.0)]))
    assert k[0] == pytest.approx(0.75, abs=0.15)
    assert k[1] < 0.3
    with pytest.raises(InputError, match="pareto_k"):
        pareto_k([0.0, math.nan, 1.0, 2.0, 3.0])
