"""Parameters that differ between experiments and drift within one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from hmm_plating.errors import InputError


@dataclass(frozen=True)
class Wandering:
    """A parameter whose marginal distribution at every time is its prior.

    A latent z follows a stationary Ornstein–Uhlenbeck process of unit variance, and the parameter is the quantile of
    the prior at the standard normal probability of z (a Gaussian copula in time). A slow drift is what a real surface
    does, and it keeps the particles of a filter diverse.

    Attributes:
        prior: a univariate Pyro distribution with `icdf`.
        correlation_time: of the drift [s]; math.inf keeps the parameter constant.
    """

    prior: dist.TorchDistribution
    correlation_time: float = math.inf

    def __post_init__(self) -> None:
        if not self.correlation_time > 0:
            raise InputError(f"Wandering.correlation_time must be positive, got {self.correlation_time!r} s")
        if not isinstance(self.prior, dist.Distribution):
            raise InputError(
                f"Wandering.prior must be a Pyro distribution, got {self.prior!r}; give a number as itself"
            )
        if self.prior.batch_shape or self.prior.event_shape:
            raise InputError(f"Wandering.prior must be univariate, got shape {tuple(self.prior.shape())}")
        try:
            self.prior.icdf(torch.tensor(0.5, dtype=torch.float64))
        except NotImplementedError:
            raise InputError(
                f"{type(self.prior).__name__} has no quantile function (icdf); use another prior"
            ) from None

    def value(self, latent: Tensor) -> Tensor:
        """The parameter at a standard normal latent, same shape."""
        probability = torch.special.ndtr(latent).clamp(1e-12, 1 - 1e-12)
        return self.prior.icdf(probability)

    def init(self, name: str) -> Tensor:
        """Draw the latent from its stationary distribution (a Pyro sample site)."""
        return pyro.sample(name, dist.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0))

    def step(self, name: str, latent: Tensor, duration: float) -> Tensor:
        """Advance the latent by `duration` [s] (a Pyro sample site)."""
        retained = math.exp(-duration / self.correlation_time)
        noise = pyro.sample(name, dist.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0))
        return retained * latent + math.sqrt(1 - retained**2) * noise
