"""Gaussian mixture of draws and summaries, fitted by weighted expectation–maximisation.

    p(θ, s) = Σ_k π_k N((θ, s); μ_k, Σ_k),   E_k[θ | s] = μ_θ + (s − μ_s)ᵀ B_k,   B_k = Σ_ss⁻¹ Σ_sθ

The number of components minimises the Bayesian information criterion (Schwarz, Annals of Statistics 6 (1978) 461), with
the effective sample size as number of observations. Inverse regression of this kind: Deleforge, Forbes and Horaud,
Statistics and Computing 25 (2015) 893.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from hmm_plating.inference.resampling import effective_sample_size, stratified

_ITERATIONS = 60
_TOLERANCE = 1e-3
_DRAWS_PER_SLOPE = 10


class JointMixture(NamedTuple):
    """A fitted mixture; k components, d entries of θ, m of s.

    Attributes:
        log_proportions: (k,).
        means: (k, d + m).
        covariances: (k, d + m, d + m).
        split: d.
    """

    log_proportions: Tensor
    means: Tensor
    covariances: Tensor
    split: int

    @property
    def slopes(self) -> Tensor:
        """B, (k, m, d)."""
        within = self.covariances[:, self.split :, self.split :]
        return torch.linalg.solve(within, self.covariances[:, self.split :, : self.split])

    def log_gates(self, summaries: Tensor) -> Tensor:
        """log p(k | s), (n, k)."""
        part = slice(self.split, None)
        return torch.log_softmax(self.log_proportions + _log_normal(summaries, self.means[:, part],
                                                                    self.covariances[:, part, part]), -1)  # fmt: skip

    def responsibilities(self, draws: Tensor, summaries: Tensor) -> Tensor:
        """p(k | θ, s), (n, k)."""
        joint = torch.cat([draws, summaries], 1)
        return torch.softmax(self.log_proportions + _log_normal(joint, self.means, self.covariances), -1)


def fit_joint_mixture(
    draws: Tensor, summaries: Tensor, log_weights: Tensor, most_components: int, particles: int, generator: Generator
) -> JointMixture:
    """Fit with 1, 2, 3, 4, 6, 8, … components until the criterion gets worse or draws are too few."""
    joint = torch.cat([draws, summaries], 1)
    weights = torch.softmax(log_weights, 0)
    size = float(effective_sample_size(log_weights))
    if len(joint) > particles:
        joint = joint[stratified(log_weights, particles, generator=generator)]
        weights = torch.full((particles,), 1 / particles, dtype=joint.dtype)
    mean = weights @ joint
    scale = (weights @ (joint - mean).square()).sqrt()
    # A summary that never varies keeps its unit; the floor of the covariance makes its slope zero.
    scale = torch.where(scale > 0, scale, 1.0)
    standard = (joint - mean) / scale
    best, best_score, components = None, math.inf, 1
    most_components = min(most_components, max(int(size / (_DRAWS_PER_SLOPE * standard.shape[1])), 1))
    while components <= most_components:
        fit, log_likelihood = _expectation_maximisation(standard, weights, components, draws.shape[1], size, generator)
        width = standard.shape[1]
        free = components * (1 + width + width * (width + 1) / 2) - 1
        score = -2 * size * log_likelihood + free * math.log(size)
        if score >= best_score:
            break
        best, best_score = fit, score
        components = components + 1 if components < 4 else components + 2 * (components // 4)
    assert best is not None
    return JointMixture(
        best.log_proportions,
        mean + best.means * scale,
        best.covariances * scale[:, None] * scale,
        draws.shape[1],
    )


def _expectation_maximisation(
    points: Tensor, weights: Tensor, components: int, split: int, size: float, generator: Generator
) -> tuple[JointMixture, float]:
    responsibility = _first_guess(points[:, :split], weights, components, generator)
    previous = -math.inf
    for _ in range(_ITERATIONS):
        mass = (weights[:, None] * responsibility).T
        proportions = mass.sum(1)
        mean = (mass @ points) / proportions[:, None].clamp(min=1e-300)
        centred = points - mean[:, None]
        covariance = (centred * mass[..., None]).transpose(-1, -2) @ centred
        # One pseudo-observation of unit variance times 1e-2 keeps a component with few points from collapsing.
        prior = 1e-2 * torch.eye(points.shape[1], dtype=points.dtype)
        covariance = (size * covariance + prior) / (size * proportions + 1)[:, None, None]
        fit = JointMixture(proportions.clamp(min=1e-300).log(), mean, covariance, split)
        joint = fit.log_proportions + _log_normal(points, mean, covariance)
        log_likelihood = float(weights @ torch.logsumexp(joint, -1))
        if log_likelihood - previous < _TOLERANCE:
            break
        previous = log_likelihood
        responsibility = torch.softmax(joint, -1)
    return fit, log_likelihood


def _first_guess(points: Tensor, weights: Tensor, components: int, generator: Generator) -> Tensor:
    """k-means++ and a few Lloyd steps, as responsibilities (n, k)."""
    centres = points[torch.multinomial(weights, 1, generator=generator)]
    while len(centres) < components:
        far = weights * torch.cdist(points, centres).min(-1).values.square()
        centres = torch.cat([centres, points[torch.multinomial(far.clamp(min=1e-300), 1, generator=generator)]])
    for _ in range(10):
        member = torch.nn.functional.one_hot(torch.cdist(points, centres).argmin(-1), components).to(points.dtype)
        mass = weights[:, None] * member
        centres = torch.where(mass.sum(0)[:, None] > 0, (mass.T @ points) / mass.sum(0)[:, None], centres)
    return member


def _log_normal(points: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(covariances)
    whitened = torch.linalg.solve_triangular(factor, (points - means[:, None]).transpose(-1, -2), upper=False)
    determinant = torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
    return (-0.5 * whitened.square().sum(-2) - determinant[:, None]).T - 0.5 * points.shape[1] * math.log(2 * math.pi)
