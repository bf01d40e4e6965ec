"""The lattices D2Q9 and D3Q19 and their two-relaxation-time collision, in the frame that oscillates with e^{iωt}.

A stationary amplitude f_i obeys f_i(x + c_i) = (C f)_i(x), with C diagonal in the moments of the linear equilibrium
w_i (ρ + 3 c_i·j): density keeps its value, momentum is multiplied by a complex factor (the inertia iωρu is a linear
drag), the remaining even and odd moments by real ones. Written so, the time step drops out of the populations: the
liquid is incompressible, a fully solid cell is exactly half-way bounce-back, and at a fixed product of the two
relaxation times the solution hardly depends on either (Ginzburg, Verhaeghe and d'Humières, Commun. Comput. Phys. 3
(2008) 427).

Summed over its velocities along z, D3Q19 is D2Q9, weights and collision included: what does not vary along z obeys the
same equations on both, so relaxation and wall calibration are derived once.
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Lattice:
    """Velocities and weights of a lattice; each velocity of odd index is followed by its opposite.

    Attributes:
        velocities: (population, dimension), components x, y and, in three dimensions, z.
        weights: (population,).
    """

    velocities: np.ndarray
    weights: np.ndarray

    @property
    def dimensions(self) -> int:
        return self.velocities.shape[1]

    @property
    def opposite(self) -> np.ndarray:
        """Index of the velocity −c_i, (population,)."""
        index = np.arange(len(self.weights))
        return np.where(index == 0, 0, index + 2 * (index % 2) - 1)

    @property
    def upward(self) -> np.ndarray:
        """Populations that leave the top row."""
        return np.flatnonzero(self.velocities[:, 1] > 0)

    @property
    def downward(self) -> np.ndarray:
        """Their opposites, in the same order."""
        return self.opposite[self.upward]

    @property
    def level(self) -> np.ndarray:
        """Populations that stay in their row."""
        return np.flatnonzero(self.velocities[:, 1] == 0)


def _lattice(halves: list[tuple[int, ...]], weight_by_speed: list[float]) -> Lattice:
    velocities = np.array([(0,) * len(halves[0])] + [sign * np.array(c) for c in halves for sign in (1, -1)])
    return Lattice(velocities, np.array(weight_by_speed)[(velocities**2).sum(axis=1)])


D2Q9 = _lattice([(1, 0), (0, 1), (1, 1), (1, -1)], [4 / 9, 1 / 9, 1 / 36])
D3Q19 = _lattice(
    [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1)],
    [1 / 3, 1 / 18, 1 / 36],
)

EVEN = 0.6  # relaxation factor of the stress; steps of the solver vary little between 0.5 and 0.8, more below
MAGIC = 1 / 6  # (τ₊ − ½)(τ₋ − ½): less than 0.16 leaves first order over the gentlest slopes, more errs more over all


class Relaxation(NamedTuple):
    """Factors by which a collision multiplies momentum, even and odd non-conserved moments [1]."""

    momentum: complex
    even: complex
    odd: complex


def relaxation(wavenumber: complex, viscosity_ratio: complex = 1.0) -> Relaxation:
    """Collision in which a plane shear wave decays exactly as e^{−ky}, on either lattice.

    Args:
        wavenumber: kΔx, the decay per cell [1]: (1 + i) Δx/δ in a Newtonian liquid, sqrt(iωρ/η) Δx in general.
        viscosity_ratio: η over that of the liquid around, complex where viscoelastic; stresses match across cells.
    """
    stress_time = viscosity_ratio * 0.5 * (1 + EVEN) / (1 - EVEN)
    even = (stress_time - 0.5) / (stress_time + 0.5)
    odd_time = MAGIC / stress_time
    odd = (odd_time - 0.5) / (odd_time + 0.5)
    # Insert f ∝ e^{−ky} into f_i(x + c_i) = (C f)_i(x): the x-momentum of the diagonal velocities changes by `ratio`
    # from a collision to the next arrival; that of the level ones does not. Linear in the share θ of momentum below.
    cosh = cmath.cosh(wavenumber)
    ratio = (cosh - even) / (1 - even * cosh)
    excess = 1 - ratio * odd
    share = 3 * excess / (2 * excess + ratio * (1 - odd))
    return Relaxation(odd + share * (1 - odd), even, odd)


def shear_wave(lattice: Lattice, relaxation: Relaxation, wavenumber: complex) -> np.ndarray:
    """Arriving populations of the plane shear wave e^{−ky} along x with velocity 1, complex (population,)."""
    streaming = np.diag(np.exp(-wavenumber * lattice.velocities[:, 1]))
    momentum = np.zeros(lattice.dimensions)
    momentum[0] = 1
    equations = np.concatenate([streaming - collision_matrix(lattice, relaxation), lattice.velocities.T])
    # velocity is the mean of the momenta before and after the collision
    return np.linalg.lstsq(
        equations, np.concatenate([np.zeros(len(streaming)), 2 * momentum / (1 + relaxation.momentum)]), rcond=None
    )[0]


def collision_matrix(lattice: Lattice, relaxation: Relaxation) -> np.ndarray:
    """C of the pure liquid, complex (population, population); commutes with reversal, and C_ij w_j is symmetric."""
    identity = np.eye(len(lattice.weights))
    reversal = identity[lattice.opposite]
    density = np.outer(lattice.weights, np.ones(len(lattice.weights)))
    momentum = 3 * lattice.weights[:, None] * (lattice.velocities @ lattice.velocities.T)
    even, odd = (identity + reversal) / 2, (identity - reversal) / 2
    return (
        density
        + relaxation.even * (even - density)
        + relaxation.momentum * momentum
        + relaxation.odd * (odd - momentum)
    )
