"""A conditionally linear-Gaussian part that a model declares, marginalised exactly or sampled like the rest.

    x_t = A x_{t−1} + a + N(0, Q),        y_t = H x_t + b + N(0, R)

with A, a, Q, H, b, R functions of what the particles hold. A model that calls `start_linear` in `init` and
`observe_linear` in `step` is Rao–Blackwellised: particles carry the Gaussian belief about x instead of x, and y is
scored by its predictive distribution (Doucet, de Freitas, Murphy and Russell, UAI 2000). With `marginalise` false the
same declaration samples x, to measure what that gains. The arithmetic is that of `linear_gaussian`.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from hmm_plating.inference.linear_gaussian import PartiallyObservedNormal, observation_distribution, predict, update

State = MutableMapping[str, Tensor]


class LinearPart(NamedTuple):
    """A (..., k, k), Q (..., k, k), H (..., c, k), R (..., c, c), a (..., k), b (..., c): k numbers, c channels.

    Leading dimensions broadcast; Q may be singular.
    """

    transition: Tensor
    process_covariance: Tensor
    observation_matrix: Tensor
    noise_covariance: Tensor
    transition_offset: Tensor | float = 0.0
    observation_offset: Tensor | float = 0.0


def start_linear(
    state: State,
    name: str,
    mean: Tensor,
    covariance: Tensor,
    particles: int | tuple[int, ...],
    marginalise: bool = True,
) -> None:
    """Put x_0 ~ N(mean, covariance), shapes (..., k) and (..., k, k), into the state of the particles.

    It is kept as `{name}_mean` and `{name}_covariance`, or as `{name}` where it is sampled. `particles` is their
    number, or the shape of the plates around them.
    """
    batch = (particles,) if isinstance(particles, int) else particles
    mean = mean.expand(*batch, mean.shape[-1])
    if marginalise:
        state[f"{name}_mean"] = mean
        state[f"{name}_covariance"] = covariance.expand(*batch, *covariance.shape[-2:])
    else:
        state[name] = _sample(name, mean, covariance)


def observe_linear(
    state: State, name: str, site: str, observation: Tensor | None, part: LinearPart, marginalise: bool = True
) -> Tensor:
    """Advance x by one step and score the observation (c,), NaN where missing; None draws it. Returns the observation.

    Args:
        state: what `start_linear` filled.
        name: of x.
        site: name of the observed site.
        observation: y_t.
        part: the six matrices of this step.
        marginalise: as in `start_linear`.
    """
    emission = (part.observation_matrix, part.observation_offset, part.noise_covariance)
    if marginalise:
        mean, covariance = predict(
            state[f"{name}_mean"],
            state[f"{name}_covariance"],
            part.transition,
            part.process_covariance,
            part.transition_offset,
        )
        y = pyro.sample(site, observation_distribution(mean, covariance, *emission), obs=observation)
        state[f"{name}_mean"], state[f"{name}_covariance"] = update(mean, covariance, y, *emission)
        return y
    centre = (part.transition @ state[name][..., None])[..., 0] + part.transition_offset
    state[name] = _sample(name, centre, part.process_covariance)
    loc = (part.observation_matrix @ state[name][..., None])[..., 0] + part.observation_offset
    return pyro.sample(site, PartiallyObservedNormal(loc, part.noise_covariance), obs=observation)


def _sample(name: str, mean: Tensor, covariance: Tensor) -> Tensor:
    """A draw of N(mean, covariance) from a site `{name}_noise` of standard normals: the covariance may be singular."""
    value, vector = torch.linalg.eigh(covariance)
    root = vector * value.clamp(min=0).sqrt()[..., None, :]
    standard = dist.Normal(torch.zeros_like(mean), 1.0).to_event(1)
    return mean + (root @ pyro.sample(f"{name}_noise", standard)[..., None])[..., 0]
