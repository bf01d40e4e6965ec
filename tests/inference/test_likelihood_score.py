"""Gradients of the filter's log evidence against the exact score, by differences of dense joint densities."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from state_space_models import LinearGaussian

from hmm_plating.errors import InputError
from hmm_plating.inference import OptimalTransport, ParticleFilter, Soft, Tempering, log_evidence

Y = torch.tensor([0.4, -1.1, 0.6, 1.9], dtype=torch.float64)
THETA = (0.9, math.log(0.7), math.log(0.5))


class Scalar:
    """x_t = a x_{t−1} + N(0, q²), y_t = x_t + N(0, r²), θ = (a, ln q, ln r)."""

    def __init__(self, theta):
        self.theta = theta

    def init(self, state):
        state["x"] = pyro.sample("x", dist.Normal(torch.tensor(0.0).double(), 1.0))

    def step(self, state, y):
        a, q, r = self.theta
        state["x"] = pyro.sample("x", dist.Normal(a * state["x"], q.exp()))
        pyro.sample("y", dist.Normal(state["x"], r.exp()), obs=y)


def exact(theta) -> float:
    a, q, r = theta
    model = LinearGaussian.scalar(a, math.exp(2 * q), math.exp(2 * r), 0.0, 1.0)
    return float(model.log_evidence(Y[:, None]))


def exact_score():
    step = 1e-5 * np.eye(3)
    return np.array([(exact(np.array(THETA) + d) - exact(np.array(THETA) - d)) / 2e-5 for d in step])


def estimates(runs, particles, threshold=1.0, **options):
    """log Ẑ and ∇ log Ẑ of independent runs."""
    values, gradients = [], []
    for seed in range(runs):
        theta = torch.tensor(THETA, dtype=torch.float64, requires_grad=True)
        filter_ = ParticleFilter(Scalar(theta), particles, ess_threshold=threshold)
        value = log_evidence(filter_, Y, seed=seed, **options)
        values.append(float(value.detach()))
        gradients.append(torch.autograd.grad(value, theta)[0].numpy())
    return np.array(values), np.array(gradients)


def test_stop_gradient_has_kalmans_score():
    """E[Ẑ ∇ log Ẑ] = ∇Z for every N, here 40: within 3.5 standard errors of 250 runs."""
    values, gradients = estimates(250, 40)
    ratios = np.exp(values - exact(THETA))
    weighted = ratios[:, None] * gradients
    error = weighted.std(0, ddof=1) / math.sqrt(250)
    assert (np.abs(weighted.mean(0) - exact_score()) < 3.5 * error).all()
    assert (error < 0.25 * np.abs(exact_score()).max()).all()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"resampling": OptimalTransport(0.1)}])
def test_score_converges(options):
    """Consistent, not unbiased: the mean of 20 runs with N = 200 within 4 standard errors plus 3 % of the largest."""
    _, gradients = estimates(20, 200, **options)
    bound = 4 * gradients.std(0, ddof=1) / math.sqrt(20) + 0.03 * np.abs(exact_score()).max()
    assert (np.abs(gradients.mean(0) - exact_score()) < bound).all()


@pytest.mark.slow
def test_soft_resampling_is_unbiased_in_value():
    values, gradients = estimates(150, 40, resampling=Soft(0.5))
    ratios = np.exp(values - exact(THETA))
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(150)
    assert np.isfinite(gradients).all()


class Switch:
    """Two states, P(stay) = p, y_t ~ N(s_t, 1): draws that cannot be reparametrised."""

    def __init__(self, stay):
        self.stay = stay

    def init(self, state):
        state["s"] = pyro.sample("s", dist.Bernoulli(torch.tensor(0.5).double()))

    def step(self, state, y):
        state["s"] = pyro.sample("s", dist.Bernoulli(torch.where(state["s"] == 1, self.stay, 1 - self.stay)))
        pyro.sample("y", dist.Normal(state["s"], 1.0), obs=y)


def test_score_of_discrete_draws():
    """The forward algorithm, differentiated."""
    stay = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    matrix = torch.stack([torch.stack([stay, 1 - stay]), torch.stack([1 - stay, stay])])
    forward = torch.tensor([0.5, 0.5], dtype=torch.float64)
    for y in Y:
        forward = (
            (forward @ matrix) * torch.exp(-0.5 * (y - torch.tensor([0.0, 1.0])).square()) / math.sqrt(2 * math.pi)
        )
    evidence = forward.sum()
    expected = float(torch.autograd.grad(evidence.log(), stay)[0])
    weighted = []
    for seed in range(250):
        value = log_evidence(ParticleFilter(Switch(stay), 40, ess_threshold=1.0), Y, seed=seed)
        gradient = float(torch.autograd.grad(value, stay)[0])
        weighted.append(math.exp(float(value.detach()) - math.log(float(evidence.detach()))) * gradient)
    assert abs(np.mean(weighted) - expected) < 3.5 * np.std(weighted, ddof=1) / math.sqrt(250)


def test_value_is_that_of_the_filter_and_update_builds_no_graph():
    theta = torch.tensor(THETA, dtype=torch.float64, requires_grad=True)
    filter_ = ParticleFilter(Scalar(theta), 4000)
    state = filter_.init(seed=3)
    for y in Y:
        state, _ = filter_.update(state, y)
    assert not state.particles["x"].requires_grad
    value = log_evidence(filter_, Y, seed=4)
    assert float(value.detach()) == pytest.approx(state.log_evidence, abs=0.1)
    assert float(value.detach()) == float(log_evidence(filter_, Y, seed=4).detach())
    with pytest.raises(InputError, match="tempering"):
        log_evidence(ParticleFilter(Scalar(theta), 10, tempering=Tempering()), Y)
