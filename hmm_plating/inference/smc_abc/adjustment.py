"""Regression adjustment: accepted draws moved to where they would be, had their summaries been the observed ones.

    linear            θ* = θ − (s − s_obs)ᵀ B,   B by ridge regression
    heteroscedastic   θ* = m(s_obs) + (θ − m(s)) σ(s_obs)/σ(s),   m and log σ² linear in s
    mixture           θ* = θ − (s − s_obs)ᵀ B_k with probability p(k | θ, s), weight times p(k | s_obs)/p(k | s)

Beaumont, Zhang and Balding, Genetics 162 (2002) 2025; Blum and François, Statistics and Computing 20 (2010) 63. The
mixture has one regression per component of a Gaussian mixture in (θ, s), as many as the Bayesian information criterion
finds (Forbes et al., Statistics and Computing 32 (2022) 85): several modes and curved ridges each keep their own slope.

Residuals of a regression with p slopes fitted to n draws are too small by (1 − p/n)^½ in the mean, and are widened by
it: few draws and many summaries would otherwise give a posterior that is too sure of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.resampling import effective_sample_size
from hmm_plating.inference.smc_abc.joint_mixture import fit_joint_mixture


class Adjusted(NamedTuple):
    """Draws (n, d) and the change of their log weights (n,)."""

    draws: Tensor
    log_weight_change: Tensor


Move = Callable[[Tensor, Tensor, Tensor], Adjusted]
"""From draws (n, d), their summaries (n, m) and the summaries to move to (m,)."""


class Adjustment(Protocol):
    """Learns the move from draws (n, d), summaries (n, m) and log weights (n,)."""

    def fit(self, draws: Tensor, summaries: Tensor, log_weights: Tensor, generator: Generator) -> Move: ...


@dataclass(frozen=True)
class NoAdjustment:
    """Leaves the draws where they are."""

    def fit(self, draws: Tensor, summaries: Tensor, log_weights: Tensor, generator: Generator) -> Move:
        return lambda draws, summaries, target: Adjusted(draws, draws.new_zeros(len(draws)))


@dataclass(frozen=True)
class LinearAdjustment:
    """Local linear ridge regression, with constant or varying spread.

    Attributes:
        ridge: penalty, as a fraction of the variance of the summaries (which are scaled to 1).
        heteroscedastic: whether the spread varies with the summaries.
    """

    ridge: float = 1e-6
    heteroscedastic: bool = False

    def __post_init__(self) -> None:
        if self.ridge < 0:
            raise InputError(f"LinearAdjustment: ridge must not be negative, got {self.ridge!r}")

    def fit(self, draws: Tensor, summaries: Tensor, log_weights: Tensor, generator: Generator) -> Move:
        weights = torch.softmax(log_weights, 0)
        centre = weights @ summaries
        scale = (weights @ (summaries - centre).square()).sqrt()
        scale = torch.where(scale > 0, scale, torch.inf)

        def design(at: Tensor) -> Tensor:
            return torch.cat([at.new_ones(len(at), 1), (at - centre) / scale], 1)

        rows = design(summaries)
        slopes = _ridge_regression(rows, draws, weights, self.ridge)
        residuals = draws - rows @ slopes
        widening = _widening(effective_sample_size(log_weights), 1 + int(scale.isfinite().sum()))
        tiny = 1e-20 * (weights @ residuals.square()) + 1e-300
        # The mean of log χ²₁ is a constant that cancels in the ratio of spreads.
        log_variance = _ridge_regression(rows, (residuals.square() + tiny).log(), weights, self.ridge)

        def move(draws: Tensor, summaries: Tensor, target: Tensor) -> Adjusted:
            here, there = design(summaries), design(target[None])
            centred = (draws - here @ slopes) * widening
            if self.heteroscedastic:
                centred = centred * torch.exp(0.5 * (there - here) @ log_variance)
            return Adjusted(there @ slopes + centred, draws.new_zeros(len(draws)))

        return move


@dataclass(frozen=True)
class MixtureAdjustment:
    """One linear regression per component of a Gaussian mixture of draws and summaries.

    Attributes:
        most_components: as many are tried.
        particles: as many of the draws take part in the fit.
    """

    most_components: int = 12
    particles: int = 2000

    def __post_init__(self) -> None:
        if min(self.most_components, self.particles) < 1:
            raise InputError(f"MixtureAdjustment: most_components and particles must be at least 1, got {self}")

    def fit(self, draws: Tensor, summaries: Tensor, log_weights: Tensor, generator: Generator) -> Move:
        mixture = fit_joint_mixture(draws, summaries, log_weights, self.most_components, self.particles, generator)
        slopes, split = mixture.slopes, draws.shape[1]
        draws_each = effective_sample_size(log_weights) * mixture.log_proportions.exp()
        widening = _widening(draws_each, 1 + int((summaries.std(0) > 0).sum()))

        def move(draws: Tensor, summaries: Tensor, target: Tensor) -> Adjusted:
            responsibility = mixture.responsibilities(draws, summaries)
            chosen = torch.multinomial(responsibility, 1, generator=generator)
            slope, mean = slopes[chosen[:, 0]], mixture.means[chosen[:, 0]]
            residuals = draws - mean[:, :split] - ((summaries - mean[:, split:])[:, None] @ slope)[:, 0]
            there = mean[:, :split] + ((target - mean[:, split:])[:, None] @ slope)[:, 0]
            moved = there + residuals * widening[chosen]
            change = mixture.log_gates(target[None])[0, chosen] - mixture.log_gates(summaries).gather(1, chosen)
            return Adjusted(moved, change[:, 0])

        return move


def _widening(size: Tensor, slopes: int) -> Tensor:
    """Of residuals, for `slopes` fitted to `size` draws; at most 2."""
    return (1 - slopes / size).clamp(min=0.25).rsqrt()


def _ridge_regression(design: Tensor, response: Tensor, weights: Tensor, ridge: float) -> Tensor:
    """Slopes, with a little ridge always, so that a summary that never varies does no harm."""
    penalty = torch.full((design.shape[1],), max(ridge, 1e-12), dtype=design.dtype)
    penalty[0] = 0
    weighted = design * weights[:, None]
    return torch.linalg.solve(weighted.T @ design + torch.diag(penalty), weighted.T @ response)
