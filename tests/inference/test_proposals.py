"""Guided, auxiliary and tempered filters against exact evidence, moments and optimal proposals."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from state_space_models import LinearGaussian, RegimeSwitching

from hmm_plating.errors import InputError
from hmm_plating.inference import LaplaceProposal, ParticleFilter, SecantProposal, Tempering

ALGORITHMS = {
    "guided": {"guide": LaplaceProposal(newton_steps=6)},
    "auxiliary": {"auxiliary": True},
    "auxiliary and guided": {"guide": LaplaceProposal(newton_steps=6), "auxiliary": True},
    "tempered": {"tempering": Tempering(0.5, moves=2)},
}


def runs(model, y, exact, count, particles, **options):
    """Ẑ/Z, final means and all effective sample sizes of independent filters."""
    ratios, means, sizes = [], [], []
    for seed in range(count):
        particle_filter = ParticleFilter(model, particles, predictive_draws=0, posterior_draws=0, **options)
        state = particle_filter.init(seed=seed)
        for value in y:
            state, info = particle_filter.update(state, value)
            sizes.append(info.effective_sample_size / particles)
        ratios.append(math.exp(state.log_evidence - exact))
        if "x" in state.particles:
            means.append((state.log_weights.exp()[:, None] * state.particles["x"]).sum(0).numpy())
    return np.array(ratios), np.array(means), np.array(sizes)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_evidence_and_mean_are_those_of_the_joint_normal(algorithm, threshold):
    """Four dimensions, three channels of small noise; tempering's choice of φ biases the evidence by O(1/N)."""
    model = LinearGaussian.four_dimensional()
    model = model._replace(noise=0.3 * model.noise)
    y = model.simulate(3, seed=2)
    y[1, 0] = math.nan
    exact = model.log_evidence(y)
    ratios, means, _ = runs(model, y, exact, 40, 150, ess_threshold=threshold, **ALGORITHMS[algorithm])
    allowance = 3 / 150 if algorithm == "tempered" else 0.0
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(40) + allowance
    error = np.abs(means.mean(0) - model.filtered(y)[0])
    assert (error < 4 * means.std(0, ddof=1) / math.sqrt(40) + 0.01).all()


@pytest.mark.parametrize("guide", [LaplaceProposal(defensive=0.0), SecantProposal(["x"], 0.7, defensive=0.0)])
def test_the_proposal_is_the_optimal_one_of_a_linear_model(guide):
    """Then the weight p(y_t | x_{t−1}) does not depend on the draw (Doucet et al. 2000, proposition 2)."""
    model = LinearGaussian.four_dimensional()
    y = model.simulate(1, seed=5)[0]
    particle_filter = ParticleFilter(model, 60, guide=guide, ess_threshold=0.0)
    start = particle_filter.init(seed=1)
    centre = start.particles["x"] @ model.transition.T @ model.matrix.T
    spread = model.matrix @ model.process @ model.matrix.T + model.noise
    exact = torch.distributions.MultivariateNormal(centre, spread).log_prob(y)
    _, info = particle_filter.update(start, y)
    torch.testing.assert_close(info.log_likelihood, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("guide", [LaplaceProposal(defensive=0.0), SecantProposal(["x"], 0.7, defensive=0.0)])
def test_an_auxiliary_filter_of_a_linear_model_is_fully_adapted(guide):
    """Ancestors in proportion to W p(y_t | x_{t−1}), then equal weights (Pitt and Shephard 1999, section 3.1); here but
    for the share of the choice that does not look ahead."""
    model = LinearGaussian.four_dimensional()
    y = model.simulate(12, seed=5)
    particle_filter = ParticleFilter(model, 400, guide=guide, auxiliary=True, ess_threshold=1.0)
    state, sizes = particle_filter.init(seed=1), []
    for observation in y:
        state, info = particle_filter.update(state, observation)
        sizes.append(info.effective_sample_size / 400)
    assert min(sizes) > 0.85
    exact = model.log_evidence(y)
    assert abs(state.log_evidence - exact) < 0.5


class Poisson:
    """Counts with log intensity from two sites, the second centred on the first: not Gaussian, dependent noise."""

    def init(self, state):
        state["x"] = pyro.sample("x", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))

    def step(self, state, y):
        level = pyro.sample("level", dist.Normal(state["x"][..., 0], 0.7))
        state["x"] = pyro.sample("x", dist.Normal(level, 0.5))[..., None]
        pyro.sample("y", dist.Poisson(torch.exp(2 * state["x"][..., 0])), obs=y)


class Volatility:
    """y ~ N(0, exp(x)): the prediction's location tells nothing, its scale does."""

    def init(self, state):
        state["x"] = pyro.sample("x", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))

    def step(self, state, y):
        state["x"] = pyro.sample("x", dist.Normal(0.9 * state["x"], 2.0).to_event(1))
        pyro.sample("y", dist.Normal(0.0, torch.exp(state["x"][..., 0] / 2)), obs=y)


def quadrature(model, y, scale, density):
    """log evidence of the two models above on a grid of x."""
    grid = torch.linspace(-14, 14, 4001, dtype=torch.float64)
    cell = float(grid[1] - grid[0])
    retained = 0.9 if isinstance(model, Volatility) else 1.0
    belief, total = torch.exp(-0.5 * grid**2) / math.sqrt(2 * math.pi), 0.0
    kernel = dist.Normal(retained * grid[:, None], scale).log_prob(grid).exp()
    for value in y:
        belief = (belief @ kernel) * cell * density(grid).log_prob(value).exp()
        total += math.log(float(belief.sum() * cell))
        belief = belief / (belief.sum() * cell)
    return total


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("model", "y", "scale", "density"),
    [
        (Poisson(), [40.0, 3.0, 0.0], math.hypot(0.7, 0.5), lambda x: dist.Poisson(torch.exp(2 * x))),
        (Volatility(), [0.05, 6.0, -0.4], 2.0, lambda x: dist.Normal(0.0, torch.exp(x / 2))),
    ],
)
def test_nonlinear_models_against_quadrature(algorithm, model, y, scale, density):
    y = torch.tensor(y, dtype=torch.float64)
    exact = quadrature(model, y, scale, density)
    ratios, _, _ = runs(model, y, exact, 40, 150, **ALGORITHMS[algorithm])
    allowance = 3 / 150 if algorithm == "tempered" else 0.0
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(40) + allowance


def test_guided_particles_are_worth_more():
    y = torch.tensor([40.0, 3.0, 0.0, 90.0], dtype=torch.float64)
    sizes = {guide: runs(Poisson(), y, 0.0, 5, 200, guide=guide)[2].mean() for guide in (None, LaplaceProposal(6))}
    assert sizes[LaplaceProposal(6)] > 3 * sizes[None]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_discrete_sites_are_drawn_from_the_model(algorithm):
    """Regime switching, T = 3, enumerated."""
    y = torch.tensor([[0.2, -0.5], [1.4, 0.3], [2.5, 1.0]], dtype=torch.float64)
    model = RegimeSwitching(False)
    exact, _, _ = model.exact(y)
    ratios, _, _ = runs(model, y, exact, 40, 200, **ALGORITHMS[algorithm])
    allowance = 3 / 200 if algorithm == "tempered" else 0.0
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(40) + allowance


def test_tempering_survives_an_observation_that_leaves_one_particle():
    """y is 8 standard deviations off, its noise 1e-3: one part leaves few particles, many parts give the posterior."""
    model = LinearGaussian.scalar(1.0, 1.0, 1e-6, 0.0, 1e-6)
    y = torch.tensor([[8.0]], dtype=torch.float64)
    plain = ParticleFilter(model, 400)
    _, info = plain.update(plain.init(), y[0])
    assert info.effective_sample_size < 5
    tempered = ParticleFilter(model, 400, tempering=Tempering(moves=10))
    _, info = tempered.update(tempered.init(), y[0])
    assert info.stages > 5
    assert info.effective_sample_size > 200
    assert float(info.posterior["x"].mean()) == pytest.approx(8.0, abs=1e-3)
    assert float(info.posterior["x"].std()) == pytest.approx(1e-3, rel=0.3)
    assert info.log_evidence_increment == pytest.approx(float(model.log_evidence(y)), abs=2.5)


def test_particles_whose_gradient_is_lost_are_drawn_from_the_model():
    class Broken(LinearGaussian):
        def step(self, state, y):
            state["x"] = state["x"].clone()
            state["x"][:5] = math.nan
            super().step(state, y)

    model = Broken(*LinearGaussian.four_dimensional())
    particle_filter = ParticleFilter(model, 40, guide=LaplaceProposal())
    state, info = particle_filter.update(particle_filter.init(), model.simulate(1, seed=0)[0])
    assert info.invalid_particles == 5
    assert bool(torch.isfinite(state.particles["x"][state.log_weights > -math.inf]).all())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_same_seed_same_result(algorithm):
    model = LinearGaussian.four_dimensional()
    y = model.simulate(3, seed=1)
    first, again = (ParticleFilter(model, 30, **ALGORITHMS[algorithm]).run(y, seed=4) for _ in range(2))
    for group in first.groups():
        assert first[group].identical(again[group])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_run_is_the_uninterrupted_one(algorithm, tmp_path):
    model = LinearGaussian.four_dimensional()
    y = model.simulate(5, seed=1)
    particle_filter = ParticleFilter(model, 30, **ALGORITHMS[algorithm])
    whole = particle_filter.run(y, seed=4)
    particle_filter.run(y[:3], seed=4, checkpoint=tmp_path / "run")
    resumed = particle_filter.run(y, seed=4, checkpoint=tmp_path / "run", resume=True)
    for group in whole.groups():
        assert resumed[group].identical(whole[group])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_ancestors_lead_to_the_state_before(algorithm):
    """A label that the step copies tells from which particle each descends."""

    class Labelled(LinearGaussian):
        def init(self, state):
            super().init(state)
            state["label"] = torch.arange(len(state["x"]))

    model = Labelled(*LinearGaussian.four_dimensional())
    model = model._replace(noise=0.01 * model.noise)
    particle_filter = ParticleFilter(model, 50, ess_threshold=1.0, **ALGORITHMS[algorithm])
    start = particle_filter.init()
    state, info = particle_filter.update(start, model.simulate(1, seed=1)[0])
    assert info.resampled
    assert torch.equal(state.particles["label"], start.particles["label"][info.ancestors])
    assert (info.ancestors.diff() >= 0).all()
    assert info.unique_ancestors == len(info.ancestors.unique())


def test_the_secant_sees_what_is_not_smooth():
    """Observed to the nearest 0.1: derivatives are zero everywhere; differences of a standard deviation are not."""

    class Rounded:
        def init(self, state):
            state["x"] = pyro.sample("x", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))

        def step(self, state, y):
            state["x"] = pyro.sample("x", dist.Normal(0.9 * state["x"], 1.0).to_event(1))
            pyro.sample("y", dist.Normal(torch.round(10 * state["x"][..., 0]) / 10, 0.1), obs=y)

    y = torch.tensor([1.0, 2.5, 0.3], dtype=torch.float64)
    model = LinearGaussian.scalar(0.9, 1.0, 0.01 + 0.1**2 / 12, 0.0, 1.0)
    ratios, _, sizes = runs(Rounded(), y, model.log_evidence(y[:, None]), 40, 150, guide=SecantProposal(["x"]))
    plain = runs(Rounded(), y, 0.0, 10, 150)[2]
    assert sizes.mean() > 3 * plain.mean()
    # rounding is not quite uniform noise: 2 % more
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(40) + 0.02


def test_mistakes_are_named():
    model = LinearGaussian.four_dimensional()
    guided = ParticleFilter(model, 5, guide=SecantProposal(["z"]))
    with pytest.raises(InputError, match=r"step 1: .*no Gaussian site 'z'.*there are x"):
        guided.update(guided.init(), torch.zeros(3).double())
    guided = ParticleFilter(Poisson(), 5, guide=SecantProposal(["x"]))
    with pytest.raises(InputError, match="'y' is not; use LaplaceProposal"):
        guided.update(guided.init(), torch.tensor(3.0))
    with pytest.raises(InputError, match="SecantProposal: sites"):
        SecantProposal("x")
    with pytest.raises(InputError, match="tempering"):
        ParticleFilter(model, 5, tempering=Tempering(), auxiliary=True)
    for wrong in (lambda: Tempering(target=1.0), lambda: Tempering(moves=0)):
        with pytest.raises(InputError, match="Tempering"):
            wrong()
    for wrong in (lambda: LaplaceProposal(newton_steps=0), lambda: LaplaceProposal(defensive=1.0)):
        with pytest.raises(InputError, match="LaplaceProposal"):
            wrong()
