"""Covariances of particles, and their factors."""

from __future__ import annotations

import torch
from torch import Tensor


def weighted_covariance(points: Tensor, weights: Tensor) -> Tensor:
    """Covariance (d, d) of points (n, d) with normalised weights (n,)."""
    centred = points - weights @ points
    return (centred * weights[:, None]).T @ centred


def jittered_cholesky(covariance: Tensor, jitter: float = 1e-9) -> Tensor:
    """Cholesky factor of a covariance (d, d) with `jitter` (1 + its diagonal) added: all points may stand at one."""
    return torch.linalg.cholesky(covariance + jitter * (1 + covariance.diagonal()).diag())
