"""Unconstrained densities of priors against the change of variables by hand, and priors that cannot be used."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.inference.likelihood_free_vi.prior import Prior


def dependent():
    scale = pyro.sample("scale", dist.LogNormal(0.3, 0.5))
    pyro.sample("position", dist.Uniform(0.0, scale))
    pyro.sample("vector", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    with pyro.plate("items", 3):
        pyro.sample("item", dist.Normal(scale, 1.0))


def test_density_by_hand():
    prior = Prior.of(dependent)
    assert prior.sizes == {"scale": 1, "position": 1, "vector": 2, "item": 3}
    torch.manual_seed(0)
    u = prior.sample(50)
    values = prior.parameters(u)
    assert (values["position"] < values["scale"]).all()
    assert {name: tuple(value.shape) for name, value in values.items()} == {
        "scale": (50,), "position": (50,), "vector": (50, 2), "item": (50, 3)
    }  # fmt: skip
    scale, p = u[:, 0].exp(), torch.sigmoid(u[:, 1])
    by_hand = (
        dist.Normal(0.3, 0.5).log_prob(u[:, 0])
        + (p * (1 - p)).log()  # uniform on (0, scale): the scale cancels
        + dist.Normal(0.0, 2.0).log_prob(u[:, 2:4]).sum(-1)
        + dist.Normal(scale[:, None], 1.0).log_prob(u[:, 4:]).sum(-1)
    )
    assert torch.allclose(prior.log_prob(u), by_hand, atol=1e-5)


def test_one_distribution_is_handed_on_as_a_tensor():
    prior = Prior.of(dist.Uniform(-torch.ones(2), 3 * torch.ones(2)).to_event(1))
    u = prior.sample(1000)
    theta = prior.parameters(u)
    assert theta.shape == (1000, 2)
    assert theta.min() >= -1
    assert theta.max() <= 3
    assert float(theta.mean()) == pytest.approx(1, abs=5 * 4 / math.sqrt(12 * 2000))


def test_density_has_a_gradient():
    prior = Prior.of(dist.Normal(torch.zeros(2), 2.0).to_event(1))
    u = torch.tensor([[1.0, -3.0]], requires_grad=True)
    prior.log_prob(u).sum().backward()
    assert torch.allclose(u.grad, -u.detach() / 4)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (dist.ImproperUniform(dist.constraints.real, (), ()), "improper"),
        (dist.Poisson(3.0), "discrete"),
        (dist.Normal(torch.zeros(2), 1.0), "to_event"),
        (lambda: None, "no parameter"),
        (3.0, "Pyro program or a distribution"),
        (lambda: pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0)), "observed"),
    ],
)
def test_priors_that_cannot_be_used(prior, message):
    with pytest.raises(InputError, match=message):
        Prior.of(prior)
