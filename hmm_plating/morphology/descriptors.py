"""Numbers that describe a plated surface, each batched over leading dimensions.

Every function takes the order parameter ξ (..., y, x), or (..., z, y, x) with `dimensions=3` (a shape alone cannot tell
them apart), 1 metal and 0 liquid, row 0 at the crystal, the edge `spacing` of a cell [m] and, where heights are
absolute, the rigid metal `base_thickness` [m] below row 0, a number or (...,). The surface is the level ξ = ½. Fields
with fewer dimensions than stated raise InputError.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hmm_plating.errors import InputError

_CLIP = 1e-12  # of ξ before the logarithm


def thickness(
    order_parameter: Tensor, spacing: float, base_thickness: Tensor | float = 0.0, dimensions: int = 2
) -> Tensor:
    """Mean metal height, base + ∫ξ dy averaged over the crystal [m] (...,): what Faraday's law fixes."""
    _check(order_parameter, dimensions)
    columns = order_parameter[..., 0, :].shape[1 - dimensions :].numel()
    return base_thickness + order_parameter.sum(tuple(range(-dimensions, 0))) * (spacing / columns)


def surface_height(
    order_parameter: Tensor, spacing: float, base_thickness: Tensor | float = 0.0, dimensions: int = 2
) -> Tensor:
    """Height of the topmost metal in every column above the crystal [m], (..., x) or (..., z, x).

    Between the two rows that bracket ξ = ½ the signed distance, ln(ξ/(1 − ξ)), is interpolated: exact for a flat front
    wherever it lies in its cell. A column without metal has the height of the base.
    """
    _check(order_parameter, dimensions)
    rows = order_parameter.shape[-2]
    clipped = order_parameter.clamp(_CLIP, 1 - _CLIP)
    distance = torch.log(clipped) - torch.log(1 - clipped)
    index = torch.arange(rows, device=order_parameter.device)[:, None]
    top = torch.where(order_parameter >= 0.5, index, -1).amax(-2, keepdim=True)  # highest metal cell, −1 for none
    inside = distance.gather(-2, top.clamp(min=0))
    outside = distance.gather(-2, (top + 1).clamp(max=rows - 1))
    crossing = inside / torch.where(outside < 0, inside - outside, torch.ones_like(inside))
    crossing = torch.where(top + 1 < rows, crossing, torch.full_like(crossing, 0.5))
    cells = torch.where(top >= 0, top + 0.5 + crossing, torch.zeros_like(crossing)).squeeze(-2)
    base = torch.as_tensor(base_thickness, dtype=cells.dtype, device=cells.device)
    return cells * spacing + base[(..., *(None,) * (dimensions - 1))]


def roughness(order_parameter: Tensor, spacing: float, dimensions: int = 2) -> Tensor:
    """Sq, root mean square height of the surface about its mean [m] (...,) (ISO 25178-2, 4.2.1)."""
    height = _heights(order_parameter, spacing, dimensions)
    return (height - height.mean(-1, keepdim=True)).square().mean(-1).sqrt()


def dendrite_height(order_parameter: Tensor, spacing: float, dimensions: int = 2) -> Tensor:
    """Highest asperity above the mean surface, Sp of ISO 25178-2, 4.2.4 [m] (...,)."""
    height = _heights(order_parameter, spacing, dimensions)
    return height.amax(-1) - height.mean(-1)


def coverage(order_parameter: Tensor, base_thickness: Tensor | float = 0.0, dimensions: int = 2) -> Tensor:
    """Part of the crystal that touches metal (...,), to one cell of the width; 1 on a rigid base."""
    _check(order_parameter, dimensions)
    touching = (order_parameter[..., 0, :] >= 0.5).to(order_parameter.dtype).flatten(1 - dimensions).mean(-1)
    return torch.where(torch.as_tensor(base_thickness, device=touching.device) > 0, torch.ones_like(touching), touching)


def solid_volume_fraction(
    order_parameter: Tensor, spacing: float, base_thickness: Tensor | float = 0.0, dimensions: int = 2
) -> Tensor:
    """Metal volume over the volume between the crystal and the plane of the highest asperity (...,), in [0, 1].

    A flat film has 1 at any thickness; so, as its limit, has a bare crystal, where no level ξ = ½ encloses a volume.
    """
    highest = base_thickness + _heights(order_parameter, spacing, dimensions).amax(-1)
    volume = thickness(order_parameter, spacing, base_thickness, dimensions)
    bare = highest <= 0
    fraction = volume / torch.where(bare, torch.ones_like(highest), highest)
    return torch.where(bare, torch.ones_like(fraction), fraction.clamp(max=1))


def _heights(order_parameter: Tensor, spacing: float, dimensions: int) -> Tensor:
    """Of all columns above row 0 [m] (..., column)."""
    return surface_height(order_parameter, spacing, 0.0, dimensions).flatten(1 - dimensions)


def _check(order_parameter: Tensor, dimensions: int) -> None:
    if dimensions not in (2, 3):
        raise InputError(f"dimensions must be 2 or 3, got {dimensions!r}")
    if order_parameter.ndim < dimensions:
        axes = "(..., y, x)" if dimensions == 2 else "(..., z, y, x)"
        raise InputError(f"order_parameter must have dimensions {axes}, got shape {tuple(order_parameter.shape)}")
