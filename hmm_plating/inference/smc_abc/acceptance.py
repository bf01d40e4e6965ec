"""Kernels K(d/h): how much a simulation at distance d counts at tolerance h.

    uniform 1[d ≤ h],   Epanechnikov (1 − d²/h²)₊,   Gaussian exp(−d²/2h²)

Beaumont, Zhang and Balding, Genetics 162 (2002) 2025. With the Gaussian kernel, ABC is exact for a model with Gaussian
measurement error of standard deviation h added (Wilkinson, SAGMB 12 (2013) 129).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class AcceptanceKernel(NamedTuple):
    """A kernel and the distance, in tolerances, from which on it is zero."""

    name: str
    reach: float

    def log_weight(self, distance: Tensor, tolerance: float) -> Tensor:
        """log K(d/h), −inf beyond the reach; an infinite tolerance accepts every finite distance alike."""
        inside = distance <= self.reach * tolerance
        flat = torch.zeros_like(distance)
        if math.isinf(tolerance) or tolerance == 0:
            return flat.masked_fill(~(inside & distance.isfinite()), -torch.inf)
        ratio = distance / tolerance
        if self.name == "uniform":
            log_weight = flat
        elif self.name == "epanechnikov":
            log_weight = torch.log1p(-(ratio.clamp(max=1) ** 2))
        else:
            log_weight = -0.5 * ratio**2
        return torch.where(inside, log_weight, -torch.inf)


uniform = AcceptanceKernel("uniform", 1.0)
epanechnikov = AcceptanceKernel("epanechnikov", 1.0)
# Beyond eight tolerances a Gaussian weight is below 1e-13 of the largest.
gaussian = AcceptanceKernel("gaussian", 8.0)
