"""Solid fraction of every cell from a diffuse order parameter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hmm_plating.errors import InputError

_SATURATION = 1e-12  # order parameters are inverted within this distance of 0 and 1


def solid_fraction(order_parameter: Tensor, interface_width: float, spacing: float) -> Tensor:
    """Sharp cell fractions of the surface ξ = ½ in a field ξ = ½[1 + tanh(2d/ℓ)], d the depth in the metal.

    The profile is inverted to d, d/|∇d| is the distance to the surface to first order (in thin or small features,
    where ξ does not reach 1, |∇d| differs from 1), and the cell is cut by the plane at that distance.

    Args:
        order_parameter: ξ (..., y, x), 1 in metal, 0 in liquid; last dimension periodic; values beyond are clipped.
        interface_width: ℓ = sqrt(8κ/W) [m].
        spacing: cell size [m].

    Returns:
        fractions in [0, 1], same shape, differentiable.

    Raises:
        InputError: a length that is not positive, NaN, or fewer than two dimensions.
    """
    for name, value in (("interface_width", interface_width), ("spacing", spacing)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive length in metres, got {value!r}")
    if order_parameter.ndim < 2:
        raise InputError(f"order_parameter must be (..., y, x), got shape {tuple(order_parameter.shape)}")
    if bool(torch.isnan(order_parameter).any()):
        raise InputError("order_parameter contains NaN")
    clipped = order_parameter.clamp(_SATURATION, 1 - _SATURATION)
    depth = interface_width / (4 * spacing) * torch.logit(clipped)  # in cells
    across = (depth.roll(-1, -1) - depth.roll(1, -1)) / 2
    padded = torch.cat(
        [2 * depth[..., :1, :] - depth[..., 1:2, :], depth, 2 * depth[..., -1:, :] - depth[..., -2:-1, :]], -2
    )
    along = (padded[..., 2:, :] - padded[..., :-2, :]) / 2
    return cell_cut(depth, across, along)


def cell_cut(value: Tensor, slope_x: Tensor, slope_y: Tensor) -> Tensor:
    """Area of a unit cell, x and y in (−½, ½), where value + slope_x x + slope_y y > 0: exact, once differentiable."""
    # signs do not matter by symmetry; along the sum of two uniform variables the area is a trapezoid's distribution
    level = (slope_x == 0) & (slope_y == 0)  # deep in a phase: any direction serves
    slope_y = torch.where(level, torch.ones_like(slope_y), slope_y)
    norm = torch.sqrt(slope_x**2 + slope_y**2 + 1e-24)
    distance = value / norm
    wide = torch.maximum(slope_x.abs(), slope_y.abs()) / norm
    narrow = torch.minimum(slope_x.abs(), slope_y.abs()) / norm
    outer, inner = (wide + narrow) / 2, (wide - narrow) / 2
    inside = distance.abs().clamp(max=outer)
    corner = (outer - inside) ** 2 / (2 * wide * narrow).clamp(min=1e-12)
    half = torch.where(inside > inner, 1 - corner, 0.5 + inside / wide)
    return torch.where(distance < 0, 1 - half, half)
