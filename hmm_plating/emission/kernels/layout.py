"""Where cells lie in memory: flat with ghosts for streaming, in blocks for all else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import inlined
from hmm_plating.emission.lattice import Lattice

LANES = 256  # cells per block


class Stencil(NamedTuple):
    """A lattice as the kernels read it: arrays over populations, `upward` and `downward` over lanes."""

    cx: np.ndarray
    cy: np.ndarray
    cz: np.ndarray
    weights: np.ndarray
    inverse_weights: np.ndarray
    opposite: np.ndarray
    upward: np.ndarray
    downward: np.ndarray


def stencil(lattice: Lattice, real: type) -> Stencil:
    """Velocities of two dimensions with cz = 0; weights of the floating-point type of the fields."""
    cx, cy, cz = np.pad(lattice.velocities, ((0, 0), (0, 3 - lattice.dimensions))).T.copy()
    weights: np.ndarray = lattice.weights.astype(real)
    inverse_weights: np.ndarray = (1 / lattice.weights).astype(real)
    return Stencil(cx, cy, cz, weights, inverse_weights, lattice.opposite, lattice.upward, lattice.downward)


class Box(NamedTuple):
    """Cells and strides of flat arrays; `margin` is 1 with ghosts along z; blocks start at the cell `first`."""

    depth: int
    height: int
    width: int
    margin: int
    stride: int
    level: int
    first: int
    blocks: int
    slots: int


@inlined
def box_of(solid, lattice):
    """Arrangement of cells (z, y, x)."""
    depth, height, width = solid.shape
    margin, stride = lattice.cz.max(), width + 2
    level = (depth + 2 * margin) * stride
    first = level + margin * stride + 1
    last = height * level + (depth - 1 + margin) * stride + width + 1
    blocks = (last - first + LANES - 1) // LANES
    return Box(depth, height, width, margin, stride, level, first, blocks, first + blocks * LANES + first)


@inlined
def slot_of(z, y, x, box):
    """Flat index of a cell or ghost."""
    return (y + 1) * box.level + (z + box.margin) * box.stride + 1 + x


@inlined
def place_of(z, y, x, box):
    """Block and lane of a cell."""
    index = slot_of(z, y, x, box) - box.first
    return index // LANES, index % LANES


@inlined
def wrapped(index, period):
    """Index modulo the period, from at most one period away (a division costs more)."""
    if index < 0:
        return index + period
    return index - period if index >= period else index


@inlined
def find_links(solid, lattice, box):
    """Links from crystal or solid cells into liquid, (links, 3) of (population, slot it is pulled from, reader)."""
    links = np.empty(((lattice.weights.size - 1) * solid.size, 3), np.int64)
    count = 0
    for y in range(box.height):
        for z in range(box.depth):
            for x in range(box.width):
                if solid[z, y, x]:
                    continue
                for i in range(1, lattice.weights.size):
                    above = y - lattice.cy[i]
                    aside, beside = wrapped(z - lattice.cz[i], box.depth), wrapped(x - lattice.cx[i], box.width)
                    if above < box.height and (above < 0 or solid[aside, above, beside]):
                        links[count, 0] = i
                        links[count, 1] = slot_of(aside, above, beside, box)
                        links[count, 2] = slot_of(z, y, x, box)
                        count += 1
    return links[:count]


@inlined
def shift_of(i, lattice, box):
    """How far upstream population i is pulled from."""
    return lattice.cx[i] + lattice.cy[i] * box.level + lattice.cz[i] * box.stride
