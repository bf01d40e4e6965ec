"""The Gaussian part against the exact likelihood, the reference density, and failures of simulators."""

import pyro.distributions as dist
import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.inference.likelihood_free_vi.ratio import RatioNetwork
from hmm_plating.inference.likelihood_free_vi.reference import Reference
from hmm_plating.inference.likelihood_free_vi.simulations import simulate
from hmm_plating.inference.prior import read_prior


@pytest.mark.parametrize("curvature", [0.0, 0.7])
def test_gaussian_part_is_the_likelihood(curvature):
    """x = A b + c b₁² + noise with full covariance, against torch's multivariate normal with the true parameters."""
    torch.manual_seed(0)
    matrix, noise = torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.8, -1.0]]), torch.tensor([[0.5, 0.0], [0.2, 0.3]])

    def mean(b):
        return b @ matrix.T + curvature * b[..., :1] ** 2

    b = torch.randn(20_000, 3)
    x = mean(b) + torch.randn(20_000, 2) @ noise.T
    network = RatioNetwork(2, 3)
    network.fit_gaussian(x, b)
    with torch.no_grad():
        fitted = network(x[:500], b[:500])
    exact = dist.MultivariateNormal(mean(b), scale_tril=noise).log_prob(x)[:500]
    # Parameters per simulation over 2, times some for the largest of 500 draws.
    assert (fitted - exact).mean().abs() < 5e-3
    assert (fitted - exact).std() < 0.05


def test_scatter_follows_the_parameters():
    """The covariance V diag(exp 2 C b) Vᵀ, against torch's multivariate normal with the true parameters."""
    torch.manual_seed(0)
    matrix = torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.8, -1.0], [0.0, 0.4, 0.9]])
    change = torch.tensor([[0.4, 0.0, -0.1], [0.0, 0.1, 0.05], [0.0, 0.0, 0.0]])
    axes = torch.linalg.qr(torch.randn(3, 3)).Q * torch.tensor([1.0, 0.3, 0.1])

    def truth(b):
        factor = axes * (b @ change.T).exp()[:, None]
        return dist.MultivariateNormal(b @ matrix.T, factor @ factor.mT)

    b = torch.randn(20_000, 3)
    x = truth(b).sample()
    network = RatioNetwork(3, 3)
    network.fit_gaussian(x, b)
    with torch.no_grad():
        fitted = network(x[:500], b[:500])
    error = fitted - truth(b[:500]).log_prob(x[:500])
    assert error.mean().abs() < 5e-3
    assert error.std() < 0.1
    assert float(network.scatter[1:].abs().max()) == pytest.approx(0.4, abs=0.05)


def test_even_scatter_is_taken_as_even():
    torch.manual_seed(1)
    b = torch.randn(5_000, 3)
    network = RatioNetwork(2, 3)
    network.fit_gaussian(b[:, :2] + torch.randn(5_000, 2), b)
    assert not network.scatter.any()


def test_reference_is_a_normal_at_the_observation():
    torch.manual_seed(0)
    spread = torch.diag(torch.tensor([2.0, 0.1], dtype=torch.float64))
    observed = torch.tensor([[5.0, -3.0]], dtype=torch.float64)
    simulated = observed + torch.randn(100_000, 2, dtype=torch.float64) @ spread.T
    reference = Reference.around(observed, simulated)
    exact = dist.MultivariateNormal(observed[0], reference.scale @ reference.scale.T).log_prob(simulated[:100])
    assert torch.allclose(reference.log_prob(simulated[:100]).double(), exact, atol=1e-4)
    # The farthest 2 % are left out, which makes a two-dimensional normal 8 % narrower in variance.
    ratio = torch.linalg.solve(spread @ spread.T, reference.scale @ reference.scale.T)
    assert torch.allclose(ratio, 0.92 * torch.eye(2, dtype=torch.float64), atol=0.05)


def test_outliers_do_not_widen_the_reference():
    torch.manual_seed(0)
    simulated = torch.randn(10_000, 1, dtype=torch.float64)
    spoiled = simulated.clone()
    spoiled[:50] = 1e8
    zero = torch.zeros(1, 1, dtype=torch.float64)
    assert Reference.around(zero, spoiled).scale == pytest.approx(
        float(Reference.around(zero, simulated).scale), rel=0.02
    )


def test_constant_data_are_refused():
    data = torch.stack([torch.randn(100), torch.ones(100)], -1).double()
    with pytest.raises(InputError, match=r"entries \[1\]"):
        Reference.around(data[:1], data)


PRIOR = read_prior(dist.Normal(torch.zeros(1), 1.0).to_event(1))


def run(simulator, max_failed=0.5, data_size=1, local=False):
    torch.manual_seed(0)
    return simulate(PRIOR, simulator, PRIOR.sample(200), data_size, local, max_failed, 0)


def test_failed_draws_are_left_out():
    def fails_above_one(theta):
        if (theta > 1).any():
            raise FloatingPointError("too large")
        return torch.where(theta < -1, torch.nan, 2 * theta)

    kept = run(fails_above_one)
    assert 0 < len(kept.data) < 200
    assert kept.parameters.abs().max() <= 1
    assert torch.allclose(kept.data, 2 * kept.parameters)
    torch.manual_seed(0)
    assert len(kept.data) == int((PRIOR.sample(200).abs() <= 1).sum())


def never(theta):
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("simulator", "options", "message"),
    [
        (never, {}, "no licence"),
        (lambda theta: theta * torch.nan, {}, "NaN"),
        (lambda theta: torch.zeros(200, 3), {}, "one simulation has 3 numbers, one observation has 1"),
        (lambda theta: theta.sum(), {}, "first dimension"),
        (lambda theta: "text", {}, "tensor, an array or a mapping"),
        (lambda theta: theta, {"local": True}, "pair"),
    ],
)
def test_simulators_that_cannot_be_used(simulator, options, message):
    with pytest.raises(InputError, match=message):
        run(simulator, **options)
