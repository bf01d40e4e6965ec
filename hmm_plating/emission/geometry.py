"""Solid fraction of every cell from a diffuse order parameter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hmm_plating.errors import InputError

_SATURATION = 1e-12  # order parameters are inverted within this distance of 0 and 1
_THIN = 1e-12  # share of a direction that is taken for none


def solid_fraction(order_parameter: Tensor, interface_width: float, spacing: float, *, dimensions: int = 2) -> Tensor:
    """Sharp cell fractions of the surface ξ = ½ in a field ξ = ½[1 + tanh(2d/ℓ)], d the depth in the metal.

    The profile is inverted to d. Over the length of its gradient, d is the distance to the surface to first order (in
    thin or small features, where ξ does not reach 1, that length differs from 1); the plane there cuts the cell.

    Args:
        order_parameter: ξ (..., y, x), or (..., z, y, x) with dimensions=3, 1 in metal, 0 in liquid; x and z periodic;
            values beyond are clipped. Leading dimensions are the batch.
        interface_width: ℓ = sqrt(8κ/W) [m].
        spacing: cell size [m].
        dimensions: 2 or 3, those of a surface: a shape alone cannot tell (z, y, x) from a batch of (y, x).

    Returns:
        fractions in [0, 1], same shape, differentiable.

    Raises:
        InputError: a length that is not positive, NaN, dimensions other than 2 and 3, or fewer than stated.
    """
    for name, value in (("interface_width", interface_width), ("spacing", spacing)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive length in metres, got {value!r}")
    if dimensions not in (2, 3):
        raise InputError(f"dimensions must be 2 or 3, got {dimensions!r}")
    if order_parameter.ndim < dimensions:
        axes = "(..., y, x)" if dimensions == 2 else "(..., z, y, x)"
        raise InputError(f"order_parameter must be {axes}, got shape {tuple(order_parameter.shape)}")
    if bool(torch.isnan(order_parameter).any()):
        raise InputError("order_parameter contains NaN")
    clipped = order_parameter.clamp(_SATURATION, 1 - _SATURATION)
    depth = interface_width / (4 * spacing) * torch.logit(clipped)  # in cells
    across = [(depth.roll(-1, axis) - depth.roll(1, axis)) / 2 for axis in (-1, -3)[: dimensions - 1]]
    padded = torch.cat(
        [2 * depth[..., :1, :] - depth[..., 1:2, :], depth, 2 * depth[..., -1:, :] - depth[..., -2:-1, :]], -2
    )
    upwards = (padded[..., 2:, :] - padded[..., :-2, :]) / 2
    return cell_cut(depth, *across, upwards)


def cell_cut(value: Tensor, *slopes: Tensor) -> Tensor:
    """Part of a unit cell about 0 where value + Σ slope_i x_i > 0, two or three directions: exact, differentiable.

    It is the distribution of a sum of uniform variables: with shares m_1 ≤ m_2 ≤ m_3 of the slopes, Σ m = 1, and the
    plane a part α of the way through the cell, V = Δ₁Δ₂Δ₃ α₊³/(6 m_1 m_2 m_3), Δ_i f(α) = f(α) − f(α − m_i). The
    quotients Δ_i/m_i are taken one after another, in a form without loss of digits where m_1 or m_2 vanishes
    (Scardovelli and Zaleski, J. Comput. Phys. 164 (2000) 228, list the cases).
    """
    total = torch.stack(slopes).abs().sum(0)
    cut = value.abs() < total / 2
    shares = torch.stack([slope[cut].abs() for slope in slopes] + [torch.zeros_like(value[cut])] * (3 - len(slopes)))
    low, middle, high = (shares / total[cut]).sort(0).values

    def once(through: Tensor) -> Tensor:
        whole = 3 * through * (through - low) + low**2
        return torch.where(through < low, through.clamp(min=0) ** 3 / low.clamp(min=_THIN), whole)

    def twice(through: Tensor) -> Tensor:
        begun = (once(through) - once(through - middle)) / middle.clamp(min=_THIN)
        return torch.where(through < low + middle, begun, 6 * through - 3 * (low + middle))

    through = 0.5 + value[cut] / total[cut]
    nearer = torch.where(through < 0.5, through, 1 - through)
    part = (twice(nearer) - twice(nearer - high)) / (6 * high)
    return (value > 0).to(value.dtype).masked_scatter(cut, torch.where(through < 0.5, part, 1 - part))
