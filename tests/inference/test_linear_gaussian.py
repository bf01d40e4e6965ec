"""Kalman helpers against conditioning of dense joint normals, and the partially observed normal against scipy."""

import math

import numpy as np
import pyro
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from state_space_models import LinearGaussian

from hmm_plating.inference import PartiallyObservedNormal, observation_distribution, predict, update


def covariance(size: int, *batch: int, seed: int = 0) -> torch.Tensor:
    root = torch.randn(*batch, size, size + 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return root @ root.mT / size


def kalman(model: LinearGaussian, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    mean, spread, log_evidence = model.mean, model.covariance, 0.0
    for value in y:
        mean, spread = predict(mean, spread, model.transition, model.process)
        log_evidence += float(observation_distribution(mean, spread, model.matrix, 0.0, model.noise).log_prob(value))
        mean, spread = update(mean, spread, value, model.matrix, 0.0, model.noise)
    return mean, spread, log_evidence


def test_filter_is_the_conditional_of_the_joint_normal():
    model = LinearGaussian.four_dimensional()
    y = model.simulate(12, seed=1)
    y[3, 1], y[5], y[11, 0] = math.nan, math.nan, math.nan
    mean, spread, log_evidence = kalman(model, y)
    expected_mean, expected_covariance = model.filtered(y)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-10)
    np.testing.assert_allclose(spread, expected_covariance, atol=1e-10)
    assert log_evidence == pytest.approx(model.log_evidence(y), abs=1e-9)


def test_offsets_shift_state_and_observation():
    """x' = A x + a, y = H x' + b is the same as centring on a and b by hand."""
    model, generator = LinearGaussian.four_dimensional(), torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, dtype=torch.float64, generator=generator) for n in (4, 3))
    y = torch.randn(3, dtype=torch.float64, generator=generator)
    mean, spread = predict(model.mean, model.covariance, model.transition, model.process, a)
    plain, _ = predict(model.mean, model.covariance, model.transition, model.process)
    torch.testing.assert_close(mean, plain + a)
    shifted = update(mean, spread, y, model.matrix, b, model.noise)
    torch.testing.assert_close(shifted, update(mean, spread, y - b, model.matrix, 0.0, model.noise))
    torch.testing.assert_close(
        observation_distribution(mean, spread, model.matrix, b, model.noise).mean, model.matrix @ mean + b
    )


def test_particles_are_independent_and_broadcast():
    particles, k, c = 5, 6, 3
    generator = torch.Generator().manual_seed(2)
    mean, y = torch.randn(particles, k, dtype=torch.float64, generator=generator), torch.tensor([0.3, math.nan, -1.0])
    matrix = torch.randn(particles, c, k, dtype=torch.float64, generator=generator)
    spread, noise = covariance(k, particles), covariance(c, seed=1)
    together = update(mean, spread, y.double(), matrix, 0.0, noise)
    for i in range(particles):
        alone = update(mean[i], spread[i], y.double(), matrix[i], 0.0, noise)
        torch.testing.assert_close((together[0][i], together[1][i]), alone)
    shared = update(mean, spread[0], y.double(), matrix, 0.0, noise)  # one covariance, one matrix per particle
    torch.testing.assert_close(shared[1][0], together[1][0])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 1000))
def test_missing_channels_equal_dropped_channels(seen, seed):
    kept = [i for i, flag in enumerate(seen) if flag]
    generator = torch.Generator().manual_seed(seed)
    mean, matrix = (torch.randn(*s, dtype=torch.float64, generator=generator) for s in ((5,), (4, 5)))
    y = torch.randn(4, dtype=torch.float64, generator=generator)
    spread, noise = covariance(5, seed=seed), covariance(4, seed=seed + 1)
    missing = torch.where(torch.tensor(seen), y, math.nan)
    actual = update(mean, spread, missing, matrix, 0.0, noise)
    expected = update(mean, spread, y[kept], matrix[kept], 0.0, noise[kept][:, kept]) if kept else (mean, spread)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    log_prob = float(PartiallyObservedNormal(torch.zeros(4).double(), noise).log_prob(missing))
    reference = multivariate_normal.logpdf(y[kept], cov=noise[kept][:, kept]) if kept else 0.0
    assert log_prob == pytest.approx(reference, rel=1e-9, abs=1e-9)


def test_covariance_stays_positive_under_precise_observations():
    """Prior variance 1e8, noise 1e-8: P − K S Kᵀ loses its sign here, Joseph's form does not."""
    spread = 1e8 * (torch.ones(3, 3, dtype=torch.float64) + 1e-3 * torch.eye(3, dtype=torch.float64))
    mean, noise = torch.zeros(3, dtype=torch.float64), 1e-8 * torch.eye(3, dtype=torch.float64)
    matrix = torch.tensor([[1.0, 1, 1], [1, 1, 0.999], [1, 0.5, 0]], dtype=torch.float64)
    for _ in range(20):
        mean, spread = update(mean, spread, torch.ones(3, dtype=torch.float64), matrix, 0.0, noise)
    assert torch.equal(spread, spread.T)
    assert torch.linalg.eigvalsh(spread).min() >= 0
    torch.testing.assert_close(matrix @ mean, torch.ones(3, dtype=torch.float64), atol=1e-4, rtol=0)


def test_samples_have_every_channel_and_the_right_moments():
    spread = covariance(3, 2)
    loc = torch.tensor([[1.0, -2.0, 3.0], [0.0, 0.0, 10.0]], dtype=torch.float64)
    normal = PartiallyObservedNormal(loc, spread)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = normal.sample((40_000,))
    assert draws.shape == (40_000, 2, 3)
    for i in range(2):
        # 5 standard errors of a mean and (bounded by sqrt(2) s²) of a covariance
        scale = spread[i].diagonal().sqrt()
        assert ((draws[:, i].mean(0) - loc[i]).abs() < 5 * scale / 200).all()
        assert ((draws[:, i].T.cov() - spread[i]).abs() < 5 * math.sqrt(2) * scale[:, None] * scale / 200).all()
    torch.testing.assert_close(normal.variance, spread.diagonal(dim1=-2, dim2=-1))


def test_conditional_on_some_channels():
    """Schur complement of the joint covariance."""
    spread, loc = covariance(4, seed=3), torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    value = torch.tensor([0.3, math.nan, -1.0, math.nan], dtype=torch.float64)
    conditional = PartiallyObservedNormal(loc, spread).conditional(value)
    seen, missing = [0, 2], [1, 3]
    weights = torch.linalg.solve(spread[seen][:, seen], spread[seen][:, missing])
    np.testing.assert_allclose(
        conditional.mean[missing], loc[missing] + (value[seen] - loc[seen]) @ weights, rtol=1e-10
    )
    expected = spread[missing][:, missing] - spread[missing][:, seen] @ weights
    np.testing.assert_allclose(conditional.covariance[missing][:, missing], expected, rtol=1e-9)
    np.testing.assert_allclose(conditional.mean[seen], value[seen], rtol=1e-10)


def test_a_particle_that_went_astray_leaves_the_others_alone():
    spread = covariance(2, 4)
    spread[1], spread[2] = math.nan, -spread[2]
    loc = torch.zeros(4, 2, dtype=torch.float64)
    loc[3, 0] = math.nan
    normal = PartiallyObservedNormal(loc, spread)
    density = normal.log_prob(torch.tensor([0.5, math.nan], dtype=torch.float64))
    assert density.isnan().tolist() == [False, True, True, True]
    assert density[0] == pytest.approx(multivariate_normal.logpdf(0.5, cov=float(spread[0, 0, 0])))
    assert not normal.sample()[0].isnan().any()


def test_log_prob_is_differentiable_past_missing_channels():
    loc = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    spread = covariance(3).requires_grad_()
    value = torch.tensor([0.5, math.nan, -0.2], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda m, s: PartiallyObservedNormal(m, 0.5 * (s + s.T)).log_prob(value), (loc, spread)
    )


def test_pyro_accepts_missing_channels_and_refuses_infinite_ones():
    loc, spread = torch.zeros(6, 3, dtype=torch.float64), covariance(3)

    def model(y):
        with pyro.plate("particles", 6):
            return pyro.sample("y", PartiallyObservedNormal(loc, spread), obs=y)

    with pyro.validation_enabled():
        trace = pyro.poutine.trace(model).get_trace(torch.tensor([0.1, math.nan, 2.0], dtype=torch.float64))
        trace.compute_log_prob()
        assert trace.nodes["y"]["log_prob"].shape == (6,)
        with pytest.raises(ValueError, match="support"):
            pyro.poutine.trace(model).get_trace(torch.tensor([0.1, math.inf, 2.0]).double()).compute_log_prob()
