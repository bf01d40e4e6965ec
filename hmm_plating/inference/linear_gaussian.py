"""Kalman filtering of the linear part of a state, batched over particles: Rao–Blackwellisation as a model property.

    x_t = A x_{t−1} + a + N(0, Q),        y_t = H x_t + b + N(0, R)

with A, a, Q, H, b, R given by the nonlinear part of the particle. A model whose `init` puts the mean and covariance of
x into its state, and whose `step` is

    mean, covariance = predict(mean, covariance, A, Q, a)
    pyro.sample("y", observation_distribution(mean, covariance, H, b, R), obs=y)
    mean, covariance = update(mean, covariance, y, H, b, R)

is Rao–Blackwellised: the particle filter samples only what is left (Doucet, de Freitas, Murphy and Russell, UAI 2000).
With `y` None (a forecast or a prior draw) leave `update` out.

Every matrix may have leading batch dimensions, which broadcast. NaN in an observation marks a channel that is missing
or withheld: it is predicted, and neither scored nor used.
"""

from __future__ import annotations

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Size, Tensor
from torch.distributions import constraints
from torch.distributions.utils import lazy_property


def predict(
    mean: Tensor, covariance: Tensor, transition: Tensor, process_covariance: Tensor, offset: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Mean (..., k) and covariance (..., k, k) of A x + a + N(0, Q); `offset` a broadcasts against (..., k)."""
    predicted = _apply(transition, mean) + offset
    return predicted, transition @ covariance @ transition.mT + process_covariance


def observation_distribution(
    mean: Tensor, covariance: Tensor, observation_matrix: Tensor, offset: Tensor | float, noise_covariance: Tensor
) -> PartiallyObservedNormal:
    """Predictive distribution N(H m + b, H P Hᵀ + R) of the observation, event shape (channels,)."""
    loc = _apply(observation_matrix, mean) + offset
    spread = observation_matrix @ covariance @ observation_matrix.mT + noise_covariance
    return PartiallyObservedNormal(loc, spread)


def update(
    mean: Tensor,
    covariance: Tensor,
    observation: Tensor,
    observation_matrix: Tensor,
    offset: Tensor | float,
    noise_covariance: Tensor,
) -> tuple[Tensor, Tensor]:
    """Mean (..., k) and covariance (..., k, k) of x given y (..., channels), whose NaN entries carry no information.

    The covariance is in Joseph's form, (I − KH) P (I − KH)ᵀ + K R Kᵀ, which stays positive semidefinite where noise is
    small against P (Bucy and Joseph 1968). A particle whose predictive covariance is not positive definite becomes NaN.
    """
    observed = ~torch.isnan(observation)
    matrix = torch.where(observed[..., None], observation_matrix, 0.0)
    noise = _observed_covariance(noise_covariance, observed)
    cross = matrix @ covariance
    factor = _cholesky(cross @ matrix.mT + noise)
    gain = torch.cholesky_solve(cross.expand(*factor.shape[:-1], cross.shape[-1]), factor).mT
    residual = torch.where(observed, torch.nan_to_num(observation) - _apply(observation_matrix, mean) - offset, 0.0)
    left = covariance - gain @ cross  # (I − KH) P: no product of two matrices of the state's size is needed
    joseph = left - (left @ matrix.mT) @ gain.mT + (gain @ noise) @ gain.mT
    return mean + _apply(gain, residual), 0.5 * (joseph + joseph.mT)


class PartiallyObservedNormal(TorchDistribution):
    """Multivariate normal whose density integrates out the NaN entries of the value.

    `log_prob` is the marginal density of the entries that are present (0 where none is); `sample` draws all of them.
    A batch member whose covariance is not positive definite has density and draws NaN, and leaves the others alone: one
    particle that went astray must not end a filter.

    Args:
        loc: (..., channels).
        covariance: (..., channels, channels), symmetric.
    """

    arg_constraints = {}  # noqa: RUF012  (the base class reads a plain dict; NaN parameters are allowed, see above)
    has_rsample = True

    def __init__(self, loc: Tensor, covariance: Tensor, validate_args: bool | None = None) -> None:
        batch_shape = torch.broadcast_shapes(loc.shape[:-1], covariance.shape[:-2])
        self.loc = loc.expand(*batch_shape, loc.shape[-1])
        self.covariance = covariance
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> constraints.Constraint:
        return _FINITE_OR_MISSING

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: PartiallyObservedNormal | None = None
    ) -> PartiallyObservedNormal:
        return PartiallyObservedNormal(
            self.loc.expand(*batch_shape, *self.event_shape), self.covariance, validate_args=self._validate_args
        )

    @lazy_property
    def scale_tril(self) -> Tensor:
        return _cholesky(self.covariance)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.covariance.diagonal(dim1=-2, dim2=-1).expand(self.loc.shape)

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        noise = torch.randn(*sample_shape, *self.loc.shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + torch.einsum("...ij,...j->...i", self.scale_tril, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        observed = ~torch.isnan(value)
        factor = _cholesky(_observed_covariance(self.covariance, observed))
        residual = torch.where(observed, torch.nan_to_num(value) - self.loc, 0.0)
        batch_shape = residual.shape[:-1]
        standardised = torch.linalg.solve_triangular(
            factor.expand(*batch_shape, *factor.shape[-2:]), residual[..., None], upper=False
        )[..., 0]
        log_determinant = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        count = observed.sum(-1, dtype=self.loc.dtype)
        return -0.5 * (standardised.square().sum(-1) + count * math.log(2 * math.pi)) - log_determinant

    def whiten(self, value: Tensor) -> Tensor:
        """L⁻¹ μ of the entries that `value` has, Σ = L Lᵀ held constant: (..., channels), 0 for the missing ones."""
        observed = ~torch.isnan(value)
        factor = _cholesky(_observed_covariance(self.covariance.detach(), observed))
        location = torch.where(observed, self.loc, 0.0)
        factor = factor.expand(*location.shape[:-1], *factor.shape[-2:])
        return torch.linalg.solve_triangular(factor, location[..., None], upper=False)[..., 0]

    def conditional(self, value: Tensor) -> PartiallyObservedNormal:
        """Distribution of all entries given those of `value` that are present, which keep their value."""
        nothing = torch.zeros_like(self.covariance)
        identity = torch.eye(self.event_shape[0], dtype=self.loc.dtype, device=self.loc.device)
        mean, covariance = update(self.loc, self.covariance, value, identity, 0.0, nothing)
        jitter = 1e-12 * self.covariance.diagonal(dim1=-2, dim2=-1)
        return PartiallyObservedNormal(mean, covariance + torch.diag_embed(jitter))


class _FiniteOrMissing(constraints.Constraint):
    """Vectors of real numbers, NaN where missing."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return ~torch.isinf(value).any(-1)


_FINITE_OR_MISSING = _FiniteOrMissing()


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def _observed_covariance(covariance: Tensor, observed: Tensor) -> Tensor:
    """Rows and columns of missing channels replaced by those of the identity: they decouple, with determinant 1."""
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return torch.where(observed[..., None] & observed[..., None, :], covariance, identity)


def _cholesky(matrix: Tensor) -> Tensor:
    """Lower factor; NaN for the batch members that have none."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where((failed == 0)[..., None, None], factor, torch.nan)
