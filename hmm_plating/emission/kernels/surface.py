"""One surface at one overtone: saturations from fractions, the rows that hold the roughness, and their solution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hmm_plating.emission.kernels.collision import set_factors
from hmm_plating.emission.kernels.compiled import inlined, kernel
from hmm_plating.emission.kernels.lanczos import solve_pair
from hmm_plating.emission.kernels.layout import LANES, box_of, place_of


class Media(NamedTuple):
    """What fills the cells, at one overtone: the liquid first, then viscoelastic matter.

    Attributes:
        relaxation: factors of momentum, even and odd moments, complex (medium, 3).
        saturation, ghost: Calibration, complex (medium, term).
    """

    relaxation: np.ndarray
    saturation: np.ndarray
    ghost: np.ndarray


@inlined
def saturate(fraction, medium, media, threshold, saturation, solid):
    """Saturation and solid mask of a surface; returns the summed load of its ghost liquid."""
    ghosts = 0.0j
    for z in range(fraction.shape[0]):
        for y in range(fraction.shape[1]):
            for x in range(fraction.shape[2]):
                e = fraction[z, y, x]
                solid[z, y, x] = e > threshold
                saturation[z, y, x] = 0.0
                if 0 < e <= threshold:
                    saturation_terms, ghost_terms = media.saturation[medium[z, y, x]], media.ghost[medium[z, y, x]]
                    held, ghost = 0.0j, 0.0j
                    for j in range(saturation_terms.size - 1, -1, -1):
                        held = held * e + saturation_terms[j]
                        ghost = ghost * e + ghost_terms[j]
                    saturation[z, y, x] = e + e * (1 - e) * held
                    ghosts += e * (1 - e) * ghost
    return ghosts


@inlined
def occupied_rows(fraction, medium, threshold):
    """Rows [bottom, top) that hold the roughness: above rows of solid only, up to the last that has to be resolved."""
    depth, height, width = fraction.shape
    bottom, top = 0, 0
    for y in range(height):
        full = True
        for z in range(depth):
            for x in range(width):
                if fraction[z, y, x] > threshold:
                    top = y + 2  # the half space needs a row without solid cells below it
                else:
                    full = False
                    if fraction[z, y, x] > 0 or medium[z, y, x] > 0:
                        top = max(top, y + 1)
        if full and bottom == y:
            bottom = y + 1
    return bottom, max(top, bottom + 1)


@kernel
def solve_surface(
    lattice,
    fraction,
    medium,
    media,
    flat_load,
    reflection,
    fourier,
    threshold,
    relative,
    absolute,
    most,
    crop,
    guess,
    field,
):
    """Load of one surface at one overtone, solved only between the rows that hold its roughness.

    Args:
        lattice: Stencil; its floating-point type, that of `fourier`, `guess` and `field`, is the one computed in.
        fraction: (z, y, x).
        medium: index into `media` of what is not metal, (z, y, x); 0 beyond the box.
        media: Media.
        flat_load: load of a flat wall per cell of area.
        reflection, fourier: as in `solve_pair`.
        threshold: fraction above which a cell is solid.
        relative, absolute, most: as in `solve_pair`, absolute per cell of area.
        crop: leave out the liquid rows above the surface.
        guess: (planes, z, y, x), field to start from, or of length 0.
        field: (planes, z, y, x), receives the solution, or of length 0 if it is not wanted.

    Returns:
        load per cell of area, applications, estimated error per cell of area, status.
    """
    depth, rows, width = fraction.shape
    half, area = lattice.weights.size, depth * width
    bottom, top = occupied_rows(fraction, medium, threshold)
    if not crop:
        top = max(top, rows)
    height = top - bottom
    inside, filling = np.zeros((depth, height, width)), np.zeros((depth, height, width), np.int64)
    for z in range(depth):
        for y in range(bottom, min(top, rows)):
            for x in range(width):
                inside[z, y - bottom, x] = fraction[z, y, x]
                filling[z, y - bottom, x] = medium[z, y, x]
    saturation = np.empty((depth, height, width), np.complex128)
    solid = np.empty((depth, height, width), np.bool_)
    ghosts = saturate(inside, filling, media, threshold, saturation, solid)
    box = box_of(solid, lattice)
    factors = np.zeros((box.blocks, 6 * LANES), lattice.weights.dtype)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                block, lane = place_of(z, y, x, box)
                set_factors(factors[block], lane, saturation[z, y, x], media.relaxation[filling[z, y, x]])
    keep, guessed = field.shape[0] > 0, guess.shape[0] > 0
    size = 2 * half if keep or guessed else 0
    solution = np.zeros((size, depth, height, width), lattice.weights.dtype)
    if guessed:
        for plane in range(2 * half):
            for z in range(depth):
                for y in range(height):
                    for x in range(width):
                        solution[plane, z, y, x] = guess[plane, z, min(bottom + y, rows - 1), x]
    total, count, estimate, state = solve_pair(
        lattice,
        saturation,
        solid,
        factors,
        reflection,
        fourier,
        flat_load * area + ghosts,
        relative,
        absolute * area,
        most,
        guessed,
        keep,
        solution,
    )
    if keep:
        for i in range(half):
            for z in range(depth):
                for y in range(rows):
                    for x in range(width):
                        if y < bottom:
                            field[i, z, y, x] = 3.0 * lattice.weights[i] * lattice.cx[i]
                            field[half + i, z, y, x] = 0.0
                        else:
                            near = min(y - bottom, height - 1)
                            field[i, z, y, x] = solution[i, z, near, x]
                            field[half + i, z, y, x] = solution[half + i, z, near, x]
    return (total - ghosts) / area, count, estimate / area, state
