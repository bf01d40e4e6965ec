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


def nucleation_sites(
    uniform: Tensor, density: Tensor | float, length: float, regularity: Tensor | float = 1.0
) -> Tensor:
    """Positions of a stationary renewal process on [0, length), in increasing order (..., candidate).

    Successive gaps follow Weibull's distribution of shape k, (−ln u)^(1/k)/Γ(1 + 1/k)/density: exponential for k = 1, a
    Poisson process; the more even the larger k, as around each nucleus a zone of lower overpotential and concentration
    excludes others (Milchev, Electrocrystallization, Kluwer 2002). The first has the mean wait (1 + c²)/2 of a process
    that began long ago, with c the gaps' coefficient of variation (Cox, Renewal Theory, Methuen 1962): as many lie in
    the length on average whatever k is. Candidates beyond the length are absent and marked by inf. Where all are, the
    first is folded back: a section without a nucleus could not pass the current that its neighbours do.

    Args:
        uniform: in (0, 1] (..., candidate), one per candidate site.
        density: nuclei per length [1/m], a number or (...,).
        length: [m].
        regularity: k ≥ 1, a number or (...,).

    Raises:
        InputError: even the last candidate lies inside: more are needed; or k < 1.
    """
    rate, shape = (
        torch.as_tensor(value, dtype=uniform.dtype, device=uniform.device)[..., None] for value in (density, regularity)
    )
    if not bool((shape >= 1).all()):
        raise InputError(f"the regularity of nucleation must be at least 1 (Poisson), got {float(shape.min()):g}")
    log_mean = torch.lgamma(1 + 1 / shape)
    square = torch.expm1(torch.lgamma(1 + 2 / shape) - 2 * log_mean)  # c²
    gaps = (-torch.log(uniform)) ** (1 / shape) / log_mean.exp()
    wait = gaps[..., :1] * uniform[..., -1:] ** ((1 - square) / (1 + square))  # u^a has the mean 1/(1 + a)
    position = torch.cumsum(torch.cat([wait, gaps[..., 1:]], -1), -1) / rate
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
    regularity: Tensor | float = 1.0,
) -> Tensor:
    """Hemispherical caps on the crystal: a random number of them, at random positions, with log-normal radii.

    In a section, ξ (..., y, x), sites follow each other along x; in a box, ξ (..., z, y, x), along z, each with a
    uniform x.

    Args:
        uniform: in (0, 1] (..., candidate), for the positions (`nucleation_sites`).
        normal: standard normal (..., candidate), for the radii.
        density: nuclei per width of the section [1/m] or, in three dimensions, per area of crystal [1/m²]; a number or
            (...,).
        median_radius: [m], a number or (...,).
        radius_log_deviation: standard deviation of ln(radius), a number or (...,).
        shape: of the box in cells, (rows, columns) or (layers, rows, columns).
        interface_width: ℓ [m]. Radii below ℓ/2, which the interface cannot resolve, are raised to it.
        spacing: of the grid [m].
        across: in [0, 1] (..., candidate), for x in three dimensions.
        regularity: of the sites' distances along their axis, 1 for a Poisson process; a number or (...,).

    Raises:
        InputError: a regularity below 1, a median radius under ℓ/2, too few candidates, or `across` for a section or
            missing for a box.
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
        position, sides = nucleation_sites(uniform, density, width, regularity), []
    else:
        position, sides = nucleation_sites(uniform, density * width, shape[0] * spacing, regularity), [width * across]
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
