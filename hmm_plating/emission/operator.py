"""The operator in plain torch: batched over surfaces and overtones, on any device, differentiable by autograd.

Arriving populations f obey f = S C f + β: C collides (partly solid cells hold their liquid), S streams (half-way
bounce-back at crystal and solid cells, half space above the top row), β is the motion of crystal and metal. The load is

    Z = constant + ⅓ βᵀ G f,   G = W⁻¹PC,   A = I − SC,   GA = (GA)ᵀ

with W the weights and P reversal; its correction ⅓ hᵀ G (β − Ah) makes it second order in the error of any h.

What leaves a cell is kept as P C f, each population in the place of its opposite: G is then C's own output over the
weights, what bounces back already stands where it arrives, and so does what the half space returns to a lane. Fields
are complex (..., population, [z,] y, x), leading dimensions the batch, and vanish outside the liquid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission.lattice import Lattice

_REST, _FORWARD, _BACKWARD = slice(1), slice(1, None, 2), slice(2, None, 2)  # populations, pairs of opposites


class Collision(NamedTuple):
    """P C f = a f + b P f + w ((1 − K) ρ − M c·j), K and O the factors of even and odd parts; see `saturation`.

    Attributes:
        same, opposite: a = (K − O)/2 and b = (K + O)/2, complex (..., 1, [z,] y, x).
        moments: 1 − K and, for each direction, −M, complex (..., 1 + dimension, [z,] y, x).
    """

    same: Tensor
    opposite: Tensor
    moments: Tensor


class Operator(NamedTuple):
    """Frozen surfaces at their overtones, a batch of boxes with one shape (..., [z,] y, x).

    Attributes:
        lattice: Lattice.
        weights: w, complex (population,).
        basis: 1 and c, complex (population, 1 + dimension).
        same, opposite, moments: as of Collision.
        saturation: B, complex (..., [z,] y, x), 0 outside the liquid.
        wet: bool (..., [z,] y, x), cells with unknowns.
        upstream: place that each population arrives from, int64 (..., population × cells); its own where it bounces.
        falling: places of the populations that arrive from the half space, int64 (..., lane, [z,] x).
        reflection: R of the half space, complex (..., lane, lane, [z,] x).
    """

    lattice: Lattice
    weights: Tensor
    basis: Tensor
    same: Tensor
    opposite: Tensor
    moments: Tensor
    saturation: Tensor
    wet: Tensor
    upstream: Tensor
    falling: Tensor
    reflection: Tensor

    @property
    def dimensions(self) -> int:
        return self.lattice.dimensions

    def per_population(self, values: Tensor) -> Tensor:
        """One number per population, shaped to multiply fields."""
        return values.reshape(-1, *(1,) * self.dimensions)

    def take(self, members: Tensor) -> Operator:
        """Some members of a batch with one leading dimension."""
        return Operator(*self[:3], *(part[members] for part in self[3:]))

    def to(self, dtype: torch.dtype) -> Operator:
        """In another complex precision."""
        return Operator(self.lattice, *(part.to(dtype) if part.is_complex() else part for part in self[1:]))


def collision(lattice: Lattice, relaxation: Sequence[Tensor | complex], saturation: Tensor) -> Collision:
    """Factors of cells whose liquid has `relaxation` (m, e, o), each a number or (..., [z,] y, x)."""
    momentum, even, odd = relaxation
    free = 1 - saturation
    kept, apart = saturation + free * even, free**2 * (momentum - odd)
    return _collision(lattice, kept, 1 - kept, free * momentum - saturation - apart, apart)


def _slope(lattice: Lattice, relaxation: Sequence[Tensor | complex], saturation: Tensor) -> Collision:
    """Derivative of `collision` with respect to the saturation."""
    momentum, even, odd = relaxation
    kept, apart = (1 - even) * torch.ones_like(saturation), -2 * (1 - saturation) * (momentum - odd)
    return _collision(lattice, kept, -kept, -1 - momentum - apart, apart)


def _collision(lattice: Lattice, kept: Tensor, relaxed: Tensor, turned: Tensor, apart: Tensor) -> Collision:
    """From K, what even parts have of w ρ, O, and M/3."""
    axis = -1 - lattice.dimensions
    return Collision(
        ((kept - turned) / 2).unsqueeze(axis),
        ((kept + turned) / 2).unsqueeze(axis),
        torch.stack([relaxed, *(-3 * apart,) * lattice.dimensions], axis),
    )


def operator(
    lattice: Lattice,
    relaxation: Sequence[Tensor | complex],
    reflection: Tensor,
    saturation: Tensor,
    solid: Tensor,
    rows: Tensor | None = None,
) -> Operator:
    """Assemble the operator of a batch.

    Args:
        relaxation: as in `collision`.
        reflection: complex (..., [z,] x, lane, lane), as from `half_space.reflection`.
        saturation: B, complex (..., [z,] y, x), where a cell is not solid.
        solid: bool (..., [z,] y, x), cells without unknowns; none in the top row.
        rows: of each box, int64 (...,), where boxes are lower than their array; the half space begins above.
    """
    dimensions, cells = lattice.dimensions, solid.shape[-lattice.dimensions :]
    if rows is None:
        rows = torch.full(solid.shape[:-dimensions], cells[-2], device=solid.device)
    above = rows[(..., *(None,) * dimensions)]
    wet = ~solid & (torch.arange(cells[-2], device=solid.device)[:, None] < above)
    own = torch.arange(len(lattice.weights) * math.prod(cells), device=solid.device).reshape(-1, *cells)
    crystal = torch.ones_like(solid[..., :1, :])
    closed = torch.cat([crystal, solid, ~crystal], -2)
    axes = (-1, -2, -3)[:dimensions]  # of x, y, z
    upstream = []
    for i, velocity in enumerate(lattice.velocities.tolist()):
        free = wet & ~closed.roll(velocity, axes)[..., 1:-1, :]
        upstream.append(torch.where(free, own[lattice.opposite[i]].roll(velocity, axes), own[i]))
    saturation = torch.where(wet, saturation, 0)
    return Operator(
        lattice,
        torch.as_tensor(lattice.weights, device=solid.device).to(saturation.dtype),
        torch.as_tensor(np.insert(lattice.velocities, 0, 1, axis=1), device=solid.device).to(saturation.dtype),
        *collision(lattice, relaxation, saturation),
        saturation,
        wet,
        torch.stack(upstream, -1 - dimensions).flatten(-1 - dimensions),
        own[lattice.downward][..., 0, :] + (above - 1) * cells[-1],
        reflection.movedim((-2, -1), (-1 - dimensions, -dimensions)),
    )


def collide(system: Operator, arriving: Tensor) -> Tensor:
    """P C f, complex (..., population, [z,] y, x)."""
    f = arriving.flatten(-system.dimensions)
    factors = system.same, system.opposite, system.moments
    same, opposite, moments = (part.flatten(-system.dimensions) for part in factors)
    leaving = (system.weights[:, None] * system.basis) @ (moments * (system.basis.mT @ f))
    leaving.addcmul_(same, f)
    for place, source in ((_REST, _REST), (_FORWARD, _BACKWARD), (_BACKWARD, _FORWARD)):
        leaving[..., place, :].addcmul_(opposite, f[..., source, :])
    return leaving.unflatten(-1, arriving.shape[-system.dimensions :])


def stream(system: Operator, leaving: Tensor) -> Tensor:
    """S F from P F, complex (..., population, [z,] y, x)."""
    dimensions = system.dimensions
    flat, lateral = leaving.flatten(-1 - dimensions), tuple(range(1 - dimensions, 0))
    lanes = system.falling.flatten(-dimensions).expand(*flat.shape[:-1], -1)
    arriving = flat.gather(-1, system.upstream.expand_as(flat))
    rising = flat.gather(-1, lanes).unflatten(-1, system.falling.shape[-dimensions:])
    modes = torch.fft.fftn(rising, dim=lateral).unsqueeze(-1 - dimensions)
    returned = torch.fft.ifftn((system.reflection * modes).sum(-dimensions), dim=lateral)
    arriving.scatter_(-1, lanes, returned.flatten(-dimensions))
    return arriving.unflatten(-1, leaving.shape[-1 - dimensions :])


def bilinear(system: Operator, left: Tensor, leaving: Tensor) -> Tensor:
    """Leftᵀ W⁻¹ P F from P F (no conjugation), complex128 (...,)."""
    by_population = (left * leaving).flatten(-system.dimensions).sum(-1)
    return (by_population.to(torch.complex128) / system.weights).sum(-1)


def drag(system: Operator) -> Tensor:
    """What the motion of the metal adds to P C f in partly solid cells, complex (..., population, [z,] y, x)."""
    push = system.per_population(-6 * system.weights * system.basis[:, 1])
    return push * system.saturation.unsqueeze(-1 - system.dimensions)


def motion(system: Operator) -> tuple[Tensor, Tensor]:
    """Source β, complex (..., population, [z,] y, x), and the constant of the load, complex (...,)."""
    push = system.per_population(6 * system.weights * system.basis[:, 1])
    own = torch.arange(system.upstream.shape[-1], device=push.device)
    bounced = (system.upstream == own).unflatten(-1, (len(push), *system.wet.shape[-system.dimensions :]))
    links = push * (bounced & system.wet.unsqueeze(-1 - system.dimensions))
    moved = drag(system)
    source = links + stream(system, moved)
    axes = tuple(range(-1 - system.dimensions, 0))
    work = 2 * system.saturation.sum(axes[1:]) + (links**2 / system.per_population(6 * system.weights)).sum(axes)
    return source, work + (bilinear(system, source, moved) + bilinear(system, links, moved)) / 3


def residual_and_load(system: Operator, field: Tensor) -> tuple[Tensor, Tensor]:
    """β − A h of any field h, and the load, whose error is quadratic in that of the field; complex (...,)."""
    source, constant = motion(system)
    leaving = collide(system, field)
    residual = source - field + stream(system, leaving)
    return residual, constant + (bilinear(system, source, leaving) + bilinear(system, residual, leaving)) / 3


def sensitivity(system: Operator, relaxation: Sequence[Tensor | complex], field: Tensor) -> Tensor:
    """∂(load)/∂B of every cell from a solved field f, complex (..., [z,] y, x): no further solve.

    It is 2 − 4 j_x + ⅓ fᵀW⁻¹P ∂C/∂B f, C with `relaxation` where there is no metal.
    """
    slope = system._replace(**_slope(system.lattice, relaxation, system.saturation)._asdict())
    f = field.flatten(-system.dimensions)
    leaving = collide(slope, field).flatten(-system.dimensions)
    change = 2 - 4 * (system.basis[:, 1] @ f) + (f * leaving / system.weights[:, None]).sum(-2) / 3
    return change.unflatten(-1, field.shape[-system.dimensions :])
