"""Two-stage weighting: exact whatever the first guess is, and honest about how often the model ran."""

import math
from typing import NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from state_space_models import LinearGaussian

from hmm_plating.errors import InputError
from hmm_plating.inference import PartiallyObservedNormal, ParticleFilter, Tempering, TwoStage
from hmm_plating.inference.score import log_evidence as gradient_log_evidence
from hmm_plating.inference.two_stage import draw_without_replacement, inclusion_probabilities


class Guessed(NamedTuple):
    """A linear-Gaussian model whose first guess misreads the state by an offset, a factor and another noise."""

    exact: LinearGaussian
    offset: float = 0.0
    factor: float = 1.0
    noise_factor: float = 1.0

    def init(self, state):
        self.exact.init(state)

    def step(self, state, y):
        self.move(state, y)
        self.observe(state, y)

    def move(self, state, y):
        state["x"] = pyro.sample("x", dist.MultivariateNormal(state["x"] @ self.exact.transition.T, self.exact.process))

    def observe(self, state, y):
        pyro.sample("y", PartiallyObservedNormal(state["x"] @ self.exact.matrix.T, self.exact.noise), obs=y)

    def first_guess(self, state, y):
        location = self.offset + self.factor * (state["x"] @ self.exact.matrix.T)
        pyro.sample("y", PartiallyObservedNormal(location, self.noise_factor * self.exact.noise), obs=y)
        state["corrected_at_once"] = state["x"][:, 0] > 1.5


SCALAR = LinearGaussian.scalar(0.9, 0.6, 0.4, 0.5, 1.2)
GUESSES = {
    "right": Guessed(SCALAR),
    "biased": Guessed(SCALAR, offset=0.4, factor=1.1),
    "too sure": Guessed(SCALAR, offset=0.2, noise_factor=0.5),
    "useless": Guessed(SCALAR, offset=40.0),
    "vector, biased": Guessed(LinearGaussian.four_dimensional(), offset=0.3, factor=1.1, noise_factor=2.0),
}


def log_evidence(filter_, y, seed):
    state = filter_.init(seed=seed)
    for value in y:
        state, _ = filter_.update(state, value)
    return state.log_evidence


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GUESSES))
def test_evidence_is_unbiased_whatever_the_first_guess(name):
    """Mean of Ẑ/Z over 200 runs within 3.5 standard errors of 1, Z from the joint Gaussian of all observations."""
    model = GUESSES[name]
    y = model.exact.simulate(6, seed=5)
    exact = model.exact.log_evidence(y)
    filter_ = ParticleFilter(model, 120, two_stage=TwoStage(0.25), predictive_draws=0, posterior_draws=0)
    ratios = np.exp([log_evidence(filter_, y, seed) - exact for seed in range(200)])
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(len(ratios))
    assert ratios.std() < 1.5  # the test could not fail otherwise


@pytest.mark.parametrize("name", ["right", "biased"])
def test_filtered_mean_is_that_of_kalman(name):
    """Average over 12 filters within 4 of its standard errors, and a bias of order 1/N."""
    model = GUESSES[name]
    y = model.exact.simulate(5, seed=2)
    exact = model.exact.filtered(y)[0]
    filter_ = ParticleFilter(model, 400, two_stage=TwoStage(0.2), predictive_draws=0)
    means = np.array([float(filter_.run(y, seed=s).posterior["x"][0, :, -1].mean()) for s in range(12)])
    assert abs(means.mean() - float(exact[0])) < 4 * means.std(ddof=1) / math.sqrt(12) + 0.005


def test_a_good_first_guess_spares_most_of_the_model():
    """Log evidence of 400 particles of which 100 are corrected scatters less than that of 100 without a first guess."""
    y = SCALAR.simulate(6, seed=5)

    def spread(filter_):
        return np.std([log_evidence(filter_, y, seed) for seed in range(30)])

    two = ParticleFilter(GUESSES["right"], 400, two_stage=TwoStage(0.25), predictive_draws=0, posterior_draws=0)
    one = ParticleFilter(GUESSES["right"], 100, predictive_draws=0, posterior_draws=0)
    assert spread(two) < 0.8 * spread(one)


def test_the_record_says_how_often_the_model_ran():
    class Counting(Guessed):
        runs: list

        def observe(self, state, y):
            self.runs.append(len(state["x"]))
            super().observe(state, y)

    model = Counting(SCALAR, offset=0.2)
    Counting.runs = []
    result = ParticleFilter(model, 40, two_stage=TwoStage(0.25)).run(SCALAR.simulate(4, seed=1), seed=3)
    assert Counting.runs == [10] * 4
    recorded = result["filter_stats"]["full_evaluations"].values
    assert (recorded >= 10).all()
    assert (recorded > 10).any()  # those beyond 1.5 were the model's own already
    weights = result["sample_stats"]["log_weight"].values
    assert (np.isfinite(weights).sum(1) == 10).all()
    log_likelihood = result["log_likelihood"]["y"].values
    increments = np.logaddexp.reduce(log_likelihood, 1) - math.log(40)
    np.testing.assert_allclose(increments, result["filter_stats"]["log_evidence_increment"].values)


def test_all_corrected_is_the_bootstrap_filter():
    y = SCALAR.simulate(5, seed=1)
    exact = SCALAR.log_evidence(y)
    result = ParticleFilter(GUESSES["useless"], 4000, two_stage=TwoStage(1.0)).run(y, seed=1)
    assert abs(result.attrs["log_evidence"] - exact) < 0.15
    assert (result["filter_stats"]["full_evaluations"] == 4000).all()
    assert not result["filter_stats"]["resampled"].all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-30, 5), min_size=2, max_size=30),
    st.integers(1, 30),
    st.integers(0, 1000),
)
def test_inclusion_probabilities(guess, count, seed):
    """They sum to the sample's size, are proportional to λ where below one, and the draw has that size, no twice."""
    guess = torch.tensor(guess, dtype=torch.float64)
    weights = torch.log_softmax(torch.linspace(0, 1, len(guess), dtype=torch.float64), -1)
    inclusion = inclusion_probabilities(weights, guess, count)
    size = min(count, len(guess))
    assert abs(float(inclusion.sum()) - size) < 1e-9
    assert float(inclusion.max()) <= 1
    share = 0.95 * torch.softmax(weights + guess, -1) + 0.05 * torch.softmax(weights, -1)
    inside = inclusion < 1
    if bool(inside.any()):
        ratio = inclusion[inside] / share[inside]
        torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-9, atol=0)
        if not bool(inside.all()):  # what is certain would exceed one by the same rule
            assert float((ratio[0] * share[~inside]).min()) >= 1 - 1e-9
    torch.manual_seed(seed)
    drawn = draw_without_replacement(inclusion)
    assert len(drawn) == size == len(drawn.unique())


def test_each_particle_is_drawn_with_its_probability():
    inclusion = torch.tensor([0.1, 1.0, 0.55, 0.35, 0.7, 0.3], dtype=torch.float64)
    torch.manual_seed(1)
    counts = torch.zeros(6)
    for _ in range(4000):
        counts[draw_without_replacement(inclusion)] += 1
    error = (inclusion * (1 - inclusion) / 4000).sqrt()
    assert ((counts / 4000 - inclusion).abs() <= 4 * error).all()


def test_particles_of_no_weight_are_never_drawn():
    weights = torch.tensor([0.0, -math.inf, 0.0, -math.inf], dtype=torch.float64) - math.log(2)
    assert inclusion_probabilities(weights, torch.zeros(4, dtype=torch.float64), 3).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("share", [0.0, 1.5, math.nan])
def test_a_share_that_is_none(share):
    with pytest.raises(InputError, match="corrected must be in"):
        TwoStage(share)


def test_what_does_not_go_together():
    with pytest.raises(InputError, match="leave guide, auxiliary and tempering out"):
        ParticleFilter(GUESSES["right"], 10, two_stage=TwoStage(), tempering=Tempering())
    with pytest.raises(InputError, match="needs a model with a method move"):
        ParticleFilter(SCALAR, 10, two_stage=TwoStage())
    with pytest.raises(InputError, match="two stages have no gradient"):
        gradient_log_evidence(ParticleFilter(GUESSES["right"], 10, two_stage=TwoStage()), SCALAR.simulate(2, seed=1))
