"""One multigrid cycle for (s + d) u − ∇·(a ∇u) = f on cells, as Numba kernels in single precision.

A preconditioner of conjugate gradients (Tatebe, 6th Copper Mountain Conf. on Multigrid Methods (1993) 621), so it is
symmetric: the same Chebyshev–Jacobi smoothing before and after, piecewise constant prolongation, and its transpose as
restriction. A coarse cell joins two cells along every direction that has more than one; a last one without a partner
stays alone. Conductances between coarse cells are those of the fine faces, over the longer distance.

Fields are flat and have a margin of one slot around (y, x): slot = (z (rows + 2) + y + 1) (columns + 2) + x + 1. The
margin along x repeats the other side; that along y is zero, which is the given value above the top row. The loops run
over margins too, where the inverse diagonal is zero, because long loops without branches become vector instructions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import called

# Mobility that every cell has besides its own: it bounds the solution deep in metal, and carries next to nothing.
LEAK = 1e-6
LANES = 64
RIGHT, UP, DEEP, MASS, DIAGONAL, INVERSE, VALUE, OTHER, SOURCE, DIRECTION, IMAGE = range(11)
# Chebyshev weights for the eigenvalues 0.36 … 2 of D⁻¹A: those that the coarse grid does not see.
FIRST, SECOND, THIRD = np.float32(0.5291), np.float32(0.8475), np.float32(2.1283)
# Storage, relative to a face's conductance, from which a level is left to its diagonal.
DOMINANT = 16.0
HALF, TWO_THIRDS = np.float32(0.5), np.float32(2 / 3)


class Workspace(NamedTuple):
    """What a solve works in, for any number of solves on one grid, by one thread at a time.

    Attributes:
        levels: depth, rows, columns, first slot, slots of each level, the finest first (level, 5).
        fields: conductances to the right, upwards and into the depth, s + d, the diagonal and its inverse, and the
            vectors (11, slot), in single precision.
        remainder: residual in double precision (z, y, x).
        ready: how many levels hold the conductances of the last mobility (1,).
        lanes: partial sums of an inner product, in single precision.
        sums: those of a norm, in double precision (x,).
    """

    levels: np.ndarray
    fields: np.ndarray
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
    fields = np.zeros((11, start), np.float32)
    remainder, ready = np.empty((depth, rows, columns)), np.zeros(1, np.int64)
    return Workspace(levels, fields, remainder, ready, np.empty(LANES, np.float32), np.empty(columns))


@called
def depth_of_hierarchy(storage, levels):
    """Number of levels worth their time: storage grows fourfold from one to the next, relative to conductances."""
    count = 1
    while count < levels.shape[0] and storage < DOMINANT:
        count, storage = count + 1, 4 * storage
    return count


@called
def prepare(mobility, storage, sink, top_conductance, count, work):
    """Fill diagonals of the first `count` levels, and the conductances of those that are not ready."""
    if work.ready[0] == 0:
        _fill_conductances(mobility, top_conductance, work.fields)
    _fill_mass(storage, sink, work.fields)
    for level in range(count):
        if level > 0:
            if level >= work.ready[0]:
                _coarsen(work.levels[level - 1], work.levels[level], work.fields)
            _coarsen_mass(work.levels[level - 1], work.levels[level], work.fields)
        _fill_diagonal(work.levels[level], work.fields)
    work.ready[0] = max(work.ready[0], count)


@called
def _fill_mass(storage, sink, fields):
    depth, rows, columns = sink.shape
    for z in range(depth):
        for y in range(rows):
            first = (z * (rows + 2) + y + 1) * (columns + 2) + 1
            lost, mass = sink[z, y], fields[MASS, first:]
            for x in range(columns):
                mass[x] = storage + lost[x]


@called
def _fill_conductances(mobility, top_conductance, fields):
    depth, rows, columns = mobility.shape
    for z in range(depth):
        behind = mobility[(z + 1) % depth]
        for y in range(rows):
            first = (z * (rows + 2) + y + 1) * (columns + 2) + 1
            a, right, up, deep = mobility[z, y], fields[RIGHT, first:], fields[UP, first:], fields[DEEP, first:]
            if columns > 1:
                beside = a[1:]
                for x in range(columns - 1):
                    right[x] = 0.5 * (a[x] + beside[x]) + LEAK
                right[columns - 1] = fields[RIGHT, first - 1] = 0.5 * (a[columns - 1] + a[0]) + LEAK
            if y < rows - 1:
                above = mobility[z, y + 1]
                for x in range(columns):
                    up[x] = 0.5 * (a[x] + above[x]) + LEAK
            else:
                top = top_conductance[z]
                for x in range(columns):
                    up[x] = top[x]
            if depth > 1:
                b = behind[y]
                for x in range(columns):
                    deep[x] = 0.5 * (a[x] + b[x]) + LEAK


@called
def _fill_diagonal(level, fields):
    depth, rows, columns, start, slots = level
    stride, plane = columns + 2, slots // depth
    size = rows * stride
    for z in range(depth):
        o = start + z * plane + stride
        before = start + (z - 1) % depth * plane + stride
        mass, diagonal, inverse = fields[MASS, o:], fields[DIAGONAL, o:], fields[INVERSE, o:]
        right, left = fields[RIGHT, o:], fields[RIGHT, o - 1 :]
        up, down = fields[UP, o:], fields[UP, o - stride :]
        for i in range(size):
            diagonal[i] = mass[i] + right[i] + left[i] + up[i] + down[i]
        if depth > 1:
            deep, near = fields[DEEP, o:], fields[DEEP, before:]
            for i in range(size):
                diagonal[i] += deep[i] + near[i]
        for i in range(size):
            inverse[i] = np.float32(1) / diagonal[i] if diagonal[i] > 0 else np.float32(0)
        for i in range(0, size, stride):
            diagonal[i] = inverse[i] = diagonal[i + columns + 1] = inverse[i + columns + 1] = 0


@called
def _add_pairs(to, values, scale, columns):
    """to[x // 2] += scale · values[x], stride by stride."""
    for x in range(columns // 2):
        to[x] += scale * (values[2 * x] + values[2 * x + 1])
    if columns % 2:
        to[columns // 2] += scale * values[columns - 1]


@called
def _coarsen_mass(fine, coarse, fields):
    """Sums of s + d over cells."""
    depth, rows, columns, start = fine[:4]
    to_rows, to_columns, to_start, to_slots = coarse[1:]
    fields[MASS, to_start : to_start + to_slots] = 0
    for z in range(depth):
        for y in range(rows):
            first = start + (z * (rows + 2) + y + 1) * (columns + 2) + 1
            to_first = to_start + (z // 2 * (to_rows + 2) + y // 2 + 1) * (to_columns + 2) + 1
            _add_pairs(fields[MASS, to_first:], fields[MASS, first:], np.float32(1), columns)


@called
def _coarsen(fine, coarse, fields):
    """Sums of conductances over faces, over the distance between coarse centres."""
    depth, rows, columns, start = fine[:4]
    to_depth, to_rows, to_columns, to_start, to_slots = coarse
    one = np.float32(1)
    for field in (RIGHT, UP, DEEP):
        fields[field, to_start : to_start + to_slots] = 0
    for z in range(depth):
        for y in range(rows):
            first = start + (z * (rows + 2) + y + 1) * (columns + 2) + 1
            to_first = to_start + (z // 2 * (to_rows + 2) + y // 2 + 1) * (to_columns + 2) + 1
            right, up, deep = fields[RIGHT, first:], fields[UP, first:], fields[DEEP, first:]
            to_right, to_up, to_deep = fields[RIGHT, to_first:], fields[UP, to_first:], fields[DEEP, to_first:]
            if to_columns > 1:
                for x in range(columns // 2):
                    to_right[x] += HALF * right[2 * x + 1]
                if columns % 2:
                    to_right[to_columns - 2] += (TWO_THIRDS - HALF) * right[columns - 2]
                    to_right[to_columns - 1] += TWO_THIRDS * right[columns - 1]
                fields[RIGHT, to_first - 1] = to_right[to_columns - 1]
            if y == rows - 1 and y % 2:
                # from the centre to the given value: half the face between the joined cells in series with the top's
                inner = fields[UP, first - columns - 2 :]
                for x in range(columns):
                    to_up[x // 2] += up[x] * max(HALF, inner[x] / (inner[x] + HALF * up[x] + np.float32(1e-30)))
            elif y == rows - 1:
                _add_pairs(to_up, up, one, columns)
            elif y % 2:
                _add_pairs(to_up, up, TWO_THIRDS if y == rows - 2 else HALF, columns)
            if to_depth > 1 and (z % 2 or z == depth - 1):
                alone = depth % 2 and z >= depth - 2
                _add_pairs(to_deep, deep, TWO_THIRDS if alone else HALF, columns)


@called
def fill_margin(values, depth, rows, columns):
    """Repeat the other side in the margin along x."""
    stride = columns + 2
    for z in range(depth):
        for y in range(1, rows + 1):
            i = (z * (rows + 2) + y) * stride
            values[i], values[i + columns + 1] = values[i + columns], values[i + 1]


@called
def _sweep(to, value, level, fields, keep, weight):
    """to = keep · u + weight · D⁻¹(b − A u): a weighted Jacobi step, or with (0, 1) the residual over the diagonal."""
    depth, rows, columns, start, slots = level
    stride, plane = columns + 2, slots // depth
    size = rows * stride
    rest = keep - weight
    for z in range(depth):
        o = start + z * plane + stride
        out, u, b, inverse = fields[to, o:], fields[value, o:], fields[SOURCE, o:], fields[INVERSE, o:]
        u_right, u_left = fields[value, o + 1 :], fields[value, o - 1 :]
        u_up, u_down = fields[value, o + stride :], fields[value, o - stride :]
        right, left = fields[RIGHT, o:], fields[RIGHT, o - 1 :]
        up, down = fields[UP, o:], fields[UP, o - stride :]
        if depth == 1:
            for i in range(size):
                arrives = right[i] * u_right[i] + left[i] * u_left[i] + up[i] * u_up[i] + down[i] * u_down[i]
                out[i] = rest * u[i] + weight * (inverse[i] * (b[i] + arrives))
            continue
        before, behind = start + (z - 1) % depth * plane + stride, start + (z + 1) % depth * plane + stride
        u_near, u_deep = fields[value, before:], fields[value, behind:]
        near, deep = fields[DEEP, before:], fields[DEEP, o:]
        for i in range(size):
            arrives = right[i] * u_right[i] + left[i] * u_left[i] + up[i] * u_up[i] + down[i] * u_down[i]
            arrives += deep[i] * u_deep[i] + near[i] * u_near[i]
            out[i] = rest * u[i] + weight * (inverse[i] * (b[i] + arrives))
    fill_margin(fields[to, start:], depth, rows, columns)


@called
def _restrict(fine, coarse, fields):
    """Sum the residual, which `OTHER` holds over the diagonal, into the coarse source."""
    depth, rows, columns, start, slots = fine
    to_rows, to_columns, to_start, to_slots = coarse[1:]
    one = np.float32(1)
    scaled, diagonal = fields[OTHER, start : start + slots], fields[DIAGONAL, start : start + slots]
    for i in range(slots):
        scaled[i] *= diagonal[i]
    fields[SOURCE, to_start : to_start + to_slots] = 0
    for z in range(depth):
        for y in range(rows):
            first = (z * (rows + 2) + y + 1) * (columns + 2) + 1
            to_first = to_start + (z // 2 * (to_rows + 2) + y // 2 + 1) * (to_columns + 2) + 1
            _add_pairs(fields[SOURCE, to_first:], scaled[first:], one, columns)


@called
def _prolong(coarse, fine, fields):
    """`OTHER` = `VALUE` and what the coarse cell above adds."""
    depth, rows, columns, start = fine[:4]
    to_rows, to_columns, to_start = coarse[1:4]
    for z in range(depth):
        for y in range(rows):
            first = start + (z * (rows + 2) + y + 1) * (columns + 2) + 1
            to_first = to_start + (z // 2 * (to_rows + 2) + y // 2 + 1) * (to_columns + 2) + 1
            out, value, correction = fields[OTHER, first:], fields[VALUE, first:], fields[VALUE, to_first:]
            for x in range(columns // 2):
                out[2 * x] = value[2 * x] + correction[x]
                out[2 * x + 1] = value[2 * x + 1] + correction[x]
            if columns % 2:
                out[columns - 1] = value[columns - 1] + correction[columns // 2]
    fill_margin(fields[OTHER, start:], depth, rows, columns)


@called
def _from_diagonal(to, weight, level, fields):
    """to = weight · D⁻¹ b: the first step from zero."""
    depth, rows, columns, start, slots = level
    out, inverse, b = fields[to, start:], fields[INVERSE, start:], fields[SOURCE, start:]
    for i in range(slots):
        out[i] = weight * inverse[i] * b[i]
    fill_margin(out, depth, rows, columns)


@called
def cycle(count, levels, fields):
    """Fill `VALUE` of the finest level with an approximate solution for its `SOURCE`."""
    zero, one = np.float32(0), np.float32(1)
    for index in range(count - 1):
        level = levels[index]
        _from_diagonal(VALUE, FIRST, level, fields)
        _sweep(OTHER, VALUE, level, fields, one, SECOND)
        _sweep(VALUE, OTHER, level, fields, one, THIRD)
        _sweep(OTHER, VALUE, level, fields, zero, one)
        _restrict(level, levels[index + 1], fields)
    _from_diagonal(VALUE, one, levels[count - 1], fields)
    for index in range(count - 2, -1, -1):
        level = levels[index]
        _prolong(levels[index + 1], level, fields)
        _sweep(VALUE, OTHER, level, fields, one, THIRD)
        _sweep(OTHER, VALUE, level, fields, one, SECOND)
        _sweep(VALUE, OTHER, level, fields, one, FIRST)
