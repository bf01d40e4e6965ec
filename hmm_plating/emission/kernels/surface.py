"""One surface at one overtone: the rows that hold its roughness, their cells, and the residual of a first guess."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import inlined
from hmm_plating.emission.kernels.collision import collide_all, collide_alone, set_factors
from hmm_plating.emission.kernels.layout import LANES, box_of, find_links, place_of
from hmm_plating.emission.kernels.streaming import bilinear, fill_ghosts, pull, workspace


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
                    held, ghost, centred = 0.0j, 0.0j, 2 * e - 1
                    for j in range(saturation_terms.size - 1, -1, -1):
                        held = held * centred + saturation_terms[j]
                        ghost = ghost * centred + ghost_terms[j]
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


@inlined
def motion(lattice, held, links, wet, g, source, box, reflection, fourier, work):
    """Blocks of the source β, the motion of crystal and metal; returns the constant of the load.

    `held` has B in blocks (2 LANES); `g` is overwritten.
    """
    half = lattice.weights.size
    for block in range(box.blocks):
        for i in range(half):
            push, start = 6.0 * lattice.weights[i] * lattice.cx[i], box.first + block * LANES
            for x in range(LANES):
                g[i, start + x] = push * held[block, x]
                g[half + i, start + x] = push * held[block, LANES + x]
    fill_ghosts(g, lattice, links, box, reflection[0], reflection[1], fourier, work, True)
    load = 0.0j
    for block in range(box.blocks):
        pull(g, block, lattice, box, wet[block], source[block])
        for x in range(LANES):
            arriving = 0.0j
            for i in range(half):
                arriving += lattice.cx[i] * complex(source[block, i * LANES + x], source[block, (half + i) * LANES + x])
            load += 2.0 * complex(held[block, x], held[block, LANES + x]) * (1.0 - arriving)
    for link in range(links.shape[0]):
        i, index = links[link, 0], links[link, 2] - box.first
        block, lane = index // LANES, index % LANES
        load += (
            lattice.weights[i]
            * lattice.cx[i] ** 2
            * (6.0 - 12.0 * complex(held[block, lane], held[block, LANES + lane]))
        )
    return load


def prepare_surface(lattice, fraction, medium, media, wave, wavenumber, reflection, fourier, threshold, guess):
    """Set up one surface at one overtone between the rows that hold its roughness, in double precision.

    Args:
        lattice: Stencil.
        fraction: (z, y, x).
        medium: index into `media` of what is not metal, (z, y, x); 0 beyond the box.
        media: Media.
        wave: populations of the plane shear wave, complex (population,); wavenumber: its kΔx.
        reflection, fourier: as in `correct_load`.
        threshold: fraction above which a cell is solid.
        guess: (planes, z, y, x), field to start from, or of length 0.

    Returns:
        bottom: lowest row solved for.
        box: Box; links: as `find_links`.
        wet: 1 in liquid or partly solid cells, blocks (LANES).
        held: saturation B, real and imaginary part, blocks (2 LANES).
        factors: K/2, O/2 and M of `collision`, blocks (6 LANES).
        start: initial field f₀, residual: r₀ = β − A f₀, blocks (planes LANES).
        load: corrected load of f₀; ghosts: the part of it that is ghost liquid, both summed over the area.
    """
    depth, rows, width = fraction.shape
    half = lattice.weights.size
    bottom, top = occupied_rows(fraction, medium, threshold)
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
    links = find_links(solid, lattice, box)
    shape = (box.blocks, 2 * half * LANES)
    wet, held = np.zeros((box.blocks, LANES)), np.zeros((box.blocks, 2 * LANES))
    factors = np.zeros((box.blocks, 6 * LANES))
    start, residual = np.zeros(shape), np.zeros(shape)
    cell = np.empty(2 * half)
    mean = inside.sum() / (depth * width)
    for y in range(height):
        above = y + 0.5 - mean
        amplitude = np.exp(-wavenumber * above)
        for i in range(half):
            # the wave above a flat wall at the mean height, rigid below: what is left to solve for is the excess
            value = amplitude * wave[i] if above > 0 else 3.0 * lattice.weights[i] * lattice.cx[i] + 0.0j
            cell[i], cell[half + i] = value.real, value.imag
        for z in range(depth):
            for x in range(width):
                if solid[z, y, x]:
                    continue
                block, lane = place_of(z, y, x, box)
                wet[block, lane] = 1
                held[block, lane] = saturation[z, y, x].real
                held[block, LANES + lane] = saturation[z, y, x].imag
                set_factors(factors[block], lane, saturation[z, y, x], media.relaxation[filling[z, y, x]])
                for plane in range(2 * half):
                    given = guess[plane, z, min(bottom + y, rows - 1), x] if guess.shape[0] > 0 else cell[plane]
                    start[block, plane * LANES + lane] = given
    work, scratch = workspace(lattice, box)
    g = np.zeros((2 * half, box.slots))
    load = motion(lattice, held, links, wet, g, residual, box, reflection, fourier, work)
    collide_all(start, factors, g, lattice, box, scratch)
    load += bilinear(residual, g, lattice, box) / 3
    fill_ghosts(g, lattice, links, box, reflection[0], reflection[1], fourier, work, False)
    arriving = np.empty(2 * half * LANES)
    for block in range(box.blocks):
        pull(g, block, lattice, box, wet[block], arriving)
        for k in range(arriving.size):
            residual[block, k] += arriving[k] - start[block, k]
    load += bilinear(residual, g, lattice, box) / 3
    return bottom, box, links, wet, held, factors, start, residual, load, ghosts


def unpack(f, wet, lattice, box, bottom, field):
    """Blocks f into (planes, z, y, x): solid cells move with the crystal, rows above the box as its last."""
    half, width = lattice.weights.size, field.shape[3]
    for plane in range(field.shape[0]):
        i = plane % half
        rigid = 3.0 * lattice.weights[i] * lattice.cx[i] if plane < half else 0.0
        for z in range(field.shape[1]):
            for y in range(field.shape[2]):
                row, to = min(y - bottom, box.height - 1), field[plane, z, y]
                if row < 0:
                    to[:] = rigid
                    continue
                column = 0
                while column < width:  # the cells of a row lie in few blocks; those of metal are 0 there
                    block, lane = place_of(z, row, column, box)
                    at, count = plane * LANES + lane, min(LANES - lane, width - column)
                    for k in range(count):
                        to[column + k] = f[block, at + k] + (1 - wet[block, lane + k]) * rigid
                    column += count


def leave_top(f, held, factors, lattice, box, rising):
    """Populations that leave the box upwards into `rising`, complex (lane, z, x), of the solved field f in blocks."""
    half, of = lattice.weights.size, -1
    work, left = np.empty((8, LANES)), np.empty(2 * half * LANES)
    for z in range(box.depth):
        for x in range(box.width):
            block, at = place_of(z, box.height - 1, x, box)
            if block != of:
                collide_alone(f[block], factors[block], left, lattice, work)
                of = block
            for lane in range(lattice.upward.size):
                i = lattice.upward[lane]
                moved = 6.0 * lattice.weights[i] * lattice.cx[i] * complex(held[block, at], held[block, LANES + at])
                rising[lane, z, x] = complex(left[i * LANES + at], left[(half + i) * LANES + at]) + moved
