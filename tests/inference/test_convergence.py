"""How fast the filter approaches the exact answer, published log likelihoods, single precision, and thin records."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.special import logsumexp
from state_space_models import LinearGaussian, published

from hmm_plating.errors import InputError
from hmm_plating.inference import ParticleFilter


def thin(model, particles, **options):
    return ParticleFilter(model, particles, predictive_draws=0, posterior_draws=0, **options)


@pytest.mark.slow
@pytest.mark.parametrize("model", [LinearGaussian.scalar(0.9, 1.0, 0.5, 0.3, 2.0), LinearGaussian.four_dimensional()])
def test_error_falls_as_the_square_root_of_the_particles(model):
    """Filtered mean and log evidence, 60 runs at each of 200 to 12 800 particles: slope −0.5 ± 0.1."""
    y = model.simulate(5, seed=2)
    mean, exact = model.filtered(y)[0], model.log_evidence(y)
    counts = [200, 800, 3200, 12_800]
    errors = []
    for count in counts:
        squares = []
        for seed in range(60):
            particle_filter = thin(model, count)
            state = particle_filter.init(seed=seed)
            for value in y:
                state, _ = particle_filter.update(state, value)
            found = (state.log_weights.exp()[:, None] * state.particles["x"]).sum(0).numpy()
            squares.append([np.sum((found - mean) ** 2), (state.log_evidence - exact) ** 2])
        errors.append(0.5 * np.log(np.mean(squares, 0)))
    slopes = np.polyfit(np.log(counts), np.array(errors), 1)[0]
    assert slopes == pytest.approx([-0.5, -0.5], abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("model", [LinearGaussian.scalar(0.9, 1.0, 0.5, 0.3, 2.0), LinearGaussian.four_dimensional()])
def test_evidence_of_two_hundred_runs_is_unbiased(model):
    y = model.simulate(10, seed=6)
    exact = model.log_evidence(y)
    ratios = np.exp([thin(model, 300).run(y, seed=seed).attrs["log_evidence"] - exact for seed in range(200)])
    assert abs(ratios.mean() - 1) < 3 * ratios.std(ddof=1) / math.sqrt(200)


class StochasticVolatility:
    """Returns of variance exp(x), x an autoregression at rest: (μ, ρ, σ) of Pitt and Shephard (1999)."""

    mu, rho, sigma = -1.02, 0.9702, 0.178

    def init(self, state):
        spread = self.sigma / math.sqrt(1 - self.rho**2)
        state["x"] = pyro.sample("x", dist.Normal(torch.tensor(self.mu).double(), spread))

    def step(self, state, y):
        state["x"] = pyro.sample("x", dist.Normal(self.mu + self.rho * (state["x"] - self.mu), self.sigma))
        pyro.sample("y", dist.Normal(0.0, torch.exp(0.5 * state["x"])), obs=y)


@pytest.mark.slow
def test_published_log_likelihood_of_stochastic_volatility():
    """GBP/USD 1997–98, −492.43 by filters with very many particles; −492.465 ± 0.005 by twelve runs of this one."""
    y = torch.from_numpy(np.loadtxt(published("gbp_usd_9798_returns.txt")))
    values = [thin(StochasticVolatility(), 200_000).run(y, seed=seed).attrs["log_evidence"] for seed in range(4)]
    assert logsumexp(values) - math.log(4) == pytest.approx(-492.43, abs=0.05)


@pytest.mark.slow
def test_a_million_particles_in_single_precision():
    class Single(LinearGaussian):
        def init(self, state):
            state["x"] = pyro.sample("x", dist.Normal(torch.tensor([0.3]), math.sqrt(2.0)).to_event(1))

        def step(self, state, y):
            state["x"] = pyro.sample("x", dist.Normal(0.9 * state["x"], 1.0).to_event(1))
            pyro.sample("y", dist.Normal(state["x"], math.sqrt(0.5)).to_event(1), obs=y.float())

    model = LinearGaussian.scalar(0.9, 1.0, 0.5, 0.3, 2.0)
    y = model.simulate(4, seed=2)
    particle_filter = thin(Single(*model), 1_000_000, ess_threshold=1.0)
    state = particle_filter.init(seed=1)
    for value in y:
        state, _ = particle_filter.update(state, value)
    assert state.particles["x"].dtype == torch.float32
    # twelve standard errors of a million particles; single precision alone rounds to 1e-7
    assert state.log_evidence == pytest.approx(model.log_evidence(y), abs=0.012)
    assert float(state.particles["x"].double().mean()) == pytest.approx(float(model.filtered(y)[0][0]), abs=0.006)


@pytest.mark.parametrize("draws", [0, 7])
def test_thin_records(draws):
    """What is recorded does not change the filter; the evidence increment is the one draw of `log_likelihood`."""
    model = LinearGaussian.four_dimensional()
    y = model.simulate(6, seed=3)
    full = ParticleFilter(model, 40).run(y)
    result = ParticleFilter(model, 40, posterior_draws=draws, predictive_draws=5).run(y)
    assert result.filter_stats.identical(full.filter_stats)
    assert "sample_stats" not in result.groups()
    assert result.log_likelihood["y"].shape == (1, 1, 6)
    np.testing.assert_array_equal(result.log_likelihood["y"][0, 0], full.filter_stats["log_evidence_increment"][0])
    if draws:
        assert result.posterior["x"].shape == (1, 7, 6, 4)
    with pytest.raises(InputError, match="posterior_draws"):
        ParticleFilter(model, 40, posterior_draws=-1)


def test_thin_draws_are_of_the_filtering_distribution():
    model = LinearGaussian.four_dimensional()
    y = model.simulate(3, seed=7)
    result = ParticleFilter(model, 5000, posterior_draws=2000).run(y)
    draws = result.posterior["x"].isel(chain=0, time=-1).values
    mean, covariance = model.filtered(y)
    size = float(result.filter_stats["effective_sample_size"][0, -1])
    assert (np.abs(draws.mean(0) - mean) < 4 * np.sqrt(2 * np.diag(covariance) / min(size, 2000))).all()
