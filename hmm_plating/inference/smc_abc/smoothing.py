"""Continuous draws from weighted particles: a kernel density estimate that keeps the local mean and covariance.

    θ' = m_i + sqrt(1 − b²) (θ_i − m_i) + b L_i ε,   ε ~ N(0, 1)

m_i and L_i L_iᵀ are the moments of the neighbours of particle i: with all particles as neighbours this is the
shrinkage of Liu and West (in "Sequential Monte Carlo Methods in Practice" (2001) 197), with few it follows modes and
ridges. The number of neighbours and b maximise the likelihood of held-out particles (Habbema, Hermans and van den
Broek, Compstat (1974) 101).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from hmm_plating.inference.resampling import stratified, thinned
from hmm_plating.inference.smc_abc.proposal import Mixture, cholesky, local_moments

_FRACTIONS = (1.0, 0.3, 0.1, 0.03)
_BANDWIDTHS = (0.08, 0.15, 0.25, 0.4, 0.6, 0.8)
_COMPONENTS = 2000
_HELD_OUT = 500


def smoothed(points: Tensor, log_weights: Tensor, fraction: float, bandwidth: float) -> Mixture:
    """The estimate as a mixture with one component per particle."""
    return _estimate(points, log_weights, _neighbourhoods(points, log_weights, fraction), bandwidth)


def density_estimate(points: Tensor, log_weights: Tensor, generator: Generator) -> Mixture:
    """The estimate with the best of a few neighbourhoods and bandwidths; some particles stand for very many."""
    kept, log_weights = thinned(log_weights, _COMPONENTS, stratified, generator=generator)
    points = points[kept]
    half = min(len(points) // 2, _HELD_OUT)
    if half <= 2 * (points.shape[1] + 1):
        return smoothed(points, log_weights, 1.0, _BANDWIDTHS[-1])
    order = torch.randperm(len(points), generator=generator)
    fitted, held_out = order[:half], order[half : 2 * half]
    weights = torch.softmax(log_weights[held_out], 0)

    best, best_score = (_FRACTIONS[0], _BANDWIDTHS[-1]), -math.inf
    for fraction in _FRACTIONS:
        local = _neighbourhoods(points[fitted], log_weights[fitted], fraction)
        for bandwidth in _BANDWIDTHS:
            estimate = _estimate(points[fitted], log_weights[fitted], local, bandwidth)
            # One far outlier must not decide.
            score = float(weights @ estimate.log_density(points[held_out]).clamp(min=-1e4))
            if score > best_score:
                best, best_score = (fraction, bandwidth), score
    return smoothed(points, log_weights, *best)


def _neighbourhoods(points: Tensor, log_weights: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Mean (n, d) and Cholesky factor (n, d, d) of the neighbours of each point."""
    mean, covariance = local_moments(points, torch.softmax(log_weights, 0), fraction)
    return mean, cholesky(covariance)


def _estimate(points: Tensor, log_weights: Tensor, local: tuple[Tensor, Tensor], bandwidth: float) -> Mixture:
    mean, factor = local
    centres = mean + math.sqrt(1 - bandwidth**2) * (points - mean)
    return Mixture(centres, torch.log_softmax(log_weights, 0), bandwidth * factor, torch.full((len(points),), -1))
