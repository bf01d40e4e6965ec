"""Distances between simulated and observed summaries, and their scales, learned from the simulations.

    d(s) = |L⁻¹ (s − s_obs)|,   L diagonal or triangular

The scales are those of the latest simulations, which come from close to the posterior: those of the prior would let
summaries dominate that vary only far away (Prangle, Bayesian Analysis 12 (2017) 289).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Distance = Callable[[Tensor], Tensor]
"""From s − s_obs (n, m) of recent simulations to the matrix L⁻ᵀ (m, m) that multiplies it from the right."""

_NORMAL_MAD = 0.6744897501960817


def euclidean(recent: Tensor) -> Tensor:
    """L = 1: the plain Euclidean distance."""
    return torch.eye(recent.shape[-1], dtype=recent.dtype)


def median_absolute_deviation(recent: Tensor) -> Tensor:
    """L the median absolute deviation from the median, over 0.674; the standard deviation where it is zero."""
    deviation = (recent - recent.median(0).values).abs().median(0).values / _NORMAL_MAD
    return torch.diag(_inverse(torch.where(deviation > 0, deviation, recent.std(0))))


def standard_deviation(recent: Tensor) -> Tensor:
    """L the standard deviation."""
    return torch.diag(_inverse(recent.std(0)))


def mahalanobis(recent: Tensor) -> Tensor:
    """L Lᵀ the covariance matrix; directions of no variance do not count."""
    variances, directions = torch.linalg.eigh(torch.atleast_2d(recent.T.cov()))
    kept = variances > 1e-10 * variances.max()
    return directions * torch.where(kept, variances, torch.inf).rsqrt()


def whitened_distance(residuals: Tensor, whitening: Tensor) -> Tensor:
    """d (n,) from s − s_obs (n, m); infinite where a summary is not finite."""
    distance = torch.linalg.vector_norm(residuals @ whitening, dim=-1)
    return torch.nan_to_num(distance, nan=torch.inf, posinf=torch.inf)


def _inverse(scale: Tensor) -> Tensor:
    """A summary that never varies tells nothing: it does not count."""
    return torch.where(scale > 0, scale, torch.inf).reciprocal()
