"""Loads of rough walls by series of exact solutions of the unsteady Stokes equations, fitted to u = (1, 0) on the wall.

No grid and no lattice: iωρu = −∇p + η∇²u holds term by term, the wall by least squares. With the stream function ψ of
u = (∂ψ/∂y, −∂ψ/∂x), every term solves ∇²ψ = 0 or ∇²ψ = k²ψ, k = sqrt(iωρ/η). On a wall that moves with velocity 1 along
x, ψ = y + c, and the momentum of the liquid gives the load iωρ(−c − h̄) per area, h̄ the mean height of the wall.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import kv

from hmm_plating.materials import Electrolyte, Resonator

Points = np.ndarray


def _wavenumber(overtone: int, electrolyte: Electrolyte, resonator: Resonator) -> tuple[complex, complex]:
    """K [1/m] and iωρ."""
    omega = 2 * math.pi * overtone * resonator.fundamental_frequency
    inertia = 1j * omega * electrolyte.density
    return np.sqrt(inertia / electrolyte.viscosity), inertia


def _fit(matrix: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares with columns of equal norm; coefficients of the columns as given, and the largest residual."""
    scale = np.linalg.norm(matrix, axis=0)
    solution = np.linalg.lstsq(matrix / scale, target.astype(complex), rcond=1e-14)[0] / scale
    return solution, float(np.abs(matrix @ solution - target).max())


def shear_across_grooves(
    height: Callable[[Points], Points],
    period: float,
    overtone: int,
    electrolyte: Electrolyte,
    resonator: Resonator,
    harmonics: int = 24,
) -> tuple[complex, float]:
    """Load in excess of the half space over y = h(x), and the largest error of the velocity on the wall.

    Rayleigh (1907): outgoing modes e^{iqx − |q|y} and e^{iqx − κy}, κ² = k² + q², also used inside the grooves; least
    squares meet the wall where the series itself diverges, slopes above 0.448 (Millar, Radio Sci. 8 (1973) 785).
    """
    k, inertia = _wavenumber(overtone, electrolyte, resonator)
    x = (np.arange(8 * harmonics) + 0.5) / (8 * harmonics) * period
    y = height(x)
    order = np.arange(-harmonics, harmonics + 1)
    q = 2 * math.pi / period * order
    above = (y - y.mean())[:, None]
    wave = np.exp(1j * q * x[:, None])
    columns = []
    for decay, used in ((np.abs(q) + 0j, order != 0), (np.sqrt(k**2 + q**2), order == order)):
        psi = (wave * np.exp(-decay * above))[:, used]
        columns.append((psi, -decay[used] * psi, -1j * q[used] * psi))
    psi, u, v = (np.concatenate(parts, axis=1) for parts in zip(*columns, strict=True))
    target = np.concatenate([np.ones_like(x), np.zeros_like(x)])
    solution, error = _fit(np.concatenate([u, v]), target)
    return inertia * ((y - psi @ solution).mean() - y.mean() - 1 / k), error


def shear_along_grooves(
    height: Callable[[Points], Points],
    period: float,
    overtone: int,
    electrolyte: Electrolyte,
    resonator: Resonator,
    harmonics: int = 24,
) -> tuple[complex, float]:
    """Load in excess of the half space over y = h(z), and the largest error of the velocity on the wall.

    Only u along the grooves: ∇²u = k²u, u = 1 on the wall, modes e^{iqz − κy} as in `shear_across_grooves`; the load is
    the momentum iωρ∫u of the liquid above the wall.
    """
    k, inertia = _wavenumber(overtone, electrolyte, resonator)
    z = (np.arange(8 * harmonics) + 0.5) / (8 * harmonics) * period
    y = height(z)
    q = 2 * math.pi / period * np.arange(-harmonics, harmonics + 1)
    decay = np.sqrt(k**2 + q**2)
    u = np.exp(1j * q * z[:, None] - decay * (y - y.mean())[:, None])
    solution, error = _fit(u, np.ones_like(z))
    return inertia * ((u / decay @ solution).mean() - 1 / k), error


def shear_over_a_curve(
    curve: Callable[[Points], Points],
    period: float,
    overtone: int,
    electrolyte: Electrolyte,
    resonator: Resonator,
    sources: int = 120,
    depth: float = 4.0,
) -> tuple[complex, float]:
    """Load in excess of the half space over a smooth wall that may overhang, and the largest error of its velocity.

    Fundamental solutions (Fairweather and Karageorghis, Adv. Comput. Math. 9 (1998) 69): periodic rows of sources of
    the Laplace and of the modified Helmholtz equation, `depth` source distances inside the metal.

    Args:
        curve: x + iy of a parameter in [0, 1), which gains one period in x over it, metal on its right.
    """
    k, inertia = _wavenumber(overtone, electrolyte, resonator)

    def tangent(s: Points) -> Points:
        return (curve(s + 1e-5) - curve(s - 1e-5)) / 2e-5

    at = (np.arange(sources) + 0.5) / sources
    source = curve(at) - 1j * tangent(at) * depth / sources
    s = (np.arange(3 * sources) + 0.5) / (3 * sources)
    wall = curve(s)
    apart = (wall[:, None] - source) / period
    # harmonic: log|2 sin πζ| − π Im ζ, which decays upwards; its complex derivative is φ' = ∂ψ/∂x − i ∂ψ/∂y
    harmonic = np.log(2 * np.abs(np.sin(np.pi * apart))) - np.pi * apart.imag
    slope = np.pi / np.tan(np.pi * apart) + 1j * np.pi
    images = math.ceil(16 / (k.real * period))
    vortical, along_x, along_y = (np.zeros(apart.shape, complex) for _ in range(3))
    for image in range(-images, images + 1):
        x, y = (apart.real - image) * period, apart.imag * period
        distance = np.hypot(x, y)
        vortical += kv(0, k * distance)
        pull = -k * kv(1, k * distance) / distance
        along_x += pull * x
        along_y += pull * y
    u = np.concatenate([-slope.imag / period, along_y], axis=1)
    v = -np.concatenate([slope.real / period, along_x], axis=1)
    psi = np.concatenate([harmonic + 0j, vortical], axis=1)
    solution, error = _fit(np.concatenate([u, v]), np.concatenate([np.ones_like(s), np.zeros_like(s)]))
    mean = (wall.imag * tangent(s).real).mean() / period
    return inertia * ((wall.imag - psi @ solution).mean() - mean - 1 / k), error
