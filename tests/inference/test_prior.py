"""Priors on the unconstrained space, against densities written out by hand."""

from __future__ import annotations

import math

import pyro
import pytest
import torch
from pyro import distributions as dist

from hmm_plating.errors import InputError
from hmm_plating.inference.prior import read_prior


def program() -> None:
    scale = pyro.sample("scale", dist.LogNormal(0.0, 0.5))
    with pyro.plate("levels", 3):
        pyro.sample("level", dist.Uniform(0.0, 2 * scale))


def test_density_includes_the_jacobian() -> None:
    prior = read_prior(dist.Uniform(torch.tensor([-1.0]), torch.tensor([3.0])).to_event(1))
    grid = torch.linspace(-20, 20, 40001, dtype=torch.float64)[:, None]
    values, log_density = prior.evaluate(grid)
    assert float(torch.trapezoid(log_density.exp(), grid[:, 0])) == pytest.approx(1.0, abs=1e-6)
    assert values["theta"][:, 0].numpy() == pytest.approx((-1 + 4 * torch.sigmoid(grid[:, 0])).numpy())


def test_program_with_plate_and_dependent_supports() -> None:
    prior = read_prior(program)
    assert [site.name for site in prior.sites] == ["scale", "level"]
    assert [tuple(site.shape) for site in prior.sites] == [(), (3,)]
    assert not prior.lower.isfinite().any()  # the interval of `level` moves with `scale`
    torch.manual_seed(0)
    free = prior.sample(5)
    values, log_density = prior.evaluate(free)
    scale, level = values["scale"], values["level"]
    # u = log scale is N(0, ½²); level = 2 scale σ(v) is uniform, so v is logistic.
    expected = -0.5 * (free[:, 0] / 0.5) ** 2 - math.log(0.5 * math.sqrt(2 * math.pi))
    logistic = torch.sigmoid(free[:, 1:])
    expected = expected + (logistic * (1 - logistic)).log().sum(-1)
    assert log_density.numpy() == pytest.approx(expected.numpy(), rel=1e-6)
    assert level.numpy() == pytest.approx((2 * scale[:, None] * logistic).numpy())


def test_draws_are_those_of_the_prior() -> None:
    torch.manual_seed(1)
    prior = read_prior(torch.distributions.Beta(torch.tensor(2.0), torch.tensor(5.0)))
    values, _ = prior.evaluate(prior.sample(20000))
    assert values["theta"].shape == (20000,)
    assert float(values["theta"].mean()) == pytest.approx(2 / 7, abs=4 * 0.16 / math.sqrt(20000))


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_a_distribution_keeps_its_shape(shape: tuple[int, ...]) -> None:
    prior = read_prior(dist.Normal(torch.zeros(shape), 1.0))
    values, _ = prior.evaluate(prior.sample(4))
    assert prior.arguments(values).shape == (4, *shape)
    assert prior.arguments(values).dtype == torch.float32


def test_coordinates_of_intervals_are_the_parameters_and_invert() -> None:
    prior = read_prior(dist.Uniform(torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 5.0])))
    free = prior.sample(6)
    coordinates = prior.coordinates(free)
    assert coordinates.numpy() == pytest.approx(prior.evaluate(free)[0]["theta"].numpy())
    assert prior.from_coordinates(coordinates).numpy() == pytest.approx(free.numpy(), rel=1e-9)
    assert prior.from_coordinates(torch.tensor([[2.0, 3.0]], dtype=torch.float64)).isnan().any()


def test_density_has_a_gradient() -> None:
    prior = read_prior(dist.Normal(torch.zeros(2), 2.0).to_event(1))
    u = torch.tensor([[1.0, -3.0]], requires_grad=True)
    _, log_density = prior.evaluate(u)
    log_density.sum().backward()
    assert torch.allclose(u.grad, -u.detach() / 4)


def observing() -> None:
    pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (dist.ImproperUniform(dist.constraints.real, (), ()), "improper"),
        (dist.Normal(0.0, math.inf), "NaN, infinite"),
        (dist.Poisson(3.0), "discrete"),
        (observing, "is observed"),
        (lambda: None, "no sample site"),
        ("normal", "must be a Pyro program or a distribution"),
    ],
)
def test_what_is_no_proper_continuous_prior_is_refused(prior: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_prior(prior)
