"""Families of variational distributions q(β) on R^d.

All of them stand on an affine map that `standardise` sets from draws of the target, so that a family never has to learn
where and how wide the posterior is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import pyro.distributions.transforms as transforms
import torch
from torch import Tensor, nn

from hmm_plating.inference.likelihood_free_vi.frame import Frame

_ITERATIONS = 50


class Guide(nn.Module):
    """A family: its affine map, its draws and its density.

    Args:
        size: d.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.frame = Frame(size)

    def standardise(self, draws: Tensor) -> None:
        """Take the moments of draws of the target (S, d)."""
        self.frame.set_from(draws)

    def forward(self, count: int) -> tuple[Tensor, Tensor]:
        """At least `count` reparameterised draws (S, d), and weights (S,) that sum to 1."""
        raise NotImplementedError

    def sample(self, count: int) -> Tensor:
        """Independent draws of equal weight (count, d)."""
        return self(count)[0]

    def log_prob(self, draws: Tensor) -> Tensor:
        """Log density at (…, d): (…,)."""
        raise NotImplementedError


class NormalGuide(Guide):
    """Full-rank Gaussian."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.location = nn.Parameter(torch.zeros(size))
        self.lower = nn.Parameter(torch.zeros(size, size))

    def standardise(self, draws: Tensor) -> None:
        super().standardise(draws)
        with torch.no_grad():
            self.location.zero_()
            self.lower.zero_()

    def forward(self, count: int) -> tuple[Tensor, Tensor]:
        return self.frame(self._normal().rsample((count,))), torch.full((count,), 1 / count)

    def log_prob(self, draws: Tensor) -> Tensor:
        return self._normal().log_prob(self.frame.inverse(draws)) - self.frame.log_determinant()

    def _normal(self) -> dist.MultivariateNormal:
        return dist.MultivariateNormal(self.location, scale_tril=_triangular(self.lower), validate_args=False)


class MixtureGuide(Guide):
    """Mixture of full-rank Gaussians, drawn from in equal numbers per component with its weight.

    Args:
        size: d.
        components: their number.
    """

    def __init__(self, size: int, components: int = 8) -> None:
        super().__init__(size)
        self.logits = nn.Parameter(torch.zeros(components))
        self.locations = nn.Parameter(torch.zeros(components, size))
        self.lower = nn.Parameter(torch.zeros(components, size, size))

    def standardise(self, draws: Tensor) -> None:
        """Fit the mixture to draws of the target (S, d) by expectation maximisation (Dempster, Laird, Rubin 1977)."""
        super().standardise(draws)
        standard = self.frame.inverse(draws)
        count, size = standard.shape
        with torch.no_grad():
            self.logits.zero_()
            self.locations.copy_(standard[torch.randperm(count)[: len(self.logits)]])
            self.lower.copy_(math.log(0.5) * torch.eye(size))
            for _ in range(_ITERATIONS):
                joint = self._components().log_prob(standard[:, None, :]) + self.logits.log_softmax(0)
                share = joint.softmax(-1) + 1e-6
                total = share.sum(0)
                means = (share.T @ standard) / total[:, None]
                offsets = standard[:, None, :] - means
                covariance = torch.einsum("sk,ski,skj->kij", share, offsets, offsets) / total[:, None, None]
                factor = torch.linalg.cholesky(covariance + 1e-6 * torch.eye(size))
                self.logits.copy_(total.log())
                self.locations.copy_(means)
                self.lower.copy_(factor.tril(-1) + torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1).log()))

    def forward(self, count: int) -> tuple[Tensor, Tensor]:
        components = len(self.logits)
        each = -(-count // components)
        draws = self._components().rsample((each,)).transpose(0, 1).reshape(components * each, -1)
        return self.frame(draws), (self.logits.softmax(0) / each).repeat_interleave(each)

    def sample(self, count: int) -> Tensor:
        chosen = torch.multinomial(self.logits.softmax(0), count, replacement=True)
        triangular = _triangular(self.lower)[chosen]
        normal = dist.MultivariateNormal(self.locations[chosen], scale_tril=triangular, validate_args=False)
        return self.frame(normal.sample())

    def log_prob(self, draws: Tensor) -> Tensor:
        inner = self._components().log_prob(self.frame.inverse(draws)[..., None, :])
        return torch.logsumexp(inner + self.logits.log_softmax(0), -1) - self.frame.log_determinant()

    def _components(self) -> dist.MultivariateNormal:
        return dist.MultivariateNormal(self.locations, scale_tril=_triangular(self.lower), validate_args=False)


class FlowGuide(Guide):
    """Normalising flow of rational-spline couplings (Durkan et al. 2019, arXiv:1906.04032; Dolatabadi et al. 2020).

    Args:
        size: d.
        layers: number of couplings.
        bins: segments of each spline.
        hidden: widths of the layers of each coupling's network.
        bound: splines act within ± bound standard deviations.
    """

    def __init__(
        self, size: int, layers: int = 4, bins: int = 12, hidden: Sequence[int] = (64, 64), bound: float = 4.0
    ) -> None:
        super().__init__(size)
        self.size = size
        self.couplings = nn.ModuleList(
            transforms.spline_coupling(size, hidden_dims=list(hidden), count_bins=bins, bound=bound)
            if size > 1
            else transforms.Spline(1, count_bins=bins, bound=bound)
            for _ in range(layers if size > 1 else 1)
        )
        for coupling in self.couplings:
            _start_at_identity(coupling)
        orders = [torch.randperm(size) if size > 2 else torch.arange(size).flip(0) for _ in self.couplings]
        self.orders: Tensor
        self.register_buffer("orders", torch.stack(orders))

    def forward(self, count: int) -> tuple[Tensor, Tensor]:
        return self.frame(self._flow().rsample((count,))), torch.full((count,), 1 / count)

    def log_prob(self, draws: Tensor) -> Tensor:
        return self._flow().log_prob(self.frame.inverse(draws)) - self.frame.log_determinant()

    def _flow(self) -> dist.TransformedDistribution:
        base = dist.Normal(torch.zeros(self.size), 1.0).to_event(1)
        steps = [
            step
            for coupling, order in zip(self.couplings, self.orders, strict=True)
            for step in (coupling, transforms.Permute(order))
        ]
        return dist.TransformedDistribution(base, steps, validate_args=False)


def _triangular(lower: Tensor) -> Tensor:
    """Cholesky factor with the exponential of the diagonal."""
    return lower.tril(-1) + torch.diag_embed(lower.diagonal(dim1=-2, dim2=-1).exp())


def _start_at_identity(coupling: Any) -> None:
    """Equal bins with derivative 1; as Pyro starts them, at random, densities have spikes."""
    unit_derivative = math.log(math.e - 1)
    spline = getattr(coupling, "lower_spline", coupling)
    with torch.no_grad():
        for raw in (spline.unnormalized_widths, spline.unnormalized_heights, spline.unnormalized_lambdas):
            raw.zero_()
        spline.unnormalized_derivatives.fill_(unit_derivative)
        if spline is not coupling:
            network = coupling.upper_spline.nn
            network.layers[-1].weight.mul_(0.01)
            network.layers[-1].bias.zero_()
            network.layers[-1].bias[network.param_slices[2]] = unit_derivative
