"""Surfaces with known areas, for the tests of the emission."""

from collections.abc import Callable

import numpy as np
import torch


def columns(height: np.ndarray, rows: int, per_cell: int) -> torch.Tensor:
    """Cell fractions below a height profile [cells] sampled at `per_cell` points per cell."""
    filled = np.clip(height[None, :] - np.arange(rows)[:, None], 0, 1)
    return torch.from_numpy(filled.reshape(rows, -1, per_cell).mean(axis=2))


def sinusoid(amplitude: float, period: float, spacing: float, mean: float) -> torch.Tensor:
    """Fractions below mean + amplitude cos(2πx/period), all in one unit of length, one period wide."""
    width, per_cell = round(period / spacing), 500
    x = (np.arange(width * per_cell) + 0.5) / per_cell * spacing
    height = (mean + amplitude * np.cos(2 * np.pi * x / period)) / spacing
    return columns(height, int(np.ceil(height.max())), per_cell)


def random_surface(rows: int, width: int, seed: int) -> torch.Tensor:
    """Rough surface without overhangs plus isolated partial cells, all fractions away from 0 and 1 below the top."""
    generator = np.random.default_rng(seed)
    smooth = np.fft.irfft(
        np.fft.rfft(generator.normal(size=width)) * np.exp(-(np.arange(width // 2 + 1) ** 2) / 16), width
    )
    height = rows * (0.45 + 0.2 * smooth / smooth.std())
    fraction = columns(np.repeat(np.clip(height, 0.5, rows - 0.5), 8), rows, 8).numpy()
    return torch.from_numpy(np.clip(fraction + 0.3 * generator.random(fraction.shape), 0.02, 0.98))


def gaussian_surface(rows: int, width: int, rms: float, correlation: float, seed: int) -> torch.Tensor:
    """Gaussian heights about the middle of the box, correlation exp(−x²/correlation²), one row of liquid on top."""
    count, per_cell = 8 * width, 8
    wavenumber = 2 * np.pi * np.fft.rfftfreq(count, 1 / per_cell)
    modes = np.fft.rfft(np.random.default_rng(seed).normal(size=count)) * np.exp(-((wavenumber * correlation) ** 2) / 8)
    modes[0] = 0
    height = np.fft.irfft(modes, count)
    return columns(np.minimum(rows / 2 + rms * height / height.std(), rows - 1), rows, per_cell)


def below_curve(curve: np.ndarray, rows: int, width: int) -> torch.Tensor:
    """Cell fractions on the right of a polyline x + iy [cells], which may overhang and wraps after `width` cells.

    A curve that gains `width` in x bounds the metal below it, one that closes on itself clockwise a body, the other way
    round a hollow, whose fractions are negative.
    """
    x = curve.real
    first, last = np.floor(np.minimum(x[:-1], x[1:])), np.floor(np.maximum(x[:-1], x[1:]))
    assert (last - first <= 1).all()  # the polyline is finer than a cell
    cut = np.flatnonzero(last > first)
    crossing = curve[cut] + (last[cut] - x[cut]) / (x[cut + 1] - x[cut]) * (curve[cut + 1] - curve[cut])
    curve = np.insert(curve, cut + 1, crossing.imag * 1j + last[cut])
    middle, step = (curve[1:] + curve[:-1]) / 2, np.diff(curve.real)
    column = np.floor(middle.real).astype(int) % width
    filled = [np.bincount(column, step * np.clip(middle.imag - row, 0, 1), width) for row in range(rows)]
    return torch.from_numpy(np.clip(np.round(filled, 10), -1, 1))


def profile(height: Callable[[np.ndarray], np.ndarray], period: float, cells: int, offset: float) -> torch.Tensor:
    """Fractions below y = height(x) over one period of `cells` cells; lowest point 1 + offset cells above the crystal.

    The profile is shifted sideways by `offset` cells too, so that several offsets are several positions in the cells.
    """
    per_cell, spacing = 300, period / cells
    level = height(((np.arange(cells * per_cell) + 0.5) / per_cell - offset) * spacing) / spacing
    level += 1 + offset - level.min()
    return columns(level, int(np.ceil(level.max())), per_cell)


def overhanging(curve: Callable[[np.ndarray], np.ndarray], period: float, cells: int, offset: float) -> torch.Tensor:
    """As `profile`, of a wall x + iy of a parameter in [0, 1] that gains one period."""
    points = curve(np.linspace(0, 1, 100 * cells + 1)) * cells / period
    points += offset + 1j * (1 + offset - points.imag.min())
    return below_curve(points, int(np.ceil(points.imag.max())), cells)


def polygon(*outlines: list[complex], period: float, cells: int, offset: float) -> torch.Tensor:
    """Flat metal one cell (and `offset`) thick, and bodies on it: corners x + iy above it, hollows anticlockwise."""
    scale, metal = cells / period, 0.0
    rows = int(np.ceil(max(corner.imag for outline in outlines for corner in outline) * scale + 1 + offset)) + 1
    for outline in outlines:
        edges = [np.linspace(a, b, 50 * cells) for a, b in zip(outline, [*outline[1:], outline[0]], strict=True)]
        metal = metal + below_curve(np.concatenate(edges) * scale + offset + 1j * (1 + offset), rows, cells)
    base = (1 + offset - torch.arange(rows, dtype=torch.float64)).clamp(0, 1)[:, None]
    return (metal + base).clamp(max=1)


def overhangs(rows: int, width: int, seed: int, depth: int | None = None) -> torch.Tensor:
    """Random cells below a row of liquid: solid, liquid and partial in any order, pores and undercuts included."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, width) if depth is None else (depth, rows, width)
    fraction = (1.6 * torch.rand(shape, dtype=torch.float64, generator=generator) - 0.3).clamp(0, 1)
    fraction[..., -1, :] *= 0.9
    return fraction
