"""Resampling through which a gradient passes: from weighted particles to particles with new weights.

Stop-gradient (Ścibior and Wood, arXiv:2106.10314): ancestors A as of any scheme, weights (1/N) W_A / W̄_A, where W̄ is
W held constant. The values are those of the scheme, and the gradient of the evidence is unbiased.

Soft (Karkus, Hsu and Lee, CoRL 2018, arXiv:1805.08975): A ~ q = α W + (1 − α)/N, weights (1/N) W_A / q_A. A part of the
gradient passes through the weights; that through the choice of A is left out, which biases it.

Both are unbiased as to values for every α in (0, 1]. Optimal transport has a file of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.resampling import Resampling, systematic, take


class Resampled(NamedTuple):
    """Particles, N leading, and their log weights (N,); these sum to 1 in expectation."""

    particles: dict[str, Tensor]
    log_weights: Tensor


class DifferentiableResampling(Protocol):
    """A scheme: particles and normalised log weights (N,) to new ones, differentiable in both."""

    def __call__(self, particles: dict[str, Tensor], log_weights: Tensor) -> Resampled: ...


@dataclass(frozen=True)
class StopGradient:
    """Ancestors of `scheme`, weights that carry the gradient."""

    scheme: Resampling = systematic

    def __call__(self, particles: dict[str, Tensor], log_weights: Tensor) -> Resampled:
        held = log_weights.detach()
        ancestors = self.scheme(held)
        return Resampled(take(particles, ancestors), (log_weights - held)[ancestors] - math.log(len(held)))


@dataclass(frozen=True)
class Soft:
    """Ancestors of `scheme` from weights mixed with equal ones; `share` is α."""

    share: float = 0.5
    scheme: Resampling = systematic

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"Soft: share must be in (0, 1], got {self.share!r}")

    def __call__(self, particles: dict[str, Tensor], log_weights: Tensor) -> Resampled:
        equal = torch.full_like(log_weights, -math.log(len(log_weights)))
        mixed = log_weights + math.log(self.share)
        if self.share < 1:
            mixed = torch.logaddexp(mixed, equal + math.log1p(-self.share))
        ancestors = self.scheme(mixed.detach())
        return Resampled(take(particles, ancestors), (log_weights - mixed + equal)[ancestors])
