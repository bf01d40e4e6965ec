"""Surfaces and media of the benchmarks of the emission, in cells."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission.closed_form import angular_frequencies
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ = Electrolyte(997.05, 0.890e-3), Resonator(5e6, 8.84e6)
PER_CELL = 8  # samples of a height profile per cell


def spacing(depth: float, overtone: int) -> float:
    """Cell size [m] at which the shear wave of an overtone penetrates `depth` cells."""
    return WATER.penetration_depth(angular_frequencies([overtone], QUARTZ).item()) / depth


def below(height: np.ndarray, rows: int) -> Tensor:
    """Cell fractions (y, x) below a height profile [cells] with PER_CELL samples per cell."""
    filled = np.clip(height - np.arange(rows)[:, None], 0, 1)
    return torch.from_numpy(filled.reshape(rows, -1, PER_CELL).mean(axis=2))


def sinusoid(rows: int, width: int, amplitude: float) -> Tensor:
    """One period of a cosine about the middle of the box."""
    x = (np.arange(width * PER_CELL) + 0.5) / (width * PER_CELL)
    return below(rows / 2 + amplitude * np.cos(2 * np.pi * x), rows)


def random_profile(width: int, rms: float, correlation: float, seed: int) -> np.ndarray:
    """Periodic Gaussian profile of zero mean, its correlation exp(−x²/correlation²)."""
    generator, count = np.random.default_rng(seed), width * PER_CELL
    wavenumber = 2 * np.pi * np.fft.rfftfreq(count, 1 / PER_CELL)
    amplitude = np.fft.rfft(generator.normal(size=count)) * np.exp(-((wavenumber * correlation) ** 2) / 8)
    amplitude[0] = 0
    profile = np.fft.irfft(amplitude, count)
    return rms * profile / profile.std()


def rough(rows: int, width: int, rms: float, correlation: float, seed: int) -> Tensor:
    """Random surface about the middle of the box, at least one row of liquid on top."""
    return below(np.minimum(rows / 2 + random_profile(width, rms, correlation, seed), rows - 1), rows)
