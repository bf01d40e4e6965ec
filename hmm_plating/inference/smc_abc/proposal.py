"""Proposals: the weighted particles, each perturbed by a Gaussian, on the unconstrained space.

    q(u) = Σ_j W_j N(u; u_j, c² Σ_j)

Σ_j is the covariance of all particles (Beaumont et al., Biometrika 96 (2009) 983), or of the neighbours of particle j,
which follows several modes and curved ridges (Filippi et al., SAGMB 12 (2013) 87).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.covariance import weighted_covariance
from hmm_plating.inference.resampling import systematic, thinned

_BLOCK = 200_000


class Mixture(NamedTuple):
    """Σ_j W_j N(u; m_j, L_j L_jᵀ).

    Attributes:
        centres: m, (components, dimension).
        log_weights: log W, (components,), normalised.
        cholesky: L, (components, dimension, dimension).
        sources: the simulation that each component is centred on, (components,); −1 for none.
    """

    centres: Tensor
    log_weights: Tensor
    cholesky: Tensor
    sources: Tensor

    def sample(self, count: int, generator: Generator) -> Tensor:
        """(count, dimension); the components take turns systematically."""
        chosen = systematic(self.log_weights, count, generator=generator)
        noise = torch.randn(count, self.centres.shape[-1], dtype=torch.float64, generator=generator)
        return self.centres[chosen] + (self.cholesky[chosen] @ noise[..., None])[..., 0]

    def log_density(self, points: Tensor, sources: Tensor | None = None) -> Tensor:
        """log q, (n,).

        A point that is itself the centre of a component, which `sources` (n,) tells, is left out of its own density: it
        would find itself far more probable there than a fresh draw does.
        """
        dimension = self.centres.shape[-1]
        identity = torch.eye(dimension, dtype=torch.float64).expand_as(self.cholesky)
        whitening = torch.linalg.solve_triangular(self.cholesky, identity, upper=False)
        offset = (whitening @ self.centres[..., None])[..., 0]
        constant = (
            self.log_weights
            - 0.5 * dimension * math.log(2 * math.pi)
            - torch.diagonal(self.cholesky, dim1=-2, dim2=-1).log().sum(-1)
        )
        stacked = whitening.reshape(-1, dimension).T
        log_others = torch.log1p(-self.log_weights.exp().clamp(max=1 - 1e-6))
        parts = []
        rows = max(1, _BLOCK // (len(self.centres) * dimension))
        for start in range(0, len(points), rows):
            block = points[start : start + rows]
            whitened = (block @ stacked).reshape(len(block), -1, dimension).sub_(offset)
            terms = constant - 0.5 * whitened.square_().sum(-1)
            if sources is None:
                parts.append(torch.logsumexp(terms, -1))
                continue
            row, component = (sources[start : start + rows, None] == self.sources).nonzero(as_tuple=True)
            terms[row, component] = -torch.inf
            log_density = torch.logsumexp(terms, -1)
            log_density[row] -= log_others[component]
            parts.append(log_density)
        return torch.cat(parts)


class PerturbationKernel(Protocol):
    """From particles (n, dimension) and log weights (n,) to the Cholesky factors (n, dimension, dimension)."""

    def __call__(self, particles: Tensor, log_weights: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class GlobalCovariance:
    """Σ_j the covariance of all particles.

    Attributes:
        scale: c², 2 in Beaumont et al.
    """

    scale: float = 2.0

    def __call__(self, particles: Tensor, log_weights: Tensor) -> Tensor:
        covariance = self.scale * weighted_covariance(particles, torch.softmax(log_weights, 0))
        return cholesky(covariance).expand(len(particles), -1, -1)


@dataclass(frozen=True)
class LocalCovariance:
    """Σ_j the covariance of the nearest neighbours of particle j.

    Attributes:
        fraction: of the particles that are neighbours; at least 2 (dimension + 1) are.
        scale: c².
    """

    fraction: float = 0.1
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1 or self.scale <= 0:
            raise InputError(f"LocalCovariance: needs 0 < fraction ≤ 1 and scale > 0, got {self}")

    def __call__(self, particles: Tensor, log_weights: Tensor) -> Tensor:
        _, covariance = local_moments(particles, torch.softmax(log_weights, 0), self.fraction)
        return cholesky(self.scale * covariance)


def perturbed(
    particles: Tensor, log_weights: Tensor, kernel: PerturbationKernel, components: int, generator: Generator
) -> Mixture:
    """q from all particles (n, dimension), those of weight zero included; at most `components` stand for all."""
    chosen, log_weights = thinned(log_weights, components, systematic, generator=generator)
    centres = particles[chosen]
    return Mixture(centres, torch.log_softmax(log_weights, 0), kernel(centres, log_weights), chosen)


def local_moments(points: Tensor, weights: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Mean (n, d) and covariance (n, d, d) of each point's nearest neighbours, itself included."""
    count, dimension = points.shape
    overall = weighted_covariance(points, weights)
    neighbours = min(count, max(math.ceil(fraction * count), 2 * (dimension + 1)))
    if neighbours == count:
        return (weights @ points).expand(count, -1), overall.expand(count, -1, -1)
    whitened = points @ torch.linalg.inv(cholesky(overall)).T
    means, covariances = [], []
    for block in whitened.split(max(1, _BLOCK // (neighbours * dimension + count))):
        index = torch.cdist(block, whitened).topk(neighbours, largest=False).indices
        near, weight = points[index], weights[index].clamp(min=1e-12 / count)  # some of positive weight, always
        weight = weight / weight.sum(-1, keepdim=True)
        mean = (weight[..., None] * near).sum(-2, keepdim=True)
        means.append(mean[:, 0])
        centred = near - mean
        covariances.append((centred * weight[..., None]).transpose(-1, -2) @ centred)
    # A little of the whole, so that neighbours on a line still span the space.
    return torch.cat(means), torch.cat(covariances) + 1e-6 * overall


def cholesky(covariance: Tensor) -> Tensor:
    """Factor of a covariance, with as little as needed added to a diagonal that is singular to rounding."""
    diagonal = torch.diag_embed(torch.diagonal(covariance, dim1=-2, dim2=-1))
    floor = torch.finfo(torch.float64).tiny ** 0.5 * torch.eye(covariance.shape[-1], dtype=torch.float64)
    return torch.linalg.cholesky(covariance + 1e-10 * diagonal + floor)
