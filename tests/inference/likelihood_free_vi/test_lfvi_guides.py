"""Guides are normalised, draw what their density says, and their weighted draws estimate the same expectations."""

from functools import partial

import pytest
import torch

from hmm_plating.inference.likelihood_free_vi import FlowGuide, MixtureGuide, NormalGuide

FAMILIES = [NormalGuide, partial(MixtureGuide, components=3), partial(FlowGuide, layers=2, bins=6, hidden=(16,))]


def disturbed(family, size):
    torch.manual_seed(3)
    guide = family(size)
    guide.standardise(torch.randn(500, size) @ torch.tensor([[0.5, 0.3], [0.0, 0.8]])[:size, :size] + 0.4)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return guide


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_density_and_draws_agree(family, size):
    """Quadrature of the density on a grid against 1 and against the moments of draws."""
    guide = disturbed(family, size)
    axis = torch.linspace(-7, 8, 601)
    grid = torch.stack(torch.meshgrid(*[axis] * size, indexing="ij"), -1).reshape(-1, size)
    with torch.no_grad():
        density = guide.log_prob(grid).exp() * (15 / 600) ** size
        draws, weighted = guide.sample(20_000), guide(20_000)
    assert float(density.sum()) == pytest.approx(1, abs=2e-3)
    assert float(weighted[1].sum()) == pytest.approx(1, abs=1e-5)
    for function in (lambda x: x, lambda x: x**2, lambda x: (x > 0.5).float()):
        values = function(grid)
        exact = density @ values
        error = 5 * (density @ values**2 - exact**2).clamp(min=0).sqrt() / 20_000**0.5 + 2e-3
        assert (function(draws).mean(0) - exact).abs().lt(error).all()
        assert (weighted[1] @ function(weighted[0]) - exact).abs().lt(error).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_are_differentiable(family):
    guide = disturbed(family, 2)
    draws, weights = guide(60)
    (weights @ draws.square().sum(-1)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in guide.parameters())
    assert any(p.grad.abs().max() > 1e-3 for p in guide.parameters())


def test_a_fresh_flow_is_nearly_the_affine_normal():
    torch.manual_seed(0)
    guide = FlowGuide(3)
    draws = torch.randn(2000, 3)
    guide.standardise(draws)
    with torch.no_grad():
        gap = guide.log_prob(draws) - torch.distributions.MultivariateNormal(draws.mean(0), draws.T.cov()).log_prob(
            draws
        )
    assert gap.abs().max() < 0.2
