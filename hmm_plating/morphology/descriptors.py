"""Numbers that describe a plated surface, each batched over leading dimensions.

Every function takes the order parameter ξ (..., y, x), or (..., z, y, x) with `dimensions=3` (a shape alone cannot tell
them apart), 1 metal and 0 liquid, row 0 at the crystal, the edge `spacing` of a cell [m] and, where heights are
absolute, the rigid metal `base_thickness` [m] below row 0, a number or (...,). The surface is the level ξ = ½. Fields
with fewer dimensions than stated raise InputError. All but `coverage`, which counts cells, are
differentiable, almost everywhere where the topmost metal or a highest asperity is looked for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.morphology.height_parameters import maximum_peak_height, root_mean_square_height

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
    index = torch.arange(rows, device=order_parameter.device)[:, None]
    top = torch.where(order_parameter >= 0.5, index, -1).amax(-2, keepdim=True)  # highest metal cell, −1 for none
    inside = _logit(order_parameter.gather(-2, top.clamp(min=0)))
    outside = _logit(order_parameter.gather(-2, (top + 1).clamp(max=rows - 1)))
    crossing = inside / torch.where(outside < 0, inside - outside, torch.ones_like(inside))
    crossing = torch.where(top + 1 < rows, crossing, torch.full_like(crossing, 0.5))
    cells = torch.where(top >= 0, top + 0.5 + crossing, torch.zeros_like(crossing)).squeeze(-2)
    base = torch.as_tensor(base_thickness, dtype=cells.dtype, device=cells.device)
    return cells * spacing + base[(..., *(None,) * (dimensions - 1))]


def roughness(order_parameter: Tensor, spacing: float, dimensions: int = 2) -> Tensor:
    """Sq, root mean square height of the surface about its mean [m] (...,) (ISO 25178-2, 4.2.1)."""
    return root_mean_square_height(surface_height(order_parameter, spacing, 0.0, dimensions), dimensions)


def dendrite_height(order_parameter: Tensor, spacing: float, dimensions: int = 2) -> Tensor:
    """Highest asperity above the mean surface, Sp of ISO 25178-2, 4.2.4 [m] (...,)."""
    return maximum_peak_height(surface_height(order_parameter, spacing, 0.0, dimensions), dimensions)


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


def porosity(
    order_parameter: Tensor, spacing: float, base_thickness: Tensor | float = 0.0, dimensions: int = 2
) -> Tensor:
    """Liquid below the topmost metal of each column, over all that lies there [1] (...,): pores and undercuts.

    0 without overhangs, and on a bare crystal. Fronts are interpolated as in `surface_height`; liquid between islands
    does not count (`solid_volume_fraction` tells of that).
    """
    _check(order_parameter, dimensions)
    distance = _logit(order_parameter)
    lower, upper = distance[..., :-1, :], distance[..., 1:, :]
    between = torch.where((lower >= 0) == (upper >= 0), 1.0, lower.abs() + upper.abs())
    cut = torch.maximum(lower, upper).abs() / between  # part of the way from row to row that is metal
    filled = torch.where((lower >= 0) == (upper >= 0), (lower >= 0).to(distance.dtype), cut)
    ends = (order_parameter[..., [0, -1], :] >= 0.5).to(distance.dtype).sum(-2) / 2
    metal = base_thickness + spacing * (filled.sum(-2) + ends).flatten(1 - dimensions).mean(-1)
    below = base_thickness + _heights(order_parameter, spacing, dimensions).mean(-1)
    return (1 - metal / torch.where(below > 0, below, torch.inf)).clamp(min=0) * (below > 0)


def surface_area_ratio(order_parameter: Tensor, spacing: float, dimensions: int = 2) -> Tensor:
    """Area of the metal in contact with liquid over that of the crystal [1] (...,), overhangs included.

    ∫|∇ξ| dV, the mean over all levels of ξ of their areas (coarea formula; Federer, Trans. Am. Math. Soc. 93 (1959)
    418), which for one surface is its own; the crystal itself does not count. 1 + Sdr without overhangs, 0 where bare.
    """
    _check(order_parameter, dimensions)
    rows = order_parameter
    vertical = torch.cat([rows[..., 1:, :], rows[..., -1:, :]], -2) - torch.cat(
        [rows[..., :1, :], rows[..., :-1, :]], -2
    )
    square = vertical.square()
    for axis in (-1, -3)[: dimensions - 1]:
        square = square + (rows.roll(-1, axis) - rows.roll(1, axis)).square()
    length = torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0) / 2
    return length.sum(-2).flatten(1 - dimensions).mean(-1)


def specific_area(
    order_parameter: Tensor, spacing: float, base_thickness: Tensor | float = 0.0, dimensions: int = 2
) -> Tensor:
    """Area of the metal in contact with liquid per volume of metal [1/m] (...,); 0 on a bare crystal."""
    volume = thickness(order_parameter, spacing, base_thickness, dimensions)
    area = surface_area_ratio(order_parameter, spacing, dimensions)
    return area / torch.where(volume > 0, volume, torch.inf)


def _logit(order_parameter: Tensor) -> Tensor:
    """Depth in the metal, in units of ℓ/4."""
    clipped = order_parameter.clamp(_CLIP, 1 - _CLIP)
    return torch.log(clipped) - torch.log(1 - clipped)


def _heights(order_parameter: Tensor, spacing: float, dimensions: int) -> Tensor:
    """Of all columns above row 0 [m] (..., column)."""
    return surface_height(order_parameter, spacing, 0.0, dimensions).flatten(1 - dimensions)


def _check(order_parameter: Tensor, dimensions: int) -> None:
    if dimensions not in (2, 3):
        raise InputError(f"dimensions must be 2 or 3, got {dimensions!r}")
    if order_parameter.ndim < dimensions:
        axes = "(..., y, x)" if dimensions == 2 else "(..., z, y, x)"
        raise InputError(f"order_parameter must have dimensions {axes}, got shape {tuple(order_parameter.shape)}")
