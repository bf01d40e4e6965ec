"""A Pyro program as a function of standard normal noise: x = μ + L z at every latent Gaussian site.

The prior of z is N(0, I) whatever the program makes of it, so that proposals, look-ahead and moves need not know which
sites there are or how they depend on one another (Papaspiliopoulos, Roberts and Sköld, Statistical Science 22 (2007)
59: the non-centred parametrisation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from hmm_plating.inference.linear_gaussian import PartiallyObservedNormal
from hmm_plating.inference.random_stream import standard_normal


class StandardNoise(Messenger):
    """Effect handler that sets the latent sites of a program; enter it outside of the plate of particles.

    Args:
        noise: {site: z}, of the shape of the site's value; what is missing comes from `draw`.
        values: {site: value} of latent sites that are not Gaussian; what is missing is drawn by the program.
        draw: noise of a site, by its name and a tensor of its shape.

    Attributes:
        noise, values: all that the program used, after it has run.
    """

    def __init__(
        self,
        noise: Mapping[str, Tensor] | None = None,
        values: Mapping[str, Tensor] | None = None,
        draw: Callable[[str, Tensor], Tensor] = lambda name, like: standard_normal(like),
    ) -> None:
        super().__init__()
        self.noise, self.values, self._draw = dict(noise or {}), dict(values or {}), draw

    def _pyro_sample(self, message: Any) -> None:
        if message["is_observed"] or message["value"] is not None:
            return
        name, distribution = message["name"], _plain(message["fn"])
        if not isinstance(distribution, Normal | MultivariateNormal | PartiallyObservedNormal):
            if name in self.values:
                message["value"], message["done"] = self.values[name], True
            return
        if name not in self.noise:
            self.noise[name] = self._draw(name, distribution.loc.detach())
        noise = self.noise[name]
        if isinstance(distribution, Normal):
            message["value"] = distribution.loc + distribution.scale * noise
        else:
            message["value"] = distribution.loc + (distribution.scale_tril @ noise[..., None])[..., 0]
        message["done"] = True

    def _pyro_post_sample(self, message: Any) -> None:
        if message["type"] == "sample" and not message["is_observed"] and message["name"] not in self.noise:
            self.values[message["name"]] = message["value"]


def whitened_location(distribution: Any, value: Tensor) -> list[Tensor] | None:
    """Functions u of the parameters with Fisher information I: rows (N, …), None where the family has none here.

    For N(μ, σ²): μ/σ and √2 ln σ at the present σ; for N(μ, Σ): L⁻¹ μ of the channels that are present. How Σ varies
    is left out.
    """
    distribution = _plain(distribution)
    if isinstance(distribution, Normal):
        rows = [distribution.loc / distribution.scale.detach()]
        return [*rows, 2**0.5 * distribution.scale.log()] if distribution.scale.requires_grad else rows
    if isinstance(distribution, MultivariateNormal | PartiallyObservedNormal):
        return [PartiallyObservedNormal(distribution.loc, _covariance(distribution)).whiten(value)]
    return None


def whitened_residual(spread: Any, location: Any, value: Tensor) -> Tensor | None:
    """L⁻¹ (y − μ) with the spread of one Gaussian and the location of another, 0 where y is missing.

    None for other distributions.
    """
    spread, location = _plain(spread), _plain(location)
    if isinstance(spread, Normal):
        return (value - location.loc) / spread.scale
    if isinstance(spread, MultivariateNormal | PartiallyObservedNormal):
        return PartiallyObservedNormal(value - location.loc, _covariance(spread)).whiten(value)
    return None


def _covariance(distribution: MultivariateNormal | PartiallyObservedNormal) -> Tensor:
    if isinstance(distribution, MultivariateNormal):
        return distribution.covariance_matrix
    return distribution.covariance


def at_mean(name: str, like: Tensor) -> Tensor:
    """Noise zero, for `StandardNoise.draw`."""
    return torch.zeros_like(like)


def _plain(distribution: Any) -> Any:
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return distribution
