"""Affine coordinates: x = mean + scale · s with a lower triangular scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Frame(nn.Module):
    """`forward` maps standard coordinates (…, d) to x, `inverse` back; both parts are buffers, not learned."""

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.eye(size))

    def set(self, mean: Tensor, scale: Tensor) -> None:
        """Take the mean (d,) and the triangular scale (d, d)."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def set_from(self, draws: Tensor) -> None:
        """Take the mean and the Cholesky factor of the covariance of draws (S, d)."""
        self.set(*moments(draws))

    def forward(self, standard: Tensor) -> Tensor:
        return self.mean + standard @ self.scale.mT

    def inverse(self, x: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.scale, (x - self.mean).mT, upper=False).mT

    def log_determinant(self) -> Tensor:
        """log |dx/ds|."""
        return self.scale.diagonal().log().sum()


def moments(draws: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and Cholesky factor (d, d) of the covariance of draws (S, d)."""
    draws = draws.double()
    mean = draws.mean(0)
    covariance = (draws - mean).mT @ (draws - mean) / len(draws)
    floor = 1e-10 * covariance.diagonal() + 1e-30
    return mean, torch.linalg.cholesky(covariance + torch.diag(floor))
