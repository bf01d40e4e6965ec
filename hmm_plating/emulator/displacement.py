"""The displacement of a surface by one step, as networks predict it: a pure function of lengths in cells.

The first guess is an even displacement D by what the charge asks for, noise and curvature flow to first order,

    d + D + σ n̄ − m κ,

with n̄ the noise's mean along the normal. The networks tell by how much every place differs from it, and a last even
displacement gives the wanted amount of metal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.emulator.conservation import conserving_shift
from hmm_plating.emulator.features import (
    Lengths,
    features,
    mean_along_normal,
    mean_curvature,
    step_lengths,
    tanh_profile,
)
from hmm_plating.emulator.multiscale_network import MultiscaleNetwork
from hmm_plating.transition.coefficients import Coefficients

STABLE_SMOOTHING = 0.15  # cells per curvature of one per cell, taken in one explicit step: 1/6 is stable in a box
LARGEST_DISPLACEMENT = 8.0  # cells: a step that asks for more, as one that strips the last metal does, is even


class Move(NamedTuple):
    """What networks make of a surface: tensors (particle, …), in cells."""

    distance: Tensor  # signed, after the step and the conserving shift (particle, [z,] y, x)
    lengths: Lengths
    coarse: list[Tensor]  # signed distance that the coarser scales alone predict, before the shift; finest first
    spread: Tensor  # standard deviation of the networks, root mean square over the surface (particle,); 0 of one


def move(
    networks: Sequence[MultiscaleNetwork],
    distance: Tensor,
    metal: Tensor,
    noise: Tensor,
    duration: float,
    c: Coefficients,
) -> Move:
    """Displace a surface to a given amount of metal; differentiable in everything but the even displacement.

    Args:
        networks: whose mean output times `Lengths.correction` is the difference from the first guess.
        distance: signed (particle, [z,] y, x) [cells]; its type is that of the projection.
        metal: Σξ after the step (particle,), above 0 and below the number of cells.
        noise: standard normal, of the shape of the distance.
        duration: [s].
        c: coefficients of the step.
    """
    width, dimensions = c.width, distance.ndim - 1
    even = conserving_shift(distance, metal, width)
    moderate = even.detach().clamp(-LARGEST_DISPLACEMENT, LARGEST_DISPLACEMENT)
    with torch.no_grad():
        lengths = step_lengths(moderate, duration, c)
    kind = next(networks[0].parameters()).dtype
    own, agitation = distance.to(kind), noise.to(kind)
    single = Lengths(*(length.to(kind) for length in lengths))
    pushed = mean_along_normal(agitation, own, single.displacement, width, dimensions)
    curvature = mean_curvature(own, dimensions)
    seen = features(own, agitation, pushed, curvature, single, width, dimensions)
    per_cell = (-1, *[1] * dimensions)
    scale = torch.where(even.abs() > LARGEST_DISPLACEMENT, 0 * even, lengths.correction).reshape(per_cell)
    smoothing = lengths.smoothing.clamp(max=STABLE_SMOOTHING).reshape(per_cell) * curvature
    steady = distance + even.reshape(per_cell) + (lengths.noise.reshape(per_cell) * pushed - smoothing).to(distance)
    weight = interface_weight(steady.to(kind), width)
    predicted = [
        torch.stack([torch.tanh(_centred(_on_finest(one, k), weight)) for one in each]).to(distance.dtype)
        for k, each in enumerate(zip(*(network(seen) for network in networks), strict=True))
    ]
    moved = [steady + scale * each.mean(0) for each in predicted]
    shift = conserving_shift(moved[0], metal, width)
    after = moved[0] + shift.reshape(per_cell)
    return Move(after, lengths, moved[1:], _spread(predicted[0].detach(), after.detach(), scale, width))


def _spread(predicted: Tensor, after: Tensor, scale: Tensor, width: float) -> Tensor:
    """See `Move.spread`; of predictions (network, particle, …) in units of the scale."""
    if len(predicted) == 1:
        return torch.zeros(len(after)).to(after)
    weight = interface_weight(after, width).flatten(1)
    variance = (predicted.var(0, correction=0) * scale.square()).flatten(1)
    return (weight * variance).sum(1).sqrt()


def interface_weight(distance: Tensor, width: float) -> Tensor:
    """ξ(1 − ξ) over its sum (particle, [z,] y, x): a mean over the surface by it is one by area."""
    xi = tanh_profile(distance, width)
    weight = xi * (1 - xi)
    return weight / weight.flatten(1).sum(1).clamp(min=1e-6).reshape(-1, *[1] * (distance.ndim - 1))


def _centred(prediction: Tensor, weight: Tensor) -> Tensor:
    """Less its mean over the surface, which the last even displacement takes back and no loss would hold."""
    axes = tuple(range(1, prediction.ndim))
    return prediction - (weight * prediction).sum(axes, keepdim=True)


def solid_fraction(distance: Tensor) -> Tensor:
    """Share of a cell below the surface of a signed distance [cells], along the normal."""
    return (0.5 + distance).clamp(0, 1)


def _on_finest(prediction: Tensor, scale: int) -> Tensor:
    """A coarser scale's values in all the cells that they stand for."""
    for axis in range(1, prediction.ndim):
        prediction = prediction.repeat_interleave(2**scale, axis)
    return prediction
