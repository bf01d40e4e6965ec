"""Ancestors by hand, and variances from one run against those of repeated runs."""

import math

import numpy as np
import pytest
import torch
from state_space_models import LinearGaussian

from hmm_plating.errors import InputError
from hmm_plating.inference import (
    Genealogy,
    ParticleFilter,
    evidence_variance,
    mean_variance,
    multinomial,
    surviving_lineages,
    systematic,
)
from hmm_plating.inference.genealogy import ancestors_before

MODEL = LinearGaussian.scalar(0.9, 0.5, 1.0, 0.0, 1.0)
Y = MODEL.simulate(15, seed=5)


def run(particles, seed, resampling=systematic, threshold=0.5):
    particle_filter = ParticleFilter(
        MODEL, particles, resampling=resampling, ess_threshold=threshold, predictive_draws=0
    )
    state, steps = particle_filter.init(seed=seed), []
    for y in Y:
        state, info = particle_filter.update(state, y)
        steps.append(info)
    return state, Genealogy.of_steps(steps)


BY_HAND = Genealogy(
    torch.tensor([[0, 0, 1, 3], [0, 1, 2, 3], [1, 1, 2, 2]]),
    torch.log(torch.tensor([[0.5, 0.25, 0.0, 0.25], [0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.5, 0.0]])),
    torch.tensor([True, False, True]),
)


def test_lineages_by_hand():
    assert surviving_lineages(BY_HAND).tolist() == [2, 2, 2]
    assert ancestors_before(BY_HAND).tolist() == [0, 0, 1, 1]
    assert ancestors_before(BY_HAND, 1).tolist() == [1, 1, 2, 2]
    assert ancestors_before(BY_HAND, 0).tolist() == [0, 1, 2, 3]


def test_variance_by_hand():
    """N = 4: 1 − (4/3)^{ρ+1} (1 − Σ mass²); eve (0, 1, 2, 3), then (0, 0, 1, 3)."""
    squares = [0.25 + 2 / 16, 0.25 + 2 / 16, 0.25 + 0.25]
    expected = [1 - 4 / 3 * (1 - s) for s in squares]
    np.testing.assert_allclose(evidence_variance(BY_HAND), expected, rtol=1e-6)
    factors = [4 / 3, (4 / 3) ** 2, (4 / 3) ** 2]
    expected = [1 - f * (1 - s) for f, s in zip(factors, squares, strict=True)]
    np.testing.assert_allclose(evidence_variance(BY_HAND, multinomial=True), expected, rtol=1e-6)
    # final slots descend in pairs from slots 0 and 1: (1/4)² (Σ of each pair's deviation)²
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    pairs = [(1 + 2 - 8) / 4, (4 + 9 - 8) / 4]
    equal = torch.full((4,), -math.log(4))
    assert float(mean_variance(BY_HAND, equal, values)) == pytest.approx(sum(p**2 for p in pairs))
    assert float(mean_variance(BY_HAND, equal, values, lag=0)) == pytest.approx(float(values.var(correction=0)) / 4)
    assert mean_variance(BY_HAND, equal, values[:, None, None].expand(4, 2, 3)).shape == (2, 3)


def test_lineages_that_have_met_tell_nothing():
    met = BY_HAND._replace(ancestors=torch.tensor([[2, 2, 2, 2], [0, 1, 2, 3], [1, 1, 2, 2]]))
    assert evidence_variance(met).isnan().tolist() == [False, True, True]
    assert math.isnan(float(mean_variance(met, torch.full((4,), -math.log(4)), torch.arange(4.0))))
    assert not math.isnan(float(mean_variance(met, torch.full((4,), -math.log(4)), torch.arange(4.0), lag=2)))


@pytest.mark.slow
@pytest.mark.parametrize(("resampling", "threshold"), [(multinomial, 1.0), (systematic, 1.0), (systematic, 0.5)])
def test_against_repeated_runs(resampling, threshold):
    """200 runs tell a variance within 10 % (standard error), the estimates' own mean within less: three of them."""
    exact = MODEL.log_evidence(Y)
    errors, estimates, means, mean_estimates = [], [], [], []
    for seed in range(200):
        state, genealogy = run(300, seed, resampling, threshold)
        errors.append(state.log_evidence - exact)
        estimates.append(float(evidence_variance(genealogy, multinomial=resampling is multinomial)[-1]))
        means.append(float(state.log_weights.exp() @ state.particles["x"][:, 0]))
        mean_estimates.append(float(mean_variance(genealogy, state.log_weights, state.particles["x"], lag=6)))
    assert np.mean(estimates) == pytest.approx(np.exp(errors).var(), rel=0.35)
    if resampling is multinomial:
        assert np.mean(mean_estimates) == pytest.approx(np.var(means), rel=0.35)


def test_of_a_result():
    particle_filter = ParticleFilter(MODEL, 40, predictive_draws=0)
    genealogy = Genealogy.of(particle_filter.run(Y, seed=3))
    _, expected = run(40, 3)
    assert all(torch.equal(one, other) for one, other in zip(genealogy, expected, strict=True))
    result = particle_filter.run(Y)
    with pytest.raises(InputError, match="no genealogy of chain 1"):
        Genealogy.of(result, 1)
    del result["sample_stats"]
    with pytest.raises(InputError, match="no genealogy"):
        Genealogy.of(result)
    with pytest.raises(InputError, match="3 values and 40 weights for 40"):
        mean_variance(genealogy, torch.zeros(40), torch.zeros(3))
