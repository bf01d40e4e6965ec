"""The declared linear part against enumeration of a switching model, marginalised and sampled."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from state_space_models import RegimeSwitching

from hmm_plating.inference import LinearPart, ParticleFilter, observe_linear, start_linear

Y = torch.tensor([[0.2, -0.5], [1.4, math.nan], [0.2, 0.1], [2.5, 1.0]], dtype=torch.float64)


class Declared(RegimeSwitching):
    """The same model with its linear part declared."""

    def init(self, state):
        state["s"] = pyro.sample("s", dist.Bernoulli(torch.tensor(0.5, dtype=torch.float64))).long()
        start_linear(state, "x", self.mean, self.covariance, len(state["s"]), self.marginalise)

    def step(self, state, y=None):
        one = torch.where(state["s"] == 1, self.stay, 1 - self.stay).double()
        state["s"] = pyro.sample("s", dist.Bernoulli(one)).long()
        part = LinearPart(
            self.transition, self.process[state["s"]], self.matrix, self.noise, observation_offset=self.offset
        )
        return observe_linear(state, "x", "y", y, part, self.marginalise)


def log_evidences(marginalise, y, runs, particles):
    return np.array(
        [
            ParticleFilter(Declared(marginalise), particles, predictive_draws=0).run(y, seed=seed).attrs["log_evidence"]
            for seed in range(runs)
        ]
    )


def test_marginalised_evidence_is_that_of_enumeration():
    """2^5 chains; every particle of a chain has the same weight, so that many particles cover all chains."""
    y = Y.nan_to_num(0.3)
    exact, mean, probability = RegimeSwitching(True).exact(y)
    ratios = np.exp(log_evidences(True, y, 40, 80) - exact)
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(40)
    posterior = ParticleFilter(Declared(True), 4000).run(y, seed=1).posterior.isel(chain=0, time=-1)
    spread = float(posterior["x_mean"].std("draw").max())
    np.testing.assert_allclose(posterior["x_mean"].mean("draw"), mean, atol=8 * spread / 63)
    assert float(posterior["s"].mean("draw")) == pytest.approx(probability, abs=8 * 0.5 / 63)


@pytest.mark.slow
def test_sampled_and_marginalised_agree_and_differ_in_variance():
    """With a missing channel; ten times lower variance of the log evidence at equal N."""
    marginal, sampled = (log_evidences(flag, Y, 40, 100) for flag in (True, False))
    ratios = np.exp(sampled - np.log(np.mean(np.exp(marginal))))
    error = math.hypot(np.std(ratios, ddof=1), np.std(np.exp(marginal - marginal.mean()), ddof=1)) / math.sqrt(40)
    assert abs(ratios.mean() - 1) < 3.5 * error
    assert marginal.var() < 0.1 * sampled.var()


@pytest.mark.parametrize("marginalise", [True, False])
def test_an_observation_can_be_drawn(marginalise):
    """Mean and covariance of y_1 under the prior, by enumeration of the first two states."""
    model, state = Declared(marginalise), {}
    with torch.random.fork_rng(), pyro.plate("particles", 20_000, dim=-1):
        torch.manual_seed(0)
        model.init(state)
        y = model.step(state)
    loc = model.matrix @ (model.transition @ model.mean) + model.offset
    spread = model.transition @ model.covariance @ model.transition.T + model.process.mean(0)
    expected = model.matrix @ spread @ model.matrix.T + model.noise
    error = expected.diagonal().sqrt() / math.sqrt(20_000)
    assert ((y.mean(0) - loc).abs() < 4.5 * error).all()
    # fourth moments of the mixture are at most twice those of a normal
    assert (
        (y.T.cov() - expected).abs() < 4.5 * 2 * math.sqrt(2) * torch.outer(error, expected.diagonal().sqrt())
    ).all()


def test_a_singular_process_is_sampled():
    """x constant: the sampled state does not move."""
    state = {}
    eye = torch.eye(2, dtype=torch.float64)
    with pyro.plate("particles", 5, dim=-1):
        start_linear(state, "x", torch.zeros(2).double(), eye, 5, marginalise=False)
        before = state["x"].clone()
        observe_linear(state, "x", "y", None, LinearPart(eye, 0 * eye, eye, eye), marginalise=False)
    torch.testing.assert_close(state["x"], before)
    assert len(before.unique()) == 10
