"""What the network of the transition sees: geometry and drive of a step, in cells.

The step's parameters act through three lengths, so that one network serves any metal whose three lie in its range:
the displacement D of an even front that the charge asks for, the smoothing m = M Δt γ-wise (how far a curvature of one
per cell moves the front, by the slope of the Butler–Volmer law at the step's overpotential) and the noise σ.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.transition.butler_volmer import galvanostatic_overpotential
from hmm_plating.transition.coefficients import Coefficients

TRUSTED = 8.0  # cells from the surface up to which a phase field's tail tells the distance
FARTHEST = 14.0  # cells, the largest distance that is told apart
BEYOND = 40.0  # cells, what stands for all larger ones: a tail of nothing
_SWEEPS = math.ceil(FARTHEST - TRUSTED)
_CHAMFER = 0.95  # of the Euclidean steps: errors of both signs below 5 % (Borgefors, CVGIP 27 (1984) 321)
_LONGEST_DISPLACEMENT = 8.0  # cells, above which the step is not told apart
_REACH = 8.0  # cells, of the features of crystal and top
_MODERATE_SMOOTHING = 0.1  # cells per curvature of one per cell
CHANNELS = 12
_NORMAL_SWEEPS = 2


class Lengths(NamedTuple):
    """What a step asks for, in cells: tensors (particle,)."""

    displacement: Tensor  # D, of an even front, positive where metal is deposited
    smoothing: Tensor  # m, displacement per curvature of one per cell
    noise: Tensor  # σ, root mean square displacement of a cell of the interface by noise

    @property
    def scale(self) -> Tensor:
        """Of the step: how far any part of a surface may move; 0 of a step in which nothing can."""
        return self.displacement.abs() + self.smoothing + self.noise

    @property
    def correction(self) -> Tensor:
        """Largest difference from the first guess, which knows smoothing to first order."""
        second_order = self.smoothing.square() / (self.smoothing + _MODERATE_SMOOTHING)
        return self.displacement.abs() + second_order + self.noise


def step_lengths(displacement: Tensor, duration: float, c: Coefficients) -> Lengths:
    """The lengths of a step.

    Args:
        displacement: D (particle,) [cells].
        duration: [s].
        c: coefficients of the step, with `supply` that at the surface.
    """
    exchange, alpha, supply = (value.double() for value in (c.exchange_velocity, c.transfer_coefficient, c.supply))
    forward = exchange * supply
    y = galvanostatic_overpotential(forward, exchange, displacement.double() / duration, alpha)
    slope = alpha * forward * torch.exp(-alpha * y) + (1 - alpha) * exchange * torch.exp((1 - alpha) * y)
    smoothing = c.capillary_length * slope * duration
    return Lengths(displacement, smoothing.to(displacement), c.noise_velocity.to(displacement) * duration)


def tanh_profile(distance: Tensor, width: float) -> Tensor:
    """ξ = ½[1 + tanh(2d/ℓ)] of a signed distance d, ℓ = `width`, both in cells."""
    return torch.sigmoid(4 / width * distance)


def signed_distance(order_parameter: Tensor, width: float, dimensions: int) -> Tensor:
    """Depth in the metal, negative in liquid [cells], from the level ξ = ½ (particle, [z,] y, x).

    Near the surface the tanh profile is inverted. Further off its tail says little (rows without surface rest, and
    1 − ξ ends at round-off), so there the distance is continued from cell to cell.

    Args:
        order_parameter: ξ.
        width: ℓ [cells].
        dimensions: 2 or 3.
    """
    smallest = 0.5 * torch.finfo(order_parameter.dtype).eps
    xi = order_parameter.clamp(smallest, 1 - smallest)
    return redistanced(0.25 * width * (torch.log(xi) - torch.log1p(-xi)), dimensions)


def redistanced(distance: Tensor, dimensions: int) -> Tensor:
    """The distance with what lies beyond `TRUSTED` continued from there [cells], `BEYOND` from `FARTHEST` on.

    What is continued carries no gradient: it moves the surface in no step that the network was made for.
    """
    size = distance.detach().abs()
    trusted = size <= TRUSTED
    with torch.no_grad():
        far = torch.where(trusted, size, FARTHEST)
        for _ in range(_SWEEPS):
            nearest = far
            for steps, moved in _neighbours(far, dimensions):
                nearest = torch.minimum(nearest, moved + _CHAMFER * math.sqrt(steps))
            far = torch.where(trusted, far, nearest)
        far = torch.where(far < FARTHEST, far, BEYOND)
    return torch.where(trusted, distance, torch.where(distance >= 0, far, -far))


def _neighbours(field: Tensor, dimensions: int) -> list[tuple[int, Tensor]]:
    """The field at the surrounding cells, with along how many axes each lies off; mirrored along y, else periodic."""
    moved = [(0, field)]
    for axis in (-2, -1, -3)[:dimensions]:
        for steps, value in tuple(moved):
            moved += [(steps + 1, one) for one in _beside(value, axis)]
    return moved[1:]


def _beside(field: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The field one cell on and one cell back along an axis; mirrored along y (axis −2), else periodic."""
    if axis != -2:
        return field.roll(-1, axis), field.roll(1, axis)
    rows = field.shape[-2]
    first, last = field.narrow(-2, 0, 1), field.narrow(-2, rows - 1, 1)
    return (
        torch.cat([field.narrow(-2, 1, rows - 1), last], -2),
        torch.cat([first, field.narrow(-2, 0, rows - 1)], -2),
    )


def mean_along_normal(noise: Tensor, distance: Tensor, displacement: Tensor, width: float, dimensions: int) -> Tensor:
    """Noise that displaces the front at each place: its mean along the normal, weighted by |∇ξ| half-way of the step.

    Each sweep averages a cell with those beside it, along every axis by the square of the normal's component; the
    denominator is averaged with it, so the mean reaches some cells beyond the interface.

    Args:
        noise: standard normal (particle, [z,] y, x).
        distance: signed, of that shape [cells].
        displacement: of an even front (particle,) [cells].
        width: ℓ [cells].
        dimensions: 2 or 3.
    """
    near = distance.clamp(-FARTHEST, FARTHEST)
    axes = (-2, -1, -3)[:dimensions]
    slopes = [0.5 * (after - before) for after, before in (_beside(near, axis) for axis in axes)]
    square = sum((slope.square() for slope in slopes), torch.full_like(near, 1e-3))
    parts = [0.25 * slope.square() / square for slope in slopes]
    inside = tanh_profile(distance + 0.5 * displacement.reshape(-1, *[1] * dimensions), width)
    weight = inside * (1 - inside)
    total, weights = weight * noise, weight
    for _ in range(_NORMAL_SWEEPS):
        total, weights = (
            0.5 * one + sum(part * sum(_beside(one, axis)) for part, axis in zip(parts, axes, strict=True))
            for one in (total, weights)
        )
    return total / (weights + 1e-6)


def mean_curvature(distance: Tensor, dimensions: int) -> Tensor:
    """Sum of the principal curvatures of surfaces of equal distance near the surface, of bumps > 0, within ±1 [1/cell].

    Args:
        distance: signed (particle, [z,] y, x) [cells].
        dimensions: 2 or 3.
    """
    near = distance.clamp(-TRUSTED, TRUSTED)
    faces = [one for axis in (-2, -1, -3)[:dimensions] for one in _beside(near, axis)]
    curvature = (len(faces) * near - sum(faces)).clamp(-1, 1)
    return torch.where(distance.abs() <= TRUSTED - 1, curvature, 0.0)  # beyond, a neighbour is cut off


def features(
    distance: Tensor, noise: Tensor, pushed: Tensor, curvature: Tensor, lengths: Lengths, width: float, dimensions: int
) -> Tensor:
    """Input of the network (particle, CHANNELS, [z,] y, x).

    Signed distance, phase before and after an even displacement, noise on the interface before and after it and its
    mean along the normal, curvature times the smoothing, the step's displacement and size, its smoothing, and closeness
    to crystal and top of the box.

    Args:
        distance: signed (particle, [z,] y, x) [cells].
        noise: standard normal, of that shape.
        pushed: `mean_along_normal` of it.
        curvature: `mean_curvature` of the surface.
        lengths: of the step.
        width: ℓ [cells].
        dimensions: 2 or 3.
    """

    def per_cell(value: Tensor) -> Tensor:
        return value.reshape(-1, *[1] * dimensions)

    longest = _LONGEST_DISPLACEMENT
    scale = lengths.scale.clamp(min=1e-9)
    displacement = lengths.displacement.clamp(-longest, longest)
    near = distance.clamp(-TRUSTED, TRUSTED)
    before = torch.sigmoid(4 * distance / width)
    after = torch.sigmoid(4 * (distance + per_cell(displacement)) / width)
    agitation = per_cell(lengths.noise / scale) * noise
    rows = distance.shape[-2]
    height = torch.arange(rows, dtype=distance.dtype, device=distance.device)[:, None] + 0.5
    channels = [
        near / TRUSTED,
        2 * before - 1,
        2 * after - 1,
        4 * before * (1 - before) * agitation,
        4 * after * (1 - after) * agitation,
        per_cell(lengths.noise / scale) * pushed,
        per_cell(lengths.smoothing / scale) * curvature,
        per_cell(lengths.displacement / scale),
        per_cell(torch.log(scale.clamp(1e-3, longest))),
        per_cell(lengths.smoothing / scale),
        torch.exp(-height / _REACH),
        torch.exp((height - rows) / _REACH),
    ]
    return torch.stack([channel.expand_as(distance) for channel in channels], 1)
