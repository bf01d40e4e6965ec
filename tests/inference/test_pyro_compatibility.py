"""Models written for `pyro.infer.SMCFilter` run unchanged, guides included.

Patterned on the models of Pyro's example `smcfilter.py` and its tests: numbered sites, plates inside, a Delta start.
"""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SMCFilter
from state_space_models import LinearGaussian

from hmm_plating.inference import LaplaceProposal, ParticleFilter, Tempering


class Harmonic:
    """A noisy oscillator, z_t ~ N(A z_{t−1}, B), y_t ~ N(z_t[0], 1), from a known start."""

    rotation = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    scale = torch.tensor([0.6, 0.6])

    def init(self, state):
        self.t = 0
        state["z"] = pyro.sample("z_init", dist.Delta(torch.tensor([1.0, 0.0]), event_dim=1))

    def step(self, state, y=None):
        self.t += 1
        state["z"] = pyro.sample(f"z_{self.t}", dist.Normal(state["z"].matmul(self.rotation), self.scale).to_event(1))
        y = pyro.sample(f"y_{self.t}", dist.Normal(state["z"][..., 0], 1.0), obs=y)
        state[f"z_{self.t}"] = state["z"]  # a state that grows
        return state["z"], y


class HarmonicGuide:
    def init(self, state):
        self.t = 0
        pyro.sample("z_init", dist.Delta(torch.tensor([1.0, 0.0]), event_dim=1))

    def step(self, state, y=None):
        self.t += 1
        loc = state["z"].matmul(Harmonic.rotation)
        pyro.sample(f"z_{self.t}", dist.Normal(loc, torch.tensor([0.9, 0.9])).to_event(1))


Y = torch.tensor([0.5, -1.2, -0.3, 1.0, 0.2, -0.9])


def exact_harmonic() -> LinearGaussian:
    """The same with a start of variance 1e-12, for the joint normal."""
    eye = torch.eye(2, dtype=torch.float64)
    return LinearGaussian(
        torch.tensor([1.0, 0.0]).double(),
        1e-12 * eye,
        Harmonic.rotation.double().T,
        0.36 * eye,
        eye[:1],
        torch.eye(1, dtype=torch.float64),
    )


@pytest.mark.parametrize("guide", [None, HarmonicGuide()])
def test_harmonic_oscillator(guide):
    exact, y = exact_harmonic(), Y.double()[:, None]
    ratios, means = [], []
    for seed in range(25):
        result = ParticleFilter(Harmonic(), 200, guide=guide, predictive_draws=0).run(Y, seed=seed)
        ratios.append(math.exp(result.attrs["log_evidence"] - exact.log_evidence(y)))
        means.append(result.posterior["z"].isel(chain=0, time=-1).mean("draw").values)
    assert abs(np.mean(ratios) - 1) < 3.5 * np.std(ratios, ddof=1) / math.sqrt(25)
    error = np.abs(np.mean(means, 0) - exact.filtered(y)[0])
    assert (error < 4 * np.std(means, 0, ddof=1) / math.sqrt(25) + 0.005).all()


@pytest.mark.parametrize(
    "options", [{"guide": LaplaceProposal()}, {"auxiliary": True}, {"tempering": Tempering(0.9)}], ids=str
)
def test_a_model_that_counts_its_steps_is_run_more_than_once(options):
    """Sites are numbered by an attribute, which must advance once per observation."""
    exact, y = exact_harmonic(), Y.double()[:, None]
    model, values = Harmonic(), []
    for seed in range(10):
        particle_filter = ParticleFilter(model, 300, predictive_draws=0, **options)
        values.append(particle_filter.run(Y, seed=seed).attrs["log_evidence"] - exact.log_evidence(y))
        assert model.t == len(Y)
    ratios = np.exp(values)
    assert abs(ratios.mean() - 1) < 4 * ratios.std(ddof=1) / math.sqrt(10) + 3 / 300


def test_what_is_exported_of_a_numbered_model():
    result = ParticleFilter(Harmonic(), 30, predictive_draws=9).run(Y)
    assert result.posterior_predictive["y"].shape == (1, 9, 6)
    assert set(result.log_likelihood.data_vars) == {"y"}
    np.testing.assert_array_equal(result.observed_data["y"], Y)
    growing = result.posterior["z_3"].isel(chain=0, draw=0, z_3_dim_0=0)
    assert np.isnan(growing).values.tolist() == [True, True, False, False, False, False]


def test_guided_predictive_draws_are_of_the_model():
    """The proposal is 1.5 times as wide as the model; what is predicted must not be."""
    exact, y = exact_harmonic(), Y.double()[:, None]
    mean, covariance = exact.filtered(y[:2])
    a, h = exact.transition.numpy(), exact.matrix.numpy()
    expected_mean = float((h @ a @ mean)[0])
    expected_variance = float((h @ (a @ covariance @ a.T + exact.process.numpy()) @ h.T + 1)[0, 0])
    particle_filter = ParticleFilter(Harmonic(), 20_000, guide=HarmonicGuide(), predictive_draws=20_000)
    draws = particle_filter.run(Y[:3], seed=1).posterior_predictive["y"].values[0, :, 2]
    assert draws.mean() == pytest.approx(expected_mean, abs=5 * math.sqrt(expected_variance / 5000))
    assert draws.var() == pytest.approx(expected_variance, rel=5 * math.sqrt(2 / 5000))


class Plated:
    """Two observed sites, one plate inside the particles' plate, optional arguments."""

    def __init__(self, state_size, plate_size):
        self.state_size, self.plate_size = state_size, plate_size

    def init(self, state):
        self.t = 0
        state["x_mean"] = pyro.sample("x_mean", dist.Normal(0.0, 1.0))
        zero, eye = torch.zeros(self.state_size), torch.eye(self.state_size)
        state["y_mean"] = pyro.sample("y_mean", dist.MultivariateNormal(zero, eye))

    def step(self, state, x=None, y=None):
        v = pyro.sample(f"v_{self.t}", dist.Normal(0.0, 1.0))
        with pyro.plate("plate", self.plate_size):
            w = pyro.sample(f"w_{self.t}", dist.Normal(v, 1.0))
            x = pyro.sample(f"x_{self.t}", dist.Normal(state["x_mean"] + w, 1.0), obs=x)
            y = pyro.sample(
                f"y_{self.t}",
                dist.MultivariateNormal(state["y_mean"] + w.unsqueeze(-1), torch.eye(self.state_size)),
                obs=y,
            )
        self.t += 1
        return x, y


@pytest.mark.parametrize("max_plate_nesting", [1, 2])
@pytest.mark.parametrize(("state_size", "plate_size"), [(2, 3), (1, 7), (5, 1)])
def test_plates_inside(max_plate_nesting, state_size, plate_size):
    x, y = torch.zeros(4, plate_size), torch.ones(4, plate_size, state_size)
    particle_filter = ParticleFilter(Plated(state_size, plate_size), 50, max_plate_nesting=max_plate_nesting)
    result = particle_filter.run(x, y)
    assert set(result.posterior_predictive.data_vars) == {"x", "y"}
    assert set(result.log_likelihood.data_vars) == {"observation"}
    assert result.observed_data["y"].shape[0] == 4
    assert result.observed_data["y"].size == y.numel()
    assert math.isfinite(result.attrs["log_evidence"])


def test_evidence_of_a_plated_model_is_the_sum_over_the_plate():
    """With one step everything is jointly normal: x_mean, v shared, w per member; y_mean per component."""
    count, size = 3, 2
    same = torch.ones(count, count, dtype=torch.float64)
    eye = torch.eye(count, dtype=torch.float64)
    shared = same + eye  # covariance of w over the plate
    xx = same + shared + eye
    yy = torch.kron(shared, torch.ones(size, size)) + torch.kron(same, torch.eye(size)) + torch.eye(count * size)
    xy = torch.kron(shared, torch.ones(1, size))
    covariance = torch.cat([torch.cat([xx, xy], 1), torch.cat([xy.T, yy], 1)])
    x, y = torch.tensor([0.3, -0.2, 1.0]), torch.tensor([[0.5, 0.1], [-0.3, 0.2], [1.1, 0.9]])
    value = torch.cat([x, y.reshape(-1)]).double()
    exact = torch.distributions.MultivariateNormal(torch.zeros(9).double(), covariance.double()).log_prob(value)
    particle_filter = ParticleFilter(Plated(size, count), 100_000, max_plate_nesting=1, predictive_draws=0)
    estimate = particle_filter.run(x[None], y[None], seed=2)
    size = float(estimate.filter_stats["effective_sample_size"][0, 0])
    assert estimate.attrs["log_evidence"] == pytest.approx(float(exact), abs=4 / math.sqrt(size))


def test_agrees_with_the_gaussian_hmm_of_pyro():
    """`pyro.distributions.GaussianHMM` is exact by another algorithm (parallel scan)."""
    model = LinearGaussian.four_dimensional()
    y = model.simulate(6, seed=8)
    zero, start = torch.zeros(4).double(), dist.MultivariateNormal(model.mean, model.covariance)
    hmm = dist.GaussianHMM(
        start,
        model.transition.T,
        dist.MultivariateNormal(zero, model.process),
        model.matrix.T,
        dist.MultivariateNormal(zero[:3], model.noise),
        duration=6,
    )
    exact = float(hmm.log_prob(y))
    ratios = [
        math.exp(ParticleFilter(model, 500, predictive_draws=0).run(y, seed=s).attrs["log_evidence"] - exact)
        for s in range(20)
    ]
    assert abs(np.mean(ratios) - 1) < 3.5 * np.std(ratios, ddof=1) / math.sqrt(20)


def test_agrees_with_smcfilter_itself():
    """Filtered mean of pyro's own filter on the same model, each within its Monte Carlo error."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reference = SMCFilter(Harmonic(), HarmonicGuide(), num_particles=20_000, max_plate_nesting=0)
        reference.init()
        for value in Y:
            reference.step(value)
        expected = reference.get_empirical()["z"]
    draws = ParticleFilter(Harmonic(), 20_000, guide=HarmonicGuide(), predictive_draws=0).run(Y).posterior["z"]
    error = 8 * expected.variance.sqrt().numpy() / math.sqrt(20_000)
    assert (np.abs(draws.isel(chain=0, time=-1).mean("draw").values - expected.mean.numpy()) < error).all()
