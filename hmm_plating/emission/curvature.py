"""Where an edge is felt: cell fractions moved so that the lattice's wall stands where the metal's does.

The lattice feels a wall about 0.3 κΔx² from its place, κ its curvature: crests too low. On a smooth surface that is an
error of second order. An edge is as sharp on any grid, its curvature about 1/Δx, so that its error is of first order
and larger. With S the fractions smoothed twice by weights ¼ ½ ¼ in every direction, in cells, g = |∇S|, n = ∇S/g
and the curvatures of its level lines A = −P ∇∇S P/√(g² + 0.03²), P = 1 − nnᵀ, H = tr A, Q = tr A², a cell's fraction
is raised where H > 0 (crests) to

    ε + r (1 − ε)/(1 − ε + r + 0.01),    r = R/√(1 + R²/4),
    R = H [a Q⁴/(Q⁴ + b⁴H⁴) ln √(1 + g²/0.03²) + c Q⁴/(Q⁴ + d⁴H⁴) m² T/(g² + e²)^1.5],    m = ∂S/∂y/√(g² + 0.03²),
    T = S²/(S + 0.002),

which is ε + R far from 1. Q/H is the curvature of a cylinder as of a sphere; the fractions of H keep what is smooth
where it is, and a flat wall has none. The first term is for every edge, the second for tips that point away from the
crystal, against which liquid shears: S falls off towards a tip the slower the sharper it is, and S/g³ is what the
missing length of needles of 20° to 60° asks for. T is S without a slope where there is next to no metal: with it metal
anywhere on a gentle crest adds to the load. The five constants were fitted to polygons, needles, triangular waves,
cylinders and wavy walls, with cells of a third to a thirtieth of their height (docs/emission.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

_EDGE, _BENT = 0.24, 0.205  # a, b
_TIP, _SHARP, _FAINT = 0.412, 0.825, 0.07  # c, d, e
_TRACE = 0.002  # of metal, which is no tip
_LEAST = 0.03  # of a slope that has a direction
_MOST = 2.0  # cells
_SOFT = 0.01  # full cells have the derivative 1, too, where r is next to nothing
_FULL = 0.999  # the top row keeps some liquid for the half space above
_REACH = 3  # rows above the metal that may get some


def felt_fraction(solid_fraction: Tensor, *, dimensions: int = 2) -> Tensor:
    """Fractions for the lattice, on which edges are felt where the metal's are.

    Args:
        solid_fraction: (..., y, x), or (..., z, y, x) with dimensions=3, in [0, 1]; row y = 0 at the crystal, x and z
            periodic, liquid above the box.

    Returns:
        same shape, in [0, 1], differentiable.
    """
    axes = (-1, -2) if dimensions == 2 else (-1, -3, -2)  # upwards last
    smooth = solid_fraction
    for axis in (*axes, *axes):
        before, after = _beside(_in_between(smooth), axis)
        smooth = (before + 2 * smooth + after) / 4
    rise = _rise(smooth, *_derivatives(smooth, axes))
    liquid = 1 - solid_fraction
    felt = solid_fraction + rise * liquid / (liquid + rise + _SOFT)
    top, most = felt[..., -1:, :], solid_fraction.detach()[..., -1:, :].clamp(min=_FULL)
    return torch.cat([felt[..., :-1, :], torch.where(top > most, most, top)], -2)


def _derivatives(smooth: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, list[Tensor]]:
    """∇S (axis, ...) and the rows of ∇∇S, central differences in cells."""
    wide = _in_between(smooth)
    neighbours = [_beside(wide, axis) for axis in axes]
    second = {(i, i): after + before - 2 * smooth for i, (before, after) in enumerate(neighbours)}
    for i, axis in enumerate(axes[:-1]):
        along = (wide.roll(-1, axis) - wide.roll(1, axis)) / 2
        for j in range(i + 1, len(axes)):
            before, after = _beside(along, axes[j])
            second[i, j] = second[j, i] = (after - before) / 2
    every = range(len(axes))
    first = torch.stack([(after - before) / 2 for before, after in neighbours])
    return first, [torch.stack([second[i, j] for j in every]) for i in every]


def _rise(smooth: Tensor, gradient: Tensor, hessian: list[Tensor]) -> Tensor:
    """r of the module's formula, worked out on crests alone: it is 0 elsewhere."""
    crest = _is_crest(gradient.detach(), [row.detach() for row in hessian])
    there = crest.flatten().nonzero()[:, 0]
    metal, slope, *bent = (part.flatten(1).index_select(1, there) for part in (smooth[None], gradient, *hessian))
    rise = torch.zeros_like(smooth).flatten().index_copy(0, there, _rise_of_crests(metal[0], slope, bent))
    return rise.reshape(crest.shape)


def _is_crest(gradient: Tensor, hessian: list[Tensor]) -> Tensor:
    """Where H g³ is positive and more than rounding."""
    square = gradient.square().sum(0)
    trace = torch.stack([row[i] for i, row in enumerate(hessian)]).sum(0)
    outward = torch.stack([(row * gradient).sum(0) for row in hessian]).mul_(gradient).sum(0)
    return outward - trace * square > 1e-12


def _rise_of_crests(smooth: Tensor, gradient: Tensor, hessian: list[Tensor]) -> Tensor:
    """r from S (cell,), ∇S (axis, cell) and the rows of ∇∇S."""
    square = gradient.square().sum(0)
    normal = gradient * (square + 1e-30).rsqrt()
    turned = torch.stack([(row * normal).sum(0) for row in hessian])
    outward = (turned * normal).sum(0)
    inverse = (square + _LEAST**2).rsqrt()
    trace = torch.stack([row[i] for i, row in enumerate(hessian)]).sum(0)
    norm = torch.stack([row.square().sum(0) for row in hessian]).sum(0)
    mean = (outward - trace) * inverse  # H
    whole = (norm - 2 * turned.square().sum(0) + outward.square()) * inverse.square()  # Q
    fourth = whole.square().square()
    edge, tip = (fourth / (fourth + (bent * mean).square().square() + 1e-30) for bent in (_BENT, _SHARP))
    steep = (square + _FAINT**2).rsqrt()
    tip = tip * (gradient[-1] * inverse).square() * smooth.square() / (smooth + _TRACE) * steep * steep.square()
    free = mean * (_EDGE / 2 * edge * torch.log1p(square / _LEAST**2) + _TIP * tip)  # R
    return free / (1 + (free / _MOST).square()).sqrt()


def free_rows(solid_fraction: Tensor) -> int:
    """How many more rows of liquid `felt_fraction` needs on top, so that edges are cut nowhere."""
    filled = solid_fraction.detach().movedim(-2, 0).flatten(1).any(1)[-_REACH:].tolist()
    return _REACH - next((row for row, metal in enumerate(reversed(filled)) if metal), _REACH)


def _in_between(field: Tensor) -> Tensor:
    """With a row of metal below and of liquid above."""
    return torch.cat([torch.ones_like(field[..., :1, :]), field, torch.zeros_like(field[..., :1, :])], -2)


def _beside(field: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Neighbours before and after, of a field with one more row on either side."""
    if axis == -2:
        return field[..., :-2, :], field[..., 2:, :]
    inner = field[..., 1:-1, :]
    return inner.roll(1, axis), inner.roll(-1, axis)
