"""Solve for the liquid over frozen surfaces: many surfaces, many overtones, one call."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission import kernels
from hmm_plating.emission.closed_form import Overtones, angular_frequencies, kanazawa_gordon
from hmm_plating.emission.half_space import reflection
from hmm_plating.emission.lattice import D2Q9, D3Q19, Lattice, relaxation, shear_wave
from hmm_plating.emission.media import ViscoelasticLayer, distinct_mixtures, media
from hmm_plating.emission.saturation import bare_load
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
        gradient: ∂Z_L/∂(solid fraction), complex (..., overtone, [z,] y, x) [Pa s/m]; empty if not wanted.
        applications: operator applications, int (..., overtone).
        estimated_error: of the load (..., overtone) [Pa s/m].
    """

    load: Tensor
    field: Tensor
    gradient: Tensor
    applications: Tensor
    estimated_error: Tensor


class _Liquid(NamedTuple):
    """Lattice and liquid at each overtone, stacked; `unit` [Pa s/m] is the load of one lattice unit."""

    lattice: Lattice
    wavenumbers: list[complex]
    waves: np.ndarray
    flat_load: np.ndarray
    reflections: np.ndarray
    unit: np.ndarray


def _liquid(
    spacing: float, overtones: Overtones, electrolyte: Electrolyte, resonator: Resonator, period: tuple[int, ...]
) -> _Liquid:
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
    # a cell's drag 1 − m acts on its velocity, the mean of momentum before and after, (1 + m)/2 of what arrives
    momenta = np.array([r.momentum for r in relaxations])
    lattice = D2Q9 if len(period) == 1 else D3Q19
    response = np.array([reflection(lattice, r, period) for r in relaxations]) / math.prod(period)
    response = response.reshape(len(pairs), *(1,) * (2 - len(period)), *response.shape[1:])
    inertia = 1j * np.array(omegas) * electrolyte.density * spacing
    return _Liquid(
        lattice,
        wavenumbers,
        np.array([shear_wave(lattice, *pair) for pair in pairs]),
        np.array([bare_load(*pair) for pair in pairs]),
        np.ascontiguousarray(np.stack([response.real, response.imag], 1).transpose(0, 1, 4, 5, 2, 3)),
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
    if (fraction[..., -1, :] > SOLID).any():
        raise InputError(
            "metal fills cells of the top row, so it may go on above the box: add a row of liquid "
            "(one is enough, the half space above the box is exact)"
        )
    depth = fraction.shape[-3] if dimensions == 3 else 1
    return np.ascontiguousarray(fraction).reshape(-1, depth, *fraction.shape[-2:])


def _transform(cells: int, modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the lowest modes of a Fourier transform at as many cells, each (modes, modes)."""
    angle = 2 * math.pi / cells * np.outer(np.arange(modes), np.arange(modes))
    return np.cos(angle), np.sin(angle)


def solve(
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    metal: Metal | None = None,
    *,
    layers: Sequence[ViscoelasticLayer] = (),
    tolerance: float = 1e-6,
    absolute_tolerance: float = 1e-6,
    applications: int = 20_000,
    precision: Literal["single", "double"] = "double",
    initial_guess: Tensor | None = None,
    keep_field: bool = True,
    keep_gradient: bool = False,
    dimensions: int = 2,
) -> Solution:
    """Load impedance of frozen surfaces, with the field that starts the next solve, and the gradient.

    A complex symmetric Lanczos recurrence in the bilinear form of the load (`kernels.lanczos`), whose estimate
    therefore converges with the square of the field's error. Reciprocity makes the field its own adjoint: the gradient
    needs no further solve, and has the relative error of the field, the square root of the load's.

    Args:
        solid_fraction: (..., y, x), or (..., z, y, x) with dimensions=3, in [0, 1]; row y = 0 at the crystal, x and z
            periodic, x the direction of shear. Leading dimensions are the batch. No metal in the top row.
        spacing: cell size Δx [m].
        overtones: odd orders n.
        electrolyte, resonator: density and viscosity; f0 and Z_q.
        metal: adds its inertia iωρ_s × areal volume where given; the liquid alone otherwise.
        layers: viscoelastic matter that fills cells in place of the liquid.
        tolerance: accepted error relative to the excess over the flat surface [1]. The gradient's is about its square
            root. Data deserve 1e-2 to 1e-3, in a fraction of the time; checks of derivatives 1e-12.
        absolute_tolerance: accepted error of the frequency shift Δf [Hz], whichever of the two is larger.
        applications: upper limit of operator applications.
        precision: of the recurrence. Single is corrected in double precision until it is as good, which needs the
            field: faster where field or gradient are wanted or memory is short, slower for the load alone.
        initial_guess: `field` of a similar batch; float32 will do. The wave above a flat wall otherwise.
        keep_field: whether `field` is wanted, to start the next solve.
        keep_gradient: whether `gradient` is wanted; the liquid above the metal is then solved for too.
        dimensions: 2 or 3, those of a surface: a shape alone cannot tell (z, y, x) from a batch of (y, x), so surfaces
            are two-dimensional unless this says otherwise.

    Returns:
        Solution.

    Raises:
        InputError: fractions outside [0, 1] or of fewer dimensions than stated, metal in the top row, dimensions other
            than 2 and 3, spacing or tolerance not positive, an overtone not odd and positive, layers that overlap.
        ConvergenceError: the limit of applications was reached.
    """
    if precision not in ("single", "double"):
        raise InputError(f"precision must be 'single' or 'double', got {precision!r}")
    real = np.float32 if precision == "single" else np.float64
    fraction = _check(solid_fraction, spacing, tolerance, dimensions)
    surfaces, depth, height, width = fraction.shape
    area = depth * width
    liquid = _liquid(spacing, overtones, electrolyte, resonator, (width,) if dimensions == 2 else (depth, width))
    index, mixtures = distinct_mixtures(tuple(layers), solid_fraction.shape)
    index = index.reshape(fraction.shape)
    held = np.zeros(len(mixtures), bool)
    held[index[(fraction > 0) & (fraction <= SOLID)]] = True
    matter = media(mixtures, tuple(layers), held, spacing, overtones, electrolyte, resonator)
    stencil, recurrence = kernels.stencil(liquid.lattice, np.float64), kernels.stencil(liquid.lattice, real)
    fourier = (*_transform(width, width // 2 + 1), *_transform(depth, depth))
    transforms, reflections = tuple(part.astype(real) for part in fourier), liquid.reflections.astype(real)
    keep = keep_field or keep_gradient or precision == "single"
    # the field's own error is about sqrt(tolerance): single precision holds it at half the traffic
    kept = np.float32 if precision == "single" or tolerance > 1e-8 else np.float64

    orders, planes = len(matter), 2 * len(stencil.weights)
    batch, cells = solid_fraction.shape[:-dimensions], solid_fraction.shape[-dimensions:]
    shape = (surfaces, orders, planes, depth, height, width)
    nothing = np.empty((0, depth, height, width))
    if initial_guess is not None:
        expected = (*batch, orders, planes, *cells)
        if tuple(initial_guess.shape) != expected:
            raise InputError(f"initial_guess must have shape {expected}, got {tuple(initial_guess.shape)}")
        guess = initial_guess.numpy().reshape(shape)
    field = np.empty(shape if keep_field else 0)
    gradient = np.empty((surfaces, orders, depth, height, width) if keep_gradient else 0, complex)
    hertz = math.pi * resonator.impedance / resonator.fundamental_frequency  # load of 1 Hz
    accepted = absolute_tolerance * hertz / np.abs(liquid.unit) * area
    load = np.empty((surfaces, orders), complex)
    count, status = np.empty((2, surfaces, orders), np.int64)
    error = np.empty((surfaces, orders))

    def solve_one(surface: int, order: int) -> None:
        solution = field[surface, order] if keep_field else np.empty(shape[2:] if precision == "single" else 0)
        given = nothing if initial_guess is None else guess[surface, order].astype(np.float64, copy=False)
        count[surface, order] = 0
        total = math.inf
        while True:
            bottom, box, links, wet, factors, start, residual, first_load, ghosts = kernels.prepare_surface(
                stencil,
                fraction[surface],
                index[surface],
                matter[order],
                liquid.waves[order],
                liquid.wavenumbers[order],
                liquid.reflections[order],
                fourier,
                SOLID,
                not keep_gradient,
                given,
            )
            reference = liquid.flat_load[order] * area + ghosts
            wanted = max(accepted[order], tolerance * abs(first_load - reference))
            if abs(total - first_load) <= wanted:  # single precision, confirmed in double
                total = first_load
                break
            unit = np.abs(residual).max() or 1.0
            residual /= unit
            correction = np.zeros(residual.shape if keep else (0, 0), kept)
            total, steps, estimate, status[surface, order] = kernels.correct_load(
                recurrence,
                box,
                links,
                wet.astype(real, copy=False),
                factors.astype(real, copy=False),
                reflections[order],
                transforms,
                residual.astype(real, copy=False),
                unit,
                first_load,
                reference,
                tolerance,
                accepted[order],
                max(applications - count[surface, order], 1),
                correction,
            )
            count[surface, order] += steps
            if keep_field or precision == "single":
                kernels.unpack(start, correction, unit, wet, stencil, box, bottom, solution)
            if precision == "double" or status[surface, order] != kernels.CONVERGED:
                break
            given = solution
        load[surface, order], error[surface, order] = (total - ghosts) / area, estimate / area
        if keep_gradient:
            kernels.differentiate(
                stencil,
                box,
                bottom,
                fraction[surface],
                index[surface],
                matter[order],
                SOLID,
                start,
                correction,
                unit,
                gradient[surface, order],
            )

    _in_threads(solve_one, surfaces, orders)
    if (status != kernels.CONVERGED).any():
        surface, overtone = np.argwhere(status != kernels.CONVERGED)[0]
        reached = error[surface, overtone] / abs(load[surface, overtone] - liquid.flat_load[overtone])
        raise ConvergenceError(
            f"surface {surface}, overtone index {overtone}: {count[surface, overtone]} operator applications reached "
            f"an estimated error of {reached:.2g} of the excess load, wanted is {tolerance:.2g}; "
            "raise `applications` or `tolerance`"
        )
    # what the lattice's flat wall lacks to the half space (O(kΔx)², the same for every surface) is put right here
    flat = kanazawa_gordon(overtones, electrolyte, resonator)
    impedance = flat + torch.from_numpy((load - liquid.flat_load) * liquid.unit)
    slope = torch.from_numpy(gradient)
    slope *= torch.from_numpy(liquid.unit)[:, None, None, None] if keep_gradient else 1
    if metal is not None:
        inertia = 1j * angular_frequencies(overtones, resonator) * metal.density * spacing / area
        impedance = impedance + inertia * torch.from_numpy(fraction.sum(axis=(1, 2, 3)))[:, None]
        slope = slope + inertia[:, None, None, None] if keep_gradient else slope
    return Solution(
        impedance.reshape(*batch, orders),
        torch.from_numpy(field).reshape(*batch, orders, planes, *cells) if keep_field else torch.from_numpy(field),
        slope.reshape(*batch, orders, *cells) if keep_gradient else slope,
        torch.from_numpy(count).reshape(*batch, orders),
        torch.from_numpy(error * np.abs(liquid.unit)).reshape(*batch, orders),
    )
