"""The whole algorithm, against exact posteriors, and what it does with odd simulators."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pyro import distributions as dist
from scipy.stats import truncnorm
from simulators import DESIGN, NOISE, OBSERVED, linear, normal_prior, program

from hmm_plating.errors import InputError
from hmm_plating.inference import SMCABC
from hmm_plating.inference.smc_abc import (
    LinearAdjustment,
    NoAdjustment,
    Schedule,
    TimeAbove,
    ToleranceReached,
    euclidean,
    gaussian,
)


def exact(variance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Posterior mean and covariance of the linear model with this variance of the noise."""
    design = DESIGN.double()
    covariance = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + design.T @ design / variance)
    return covariance @ design.T @ OBSERVED.double() / variance, covariance


@pytest.mark.parametrize("tolerance", [2.0, 0.7, 0.25])
def test_gaussian_kernel_adds_the_square_of_the_tolerance_to_the_variance_of_the_noise(tolerance: float) -> None:
    method = SMCABC(
        normal_prior(),
        linear,
        distance=euclidean,
        kernel=gaussian,
        tolerance=Schedule([3 * tolerance, tolerance]),
        adjustment=NoAdjustment(),
        smooth=False,
        populations=4,
    )
    result = method.run(OBSERVED, simulations=8000, seed=3)
    particles = torch.from_numpy(result.sample_stats.theta.values[0]).double()
    weights = torch.from_numpy(result.sample_stats.log_weight.values[0]).exp()
    mean, covariance = exact(NOISE**2 + tolerance**2)
    size = float(result.population_stats.effective_sample_size[0, -1])
    estimate = weights @ particles
    assert ((estimate - mean).abs() < 4 * (covariance.diag() / size).sqrt()).all()
    variance = weights @ (particles - estimate).square()
    assert ((variance / covariance.diag() - 1).abs() < 4 * math.sqrt(2 / size)).all()
    # K = exp(−d²/2h²) is a normal density but for its constant, so the evidence is that of N(0, A Aᵀ + R + h²).
    spread = (DESIGN @ DESIGN.T).double() + (NOISE**2 + tolerance**2) * torch.eye(3, dtype=torch.float64)
    log_evidence = torch.distributions.MultivariateNormal(torch.zeros(3, dtype=torch.float64), spread).log_prob(
        OBSERVED.double()
    ) + 1.5 * math.log(2 * math.pi * tolerance**2)
    assert result.attrs["log_evidence"] == pytest.approx(float(log_evidence), abs=4 / math.sqrt(size))


def test_adjusted_draws_follow_the_exact_posterior() -> None:
    result = SMCABC(normal_prior(), linear, draws=4000).run(OBSERVED, simulations=8000, seed=1)
    draws = torch.from_numpy(result.posterior.theta.values[0]).double()
    mean, covariance = exact(NOISE**2)
    size = float(result.population_stats.effective_sample_size[0, -1])
    # Regression extrapolates with an error of its own, about that of the mean of as many draws.
    assert ((draws.mean(0) - mean).abs() < 6 * (covariance.diag() / size).sqrt()).all()
    assert draws.T.cov().diag().numpy() == pytest.approx(covariance.diag().numpy(), rel=0.25)
    assert len(draws.unique(dim=0)) == 4000


@pytest.mark.slow
def test_ten_parameters_are_as_accurate_as_rejection_and_regression() -> None:
    """Beaumont, Zhang and Balding, Genetics 162 (2002) 2025, in NumPy; as many simulations, accepted at two widths.

    Prior and noise have the same variance, so the exact posterior mean is half of what is observed. Over five data sets
    the error of a posterior mean is the width of regression at this sample size, 0.07 to 0.15 standard deviations.
    """
    deviation, generator = math.sqrt(0.1), np.random.default_rng(0)
    prior = dist.Normal(torch.zeros(10), deviation).to_event(1)
    errors: dict[str, list[np.ndarray]] = {"smc": [], "rejection": []}
    for seed in range(5):
        observed = math.sqrt(0.2) * generator.normal(size=10)
        method = SMCABC(prior, lambda theta: theta + deviation * torch.randn_like(theta), draws=4000)
        draws = method.run(torch.tensor(observed), simulations=10000, seed=seed).posterior.theta.values[0]
        errors["smc"].append(draws.mean(0) - observed / 2)
        theta = deviation * generator.normal(size=(10000, 10))
        residual = theta + deviation * generator.normal(size=theta.shape) - observed
        distance = np.linalg.norm(residual, axis=1)
        for fraction in (0.2, 0.05):
            kept = distance < np.quantile(distance, fraction)
            design = np.column_stack([np.ones(kept.sum()), residual[kept]])
            errors["rejection"].append(np.linalg.lstsq(design, theta[kept], rcond=None)[0][0] - observed / 2)
    rms = {name: np.sqrt(np.mean(np.square(values))) for name, values in errors.items()}
    # The ratio of the roots of 50 and 100 mean squares has a standard deviation of about 0.12.
    assert rms["smc"] < 1.4 * rms["rejection"]


def test_a_program_gives_named_variables_within_supports_that_depend_on_each_other() -> None:
    def simulator(parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert parameters["scale"].dim() == 1
        assert parameters["level"].shape[1:] == (3,)
        return {"level": parameters["level"] + 0.1 * torch.randn_like(parameters["level"]), "one": parameters["scale"]}

    observed = {"one": torch.tensor(1.0), "level": torch.tensor([0.1, 1.0, 1.9])}
    result = SMCABC(program, simulator, dims={"level": ["place"]}, adjustment=LinearAdjustment()).run(
        observed, simulations=10000
    )
    assert result.posterior.level.dims == ("chain", "draw", "place")
    assert (result.posterior.level > 0).all()
    assert (result.posterior.level < 2 * result.posterior.scale).all()
    # The scale is observed without noise: given it, the levels are normal, cut off at 0 and 2.
    exact = truncnorm(
        (0 - np.array([0.1, 1.0, 1.9])) / 0.1, (2 - np.array([0.1, 1.0, 1.9])) / 0.1, [0.1, 1.0, 1.9], 0.1
    )
    size = float(result.population_stats.effective_sample_size[0, -1])
    assert float(result.posterior.scale.mean()) == pytest.approx(1.0, abs=1e-4)
    error = (result.posterior.level.mean(("chain", "draw")).values - exact.mean()) / exact.std()
    assert (np.abs(error) < 4 / math.sqrt(size)).all()
    assert set(result.observed_data) == {"one", "level"}


def test_single_draw_simulators_and_summaries() -> None:
    def simulator(theta: torch.Tensor) -> np.ndarray:
        assert theta.shape == (2,)
        return np.random.normal(theta.numpy(), 0.1, size=(50, 2))  # noqa: NPY002 - the global generator is seeded too

    def summary(data: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(data).mean(-2)

    method = SMCABC(normal_prior(), simulator, vectorised=False, summary=summary, adjustment=LinearAdjustment())
    observed = torch.full((50, 2), 0.5)
    first, second = (method.run(observed, simulations=500, seed=4) for _ in range(2))
    assert first.posterior.identical(second.posterior)
    assert first.posterior.theta.values[0].mean(0) == pytest.approx([0.5, 0.5], abs=0.05)


def test_global_random_state_is_left_alone_and_does_not_matter() -> None:
    method = SMCABC(normal_prior(), linear, adjustment=NoAdjustment())
    torch.manual_seed(1)
    first = method.run(OBSERVED, simulations=500, seed=2)
    after = torch.rand(1)
    second = method.run(OBSERVED, simulations=500, seed=2)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    assert first.posterior.identical(second.posterior)
    assert not first.posterior.identical(method.run(OBSERVED, simulations=500, seed=3).posterior)


def test_failed_simulations_are_counted_and_tolerated() -> None:
    def simulator(theta: torch.Tensor) -> torch.Tensor:
        data = linear(theta)
        data[theta[:, 0] < -1] = torch.nan
        if len(theta) > 1 and (theta[:, 0] > 1.2).any():
            raise RuntimeError("a whole batch fails")
        if (theta[:, 0] > 1.2).any():
            raise RuntimeError("does not converge")
        return data

    result = SMCABC(normal_prior(), simulator, block_size=50, adjustment=NoAdjustment()).run(
        OBSERVED, simulations=1000, seed=0
    )
    failed = int(result.population_stats.failed_simulations[0, -1])
    first = result.prior.theta.values[0, :, 0]
    assert failed >= ((first < -1) | (first > 1.2)).sum() > 10
    assert np.isfinite(result.sample_stats.distance).all()


@pytest.mark.parametrize("reason", ["raises", "NaN"])
def test_too_many_failures_say_how_many_and_give_an_example(reason: str) -> None:
    def simulator(theta: torch.Tensor) -> torch.Tensor:
        if reason == "raises":
            raise RuntimeError("no convergence")
        return torch.full((len(theta), 3), torch.nan)

    expected = r"failed for 200 of 200 draws \(.*(no convergence|NaN).*theta = \[.*max_failed"
    with pytest.raises(InputError, match=expected):
        SMCABC(normal_prior(), simulator, block_size=200).run(OBSERVED, simulations=5000)


@pytest.mark.parametrize(
    ("simulator", "observed", "message"),
    [
        (linear, torch.zeros(4), "one simulation has 3 numbers, the observed data have 4"),
        (
            lambda theta: linear(theta)[:-1],
            OBSERVED,
            r"the draws must be its first dimension \(for a simulator of single draws set vectorised=False\)",
        ),
        (lambda theta: "text", OBSERVED, "must be a tensor"),
        (linear, torch.tensor([0.0, torch.nan, 0.0]), "observed: .* not finite"),
    ],
)
def test_wrong_data_are_refused(simulator: object, observed: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SMCABC(normal_prior(), simulator).run(observed, simulations=500)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 0}, "draws must be an integer ≥ 1, got 0"),
        ({"max_failed": 0.0}, "max_failed must be above 0"),
        ({"executor": "cluster"}, "executor must be"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SMCABC(normal_prior(), linear, **settings).run(OBSERVED, simulations=100)


def test_without_a_budget_a_rule_must_end_the_run() -> None:
    method = SMCABC(normal_prior(), linear, population_size=300, distance=euclidean, adjustment=NoAdjustment())
    with pytest.raises(InputError, match="stopping rule"):
        method.run(OBSERVED)
    reached = method.run(OBSERVED, stop=ToleranceReached(0.5))
    tolerances = reached.population_stats.tolerance.values[0, :-1]
    assert tolerances[-1] <= 0.5 < tolerances[-2]
    assert method.run(OBSERVED, stop=[TimeAbove(0.0), ToleranceReached(0.0)]).attrs["simulations"] == 300


def test_uneven_budgets_are_used_up_exactly() -> None:
    result = SMCABC(normal_prior(), linear, adjustment=LinearAdjustment()).run(OBSERVED, simulations=1237)
    assert result.attrs["simulations"] == 1237


def test_a_posterior_cut_off_by_the_prior_keeps_its_shape_there() -> None:
    prior = dist.Uniform(torch.zeros(1), torch.ones(1)).to_event(1)
    result = SMCABC(prior, lambda theta: theta + 0.2 * torch.randn_like(theta), draws=4000).run(
        torch.tensor([0.05]), simulations=10000, seed=5
    )
    draws = result.posterior.theta.values.ravel()
    grid = np.linspace(0, 1, 20001)
    density = np.exp(-0.5 * ((grid - 0.05) / 0.2) ** 2)
    cumulative = np.cumsum(density) / density.sum()
    distance = np.abs(np.interp(np.sort(draws), grid, cumulative) - np.linspace(0, 1, len(draws))).max()
    assert distance < 0.05  # 4000 draws of about 1000 independent particles: 1.6 / sqrt(1000)
