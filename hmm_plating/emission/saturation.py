"""How strongly a partly solid cell holds its liquid: saturation B of a solid fraction ε, calibrated on flat walls.

A cell collides as a mixture of the liquid, of weight 1 − B, and of the reversal of velocities in the frame of the
crystal, of weight B (Noble and Torczynski, Int. J. Mod. Phys. C 9 (1998) 1189), but for its odd moments beyond
momentum. With m, e, o the factors of `Relaxation`, momentum, even and odd moments are multiplied by

    μ = (1 − B) m − B,     K = (1 − B) e + B,     O = μ − (1 − B)² (m − o).

The mixture itself has 1 − B for its square. The liquid that moves level in the cell is in proportion to μ − O; where
the height of the wall varies, its differences from cell to cell load the normal stress, which decays only as
1 − K = (1 − B)(1 − e). By reciprocity they act on the load twice, as (d(μ − O)/dB)²/(1 − K): infinite in nearly full
cells for the mixture, an error of first order in Δx over gentle slopes; zero there with the square.

B(ε) is chosen, for each overtone, so that the shear wave above a flat wall at height ε has exactly the amplitude
e^{kεΔx} of that wall; the load in excess of the half space that the cell then still shows (its ghost liquid) is
subtracted.
"""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

from hmm_plating.emission.lattice import Relaxation

_NODES = 24  # polynomial fit of smooth functions: the wall stands within 1e-9 cells at δ from 1 to 300 cells


class Calibration(NamedTuple):
    """B = ε + ε(1 − ε) Σ s_j (2ε − 1)^j and m = ε(1 − ε) Σ g_j (2ε − 1)^j.

    Attributes:
        saturation: s, complex, lowest power first.
        ghost: g, complex; m is the load of the ghost liquid in units of momentum per lattice step.
    """

    saturation: np.ndarray
    ghost: np.ndarray


def bubble(fraction: Tensor, terms: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """ε(1 − ε) Σ t_j (2ε − 1)^j, the form of both calibrations, and its derivative; the t_j broadcast to ε, complex."""
    centred = 2 * fraction - 1
    total, slope = terms[-1], 0 * terms[-1]
    for term in reversed(terms[:-1]):
        total, slope = total * centred + term, slope * centred + total
    inside = fraction * (1 - fraction)
    return inside * total, 2 * inside * slope - centred * total


def _row(relaxation: Relaxation, wavenumber: complex, saturation: complex) -> tuple[complex, complex]:
    """Flat wall one cell below a row of the given saturation, half space above: (amplitude of the wave, load)."""
    momentum, even, odd = relaxation
    slope = even * cmath.sinh(wavenumber) / (1 - even * cmath.cosh(wavenumber))
    returned = cmath.exp(-wavenumber) * (1 - slope) / (1 + slope)  # falling over rising shear wave
    # x-odd populations (level, rising, falling); the crystal below turns falling into −rising and adds its motion
    equilibrium = np.outer([2 / 3, 1 / 6, 1 / 6], np.ones(3))
    sum_part = np.array([[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])
    difference_part = np.array([[0, 0, 0], [0, 0.5, -0.5], [0, -0.5, 0.5]])
    turned = (1 - saturation) * momentum - saturation
    kept = saturation + (1 - saturation) * even
    collision = (
        turned * sum_part - (1 - saturation) ** 2 * (momentum - odd) * (sum_part - equilibrium) + kept * difference_part
    )
    motion = 2 * saturation * np.array([2 / 3, 1 / 6, 1 / 6])
    streaming = np.array([[1, 0, 0], [0, 0, -1], [0, returned, 0]])
    arriving = np.linalg.solve(np.eye(3) - streaming @ collision, streaming @ motion + np.array([0, 1 / 3, 0]))
    leaving = collision @ arriving + motion
    return leaving[1], 2 * saturation * (1 - arriving.sum()) - 2 * leaving[2] + 1 / 3


@lru_cache(maxsize=256)
def calibrate(relaxation: Relaxation, wavenumber: complex) -> Calibration:
    """Calibrate saturation and ghost load on flat walls at heights 0 < ε < 1.

    Args:
        relaxation: collision of the liquid.
        wavenumber: kΔx of the overtone [1].
    """
    fraction = (1 - np.cos((np.arange(_NODES) + 0.5) * np.pi / _NODES)) / 2
    bare_amplitude, bare_load = _row(relaxation, wavenumber, 0.0)
    saturation, ghost = np.empty(_NODES, complex), np.empty(_NODES, complex)
    previous, current = 0.0 + 0.0j, complex(fraction[0])
    for node, height in enumerate(fraction):
        target = bare_amplitude * cmath.exp(wavenumber * height)
        # secant in B, started at the two last nodes
        error_previous = _row(relaxation, wavenumber, previous)[0] - target
        for _ in range(50):
            error = _row(relaxation, wavenumber, current)[0] - target
            if abs(error) < 1e-14 * abs(target) or error == error_previous:
                break
            previous, current, error_previous = (
                current,
                current - error * (current - previous) / (error - error_previous),
                error,
            )
        saturation[node] = current
        ghost[node] = _row(relaxation, wavenumber, current)[1] - bare_load
        if node + 1 < _NODES:
            previous, current = current, current + (fraction[node + 1] - height) * (1 - current) / (1 - height)
    powers = np.vander(2 * fraction - 1, _NODES, increasing=True)
    inside = fraction * (1 - fraction)
    return Calibration(
        np.linalg.solve(powers, (saturation - fraction) / inside), np.linalg.solve(powers, ghost / inside)
    )


def bare_load(relaxation: Relaxation, wavenumber: complex) -> complex:
    """Load of the lattice's flat wall, that of the half space to O((kΔx)⁴), per cell of width in lattice units."""
    return _row(relaxation, wavenumber, 0.0)[1]
