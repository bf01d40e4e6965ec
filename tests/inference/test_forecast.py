"""Forecasts against the normal distribution that Kalman's filter predicts."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from state_space_models import LinearGaussian, RegimeSwitching

from hmm_plating.errors import InputError
from hmm_plating.inference import ParticleFilter, forecast

MODEL = LinearGaussian.four_dimensional()
Y = MODEL.simulate(10, seed=1)


def filtered(model=MODEL, y=Y, particles=4000, *inputs):
    particle_filter = ParticleFilter(model, particles, predictive_draws=0)
    state = particle_filter.init(seed=1)
    for t, value in enumerate(y):
        state, info = particle_filter.update(state, value, *(series[t] for series in inputs))
    return particle_filter, state, info


def test_forecasts_are_kalmans():
    """Means and variances 1 to 6 steps ahead, in 4 standard errors; the filter's own error is of the same size."""
    particle_filter, state, info = filtered()
    found = forecast(particle_filter, state, 6, sites=info.observed_sites)
    assert found.groups() == ["predictions"]
    assert found.predictions["time"].values.tolist() == list(range(10, 16))
    x_mean, x_covariance, y_mean, y_covariance = MODEL.forecast(Y, 6)
    for name, mean, covariance in (("x", x_mean, x_covariance), ("y", y_mean, y_covariance)):
        draws = found.predictions[name].values[0]
        variance = np.einsum("tii->ti", covariance)
        assert draws.shape == (4000, *mean.shape)
        assert (np.abs(draws.mean(0) - mean) < 4 * np.sqrt(2 * variance / 4000)).all()
        assert (np.abs(draws.var(0) / variance - 1) < 4 * np.sqrt(2 * 2 / 4000)).all()
    # a draw is one trajectory: x at 1 and 2 steps ahead are correlated through the transition
    draws = found.predictions["x"].values[0]
    cross = (draws[:, 0] - draws[:, 0].mean(0)).T @ (draws[:, 1] - draws[:, 1].mean(0)) / 4000
    np.testing.assert_allclose(cross, x_covariance[0] @ MODEL.transition.numpy().T, atol=4 * x_covariance.max() / 60)


class Driven:
    """The input moves a level; observed through a report of its own, with a mapping as observation."""

    dims = {"levels": ("side",)}  # noqa: RUF012
    coords = {"side": ["left", "right"]}  # noqa: RUF012

    def init(self, state):
        state["level"] = pyro.sample("level", dist.Normal(torch.zeros(()), 0.01))

    def step(self, state, y, push):
        state["level"] = pyro.sample("level", dist.Normal(state["level"] + push, 0.01))
        for name in ("a", "b"):
            pyro.sample(name, dist.Normal(state["level"], 0.01), obs=y[name])

    def report(self, state):
        return {"levels": torch.stack([state["level"], -state["level"]], -1)}


def test_future_inputs_drive_the_forecast():
    y, push = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1.0, 2.0])}, torch.tensor([1.0, 1.0])
    particle_filter = ParticleFilter(Driven(), 50)
    state = particle_filter.init()
    for t in range(2):
        state, info = particle_filter.update(state, {name: series[t] for name, series in y.items()}, push[t])
    future = torch.tensor([-5.0, 3.0, 0.5])
    found = forecast(
        particle_filter,
        state,
        3,
        future,
        sites=info.observed_sites,
        observation={"a": None, "b": None},
        draws=20,
        time=[7.0, 8.0, 9.0],
    ).predictions
    assert set(found.data_vars) == {"a", "b", "levels"}
    assert found.sizes == {"chain": 1, "draw": 20, "time": 3, "side": 2}
    np.testing.assert_allclose(found["a"].mean(["chain", "draw"]), [-3.0, 0.0, 0.5], atol=0.05)
    np.testing.assert_allclose(found["levels"].sel(side="right").mean(["chain", "draw"]), [3.0, 0.0, -0.5], atol=0.05)
    assert found["time"].values.tolist() == [7, 8, 9]
    with pytest.raises(InputError, match="3 steps need inputs as long; series 0 has 2 entries"):
        forecast(particle_filter, state, 3, future[:2], sites=("a",))


def test_the_state_is_left_as_it_was_and_the_seed_decides():
    particle_filter, state, info = filtered(particles=30)
    before = {name: value.clone() for name, value in state.particles.items()}
    first, second, other = (
        forecast(particle_filter, state, 4, sites=info.observed_sites, seed=seed).predictions for seed in (1, 1, 2)
    )
    assert first.identical(second)
    assert not first.identical(other)
    assert all(torch.equal(before[name], value) for name, value in state.particles.items())


def test_what_cannot_be_forecast():
    particle_filter, state, info = filtered(particles=10)
    with pytest.raises(InputError, match="the model drew no site 'z', only x, y"):
        forecast(particle_filter, state, 2, sites=("z",))
    for options, message in (({"steps": 0}, "steps must be"), ({"steps": 1, "draws": 0}, "draws must be")):
        with pytest.raises(InputError, match=message):
            forecast(particle_filter, state, sites=("y",), **options)
    with pytest.raises(InputError, match="site 'y' was observed"):
        forecast(particle_filter, state, 2, sites=info.observed_sites, observation=Y[0])
    marginal, state, info = filtered(RegimeSwitching(True), torch.zeros(2, 2, dtype=torch.float64), 10)
    with pytest.raises(InputError, match="the model cannot do without an observation"):
        forecast(marginal, state, 2, sites=info.observed_sites)
