"""Fixed-lag smoothing and backward sampling against conditioning of the joint normal (which RTS computes in passes)."""

from itertools import pairwise, product

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from state_space_models import LinearGaussian, RegimeSwitching

from hmm_plating.errors import InputError
from hmm_plating.inference import (
    LagWindow,
    ParticleFilter,
    backward_sampling,
    fixed_lag_smoothing,
    transition_log_density,
)

MODELS = {"scalar": LinearGaussian.scalar(0.9, 0.5, 1.0, 0.0, 1.0), "4-D": LinearGaussian.four_dimensional()}


def standardised_errors(model, y, smooth, repetitions):
    """Of the mean and of the variance of every state, in Monte Carlo standard errors of their repeated runs."""
    mean, covariance = model.smoothed(y)
    deviation = np.sqrt(np.einsum("tii->ti", covariance))
    draws = [smooth(seed).posterior["x"].values[0] for seed in range(repetitions)]
    errors = []
    for found in (
        np.array([(x.mean(0) - mean) / deviation for x in draws]),
        np.array([x.var(0, ddof=1) / deviation**2 - 1 for x in draws]),
    ):
        # pooled over time: a spread from so few repetitions is itself uncertain
        standard_error = np.sqrt(found.var(0, ddof=1).mean(0) / repetitions)
        errors.append(np.abs(found.mean(0) / standard_error).max())
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("smooth", ["fixed lag", "backward"])
def test_smoothed_moments(name, smooth):
    model = MODELS[name]
    y = model.simulate(20, seed=2)

    def run(seed):
        if smooth == "fixed lag":  # 0.9^(2 · 16) of a state's variance is left after 16 steps, less where observed
            return fixed_lag_smoothing(ParticleFilter(model, 4000, predictive_draws=0), y, lag=16, seed=seed)
        return backward_sampling(ParticleFilter(model, 600, predictive_draws=0), y, trajectories=60, seed=seed)

    mean_error, variance_error = standardised_errors(model, y, run, 16)
    assert mean_error < 4
    assert variance_error < 4


def test_smoothing_of_a_few_steps():
    """The first state, which filtering alone leaves far off: 4 standard errors of 300 trajectories."""
    model = MODELS["scalar"]
    y = model.simulate(6, seed=3)
    mean, covariance = model.smoothed(y)
    deviation = np.sqrt(covariance[:, 0, 0])
    result = backward_sampling(ParticleFilter(model, 600, predictive_draws=0), y, trajectories=300)
    draws = result.posterior["x"].values[0, :, :, 0]
    assert draws.shape == (300, 6)
    assert (np.abs(draws.mean(0) - mean[:, 0]) < 4 * deviation / np.sqrt(300) * np.sqrt(1.5)).all()
    # neighbours of one trajectory are correlated as the joint posterior says
    joint = model.conditional(y)[1][1:, 1:]
    expected = joint[0, 1] / np.sqrt(joint[0, 0] * joint[1, 1])
    assert np.corrcoef(draws[:, 0], draws[:, 1])[0, 1] == pytest.approx(
        expected, abs=4 * (1 - expected**2) / np.sqrt(300)
    )


def test_no_lag_is_filtering_and_a_long_one_traces_to_the_start():
    model = MODELS["4-D"]
    y = model.simulate(8, seed=1)
    particle_filter = ParticleFilter(model, 50, ess_threshold=1.0)
    filtered = particle_filter.run(y, seed=3)
    np.testing.assert_array_equal(
        fixed_lag_smoothing(particle_filter, y, lag=0, seed=3).posterior["x"], filtered.posterior["x"]
    )
    long = fixed_lag_smoothing(particle_filter, y, lag=50, seed=3).posterior["x"]
    index = np.arange(50)
    for t in range(7, -1, -1):
        np.testing.assert_array_equal(long[0, :, t], filtered.posterior["x"][0, :, t].values[index])
        index = filtered.sample_stats["ancestor"].values[0, :, t][index]
    again = fixed_lag_smoothing(particle_filter, y, lag=50, seed=3, time=np.arange(8) * 2.0).posterior
    assert again["time"].values.tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    np.testing.assert_array_equal(again["x"], long)


def test_a_window_online_holds_what_the_whole_run_gives():
    model = MODELS["scalar"]
    y = model.simulate(7, seed=1)
    particle_filter = ParticleFilter(model, 30, ess_threshold=1.0)
    state, window = particle_filter.init(seed=2), LagWindow()
    for value in y:
        state, info = particle_filter.update(state, value)
        window = window.extend(state.particles, info, lag=3)
        assert len(window.states) <= 4
    whole = fixed_lag_smoothing(particle_filter, y, lag=3, seed=2).posterior["x"]
    for age in range(4):
        np.testing.assert_array_equal(window.smoothed(age)["x"], whole[0, :, 6 - age])


class Regimes(RegimeSwitching):
    """With its hidden chain and its hidden level as the state."""

    def __init__(self):
        super().__init__(marginalise=False)


def test_transition_density_is_that_of_the_model():
    """p(x' , y | x) of every pair, computed directly; a discrete and a vector entry."""
    model, generator = Regimes(), torch.Generator().manual_seed(0)
    y = torch.tensor([0.4, -0.2], dtype=torch.float64)

    def state(count):
        return {
            "s": torch.randint(2, (count,), generator=generator),
            "x": torch.randn(count, 2, dtype=torch.float64, generator=generator),
        }

    old, new = state(5), state(3)
    found = transition_log_density(ParticleFilter(model, 5), old, new, (y,))
    assert found.shape == (3, 5)
    for i in range(3):
        for j in range(5):
            chain = model.stay if old["s"][j] == new["s"][i] else 1 - model.stay
            move = dist.MultivariateNormal(model.transition @ old["x"][j], model.process[new["s"][i]])
            see = dist.MultivariateNormal(model.matrix @ new["x"][i] + model.offset, model.noise)
            expected = np.log(chain) + float(move.log_prob(new["x"][i]) + see.log_prob(y))
            assert float(found[i, j]) == pytest.approx(expected, rel=1e-7)  # the chain's probabilities are float32


def test_trajectories_of_a_switching_model():
    """P(s_1 = 1 | y_1 … y_6) by enumeration of all chains, in the binomial error of 400 trajectories."""
    model = Regimes()
    y = torch.tensor([[0.1, 0.2], [0.3, -0.1], [4.0, 3.0], [5.5, 1.0], [1.0, 0.0], [0.5, 0.3]], dtype=torch.float64)
    result = backward_sampling(ParticleFilter(model, 800, predictive_draws=0), y, trajectories=400)
    chain = result.posterior["s"].values[0]
    assert chain.dtype.kind == "i"
    weights = {}
    for path in product((0, 1), repeat=7):
        mean, covariance = model._joint(path)
        values = y.numpy().ravel() - mean[-12:]
        log_prior = sum(np.log(model.stay if a == b else 1 - model.stay) for a, b in pairwise(path))
        log_density = dist.MultivariateNormal(torch.zeros(12).double(), torch.as_tensor(covariance[-12:, -12:]))
        weights[path] = log_prior + float(log_density.log_prob(torch.as_tensor(values)))
    total = np.logaddexp.reduce(list(weights.values()))
    for t in range(6):
        expected = sum(np.exp(w - total) for path, w in weights.items() if path[t + 1] == 1)
        error = np.sqrt(expected * (1 - expected) / 400) + 0.002
        assert abs(chain[:, t].mean() - expected) < 4 * error, t


class Counted:
    def init(self, state):
        self.t = 0
        state["x"] = pyro.sample("x_0", dist.Normal(torch.zeros(()), 1.0))
        state["steps"] = torch.zeros(len(state["x"]), dtype=torch.long)

    def step(self, state, y):
        self.t += 1
        state["x"] = pyro.sample(f"x_{self.t}", dist.Normal(0.5 * state["x"] + self.t, 1.0))
        state["steps"] = state["steps"] + 1
        pyro.sample(f"y_{self.t}", dist.Normal(state["x"], 0.3), obs=y)


def test_counters_are_no_obstacle():
    y = torch.tensor([1.0, 2.6, 4.4, 6.0])
    result = backward_sampling(ParticleFilter(Counted(), 300, predictive_draws=0), y, trajectories=50)
    assert (result.posterior["steps"].values[0] == [1, 2, 3, 4]).all()
    np.testing.assert_allclose(result.posterior["x"].mean(["chain", "draw"]), y, atol=0.4)


def without_density(kind):
    class Model:
        def init(self, state):
            state["x"] = pyro.sample("x", dist.Normal(torch.zeros(()), 1.0))
            state["before"] = torch.zeros(len(state["x"]))

        def step(self, state, y):
            if kind == "noise":
                state["x"] = 0.9 * state["x"] + pyro.sample("innovation", dist.Normal(torch.zeros(()), 1.0))
            elif kind == "lagged":
                state["before"] = state["x"]
                state["x"] = pyro.sample("x", dist.Normal(0.9 * state["x"], 1.0))
            else:
                state["x"] = 0.9 * state["x"]
            pyro.sample("y", dist.Normal(state["x"], 1.0), obs=y)

    return Model()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("noise", "what site 'innovation' draws is not kept in the state"),
        ("lagged", r"state\['before'\] is computed from the old state"),
        ("nothing", "the model draws nothing"),
    ],
)
def test_a_step_without_density_is_refused_and_fixed_lag_works(kind, message):
    particle_filter, y = ParticleFilter(without_density(kind), 20, predictive_draws=0), torch.zeros(4)
    with pytest.raises(InputError, match=message) as refusal:
        backward_sampling(particle_filter, y)
    assert "fixed_lag_smoothing" in str(refusal.value)
    assert fixed_lag_smoothing(particle_filter, y, lag=2).posterior["x"].shape == (1, 20, 4)


def test_the_same_seed_gives_the_same_trajectories():
    model = MODELS["scalar"]
    y = model.simulate(5, seed=1)
    particle_filter = ParticleFilter(model, 50, predictive_draws=0)
    first, second, other = (
        backward_sampling(particle_filter, y, trajectories=20, seed=seed).posterior["x"] for seed in (1, 1, 2)
    )
    assert first.identical(second)
    assert not first.identical(other)


def test_wrong_arguments():
    particle_filter, y = ParticleFilter(MODELS["scalar"], 5), torch.zeros(3, 1, dtype=torch.float64)
    with pytest.raises(InputError, match="lag must be an integer ≥ 0, got -1"):
        fixed_lag_smoothing(particle_filter, y, lag=-1)
    with pytest.raises(InputError, match="trajectories must be an integer ≥ 1"):
        backward_sampling(particle_filter, y, trajectories=0)
    with pytest.raises(InputError, match="same length"):
        backward_sampling(particle_filter, y, torch.zeros(2))
