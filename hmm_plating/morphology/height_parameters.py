"""Height, spacing and hybrid parameters of a height profile (ISO 25178-2; of a section, ISO 4287).

    Sa = ⟨|h'|⟩    Sq² = ⟨h'²⟩    Ssk = ⟨h'³⟩/Sq³    Sku = ⟨h'⁴⟩/Sq⁴    Sp = max h'    Sdr = ⟨√(1 + |∇h|²)⟩ − 1
    C(r) = ⟨h'(x) h'(x + r)⟩/Sq²,      Sal: C = 0.2 first,      correlation length: C = 1/e first

with h' = h − ⟨h⟩. Every function takes heights [m], (..., x), or (..., z, x) with `dimensions=3`, laterally periodic;
leading dimensions are the batch. All are differentiable: Sp and the two lengths almost everywhere (they jump to another
asperity or lag). No filter or reference plane is applied. Sources: ISO 25178-2:2021; Whitehouse, Handbook of Surface
and Nanometrology, 2nd ed. (2011), ch. 2. Heights with fewer dimensions than stated raise InputError.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hmm_plating.errors import InputError

_DIRECTIONS = 36  # of the half plane, in which the autocorrelation of a volume's surface is followed


def arithmetical_mean_height(height: Tensor, dimensions: int = 2) -> Tensor:
    """Sa, mean distance from the mean plane [m] (...,)."""
    return _deviation(height, dimensions).abs().mean(-1)


def root_mean_square_height(height: Tensor, dimensions: int = 2) -> Tensor:
    """Sq, standard deviation of the heights [m] (...,); its gradient on a flat surface is set to 0."""
    square = _deviation(height, dimensions).square().mean(-1)
    return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)


def skewness(height: Tensor, dimensions: int = 2) -> Tensor:
    """Ssk, negative for pores, positive for peaks, 0 on a flat surface [1] (...,)."""
    return _standardised(height, dimensions).pow(3).mean(-1)


def kurtosis(height: Tensor, dimensions: int = 2) -> Tensor:
    """Sku, 3 for Gaussian heights, more for rare extremes, 0 on a flat surface [1] (...,)."""
    return _standardised(height, dimensions).pow(4).mean(-1)


def maximum_peak_height(height: Tensor, dimensions: int = 2) -> Tensor:
    """Sp, highest point above the mean plane [m] (...,)."""
    return _deviation(height, dimensions).amax(-1)


def developed_interfacial_area_ratio(height: Tensor, spacing: float, dimensions: int = 2) -> Tensor:
    """Sdr, area of the surface over that of the crystal, less 1 [1] (...,); of a section, that of its length.

    The surface between four heights is the mean of the two ways of cutting the cell into two triangles.
    """
    _check(height, dimensions)
    slope = (height.roll(-1, -1) - height) / spacing
    if dimensions == 2:
        return _stretch(slope.square()).mean(-1)
    across = (height.roll(-1, -2) - height) / spacing
    triangles = [
        _stretch(one.square() + other.square())
        for one in (slope, slope.roll(-1, -2))
        for other in (across, across.roll(-1, -1))
    ]
    return (sum(triangles[1:], triangles[0]) / 4).mean((-2, -1))


def autocorrelation(height: Tensor, dimensions: int = 2) -> Tensor:
    """C at the lags of the grid, periodic, 1 at lag 0 (..., x) or (..., z, x); 0 elsewhere on a flat surface.

    By the Wiener–Khinchin theorem: the transform of the power spectrum.
    """
    axes = tuple(range(1 - dimensions, 0))
    deviation = _standardised(height, dimensions).reshape(height.shape)
    power = torch.fft.fftn(deviation, dim=axes).abs().square()
    correlation = torch.fft.ifftn(power, dim=axes).real / deviation.shape[1 - dimensions :].numel()
    origin = torch.zeros(correlation.shape[1 - dimensions :], dtype=torch.bool, device=height.device)
    origin.view(-1)[0] = True
    return torch.where(origin, 1.0, correlation)


def autocorrelation_length(height: Tensor, spacing: float, dimensions: int = 2) -> Tensor:
    """Sal, shortest lag in any direction at which the autocorrelation falls to 0.2 [m] (...,).

    Linear between the lags of the grid, bilinear in 36 directions of the plane. Half the (shorter) period where it
    never falls so far.
    """
    lags, along = _rays(autocorrelation(height, dimensions), dimensions)
    return spacing * _first_crossing(along, lags, 0.2).amin(-1)


def correlation_length(height: Tensor, spacing: float, dimensions: int = 2) -> Tensor:
    """Lag at which the autocorrelation, averaged over directions, falls to 1/e [m] (...,).

    Half the (shorter) period where it never does; that of a flat surface is a cell's, as that of white noise.
    """
    lags, along = _rays(autocorrelation(height, dimensions), dimensions)
    return spacing * _first_crossing(along.mean(-2), lags, math.exp(-1))


def _rays(correlation: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """Lags [cells] (lag,) and the autocorrelation along the directions (..., direction, lag)."""
    reach = min(correlation.shape[1 - dimensions :]) // 2
    if reach < 1:
        raise InputError(f"a correlation needs two heights along each axis, got {tuple(correlation.shape)}")
    lags = torch.arange(reach + 1, dtype=correlation.dtype, device=correlation.device)
    if dimensions == 2:
        return lags, correlation[..., None, : reach + 1]
    angle = math.pi / _DIRECTIONS * torch.arange(_DIRECTIONS, dtype=lags.dtype, device=lags.device)[:, None]
    along = 0.0 * correlation[..., :1, :1]
    place = [lags * torch.sin(angle), lags * torch.cos(angle)]  # z, x
    corner = [value.floor() for value in place]
    for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        index = [(c + s).long() % n for c, s, n in zip(corner, step, correlation.shape[-2:], strict=True)]
        part = [1 - (p - c - s).abs() for p, c, s in zip(place, corner, step, strict=True)]
        along = along + part[0] * part[1] * correlation[..., index[0], index[1]]
    return lags, along


def _first_crossing(correlation: Tensor, lags: Tensor, level: float) -> Tensor:
    """Where (..., lag) first falls to the level, linear between lags; the last lag where it does not (...,)."""
    below = correlation[..., 1:] <= level
    first = torch.where(below.any(-1), below.to(torch.int8).argmax(-1), len(lags) - 2)[..., None]
    before, after = correlation.gather(-1, first)[..., 0], correlation.gather(-1, first + 1)[..., 0]
    fell = after <= level
    drop = torch.where(fell, before - after, 1.0)
    return lags[first[..., 0]] + torch.where(fell, (before - level) / drop, 1.0)


def _stretch(square_slope: Tensor) -> Tensor:
    """√(1 + s²) − 1 without cancellation."""
    return square_slope / (1 + torch.sqrt(1 + square_slope))


def _standardised(height: Tensor, dimensions: int) -> Tensor:
    """Deviations over Sq (..., column); 0 on a flat surface, to the rounding of its heights."""
    deviation = _deviation(height, dimensions)
    square = deviation.square().mean(-1, keepdim=True)
    scale = height.detach().flatten(1 - dimensions).abs().amax(-1, keepdim=True)
    rough = square > (8 * torch.finfo(height.dtype).eps * scale) ** 2
    return torch.where(rough, deviation / torch.where(rough, square, 1.0).sqrt(), 0.0)


def _deviation(height: Tensor, dimensions: int) -> Tensor:
    """From the mean of each surface (..., column)."""
    _check(height, dimensions)
    columns = height.flatten(1 - dimensions)
    return columns - columns.mean(-1, keepdim=True)


def _check(height: Tensor, dimensions: int) -> None:
    if dimensions not in (2, 3):
        raise InputError(f"dimensions must be 2 or 3, got {dimensions!r}")
    if height.ndim < dimensions - 1:
        axes = "(..., x)" if dimensions == 2 else "(..., z, x)"
        raise InputError(f"heights must have dimensions {axes}, got shape {tuple(height.shape)}")
