"""Whole runs against conjugate posteriors and quadrature; resuming, seeds, and what a bad fit says of itself."""

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import kstest

from hmm_plating.errors import InputError
from hmm_plating.inference.likelihood_free_vi import LFVI, FlowGuide, MixtureGuide, NormalGuide, RatioNetwork

pytestmark = pytest.mark.filterwarnings("ignore:LFVI")
SMALL = {
    "ratio": partial(RatioNetwork, hidden=(16, 16)),
    "rounds": 2,
    "ratio_steps": 60,
    "guide_steps": 60,
    "draws": 2000,
}


def normal_prior(size):
    return dist.Normal(torch.zeros(size), 1.0).to_event(1)


def shifted(theta):
    return theta + 0.5 * torch.randn_like(theta)


def kl_to_normal(result, mean, deviation):
    """E_q[log q − log p] at the guide's draws."""
    draws = torch.as_tensor(result.posterior["theta"].values[0])
    log_guide = torch.as_tensor(result.sample_stats["log_guide"].values[0])
    return float((log_guide - dist.Normal(mean, deviation).to_event(1).log_prob(draws)).mean())


def test_gaussian_linear_and_its_evidence():
    """The Gaussian part is exact here: error (d² + 3d)/2 parameters over 2 times 4000 simulations, 6e-4 nats; ×6."""
    observed = torch.tensor([0.6, -1.1])
    result = LFVI((normal_prior(2), shifted), NormalGuide, **SMALL).run(observed, simulations=4000)
    mean, deviation = observed / 1.25, torch.full((2,), 0.2**0.5)
    assert abs(kl_to_normal(result, mean, deviation)) < 4e-3
    exact = float(dist.Normal(torch.zeros(2), 1.25**0.5).to_event(1).log_prob(observed))
    assert result.attrs["log_evidence"] == pytest.approx(exact, abs=0.05)
    assert result.attrs["cautions"] == ""
    assert result.posterior["theta"].dims == ("chain", "draw", "theta_dim_0")
    assert result.round_stats["simulations"].values.tolist() == [[2000, 2000]]


@pytest.mark.parametrize("steps", [1, 10])
def test_few_steps_are_enough_to_run(steps):
    """A schedule that rises over a tenth of ten steps has no slope."""
    options = {**SMALL, "ratio_steps": steps, "guide_steps": steps}
    result = LFVI((normal_prior(1), shifted), **options).run(torch.ones(1), simulations=400)
    assert bool(result.posterior["theta"].notnull().all())


def test_exchangeable_data_points():
    """N points of one β: precision 1 + N/0.25."""
    torch.manual_seed(0)
    observed = 0.4 + 0.5 * torch.randn(12, 1)
    result = LFVI((normal_prior(1), shifted), NormalGuide, exchangeable=True, minibatch=4, **SMALL).run(
        observed, simulations=4000
    )
    variance = 1 / (1 + 12 / 0.25)
    mean = variance * observed.sum(0) / 0.25
    # The regression's slope and intercept are known to 0.5/sqrt(4000), which is 0.06 of this posterior's width.
    assert abs(kl_to_normal(result, mean, variance**0.5)) < 0.02


@pytest.mark.slow
def test_conjugate_hierarchy_with_local_latents():
    """β ~ N(0, 1), z ~ N(β, 1), x ~ N(z, ¼): x ~ N(β, 1.25) once z is integrated out."""
    torch.manual_seed(1)
    observed = 0.7 + 1.25**0.5 * torch.randn(10, 1)

    def simulator(beta):
        local = beta + torch.randn_like(beta)
        return local, shifted(local)

    options = {**SMALL, "ratio_steps": 500, "guide_steps": 200}
    result = LFVI((normal_prior(1), simulator), NormalGuide, exchangeable=True, local=True, **options).run(
        observed, simulations=6000
    )
    variance = 1 / (1 + 10 / 1.25)
    mean = variance * observed.sum(0) / 1.25
    assert abs(kl_to_normal(result, mean, variance**0.5)) < 0.03
    joint = dist.MultivariateNormal(torch.zeros(10), 1.25 * torch.eye(10) + 1)
    assert result.attrs["log_evidence"] == pytest.approx(float(joint.log_prob(observed[:, 0])), abs=0.15)


def squared(theta):
    return theta**2 + 0.2 * torch.randn_like(theta)


@pytest.mark.slow
@pytest.mark.parametrize("guide", [FlowGuide, partial(MixtureGuide, components=6)])
def test_two_modes_against_quadrature(guide):
    """x = θ² + noise has two modes; the posterior's distribution function by quadrature, Kolmogorov–Smirnov."""
    options = {**SMALL, "ratio": RatioNetwork, "rounds": 3, "ratio_steps": 1000, "guide_steps": 300, "draws": 1000}
    observed = torch.tensor([1.2])
    result = LFVI((normal_prior(1), squared), guide, **options).run(observed, simulations=15_000, seed=1)
    grid = torch.linspace(-5, 5, 20_001, dtype=torch.float64)
    density = (dist.Normal(0.0, 1.0).log_prob(grid) + dist.Normal(grid**2, 0.2).log_prob(observed.double())).exp()
    cumulative = (density.cumsum(0) / density.sum()).numpy()
    draws = result.posterior["theta"].values.ravel()
    # 1000 exact draws stay below 0.052 in 99 of 100 cases.
    assert (
        kstest(draws, lambda x: torch.tensor(cumulative)[torch.searchsorted(grid, torch.as_tensor(x))].numpy())[0]
        < 0.08
    )
    assert result.attrs["cautions"] == ""


def test_a_guide_that_cannot_fit_says_so():
    """One normal on two modes."""
    options = {**SMALL, "ratio_steps": 300, "guide_steps": 100, "ratio": partial(RatioNetwork, hidden=(32, 32))}
    with pytest.warns(RuntimeWarning, match="guide"):
        result = LFVI((normal_prior(1), squared), NormalGuide, **options).run(torch.tensor([1.2]), simulations=4000)
    assert "guide" in result.attrs["cautions"]


def test_an_observation_that_no_simulation_resembles_says_so():
    def bounded(theta):
        return torch.cat([theta, theta], -1) + 0.1 * torch.randn(len(theta), 2)

    result = LFVI((normal_prior(1), bounded), NormalGuide, **SMALL).run(torch.tensor([1.0, -1.0]), simulations=2000)
    assert "outside of what the simulator gives" in result.attrs["cautions"]


class Killed(Exception):
    pass


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    def program():
        pyro.sample("scale", dist.LogNormal(0.0, 0.3))
        pyro.sample("place", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    def simulator(parameters):
        return parameters["place"] + parameters["scale"][:, None] * torch.randn(len(parameters["scale"]), 2)

    def kill(step, total, info):
        assert total == 3
        if step == 2:
            raise Killed

    observed = torch.tensor([0.3, 1.0])
    run = partial(
        LFVI(
            (program, simulator),
            partial(FlowGuide, layers=2, bins=4, hidden=(8,)),
            **{**SMALL, "rounds": 3, "guide_steps": 5},
        ).run,
        observed,
    )
    whole = run(simulations=600, seed=4)
    with pytest.raises(Killed):
        run(simulations=600, seed=4, checkpoint=tmp_path / "run", progress=kill)
    steps = []
    resumed = run(
        simulations=600, seed=4, checkpoint=tmp_path / "run", resume=True, progress=lambda step, *_: steps.append(step)
    )
    assert steps == [3]
    assert whole.attrs == resumed.attrs
    for group in whole.groups():
        assert whole[group].identical(resumed[group])
    assert not whole.posterior.identical(run(simulations=600, seed=5).posterior)
    with pytest.raises(InputError, match="another model"):
        run(simulations=600, seed=5, checkpoint=tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="holds a checkpoint already"):
        run(simulations=600, seed=4, checkpoint=tmp_path / "run")
    with pytest.raises(InputError, match="pass checkpoint"):
        run(simulations=600, seed=4, resume=True)


@pytest.mark.parametrize(
    ("options", "observed", "simulations", "message"),
    [
        ({}, torch.tensor([0.0, torch.nan]), 1000, "not finite"),
        ({}, torch.zeros(3), 1000, "one observation has 3"),
        ({}, torch.zeros(2), 10, "simulations"),
        ({"rounds": 0}, torch.zeros(2), 1000, "rounds"),
        ({"local": True}, torch.zeros(2), 1000, "exchangeable"),
    ],
)
def test_input_that_cannot_be_used(options, observed, simulations, message):
    with pytest.raises(InputError, match=message):
        LFVI((normal_prior(2), shifted), NormalGuide, **{**SMALL, **options}).run(observed, simulations=simulations)
