"""The D2Q9 lattice and its two-relaxation-time collision, in the frame that oscillates with e^{iωt}.

A stationary amplitude f_i obeys f_i(x + c_i) = (C f)_i(x), with C diagonal in the moments of the linear equilibrium
w_i (ρ + 3 c_i·j): density keeps its value, momentum is multiplied by a complex factor (the inertia iωρu is a linear
drag), the remaining even and odd moments by real ones. Written so, the time step drops out of the populations: the
liquid is incompressible, a fully solid cell is exactly half-way bounce-back, and at a fixed product of the two
relaxation times the solution hardly depends on either (Ginzburg, Verhaeghe and d'Humières, Commun. Comput. Phys. 3
(2008) 427).
"""

from __future__ import annotations

import cmath
from typing import NamedTuple

import numpy as np

VELOCITIES = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)])  # (x, y)
WEIGHTS = np.array([4 / 9] + 4 * [1 / 9] + 4 * [1 / 36])
OPPOSITE = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7])
UPWARD = np.array([3, 5, 8])
DOWNWARD = OPPOSITE[UPWARD]
LEVEL = np.array([0, 1, 2])

EVEN = 0.6  # relaxation factor of the stress; steps of the solver vary little between 0.5 and 0.8, more below
MAGIC = 1 / 12  # (τ₊ − ½)(τ₋ − ½): smallest error of rough walls among 1/12, 1/8, 3/16, 1/4


class Relaxation(NamedTuple):
    """Factors by which a collision multiplies momentum, even and odd non-conserved moments [1]."""

    momentum: complex
    even: float
    odd: float


def relaxation(wavenumber: complex) -> Relaxation:
    """Collision in which a plane shear wave decays exactly as e^{−ky}.

    Args:
        wavenumber: kΔx = (1 + i) Δx/δ, the decay per cell [1].
    """
    stress_time = 0.5 * (1 + EVEN) / (1 - EVEN)
    odd_time = MAGIC / stress_time
    odd = (odd_time - 0.5) / (odd_time + 0.5)
    # Insert f ∝ e^{−ky} into f_i(x + c_i) = (C f)_i(x): the x-momentum of the diagonal velocities changes by `ratio`
    # from a collision to the next arrival; that of the level ones does not. Linear in the share θ of momentum below.
    cosh = cmath.cosh(wavenumber)
    ratio = (cosh - EVEN) / (1 - EVEN * cosh)
    excess = 1 - ratio * odd
    share = 3 * excess / (2 * excess + ratio * (1 - odd))
    return Relaxation(odd + share * (1 - odd), EVEN, odd)


def collision_matrix(relaxation: Relaxation) -> np.ndarray:
    """C of the pure liquid, complex (9, 9); commutes with reversal, and C_ij w_j is symmetric."""
    reversal = np.eye(9)[OPPOSITE]
    density = np.outer(WEIGHTS, np.ones(9))
    momentum = 3 * WEIGHTS[:, None] * (VELOCITIES @ VELOCITIES.T)
    even, odd = (np.eye(9) + reversal) / 2, (np.eye(9) - reversal) / 2
    return (
        density
        + relaxation.even * (even - density)
        + relaxation.momentum * momentum
        + relaxation.odd * (odd - momentum)
    )
