"""Where the cells of the multigrid's levels lie in memory.

A coarse cell joins two cells along every direction that has more than one; a last one without a partner stays alone.
Fields are flat and have a margin of one slot around (y, x): slot = (z (rows + 2) + y + 1) (columns + 2) + x + 1. The
margin along x repeats the other side; that along y is zero, which is the given value above the top row. Loops run over
margins too, because long loops without branches become vector instructions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import called

LANES = 64
RIGHT, UP, DEEP, MASS, DIAGONAL, INVERSE, VALUE, OTHER, SOURCE, DIRECTION, IMAGE, JOINED, SPREAD = range(13)
ONE, HALF, TWO_THIRDS = np.float32(1), np.float32(0.5), np.float32(2 / 3)


class Workspace(NamedTuple):
    """What a solve works in, for any number of solves on one grid, by one thread at a time.

    Attributes:
        levels: depth, rows, columns, first slot, slots of each level, the finest first (level, 5).
        fields: conductances to the right, upwards and into the depth, s + d, the diagonal and its inverse, and the
            vectors, and sums over neighbours, at most one plane of a level (13, slot), in single precision.
        children: first slot, within its plane, of the cells that each slot of a plane of the next level joins; of a
            margin the last slot, in no cell's sum (coarse slot).
        remainder: residual in double precision (z, y, x).
        ready: how many levels hold the conductances of the last mobility (1,).
        lanes: partial sums of an inner product, in single precision.
        sums: those of a norm, in double precision (x,).
    """

    levels: np.ndarray
    fields: np.ndarray
    children: np.ndarray
    remainder: np.ndarray
    ready: np.ndarray
    lanes: np.ndarray
    sums: np.ndarray


@called
def workspace(depth, rows, columns):
    """Allocate what solves on a grid of that many cells need; depth 1 in two dimensions."""
    count, largest = 1, max(depth, rows, columns)
    while largest > 1:
        count, largest = count + 1, (largest + 1) // 2
    levels = np.empty((count, 5), np.int64)
    shape, start = (depth, rows, columns), 0
    for level in range(count):
        slots = shape[0] * (shape[1] + 2) * (shape[2] + 2)
        levels[level, 0], levels[level, 1], levels[level, 2] = shape
        levels[level, 3], levels[level, 4] = start, slots
        start += (slots + LANES - 1) // LANES * LANES
        shape = ((shape[0] + 1) // 2, (shape[1] + 1) // 2, (shape[2] + 1) // 2)
    fields, children = np.zeros((13, start), np.float32), np.empty(start, np.int32)
    for level in range(count - 1):
        stride, last = levels[level, 2] + 2, levels[level, 4] // levels[level, 0] - 1
        to_rows, to_columns = levels[level + 1, 1:3]
        own = children_of(level, levels, children).reshape(to_rows + 2, to_columns + 2)
        own[:] = last
        for y in range(to_rows):
            for x in range(to_columns):
                own[y + 1, x + 1] = (2 * y + 1) * stride + 2 * x + 1
    remainder, ready = np.empty((depth, rows, columns)), np.zeros(1, np.int64)
    return Workspace(levels, fields, children, remainder, ready, np.empty(LANES, np.float32), np.empty(columns))


@called
def children_of(level, levels, children):
    """Those of one plane of the level after `level`."""
    first, plane = levels[level + 1, 3], levels[level + 1, 4] // levels[level + 1, 0]
    return children[first : first + plane]


@called
def load(values, factor, to):
    """Fill the cells of the finest level of a field with factor · values (z, y, x)."""
    depth, rows, columns = values.shape
    for z in range(depth):
        for y in range(rows):
            first = (z * (rows + 2) + y + 1) * (columns + 2) + 1
            row, own = to[first : first + columns], values[z, y]
            for x in range(columns):
                row[x] = factor * own[x]


@called
def fill_margin(values, depth, rows, columns):
    """Repeat the other side in the margin along x."""
    stride = columns + 2
    for z in range(depth):
        for y in range(1, rows + 1):
            i = (z * (rows + 2) + y) * stride
            values[i], values[i + columns + 1] = values[i + columns], values[i + 1]
