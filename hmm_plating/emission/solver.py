"""Solve for the liquid over frozen surfaces: many surfaces, many overtones, one call."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission import kernels
from hmm_plating.emission.closed_form import Overtones, angular_frequencies, kanazawa_gordon
from hmm_plating.emission.half_space import reflection
from hmm_plating.emission.lattice import D2Q9, D3Q19, Lattice, Relaxation, relaxation
from hmm_plating.emission.saturation import bare_load, calibrate
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal, Resonator

SOLID = 1 - 1e-6  # a cell above this fraction has no liquid left: its populations would be undamped two-cycles


class ConvergenceError(RuntimeError):
    """The solver reached its limit of operator applications before the accepted error."""


class Solution(NamedTuple):
    """Liquid over a batch of surfaces.

    Attributes:
        load: Z_L, complex (..., overtone) [Pa s/m].
        field: arriving populations, real and imaginary planes, (..., overtone, 18, y, x), in three dimensions
            (..., overtone, 38, z, y, x) [1]; empty if not kept.
        applications: operator applications, int (..., overtone).
        estimated_error: of the load (..., overtone) [Pa s/m].
    """

    load: Tensor
    field: Tensor
    applications: Tensor
    estimated_error: Tensor


class _Lattices(NamedTuple):
    """What the kernels need of each overtone, stacked; `unit` [Pa s/m] is the load of one lattice unit."""

    lattice: Lattice
    relaxations: list[Relaxation]
    saturation_terms: np.ndarray
    ghost_terms: np.ndarray
    flat_load: np.ndarray
    reflections: np.ndarray
    unit: np.ndarray

    def media(self, order: int) -> kernels.Media:
        """Media of one overtone."""
        relaxations = np.array([self.relaxations[order]], complex)
        return kernels.Media(relaxations, self.saturation_terms[order][None], self.ghost_terms[order][None])


def _lattices(
    spacing: float, overtones: Overtones, electrolyte: Electrolyte, resonator: Resonator, period: tuple[int, ...]
) -> _Lattices:
    omegas = angular_frequencies(overtones, resonator).tolist()
    cells = [spacing / electrolyte.penetration_depth(omega) for omega in omegas]
    if max(cells) > 0.5:
        warnings.warn(
            f"the penetration depth is only {1 / max(cells):.2g} cells at the highest overtone: expect an error of the "
            f"excess load of about {5 * max(cells) ** 2:.0f} % and more where features are as small; refine it",
            stacklevel=4,
        )
    wavenumbers = [(1 + 1j) * ratio for ratio in cells]
    relaxations = [relaxation(k) for k in wavenumbers]
    pairs = list(zip(relaxations, wavenumbers, strict=True))
    calibrations = [calibrate(*pair) for pair in pairs]
    # a cell's drag 1 − m acts on its velocity, the mean of momentum before and after, (1 + m)/2 of what arrives
    momenta = np.array([r.momentum for r in relaxations])
    lattice = D2Q9 if len(period) == 1 else D3Q19
    reflections = np.array([reflection(lattice, r, period) for r in relaxations])
    inertia = 1j * np.array(omegas) * electrolyte.density * spacing
    return _Lattices(
        lattice,
        relaxations,
        np.array([c.saturation for c in calibrations]),
        np.array([c.ghost for c in calibrations]),
        np.array([bare_load(*pair) for pair in pairs]),
        reflections.reshape(len(pairs), *(1,) * (2 - len(period)), *reflections.shape[1:]),
        inertia * (1 + momenta) / (2 * (1 - momenta)),
    )


def _in_threads(work: Callable[[int, int], None], surfaces: int, orders: int) -> None:
    """Call work(surface, order) for every pair; idle threads take the next pair, as pairs differ in length."""
    pairs = list(itertools.product(range(surfaces), range(orders)))
    threads = min(numba.get_num_threads(), len(pairs))
    if threads == 1:
        for pair in pairs:
            work(*pair)
        return
    with ThreadPoolExecutor(threads) as pool:
        for finished in [pool.submit(work, *pair) for pair in pairs]:
            finished.result()


def _check(solid_fraction: Tensor, spacing: float, tolerance: float, dimensions: int) -> np.ndarray:
    """Fractions as (surface, z, y, x), with one z in two dimensions."""
    if dimensions not in (2, 3):
        raise InputError(f"dimensions must be 2 or 3, got {dimensions!r}")
    if solid_fraction.ndim < dimensions or 0 in solid_fraction.shape:
        cells = "(..., y, x)" if dimensions == 2 else "(..., z, y, x)"
        raise InputError(
            f"solid_fraction must be {cells} and not empty in {dimensions} dimensions, "
            f"got shape {tuple(solid_fraction.shape)}"
        )
    if not (isinstance(spacing, int | float) and math.isfinite(spacing) and spacing > 0):
        raise InputError(f"spacing must be a positive length in metres, got {spacing!r}")
    if not tolerance > 0:
        raise InputError(f"tolerance must be positive, got {tolerance!r}")
    fraction = solid_fraction.detach().to("cpu", torch.float64).numpy()
    if not ((fraction >= 0) & (fraction <= 1)).all():
        raise InputError(
            f"solid_fraction must lie in [0, 1] everywhere, found {fraction.min():.6g} to {fraction.max():.6g}"
            + (" and NaN" if np.isnan(fraction).any() else "")
        )
    depth = fraction.shape[-3] if dimensions == 3 else 1
    return np.ascontiguousarray(fraction).reshape(-1, depth, *fraction.shape[-2:])


def _transform(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of a Fourier transform, each (cells, cells)."""
    angle = 2 * math.pi / cells * np.outer(np.arange(cells), np.arange(cells))
    return np.cos(angle), np.sin(angle)


def solve(
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    metal: Metal | None = None,
    *,
    tolerance: float = 1e-4,
    absolute_tolerance: float = 1e-4,
    applications: int = 20_000,
    initial_guess: Tensor | None = None,
    keep_field: bool = True,
    whole_box: bool = False,
    dimensions: int = 2,
    precision: Literal["single", "double"] = "double",
) -> Solution:
    """Load impedance of frozen surfaces, with the field that starts the next solve.

    Conjugate orthogonal conjugate gradients (van der Vorst and Melissen, IEEE Trans. Magn. 26 (1990) 706) in the
    bilinear form of the load, whose estimate therefore converges with the square of the field's error.

    Args:
        solid_fraction: (..., y, x), or (..., z, y, x) with dimensions=3, in [0, 1]; row y = 0 at the crystal, x and z
            periodic, x the direction of shear. Leading dimensions are the batch.
        spacing: cell size Δx [m].
        overtones: odd orders n.
        electrolyte, resonator: density and viscosity; f0 and Z_q.
        metal: adds its inertia iωρ_s × areal volume where given; the liquid alone otherwise.
        tolerance: accepted error relative to the excess over the flat surface [1].
        absolute_tolerance: accepted error of the frequency shift Δf [Hz], whichever of the two is larger.
        applications: upper limit of operator applications.
        initial_guess: `field` of a similar batch; float32 will do, and is converted one surface and overtone at a time.
        keep_field: whether `field` is wanted, to start the next solve or for `sensitivity`.
        whole_box: solve also the liquid rows above the metal; changes nothing but gives `sensitivity` there.
        dimensions: 2 or 3, those of a surface: a shape alone cannot tell (z, y, x) from a batch of (y, x), so surfaces
            are two-dimensional unless this says otherwise.

    Returns:
        Solution.

    Raises:
        InputError: fractions outside [0, 1] or of fewer dimensions than stated, dimensions other than 2 and 3,
            spacing or tolerance not positive, an overtone not odd and positive.
        ConvergenceError: the limit of applications was reached.
    """
    fraction = _check(solid_fraction, spacing, tolerance, dimensions)
    real = {"single": np.float32, "double": np.float64}[precision]
    surfaces, depth, height, width = fraction.shape
    lattice = _lattices(spacing, overtones, electrolyte, resonator, (width,) if dimensions == 2 else (depth, width))
    stencil = kernels.stencil(lattice.lattice, real)
    orders, planes = len(lattice.relaxations), 2 * len(stencil.weights)
    medium = np.zeros((depth, height, width), np.int64)
    batch, cells = solid_fraction.shape[:-dimensions], solid_fraction.shape[-dimensions:]
    shape = (surfaces, orders, planes, depth, height, width)
    if initial_guess is not None:
        expected = (*batch, orders, planes, *cells)
        if tuple(initial_guess.shape) != expected:
            raise InputError(f"initial_guess must have shape {expected}, got {tuple(initial_guess.shape)}")
        guess = initial_guess.numpy().reshape(shape)
    field = np.empty(shape if keep_field else (0, *shape[1:]), real)
    hertz = math.pi * resonator.impedance / resonator.fundamental_frequency  # load of 1 Hz
    fourier = tuple(part.astype(real) for part in (*_transform(width), *_transform(depth)))
    accepted = absolute_tolerance * hertz / np.abs(lattice.unit)
    load = np.empty((surfaces, orders), np.complex128)
    count, status = np.empty((2, surfaces, orders), np.int64)
    error = np.empty((surfaces, orders))
    nothing = np.empty((0, depth, height, width), real)

    def solve_one(surface: int, order: int) -> None:
        load[surface, order], count[surface, order], error[surface, order], status[surface, order] = (
            kernels.solve_surface(
                stencil,
                fraction[surface],
                medium,
                lattice.media(order),
                lattice.flat_load[order],
                lattice.reflections[order],
                fourier,
                SOLID,
                tolerance,
                accepted[order],
                applications,
                not whole_box,
                nothing if initial_guess is None else guess[surface, order].astype(real, copy=False),
                field[surface, order] if keep_field else nothing,
            )
        )

    _in_threads(solve_one, surfaces, orders)
    if (status != kernels.CONVERGED).any():
        surface, overtone = np.argwhere(status != kernels.CONVERGED)[0]
        reached = error[surface, overtone] / abs(load[surface, overtone] - lattice.flat_load[overtone])
        raise ConvergenceError(
            f"surface {surface}, overtone index {overtone}: {applications} operator applications reached an estimated "
            f"error of {reached:.2g} of the excess load, tolerance is {tolerance:.2g}; raise one of the two"
        )
    # what the lattice's flat wall lacks to the half space (O(kΔx)², the same for every surface) is put right here
    flat = kanazawa_gordon(overtones, electrolyte, resonator)
    impedance = flat + torch.from_numpy((load - lattice.flat_load) * lattice.unit)
    if metal is not None:
        omega = angular_frequencies(overtones, resonator)
        areal_mass = metal.density * spacing * torch.from_numpy(fraction.sum(axis=(1, 2, 3)) / (depth * width))
        impedance = impedance + 1j * omega * areal_mass[:, None]
    return Solution(
        impedance.reshape(*batch, orders),
        torch.from_numpy(field).reshape(*batch, orders, planes, *cells)
        if len(field)
        else torch.empty(0, dtype=torch.float64),
        torch.from_numpy(count).reshape(*batch, orders),
        torch.from_numpy(error * np.abs(lattice.unit)).reshape(*batch, orders),
    )


def sensitivity(
    solid_fraction: Tensor,
    field: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    metal: Metal | None = None,
    *,
    dimensions: int = 2,
) -> Tensor:
    """∂Z_L/∂(solid fraction of each cell) from a solved field, complex (..., overtone, [z,] y, x) [Pa s/m].

    Reciprocity makes the solution its own adjoint, so no further system is solved. The relative error is that of the
    field, the square root of the load's. Full cells carry what liquid they get rigidly. Rows above the highest metal
    are right only if the field was solved with whole_box=True.
    """
    fraction = _check(solid_fraction, spacing, 1.0, dimensions)
    surfaces, depth, height, width = fraction.shape
    lattice = _lattices(spacing, overtones, electrolyte, resonator, (width,) if dimensions == 2 else (depth, width))
    orders = len(lattice.relaxations)
    fields = field.numpy().reshape(surfaces, orders, -1, depth, height, width)
    gradient = np.empty((surfaces, orders, depth, height, width), np.complex128)

    def differentiate_one(surface: int, order: int) -> None:
        kernels.surface_sensitivity(
            kernels.stencil(lattice.lattice, np.float64),
            fraction[surface],
            np.zeros((depth, height, width), np.int64),
            lattice.media(order),
            SOLID,
            fields[surface, order],
            gradient[surface, order],
        )

    _in_threads(differentiate_one, surfaces, orders)
    result = torch.from_numpy(gradient * lattice.unit[:, None, None, None])
    if metal is not None:
        omega = angular_frequencies(overtones, resonator)
        result = result + (1j * omega * metal.density * spacing / (depth * width))[:, None, None, None]
    return result.reshape(*solid_fraction.shape[:-dimensions], orders, *solid_fraction.shape[-dimensions:])
