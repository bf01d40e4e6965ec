"""Mixture proposals against scipy's normal densities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from hmm_plating.inference.smc_abc.proposal import GlobalCovariance, LocalCovariance, Mixture, perturbed
from hmm_plating.inference.smc_abc.smoothing import smoothed


def some_mixture() -> Mixture:
    generator = torch.Generator().manual_seed(1)
    factor = torch.randn(6, 3, 3, dtype=torch.float64, generator=generator).tril()
    factor.diagonal(dim1=-2, dim2=-1).abs_().add_(0.2)
    centres = torch.randn(6, 3, dtype=torch.float64, generator=generator)
    weights = torch.log_softmax(torch.randn(6, dtype=torch.float64, generator=generator), 0)
    return Mixture(centres, weights, factor, torch.arange(6))


def reference(mixture: Mixture, points: torch.Tensor, left_out: int | None = None) -> np.ndarray:
    total, mass = 0.0, 0.0
    for j in range(6):
        if j != left_out:
            covariance = (mixture.cholesky[j] @ mixture.cholesky[j].T).numpy()
            weight = float(mixture.log_weights[j].exp())
            total = total + weight * multivariate_normal(mixture.centres[j].numpy(), covariance).pdf(points.numpy())
            mass += weight
    return np.log(total / mass)


def test_density() -> None:
    mixture = some_mixture()
    points = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert mixture.log_density(points).numpy() == pytest.approx(reference(mixture, points), rel=1e-10)


def test_a_centre_is_left_out_of_its_own_density() -> None:
    mixture = some_mixture()
    density = mixture.log_density(mixture.centres, torch.tensor([0, 1, 2, 99, 99, 99]))
    for row in range(6):
        expected = reference(mixture, mixture.centres[row], row if row < 3 else None)
        assert float(density[row]) == pytest.approx(float(expected), rel=1e-10)


def test_draws_have_the_moments_of_the_mixture() -> None:
    mixture = some_mixture()
    draws = mixture.sample(40000, torch.Generator().manual_seed(5))
    weights = mixture.log_weights.exp()
    mean = weights @ mixture.centres
    covariance = (weights[:, None, None] * (mixture.cholesky @ mixture.cholesky.transpose(-1, -2))).sum(0)
    centred = mixture.centres - mean
    covariance = covariance + (weights[:, None] * centred).T @ centred
    error = (draws.mean(0) - mean) / (covariance.diag() / 40000).sqrt()
    assert (error.abs() < 4).all()
    assert draws.T.cov().numpy() == pytest.approx(covariance.numpy(), abs=0.05 * float(covariance.diag().max()))


def test_local_covariances_follow_separate_modes() -> None:
    generator = torch.Generator().manual_seed(4)
    narrow = 0.1 * torch.randn(200, 2, dtype=torch.float64, generator=generator)
    points = narrow + torch.tensor([[-5.0, 0.0], [5.0, 0.0]], dtype=torch.float64).repeat_interleave(100, 0)
    flat = torch.zeros(200, dtype=torch.float64)
    local = LocalCovariance(fraction=0.2)(points, flat)
    overall = GlobalCovariance(scale=2.0)(points, flat)
    assert float(local[:, 0, 0].median()) < 0.2  # an outlier's neighbours may lie in the other mode
    assert float(overall[0, 0, 0] ** 2) == pytest.approx(2 * 25, rel=0.05)


def test_few_components_stand_for_many_particles() -> None:
    generator = torch.Generator().manual_seed(4)
    particles = torch.randn(500, 1, dtype=torch.float64, generator=generator)
    log_weights = torch.where(particles[:, 0] > 0, 0.0, -torch.inf).double()
    proposal = perturbed(particles, log_weights, GlobalCovariance(), 50, generator)
    assert len(proposal.centres) == 50
    assert (proposal.centres > 0).all()
    assert torch.equal(particles[proposal.sources], proposal.centres)


@pytest.mark.parametrize("bandwidth", [0.2, 0.8])
def test_smoothing_over_all_neighbours_keeps_mean_and_covariance(bandwidth: float) -> None:
    generator = torch.Generator().manual_seed(6)
    points = torch.rand(300, 2, dtype=torch.float64, generator=generator) ** 3
    mixture = smoothed(points, torch.zeros(300, dtype=torch.float64), 1.0, bandwidth)
    inside = mixture.cholesky[0] @ mixture.cholesky[0].T
    assert mixture.centres.mean(0).numpy() == pytest.approx(points.mean(0).numpy())
    total = mixture.centres.T.cov(correction=0) + inside
    assert total.numpy() == pytest.approx(points.T.cov(correction=0).numpy(), rel=1e-4)
