"""The checked input of a solve in lattice units, from which every backend starts, and what a backend returns."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission.closed_form import Overtones, angular_frequencies
from hmm_plating.emission.half_space import reflection
from hmm_plating.emission.kernels import Media
from hmm_plating.emission.lattice import D2Q9, D3Q19, Lattice, relaxation, shear_wave
from hmm_plating.emission.media import ViscoelasticLayer, distinct_mixtures, media
from hmm_plating.emission.saturation import bare_load
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator

COARSEST, FINEST = 4.0, 1e-5  # Δx/δ: beyond, waves do not reach a cell, and round-off exceeds a millionth of the load
SOLID = 1 - 1e-6  # a cell above this fraction has no liquid left: its populations would be undamped two-cycles


class Problem(NamedTuple):
    """Surfaces and the liquid at each overtone.

    Attributes:
        lattice: D2Q9 or D3Q19.
        fraction: float64 (surface, [z,] y, x), on the device of the input.
        medium: index into each of `media` of what is not metal, int64 (surface, [z,] y, x).
        media: Media per overtone.
        wavenumbers: kΔx per overtone.
        waves: populations of the plane shear wave, complex (overtone, population).
        flat_load: of the lattice's flat wall per cell of area, complex (overtone,).
        reflections: R of the half space, complex (overtone, [z,] x, lane, lane).
        unit: load of one lattice unit [Pa s/m], complex (overtone,).
        guess: field to start from, real (surface, overtone, planes, [z,] y, x).
    """

    lattice: Lattice
    fraction: Tensor
    medium: Tensor
    media: list[Media]
    wavenumbers: list[complex]
    waves: np.ndarray
    flat_load: np.ndarray
    reflections: np.ndarray
    unit: np.ndarray
    guess: Tensor | None

    @property
    def field_shape(self) -> tuple[int, ...]:
        """(surface, overtone, planes, [z,] y, x)."""
        surfaces, *cells = self.fraction.shape
        return surfaces, len(self.media), 2 * len(self.lattice.weights), *cells

    @property
    def area(self) -> int:
        """Cells of the crystal."""
        return self.fraction[0].numel() // self.fraction.shape[-2]


class Accuracy(NamedTuple):
    """When the recurrence ends.

    Attributes:
        relative: accepted error of the load relative to its excess over the flat surface.
        absolute: or accepted error, in lattice units summed over the area, (overtone,).
        applications: upper limit of operator applications.
    """

    relative: float
    absolute: np.ndarray
    applications: int


class LatticeSolution(NamedTuple):
    """What a backend returns, in lattice units per cell of area and on the device of the input.

    Attributes:
        load: complex128 (surface, overtone).
        field, gradient: as of `Solution`, (surface, overtone, ...); empty if not wanted.
        applications: int64 (surface, overtone).
        error: estimated, float64 (surface, overtone).
        converged: bool (surface, overtone).
    """

    load: Tensor
    field: Tensor
    gradient: Tensor
    applications: Tensor
    error: Tensor
    converged: Tensor


def blank_solution(
    problem: Problem, device: torch.device, keep_field: bool | torch.dtype, keep_gradient: bool
) -> LatticeSolution:
    """Solution to be filled in, without any application."""
    surfaces, orders, _, *cells = problem.field_shape
    pairs = torch.empty(surfaces, orders, dtype=torch.float64, device=device)
    return LatticeSolution(
        pairs.to(torch.complex128),
        torch.empty(
            problem.field_shape if keep_field else 0,
            dtype=keep_field if isinstance(keep_field, torch.dtype) else torch.float64,
            device=device,
        ),
        pairs.new_empty((surfaces, orders, *cells) if keep_gradient else 0, dtype=torch.complex128),
        torch.zeros_like(pairs, dtype=torch.int64),
        pairs,
        torch.zeros_like(pairs, dtype=torch.bool),
    )


def set_up(
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    layers: Sequence[ViscoelasticLayer],
    initial_guess: Tensor | None,
    dimensions: int,
) -> Problem:
    """Check the arguments of `solve` of these names and turn them into lattice units.

    Raises:
        InputError: as `solve`.
    """
    number = isinstance(spacing, int | float) and not isinstance(spacing, bool)
    if not (number and math.isfinite(spacing) and spacing > 0):
        raise InputError(f"spacing must be a positive length in metres, got {spacing!r}")
    fraction = check_fraction(solid_fraction, dimensions)
    omegas = angular_frequencies(overtones, resonator).tolist()
    cells_per_depth = [spacing / electrolyte.penetration_depth(omega) for omega in omegas]
    _check_resolution(cells_per_depth, spacing)
    index, mixtures = distinct_mixtures(tuple(layers), solid_fraction.shape)
    medium = torch.from_numpy(index).reshape(fraction.shape).to(fraction.device)
    partly = medium[(fraction > 0) & (fraction <= SOLID)]
    held = (partly.bincount(minlength=len(mixtures)) > 0).cpu().numpy()
    matter = media(mixtures, tuple(layers), held, spacing, overtones, electrolyte, resonator)

    lattice = D2Q9 if dimensions == 2 else D3Q19
    if initial_guess is not None:
        cells = solid_fraction.shape[-dimensions:]
        expected = (*solid_fraction.shape[:-dimensions], len(omegas), 2 * len(lattice.weights), *cells)
        if tuple(initial_guess.shape) != expected:
            raise InputError(f"initial_guess must have shape {expected}, got {tuple(initial_guess.shape)}")
        initial_guess = initial_guess.detach().to(fraction.device).reshape(-1, *expected[-2 - dimensions :])

    wavenumbers = [(1 + 1j) * ratio for ratio in cells_per_depth]
    relaxations = [relaxation(k) for k in wavenumbers]
    pairs = list(zip(relaxations, wavenumbers, strict=True))
    period = (*fraction.shape[1:-2], fraction.shape[-1])
    # a cell's drag 1 − m acts on its velocity, the mean of momentum before and after, (1 + m)/2 of what arrives
    momenta = np.array([r.momentum for r in relaxations])
    inertia = 1j * np.array(omegas) * electrolyte.density * spacing
    return Problem(
        lattice,
        fraction,
        medium,
        matter,
        wavenumbers,
        np.array([shear_wave(lattice, *pair) for pair in pairs]),
        np.array([bare_load(*pair) for pair in pairs]),
        np.array([reflection(lattice, r, period) for r in relaxations]),
        inertia * (1 + momenta) / (2 * (1 - momenta)),
        initial_guess,
    )


def _check_resolution(ratios: list[float], spacing: float) -> None:
    """Refuse cells of no use beside the penetration depth, Δx/δ per overtone, and warn of coarse ones."""
    coarsest = max(ratios)
    if coarsest > COARSEST or min(ratios) < FINEST:
        raise InputError(
            f"spacing {spacing:g} m is {min(ratios):.2g} to {coarsest:.2g} penetration depths: between {FINEST:g} and "
            f"{COARSEST:g} can be computed, below 0.5 is accurate; is it in metres?"
        )
    if coarsest > 0.5:
        warnings.warn(
            f"the penetration depth is only {1 / coarsest:.2g} cells at the highest overtone: expect an error of the "
            f"excess load of about {15 * coarsest**2:.0f} % over features as high as it, a third of that over four "
            "times higher; refine the spacing",
            stacklevel=5,
        )


def check_fraction(solid_fraction: Tensor, dimensions: int) -> Tensor:
    """Fractions as float64 (surface, [z,] y, x); InputError where they are none."""
    if dimensions not in (2, 3):
        raise InputError(f"dimensions must be 2 or 3, got {dimensions!r}")
    if not isinstance(solid_fraction, Tensor) or solid_fraction.is_complex():
        kind = solid_fraction.dtype if isinstance(solid_fraction, Tensor) else type(solid_fraction).__name__
        raise InputError(f"solid_fraction must be a real torch.Tensor (torch.as_tensor makes one), got {kind}")
    if solid_fraction.ndim < dimensions or 0 in solid_fraction.shape:
        cells = "(..., y, x)" if dimensions == 2 else "(..., z, y, x)"
        raise InputError(
            f"solid_fraction must be {cells} and not empty in {dimensions} dimensions, "
            f"got shape {tuple(solid_fraction.shape)}"
        )
    fraction = solid_fraction.detach().to(torch.float64)
    if not bool(((fraction >= 0) & (fraction <= 1)).all()):
        raise InputError(
            f"solid_fraction must lie in [0, 1] everywhere, found {fraction.min():.6g} to {fraction.max():.6g}"
            + (" and NaN" if bool(fraction.isnan().any()) else "")
        )
    if bool((fraction[..., -1, :] > SOLID).any()):
        raise InputError(
            "metal fills cells of the top row, so it may go on above the box: add a row of liquid "
            "(one is enough, the half space above the box is exact)"
        )
    return fraction.reshape(-1, *fraction.shape[-dimensions:])
