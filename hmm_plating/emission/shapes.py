"""Surfaces of textbook shape: ridges, spheres, caps, gratings and egg crates, as solid fractions of the cells of a box.

Above every lateral point the metal is a set of intervals of height, which are united and cut into cells exactly;
laterally the cells are sampled at equal distances. With the default number of samples the fractions sum to the
analytic volume within 5e-5 where radii are at least half a cell, and those of a grating or egg crate to round-off.

All lengths are in metres. `shape` is the box in cells, (rows, columns) or (depth, rows, columns), the rows from the
crystal upwards; the box is periodic in x (columns) and z (depth), x is the direction of shear.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from hmm_plating.emission.intervals import FloatArray, fill
from hmm_plating.errors import InputError

_SAMPLES = {1: 1000, 2: 24}  # per cell and direction, by the number of directions that are sampled
_PER_RADIUS = 100  # least samples of a sphere,
_MOST = 200  # of a cell
_ROUNDING = 1e-9  # of lengths that fit the box exactly


def cylinders(
    x: npt.ArrayLike,
    height: npt.ArrayLike,
    radius: npt.ArrayLike,
    shape: tuple[int, ...],
    spacing: float,
    *,
    samples_per_cell: int | None = None,
) -> Tensor:
    """Ridges of circular section with their axes along z; overlapping ones are united, the crystal cuts off the rest.

    Args:
        x: of the axes [m], a number or one per cylinder.
        height: of the axes above the crystal [m]; 0 for half cylinders, the radius for ridges that touch it in a line.
        radius: [m].
        shape: (rows, columns) or (depth, rows, columns).
        spacing: cell size [m].
        samples_per_cell: lateral samples; the error of the volume falls as their number to the power −3/2.

    Returns:
        fractions in [0, 1], float64, of that shape.

    Raises:
        InputError: a length that is not positive, a cylinder below the crystal or without a row of liquid above it.
    """
    _check_box(shape, spacing, samples_per_cell)
    axes, heights, radii = _objects(shape, spacing, x=x, height=height, radius=radius)
    axes, heights, radii = _with_images(shape[-1] * spacing, radii, axes, heights, radii)

    def section(z: FloatArray, along: FloatArray) -> tuple[FloatArray, FloatArray]:
        return _chord(heights, radii, along - axes)

    *_, rows, columns = shape
    samples = samples_per_cell or _SAMPLES[1]
    return fill(section, (1, rows, columns), spacing, (1, samples))[0].expand(shape).clone()


def spheres(
    x: npt.ArrayLike,
    z: npt.ArrayLike,
    height: npt.ArrayLike,
    radius: npt.ArrayLike,
    shape: tuple[int, int, int],
    spacing: float,
    *,
    samples_per_cell: int | None = None,
) -> Tensor:
    """Spheres; overlapping ones are united, and the crystal cuts them to caps where they reach below it.

    Args:
        x, z: of the centres [m], numbers or one per sphere.
        height: of the centres above the crystal [m]; the radius for spheres that touch it in a point.
        radius: [m].
        shape: (depth, rows, columns).
        spacing: cell size [m].
        samples_per_cell: lateral samples in either direction; the error of the volume falls as their number squared
            or faster.

    Returns:
        fractions in [0, 1], float64 (z, y, x).

    Raises:
        InputError: a length that is not positive, a sphere below the crystal or without a row of liquid above it.
    """
    _check_box(shape, spacing, samples_per_cell, dimensions=3)
    x_centres, z_centres, heights, radii = _objects(shape, spacing, x=x, z=z, height=height, radius=radius)
    x_centres, z_centres, heights, radii = _with_images(shape[2] * spacing, radii, x_centres, z_centres, heights, radii)
    z_centres, x_centres, heights, radii = _with_images(shape[0] * spacing, radii, z_centres, x_centres, heights, radii)

    def section(z: FloatArray, along: FloatArray) -> tuple[FloatArray, FloatArray]:
        near = ((z.min() - z_centres < radii) & (z_centres - z.max() < radii)).reshape(-1)
        distance = np.hypot(along - x_centres[near], z - z_centres[near])
        return _chord(heights[near], radii[near], distance)

    samples = samples_per_cell or min(max(_SAMPLES[2], math.ceil(_PER_RADIUS * spacing / radii.min())), _MOST)
    return fill(section, shape, spacing, (samples, samples))


def hemispheres(
    x: npt.ArrayLike,
    z: npt.ArrayLike,
    radius: npt.ArrayLike,
    shape: tuple[int, int, int],
    spacing: float,
    *,
    samples_per_cell: int | None = None,
) -> Tensor:
    """Hemispheres on the crystal: `spheres` with their centres at height 0."""
    return spheres(x, z, 0.0, radius, shape, spacing, samples_per_cell=samples_per_cell)


def grating(
    amplitude: float,
    period: float,
    mean_height: float,
    shape: tuple[int, ...],
    spacing: float,
    *,
    along_shear: bool = False,
    samples_per_cell: int | None = None,
) -> Tensor:
    """Sinusoidal grooves: metal up to mean + amplitude cos(2πx/period), across the shear, or cos(2πz/period), along it.

    Args:
        amplitude, period, mean_height: [m]; the box is a whole number of periods wide.
        shape: (rows, columns) or (depth, rows, columns).
        spacing: cell size [m].
        along_shear: grooves that run along x; the box is then three-dimensional.
        samples_per_cell: lateral samples; errors fall as their number squared.

    Returns:
        fractions in [0, 1], float64, of that shape.

    Raises:
        InputError: a length that is not positive, grooves that cut the crystal, crests without a row of liquid above,
            a box that is not a whole number of periods.
    """
    _check_box(shape, spacing, samples_per_cell, dimensions=3 if along_shear else len(shape))
    axis = 0 if along_shear else -1
    _check_waves(amplitude, period, mean_height, shape, spacing, axis)

    def section(z: FloatArray, along: FloatArray) -> tuple[FloatArray, FloatArray]:
        upper = mean_height + amplitude * np.cos(2 * np.pi * (z if along_shear else along) / period)
        return np.zeros((1, 1, 1)), upper[None]

    *_, rows, columns = shape
    samples = samples_per_cell or _SAMPLES[1]
    if along_shear:
        return fill(section, (shape[0], rows, 1), spacing, (samples, 1)).expand(shape).clone()
    return fill(section, (1, rows, columns), spacing, (1, samples))[0].expand(shape).clone()


def egg_crate(
    amplitude: float,
    period: float,
    mean_height: float,
    shape: tuple[int, int, int],
    spacing: float,
    *,
    samples_per_cell: int | None = None,
) -> Tensor:
    """Metal up to mean + amplitude cos(2πx/period) cos(2πz/period).

    Args:
        amplitude, period, mean_height: [m]; the box is a whole number of periods in either direction.
        shape: (depth, rows, columns).
        spacing: cell size [m].
        samples_per_cell: lateral samples in either direction; errors fall as their number squared.

    Returns:
        fractions in [0, 1], float64 (z, y, x).

    Raises:
        InputError: as `grating`.
    """
    _check_box(shape, spacing, samples_per_cell, dimensions=3)
    for axis in (0, -1):
        _check_waves(amplitude, period, mean_height, shape, spacing, axis)
    wavenumber = 2 * np.pi / period

    def section(z: FloatArray, along: FloatArray) -> tuple[FloatArray, FloatArray]:
        upper = mean_height + amplitude * np.cos(wavenumber * z) * np.cos(wavenumber * along)
        return np.zeros((1, 1, 1)), upper[None]

    return fill(section, shape, spacing, (samples_per_cell or _SAMPLES[2],) * 2)


def _check_box(shape: tuple[int, ...], spacing: float, samples_per_cell: int | None, dimensions: int = 0) -> None:
    if len(shape) not in ((dimensions,) if dimensions else (2, 3)) or not all(
        isinstance(cells, int) and cells > 0 for cells in shape
    ):
        wanted = "(depth, rows, columns)" if dimensions == 3 else "(rows, columns) or (depth, rows, columns)"
        raise InputError(f"shape must be {wanted} in whole cells, got {shape!r}")
    if not (math.isfinite(spacing) and spacing > 0):
        raise InputError(f"spacing must be a positive length in metres, got {spacing!r}")
    if samples_per_cell is not None and samples_per_cell < 1:
        raise InputError(f"samples_per_cell must be at least 1, got {samples_per_cell!r}")


def _check_top(highest: float, shape: tuple[int, ...], spacing: float) -> None:
    if highest > (shape[-2] - 1) * spacing * (1 + _ROUNDING):
        rows = math.ceil(highest / spacing - _ROUNDING) + 1
        raise InputError(
            f"the metal is {highest:g} m high, which leaves no row of liquid above it in {shape[-2]} rows of "
            f"{spacing:g} m: give at least {rows} rows"
        )


def _check_waves(
    amplitude: float, period: float, mean_height: float, shape: tuple[int, ...], spacing: float, axis: int
) -> None:
    for name, value in (("amplitude", amplitude), ("period", period), ("mean_height", mean_height)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive length in metres, got {value!r}")
    if amplitude > mean_height * (1 + _ROUNDING):
        raise InputError(f"grooves of amplitude {amplitude:g} m cut the crystal at a mean height of {mean_height:g} m")
    _check_top(mean_height + amplitude, shape, spacing)
    periods = shape[axis] * spacing / period
    if round(periods) < 1 or abs(periods - round(periods)) > 1e-6:
        raise InputError(
            f"the box of {shape[axis]} cells of {spacing:g} m is {periods:.6g} periods of {period:g} m wide: "
            "it must be a whole number"
        )


def _objects(shape: tuple[int, ...], spacing: float, **lengths: npt.ArrayLike) -> list[FloatArray]:
    """Coordinates of the objects, each (object, 1, 1), in the order given; `height` and `radius` are among them."""
    arrays = [np.atleast_1d(np.asarray(values, float)) for values in lengths.values()]
    try:
        arrays = list(np.broadcast_arrays(*arrays))
    except ValueError:
        counts = ", ".join(f"{array.size} of {name}" for name, array in zip(lengths, arrays, strict=True))
        raise InputError(f"give one length or as many of each as there are objects, got {counts}") from None
    named = dict(zip(lengths, arrays, strict=True))
    if not all(np.isfinite(array).all() and array.ndim == 1 and array.size for array in arrays):
        raise InputError(f"{', '.join(lengths)} must be finite lengths in metres, numbers or lists of them")
    height, radius = named["height"], named["radius"]
    if (radius <= 0).any():
        raise InputError(f"radius must be a positive length in metres, got {radius.min():g}")
    if (height + radius <= 0).any():
        raise InputError(
            f"a centre at {height.min():g} m puts an object of radius {radius[height.argmin()]:g} m below the crystal"
        )
    _check_top(float((height + radius).max()), shape, spacing)
    return [array[:, None, None] for array in arrays]


def _with_images(
    length: float, radius: FloatArray, position: FloatArray, *others: FloatArray
) -> tuple[FloatArray, ...]:
    """Objects and those of their periodic images at `position` that reach into [0, length), each (object, 1, 1)."""
    reach = 1 + int(radius.max() // length)
    offsets = length * np.arange(-reach, reach + 1)[:, None, None, None]
    images = (position % length + offsets).reshape(-1, 1, 1)
    repeated = [np.tile(other, (2 * reach + 1, 1, 1)) for other in (radius, *others)]
    inside = ((images + repeated[0] > 0) & (images - repeated[0] < length)).reshape(-1)
    return (images[inside], *(other[inside] for other in repeated[1:]))


def _chord(height: FloatArray, radius: FloatArray, distance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Heights between which verticals at a distance from the axis are inside a circle; empty where they miss it."""
    half = np.sqrt(np.clip(radius**2 - distance**2, 0, None))
    return height - half, height + half
