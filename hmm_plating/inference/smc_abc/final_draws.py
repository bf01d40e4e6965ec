"""From weighted simulations to equally weighted draws: adjustment, smoothing, resampling."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.prior import Prior
from hmm_plating.inference.resampling import systematic
from hmm_plating.inference.smc_abc.adjustment import Adjustment
from hmm_plating.inference.smc_abc.population import Population
from hmm_plating.inference.smc_abc.smoothing import density_estimate


class FinalDraws(NamedTuple):
    """Equally weighted draws and the weighted particles they come from.

    Attributes:
        draws: unconstrained, (draws, dimension).
        accepted: rows of the population with positive weight, (n,).
        adjusted: unconstrained, (n, dimension); NaN outside the support.
        log_weights: (n,), after the adjustment, normalised.
    """

    draws: Tensor
    accepted: Tensor
    adjusted: Tensor
    log_weights: Tensor


def final_draws(
    population: Population,
    prior: Prior,
    adjustment: Adjustment,
    smooth: bool,
    count: int,
    generator: Generator,
) -> FinalDraws:
    """Adjust the accepted particles to the observed summaries and draw `count` times from them.

    An adjusted particle outside a finite interval of the prior gets weight zero: the posterior ends there.
    """
    accepted = population.log_weights.isfinite().nonzero()[:, 0]
    log_weights = population.log_weights[accepted]
    points = prior.coordinates(population.unconstrained[accepted])
    residuals = population.residuals[accepted]
    move = adjustment.fit(points, residuals, log_weights, generator)
    points, change = move(points, residuals, torch.zeros_like(residuals[0]))
    log_weights = log_weights + change
    inside = ((points >= prior.lower) & (points <= prior.upper) & points.isfinite()).all(-1)
    log_weights = torch.where(inside, log_weights, -torch.inf)
    if not torch.logsumexp(log_weights, 0).isfinite():
        raise InputError(
            "SMC-ABC: the adjustment moved every particle outside the support of the prior; simulate more, aim at "
            "fewer particles, or pass adjustment=NoAdjustment()"
        )
    log_weights = torch.log_softmax(log_weights, 0)
    if smooth:
        drawn = _reflected(density_estimate(points, log_weights, generator).sample(count, generator), prior)
    else:
        drawn = points[systematic(log_weights, count, generator=generator)]
    return FinalDraws(prior.from_coordinates(drawn), accepted, prior.from_coordinates(points), log_weights)


def _reflected(points: Tensor, prior: Prior) -> Tensor:
    """Into the intervals, so that smoothing takes no mass across their ends."""
    points = torch.where(points < prior.lower, 2 * prior.lower - points, points)
    points = torch.where(points > prior.upper, 2 * prior.upper - points, points)
    return torch.clamp(points, prior.lower, prior.upper)
