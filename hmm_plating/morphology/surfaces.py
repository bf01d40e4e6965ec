"""Surfaces to start from: films of a given height profile and hemispherical nuclei on a bare crystal.

Each is the order parameter ξ = ½[1 + tanh(2d/ℓ)] of a signed distance d, positive in metal. Nucleation is a
deterministic function of explicit noise, so that a probabilistic program can sample the noise and differentiate the
surface.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hmm_plating.errors import InputError


def film(height: Tensor, rows: int, interface_width: float, spacing: float) -> Tensor:
    """Metal below a height profile: ξ (..., rows, x).

    Args:
        height: [m] above the crystal (..., x), periodic in x; its slope corrects the vertical to the normal distance.
        rows: of the box.
        interface_width: ℓ [m].
        spacing: of the grid [m].
    """
    y = (torch.arange(rows, dtype=height.dtype, device=height.device) + 0.5)[:, None] * spacing
    slope = (torch.roll(height, -1, -1) - torch.roll(height, 1, -1)) / (2 * spacing)
    distance = (height[..., None, :] - y) / torch.sqrt(1 + slope**2)[..., None, :]
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
    shape: tuple[int, int],
    interface_width: float,
    spacing: float,
) -> Tensor:
    """Hemispherical caps on the crystal: a Poisson number of them, uniform positions, log-normal radii; ξ (..., y, x).

    Args:
        uniform: in (0, 1] (..., candidate), for the positions (`poisson_sites`).
        normal: standard normal (..., candidate), for the radii.
        density: nuclei per width of the section [1/m], a number or (...,).
        median_radius: [m], a number or (...,).
        radius_log_deviation: standard deviation of ln(radius), a number or (...,).
        shape: rows and columns of the box.
        interface_width: ℓ [m]. Radii below ℓ/2, which the interface cannot resolve, are raised to it.
        spacing: of the grid [m].

    Raises:
        InputError: a median radius under ℓ/2, or too few candidates.
    """
    median, deviation = (
        torch.as_tensor(value, dtype=uniform.dtype, device=uniform.device)[..., None]
        for value in (median_radius, radius_log_deviation)
    )
    smallest = 0.5 * interface_width
    if not bool((median >= smallest * (1 - 1e-9)).all()):
        raise InputError(
            f"median radius {float(median.min()):g} m of the nuclei is under half the interface width {smallest:g} m"
        )
    rows, columns = shape
    length = columns * spacing
    position = poisson_sites(uniform, density, length)
    radius = (median * torch.exp(deviation * normal)).clamp(min=smallest)
    centre = (torch.arange(columns, dtype=uniform.dtype, device=uniform.device) + 0.5) * spacing
    height = (torch.arange(rows, dtype=uniform.dtype, device=uniform.device) + 0.5)[:, None] * spacing
    order_parameter = torch.zeros(uniform.shape[:-1] + shape, dtype=uniform.dtype, device=uniform.device)
    for candidate in range(uniform.shape[-1]):  # one at a time: the fields of all candidates need not fit in memory
        x, r = position[..., candidate, None], radius[..., candidate, None]
        present = torch.isfinite(x)
        if not bool(present.any()):
            break
        offset = centre - torch.where(present, x, torch.zeros_like(x))
        offset = offset - length * torch.round(offset / length)
        distance = r[..., None] - torch.sqrt(offset[..., None, :] ** 2 + height**2)
        cap = torch.sigmoid(4 * distance / interface_width)
        order_parameter = torch.maximum(order_parameter, torch.where(present[..., None], cap, torch.zeros_like(cap)))
    return order_parameter
