"""The curvature that drives a surface whose energy depends on its orientation, in torch: see `kernels.cubic`."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from hmm_plating.transition.coefficients import Coefficients, anisotropic, per_cell
from hmm_plating.transition.kernels.cubic import LEAST
from hmm_plating.transition.kernels.curvature import FLAT_SLOPE

X, Y, Z = -1, -2, -3


def weighted_curvature(padded: Tensor, curvature: Tensor, limit: float, c: Coefficients) -> tuple[Tensor, Tensor]:
    """What takes the place of γκ, in units of γ, and the largest stiffness of the orientation, at least 0.

    Args:
        padded: signed distance, a cell more on each side.
        curvature: κ, within ± `limit`.
        limit: of κ [1/cell].
        c: coefficients.
    """
    if not anisotropic(c):
        return curvature, torch.ones_like(curvature)
    if c.dimensions == 3:
        return _of_a_volume(padded, curvature, limit, c)
    stiffness = _of_a_section(padded, c)
    return stiffness * curvature, stiffness


def _difference(field: Tensor, axis: int, order: int) -> Tensor:
    """Without the first and last along an axis: the mean over two cells, twice, or the central or second difference."""
    before, here, after = (field.narrow(axis, k, field.shape[axis] - 2) for k in range(3))
    return (0.25 * (before + 2 * here + after), 0.5 * (after - before), before - 2 * here + after)[order]


def _slope(padded: Tensor, axis: int, dimensions: int) -> Tensor:
    """Central difference of the cells inside the padding."""
    for other in range(-dimensions, 0):
        if other != axis:
            padded = padded.narrow(other, 1, padded.shape[other] - 2)
    return _difference(padded, axis, 1)


def _of_a_section(padded: Tensor, c: Coefficients) -> Tensor:
    """1 + δ_a(1 − ω_a²) cos ω_a(θ − θ_0), θ between the outward normal and y; missing orientations have none."""
    gx, gy = (_slope(padded, axis, 2) for axis in (X, Y))
    slope = torch.sqrt(gx * gx + gy * gy + FLAT_SLOPE**2)
    cosine, sine = -gy / slope, -gx / slope
    real, imaginary = cosine, sine
    for _ in range(c.anisotropy_fold - 1):  # (cos θ + i sin θ)^ω
        real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
    strength, cos0, sin0 = (
        per_cell(value, c) for value in (c.anisotropy_strength, c.orientation_cosine, c.orientation_sine)
    )
    return (1 + strength * (1 - c.anisotropy_fold**2) * (real * cos0 + imaginary * sin0)).clamp(min=0)


def _of_a_volume(padded: Tensor, curvature: Tensor, limit: float, c: Coefficients) -> tuple[Tensor, Tensor]:
    """Positive part of Herring's tensor times the curvature tensor, and the larger eigenvalue of the former."""
    slopes = torch.stack([_slope(padded, axis, 3) for axis in (X, Y, Z)])
    length = torch.sqrt(slopes.square().sum(0) + FLAT_SLOPE**2)
    normal = -slopes / length
    rows = []
    for i, j in itertools.product((X, Y, Z), repeat=2):
        field = padded
        for axis in (X, Y, Z):
            field = _difference(field, axis, (i == axis) + (j == axis))
        rows.append(field / length)
    second = torch.stack(rows).unflatten(0, (3, 3))
    angle = 0.25 * torch.atan2(c.orientation_sine, c.orientation_cosine)
    cosine, sine, zero = torch.cos(angle), torch.sin(angle), 0 * angle
    turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1]).unflatten(0, (3, 3))
    normal = torch.einsum("ikp,kp...->ip...", turn, normal)
    second = torch.einsum("ikp,jlp,klp...->ijp...", turn, turn, second)
    product = torch.stack([normal[1] * normal[2], normal[0] * normal[2], normal[0] * normal[1]])
    square, e = normal.square().sum(0), product.square().sum(0)
    others = product.roll(1, 0)
    r = torch.sqrt((0.5 * (product**2 - others**2).square().sum(0)).clamp(min=LEAST))
    across = torch.stack([second[0, 2], second[1, 0], second[2, 1]])
    mixed = (product**2 * second.diagonal().movedim(-1, 0) - product * others * across).sum(0)
    strength = per_cell(c.anisotropy_strength, c)
    mean = 1 + strength * (72 * e - 15 * square**2)
    largest = (mean + 48 * strength * r).clamp(min=0)
    whole = (mean + 48 * strength * e) * curvature + 96 * strength * mixed
    positive = 0.5 * largest / r * ((e + r) * curvature + 2 * mixed)
    partial = mean < 48 * strength * r
    bound = limit * torch.where(partial, 0.5 * largest, mean)
    return torch.where(partial, positive, whole).clamp(-bound, bound), largest
