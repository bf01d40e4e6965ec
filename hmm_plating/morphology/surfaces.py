"""Surfaces to start from: films of a given height profile and hemispherical nuclei on a bare crystal.

Each is the order parameter ξ = ½[1 + tanh(2d/ℓ)] of a signed distance d, positive in metal. Nucleation is a
deterministic function of explicit noise, so that a probabilistic program can sample the noise and differentiate the
surface.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hmm_plating.errors import InputError


def film(height: Tensor, rows: int, interface_width: float, spacing: float, dimensions: int = 2) -> Tensor:
    """Metal below a height profile: ξ (..., rows, x), or (..., z, rows, x) with `dimensions=3`.

    Args:
        height: [m] above the crystal, (..., x) or (..., z, x), laterally periodic; its slope corrects the vertical to
            the normal distance.
        rows: of the box.
        interface_width: ℓ [m].
        spacing: of the grid [m].
        dimensions: 2 or 3, those of the box.

    Raises:
        InputError: other dimensions, or heights with fewer than they need.
    """
    if dimensions not in (2, 3) or height.ndim < dimensions - 1:
        raise InputError(
            f"a film in 2 or 3 dimensions needs heights (..., x) or (..., z, x); dimensions={dimensions!r}, "
            f"heights of shape {tuple(height.shape)}"
        )
    y = (torch.arange(rows, dtype=height.dtype, device=height.device) + 0.5)[:, None] * spacing
    lateral = range(1 - dimensions, 0)
    slopes = ((torch.roll(height, -1, axis) - torch.roll(height, 1, axis)) / (2 * spacing) for axis in lateral)
    steepness = torch.sqrt(sum((slope**2 for slope in slopes), torch.ones_like(height)))
    distance = (height[..., None, :] - y) / steepness[..., None, :]
    return torch.sigmoid(4 * distance / interface_width)


def poisson_sites(uniform: Tensor, density: Tensor | float, length: float) -> Tensor:
    """Positions of a homogeneous Poisson process on [0, length), in increasing order (..., candidate).

    Successive gaps are exponential, −ln(u)/density; candidates beyond the length are absent and marked by inf. Where
    all are, the first is folded back: a section without a nucleus could not pass the current that its neighbours do.

    Args:
        uniform: in (0, 1] (..., candidate), one per candidate site.
        density: nuclei per length [1/m], a number or (...,).
        length: [m].

    Raises:
        InputError: even the last candidate lies inside: more are needed.
    """
    rate = torch.as_tensor(density, dtype=uniform.dtype, device=uniform.device)[..., None]
    position = torch.cumsum(-torch.log(uniform), -1) / rate
    if bool((position[..., -1] < length).any()):
        raise InputError(
            f"{uniform.shape[-1]} candidate sites are too few for a mean of {float((rate * length).max()):.3g} nuclei; "
            "give more uniform numbers"
        )
    first = position[..., :1].remainder(length)
    position = torch.cat([torch.where(position[..., :1] < length, position[..., :1], first), position[..., 1:]], -1)
    return torch.where(position < length, position, torch.full_like(position, torch.inf))


def nuclei(
    uniform: Tensor,
    normal: Tensor,
    density: Tensor | float,
    median_radius: Tensor | float,
    radius_log_deviation: Tensor | float,
    shape: tuple[int, ...],
    interface_width: float,
    spacing: float,
    across: Tensor | None = None,
) -> Tensor:
    """Hemispherical caps on the crystal: a Poisson number of them, uniform positions, log-normal radii.

    In a section, ξ (..., y, x), sites follow each other along x; in a box, ξ (..., z, y, x), along z, each with a
    uniform x.

    Args:
        uniform: in (0, 1] (..., candidate), for the positions (`poisson_sites`).
        normal: standard normal (..., candidate), for the radii.
        density: nuclei per width of the section [1/m] or, in three dimensions, per area of crystal [1/m²]; a number or
            (...,).
        median_radius: [m], a number or (...,).
        radius_log_deviation: standard deviation of ln(radius), a number or (...,).
        shape: of the box in cells, (rows, columns) or (layers, rows, columns).
        interface_width: ℓ [m]. Radii below ℓ/2, which the interface cannot resolve, are raised to it.
        spacing: of the grid [m].
        across: in [0, 1] (..., candidate), for x in three dimensions.

    Raises:
        InputError: a median radius under ℓ/2, too few candidates, or `across` for a section or missing for a box.
    """
    if len(shape) != 2 + (across is not None):
        raise InputError(f"nuclei in a box of {shape} cells: `across` places them in three dimensions, and only there")
    median, deviation = (
        torch.as_tensor(value, dtype=uniform.dtype, device=uniform.device)[..., None]
        for value in (median_radius, radius_log_deviation)
    )
    smallest = 0.5 * interface_width
    if not bool((median >= smallest * (1 - 1e-9)).all()):
        raise InputError(
            f"median radius {float(median.min()):g} m of the nuclei is under half the interface width {smallest:g} m"
        )
    centres = [(torch.arange(cells, dtype=uniform.dtype, device=uniform.device) + 0.5) * spacing for cells in shape]
    width = shape[-1] * spacing
    if across is None:
        position, sides = poisson_sites(uniform, density, width), []
    else:
        position, sides = poisson_sites(uniform, density * width, shape[0] * spacing), [width * across]
    radius = (median * torch.exp(deviation * normal)).clamp(min=smallest)
    order_parameter = torch.zeros(uniform.shape[:-1] + tuple(shape), dtype=uniform.dtype, device=uniform.device)
    for candidate in range(uniform.shape[-1]):  # one at a time: the fields of all candidates need not fit in memory
        present = torch.isfinite(position[..., candidate])
        if not bool(present.any()):
            break
        first = torch.where(present, position[..., candidate], torch.zeros_like(position[..., candidate]))
        lateral = [first, *(side[..., candidate] for side in sides)]  # along x; along z and x
        offsets = [
            _periodic(centre - place[..., None], cells * spacing)
            for centre, place, cells in zip(centres[:-2] + centres[-1:], lateral, shape[:-2] + shape[-1:], strict=True)
        ]
        square = offsets[-1][..., None, :] ** 2 + centres[-2][:, None] ** 2
        if across is not None:
            square = offsets[0][..., None, None] ** 2 + square[..., None, :, :]
        per_cell = (..., *(None,) * len(shape))
        cap = torch.sigmoid(4 * (radius[..., candidate][per_cell] - torch.sqrt(square)) / interface_width)
        order_parameter = torch.maximum(order_parameter, torch.where(present[per_cell], cap, torch.zeros_like(cap)))
    return order_parameter


def _periodic(offset: Tensor, length: float) -> Tensor:
    """The shortest way on a periodic axis of this length."""
    return offset - length * torch.round(offset / length)
