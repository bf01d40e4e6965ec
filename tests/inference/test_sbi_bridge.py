"""The bridge to sbi: densities by hand, variables back in their own space, a Gaussian posterior through sbi itself."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from hmm_plating import InputError
from hmm_plating.inference import from_sbi, to_sbi


def program():
    scale = pyro.sample("scale", dist.LogNormal(0.3, 0.5))
    return pyro.sample("share", dist.Uniform(0.0, 1.0)), scale


def simulator(values):
    return {"b": values["share"][:, None].expand(-1, 2), "a": values["scale"]}


def test_density_is_that_of_the_change_of_variables():
    """log N(u; 0.3, 0.5) of the logarithm, and u = logit(share): density of a uniform is σ(u)(1 − σ(u))."""
    prior, _ = to_sbi(program, simulator)
    u = torch.randn(7, 3, 2, generator=torch.Generator().manual_seed(0))
    normal = -0.5 * ((u[..., 0] - 0.3) / 0.5) ** 2 - math.log(0.5 * math.sqrt(2 * math.pi))
    share = torch.sigmoid(u[..., 1])
    torch.testing.assert_close(prior.log_prob(u), normal + torch.log(share * (1 - share)))
    draws = prior.sample((20_000,))
    assert draws.shape == (20_000, 2)
    assert draws.dtype == torch.float32
    assert prior.sample().shape == (2,)
    assert abs(float(draws[:, 0].mean()) - 0.3) < 4 * 0.5 / math.sqrt(20_000)
    assert abs(float(torch.sigmoid(draws[:, 1]).mean()) - 0.5) < 4 * math.sqrt(1 / 12 / 20_000)


def test_simulator_is_given_the_variables_and_returns_rows():
    _, simulate = to_sbi(program, simulator)
    u = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    expected = torch.stack([u[:, 0].exp(), torch.sigmoid(u[:, 1]), torch.sigmoid(u[:, 1])], 1)
    torch.testing.assert_close(simulate(u), expected)


def test_draws_come_back_in_their_own_space():
    u = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(1))
    data = from_sbi(u, program, observed=np.arange(3.0))
    assert data.posterior.sizes == {"chain": 2, "draw": 5}
    np.testing.assert_allclose(data.posterior["scale"], u[..., 0].double().exp())
    np.testing.assert_allclose(data.posterior["share"], torch.sigmoid(u[..., 1].double()))
    np.testing.assert_array_equal(data.observed_data["data"], [0, 1, 2])


@pytest.mark.parametrize("draws", [torch.zeros(5, 3), torch.full((5, 2), math.nan), torch.zeros(2)])
def test_draws_of_another_prior_are_refused(draws):
    with pytest.raises(InputError, match=r"draws must be finite, \(draws, 2\)"):
        from_sbi(draws, program)


@pytest.mark.slow
def test_gaussian_posterior_through_sbi(tmp_path, monkeypatch):
    """θ ~ N(0, 1), x ~ N(θ, ½²): posterior N(0.8 x, 0.2); neural posterior estimation is good to a few per cent."""
    inference = pytest.importorskip("sbi.inference", reason="needs the package sbi (pip install hmm_plating[sbi])")
    from sbi.utils.user_input_checks import check_sbi_inputs, process_prior, process_simulator

    monkeypatch.chdir(tmp_path)  # where sbi leaves its logs
    torch.manual_seed(0)
    prior = dist.Normal(torch.zeros(1), 1.0).to_event(1)
    sbi_prior, simulate = to_sbi(prior, lambda theta: theta + 0.5 * torch.randn_like(theta))
    checked, _, numpy_prior = process_prior(sbi_prior)
    check_sbi_inputs(process_simulator(simulate, checked, numpy_prior), checked)
    theta = sbi_prior.sample((4000,))
    estimator = inference.NPE(sbi_prior, show_progress_bars=False)
    estimator.append_simulations(theta, simulate(theta)).train()
    observed = torch.tensor([[0.7]])
    draws = estimator.build_posterior().sample((4000,), x=observed, show_progress_bars=False)
    posterior = from_sbi(draws, prior, observed[0]).posterior["theta"].values.ravel()
    assert abs(posterior.mean() - 0.56) < 0.1 * math.sqrt(0.2)
    assert abs(posterior.std() / math.sqrt(0.2) - 1) < 0.1
