"""Random surfaces as Pyro programs: Gaussian heights of a given spectrum, nuclei, and neural fields.

    h = ⟨h⟩ + F⁻¹[√S F[z]],    z ~ N(0, 1) at every height,    S ∝ F[C],    C(r) = Sq² exp(−(r/L)^{2H})

C is the autocovariance of a self-affine surface with Hurst exponent H below the correlation length L (Sinha, Sirota,
Garoff and Stanley, Phys. Rev. B 38 (1988) 2297, DOI 10.1103/PhysRevB.38.2297): exponential at H = ½, Gaussian at
H = 1. Summed over the periodic images, a sum of positive spectra by Poisson's formula. The noise is explicit, so that
a program can sample it and everything is differentiable in the numbers and in the noise.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.morphology.neural_field import NeuralField
from hmm_plating.morphology.surfaces import film, nuclei

Parameter = dist.TorchDistribution | Tensor | float

_GAUSSIAN_DEFAULTS = {"hurst_exponent": 1.0}
_NUCLEI_DEFAULTS = {"nucleation_regularity": 1.0, "nucleus_radius_spread": 0.2}

_IMAGES = 2  # of the period on each side: for L up to half a period, what lies beyond bends no spectrum
_FLOOR = 1e-12  # of the spectrum, relative: the square root of less is rounding


def gaussian_heights(
    noise: Tensor,
    mean_height: Tensor | float,
    root_mean_square_height: Tensor | float,
    correlation_length: Tensor | float,
    spacing: float,
    hurst_exponent: Tensor | float = 1.0,
    dimensions: int = 2,
) -> Tensor:
    """Periodic Gaussian heights [m], shape of the noise.

    The mean over the box is `mean_height` exactly, and ⟨h'²⟩ over many surfaces is Sq² exactly; that of one surface
    scatters the more, the fewer correlation lengths the box holds. Taking the mean of the box out shortens the
    correlation slightly: by the fraction ∫C/(Sq² area), √π L/width for a section of Gaussian correlation.

    Args:
        noise: white, standard normal (..., x), or (..., z, x) with `dimensions=3`.
        mean_height: [m] a number or (...,).
        root_mean_square_height: Sq [m], a number or (...,).
        correlation_length: L, at which C falls to 1/e [m], a number or (...,).
        spacing: of the grid [m].
        hurst_exponent: H in (0, 1], a number or (...,).
        dimensions: 2 or 3, those of the box.

    Raises:
        InputError: noise of too few dimensions, a negative Sq, L not between a tenth of a cell and half the
            shortest period, H outside (0, 1].
    """
    if dimensions not in (2, 3) or noise.ndim < dimensions - 1:
        raise InputError(
            f"noise for {dimensions!r} dimensions must be (..., x) or (..., z, x), got {tuple(noise.shape)}"
        )
    cells = noise.shape[1 - dimensions :]
    per_column = (..., *(None,) * (dimensions - 1))
    mean, deviation, length, hurst = (
        torch.as_tensor(value, dtype=noise.dtype, device=noise.device)[per_column]
        for value in (mean_height, root_mean_square_height, correlation_length, hurst_exponent)
    )
    _require(bool((deviation >= 0).all()), "root_mean_square_height", deviation, "not negative")
    longest = min(cells) * spacing / 2
    _require(bool(((length >= 0.1 * spacing) & (length <= longest)).all()), "correlation_length", length,
             f"between a tenth of a cell, {0.1 * spacing:g} m, and half the period, {longest:g} m")  # fmt: skip
    _require(bool(((hurst > 0) & (hurst <= 1)).all()), "hurst_exponent", hurst, "in (0, 1]")
    axes = tuple(range(1 - dimensions, 0))
    spectrum = torch.fft.fftn(_periodic_correlation(cells, spacing, length, hurst), dim=axes).real
    origin = torch.zeros(cells, dtype=torch.bool, device=noise.device)
    origin[(0,) * (dimensions - 1)] = True
    spectrum = torch.where(origin, 0.0, spectrum)
    spectrum = spectrum / spectrum.mean(axes, keepdim=True)
    amplitude = torch.where(origin, 0.0, spectrum.clamp(min=_FLOOR).sqrt())
    return mean + deviation * torch.fft.ifftn(amplitude * torch.fft.fftn(noise, dim=axes), dim=axes).real


def gaussian_surface(
    parameters: Mapping[str, Parameter], shape: tuple[int, ...], interface_width: float, spacing: float
) -> Tensor:
    """Pyro program: order parameter ξ of a film with Gaussian heights, (..., y, x) or (..., z, y, x) by `shape`.

    Sites: those of `mean_height`, `root_mean_square_height`, `correlation_length` [m] and `hurst_exponent` (default 1)
    that are given as distributions (a number or tensor fixes one), and `surface_noise`. Where heights fall below 0 the
    crystal is bare, and the mean thickness more than `mean_height`.

    Args:
        parameters: distributions, numbers, or tensors that broadcast with the plates around.
        shape: of the box in cells, (rows, columns) or (layers, rows, columns).
        interface_width: ℓ [m].
        spacing: of the grid [m].

    Raises:
        InputError: unknown or missing parameters, and as `gaussian_heights`.
    """
    values = _sample_parameters(
        parameters,
        ("mean_height", "root_mean_square_height", "correlation_length", "hurst_exponent"),
        _GAUSSIAN_DEFAULTS,
    )
    lateral = [*shape[:-2], shape[-1]]
    noise = pyro.sample("surface_noise", _standard_normal().expand(lateral).to_event(len(lateral)))
    heights = gaussian_heights(
        noise,
        values["mean_height"],
        values["root_mean_square_height"],
        values["correlation_length"],
        spacing,
        values["hurst_exponent"],
        len(shape),
    )
    return film(heights, shape[-2], interface_width, spacing, len(shape))


def nucleated_surface(
    parameters: Mapping[str, Parameter],
    shape: tuple[int, ...],
    interface_width: float,
    spacing: float,
    candidates: int = 64,
) -> Tensor:
    """Pyro program: order parameter ξ of hemispherical nuclei (`nuclei`) on a bare crystal.

    Sites: those of `nucleation_density` [1/m², of a section the square of its nuclei per width],
    `nucleation_regularity` (default 1, Poisson), `nucleus_radius` [m] and `nucleus_radius_spread` (default 0.2) that
    are given as distributions, and the noise `nucleus_position`, `nucleus_size` and, in three dimensions,
    `nucleus_across`: `candidates` each.

    Raises:
        InputError: unknown or missing parameters, and as `nuclei`.
    """
    names = ("nucleation_density", "nucleation_regularity", "nucleus_radius", "nucleus_radius_spread")
    values = _sample_parameters(parameters, names, _NUCLEI_DEFAULTS)
    unit = dist.Uniform(torch.tensor(0.0, dtype=torch.float64), 1.0).expand([candidates]).to_event(1)
    position = pyro.sample("nucleus_position", unit)
    across = pyro.sample("nucleus_across", unit) if len(shape) == 3 else None
    size = pyro.sample("nucleus_size", _standard_normal().expand([candidates]).to_event(1))
    density = values["nucleation_density"]
    return nuclei(
        1 - position,
        size,
        density if len(shape) == 3 else density.sqrt(),
        values["nucleus_radius"],
        values["nucleus_radius_spread"],
        shape,
        interface_width,
        spacing,
        across,
        values["nucleation_regularity"],
    )


def neural_surface(
    parameters: Mapping[str, Parameter],
    shape: tuple[int, ...],
    interface_width: float,
    spacing: float,
    harmonics: int = 4,
    hidden: tuple[int, ...] = (24, 24),
) -> Tensor:
    """Pyro program: order parameter ξ of a random `NeuralField`, overhangs included, (..., y, x) or (..., z, y, x).

    Sites: those of `thickness` and `amplitude` [m] that are given as distributions (a number or tensor fixes one), and
    `surface_weights`.

    Args:
        parameters: distributions, numbers, or tensors that broadcast with the plates around.
        shape, interface_width, spacing, harmonics, hidden: as in `NeuralField`.

    Raises:
        InputError: unknown or missing parameters, and as `NeuralField`.
    """
    values = _sample_parameters(parameters, ("thickness", "amplitude"), {})
    field = NeuralField(shape, spacing, interface_width, spacing, spacing, harmonics, hidden)  # u is all that is used
    weights = pyro.sample("surface_weights", _standard_normal().expand([field.weight_count]).to_event(1))
    per_cell = (..., *(None,) * len(shape))
    moved = values["amplitude"][per_cell] * field.displacement(weights)
    return torch.sigmoid(4 * (values["thickness"][per_cell] - field.height(weights) + moved) / interface_width)


def _sample_parameters(
    parameters: Mapping[str, Parameter], names: tuple[str, ...], defaults: Mapping[str, float]
) -> dict[str, Tensor]:
    """A Pyro site for every distribution; numbers, tensors and the defaults of missing names as they are.

    Raises:
        InputError: unknown names, or missing ones without default.
    """
    given = {**defaults, **parameters}
    unknown, missing = set(given) - set(names), set(names) - set(given)
    if unknown or missing:
        raise InputError(
            f"parameters of a surface: {', '.join(names)}; unknown: {', '.join(sorted(unknown)) or 'none'}, missing: "
            f"{', '.join(sorted(missing)) or 'none'}"
        )
    return {
        name: pyro.sample(name, value)
        if isinstance(value, dist.Distribution)
        else torch.as_tensor(value, dtype=torch.float64)
        for name, value in given.items()
    }


def _periodic_correlation(cells: tuple[int, ...], spacing: float, length: Tensor, hurst: Tensor) -> Tensor:
    """C/Sq² at the lags of the grid, summed over images, (..., [z,] x)."""
    squares = [torch.zeros((), dtype=length.dtype, device=length.device)]
    for axis, count in enumerate(cells):
        index = torch.arange(count, dtype=length.dtype, device=length.device)
        nearest = (index - count * torch.round(index / count))[(..., *(None,) * (len(cells) - 1 - axis))]
        lags = [(nearest + image * count) * spacing for image in range(-_IMAGES, _IMAGES + 1)]
        squares = [square + lag.square() for square in squares for lag in lags]
    total = torch.zeros((), dtype=length.dtype, device=length.device)
    for square in squares:
        at_origin = square == 0
        relative = torch.where(at_origin, 1.0, square) / length.square()
        total = total + torch.where(at_origin, 1.0, torch.exp(-(relative**hurst)))
    return total


def _standard_normal() -> dist.Normal:
    return dist.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)


def _require(valid: bool, name: str, value: Tensor, wanted: str) -> None:
    if not valid:
        low, high = (float(bound) for bound in value.detach().aminmax())
        raise InputError(f"{name} must be {wanted}, got {low:g} to {high:g}")
