"""Numbers that describe a plated surface, each batched over leading dimensions.

Every function takes the order parameter ξ (..., y, x), 1 metal and 0 liquid, row 0 at the crystal, the edge `spacing`
of a cell [m] and, where heights are absolute, the rigid metal `base_thickness` [m] below row 0, a number or (...,).
The surface is the level ξ = ½.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CLIP = 1e-12  # of ξ before the logarithm


def thickness(order_parameter: Tensor, spacing: float, base_thickness: Tensor | float = 0.0) -> Tensor:
    """Mean metal height, base + ∫ξ dy averaged over x [m] (...,): what Faraday's law fixes."""
    return base_thickness + order_parameter.sum((-2, -1)) * (spacing / order_parameter.shape[-1])


def surface_height(order_parameter: Tensor, spacing: float, base_thickness: Tensor | float = 0.0) -> Tensor:
    """Height of the topmost metal in every column above the crystal [m] (..., x).

    Between the two rows that bracket ξ = ½ the signed distance, ln(ξ/(1 − ξ)), is interpolated: exact for a flat front
    wherever it lies in its cell. A column without metal has the height of the base.
    """
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
    return cells * spacing + torch.as_tensor(base_thickness, dtype=cells.dtype, device=cells.device)[..., None]


def roughness(order_parameter: Tensor, spacing: float) -> Tensor:
    """Sq, root mean square height of the surface about its mean [m] (...,) (ISO 25178-2, 4.2.1)."""
    height = surface_height(order_parameter, spacing)
    return (height - height.mean(-1, keepdim=True)).square().mean(-1).sqrt()


def dendrite_height(order_parameter: Tensor, spacing: float) -> Tensor:
    """Highest asperity above the mean surface, Sp of ISO 25178-2, 4.2.4 [m] (...,)."""
    height = surface_height(order_parameter, spacing)
    return height.amax(-1) - height.mean(-1)


def coverage(order_parameter: Tensor, base_thickness: Tensor | float = 0.0) -> Tensor:
    """Part of the crystal that touches metal (...,), to one cell of the width; 1 on a rigid base."""
    touching = (order_parameter[..., 0, :] >= 0.5).to(order_parameter.dtype).mean(-1)
    return torch.where(torch.as_tensor(base_thickness, device=touching.device) > 0, torch.ones_like(touching), touching)


def solid_volume_fraction(order_parameter: Tensor, spacing: float, base_thickness: Tensor | float = 0.0) -> Tensor:
    """Metal volume over the volume between the crystal and the plane of the highest asperity (...,), in [0, 1].

    A flat film has 1 at any thickness; so, as its limit, has a bare crystal, where no level ξ = ½ encloses a volume.
    """
    highest = surface_height(order_parameter, spacing, base_thickness).amax(-1)
    volume = thickness(order_parameter, spacing, base_thickness)
    bare = highest <= 0
    fraction = volume / torch.where(bare, torch.ones_like(highest), highest)
    return torch.where(bare, torch.ones_like(fraction), fraction.clamp(max=1))
