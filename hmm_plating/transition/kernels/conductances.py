"""Conductances, storage and diagonal of (s + d) u − ∇·(a ∇u) on every level, from those of the cells.

Conductances between coarse cells are those of the fine faces, over the longer distance; storage and sinks are summed.
Sums over joined cells are formed at every slot of the fine level, and `children` picks those that a coarse cell wants.
"""

from __future__ import annotations

import numpy as np

from hmm_plating.compiled import called
from hmm_plating.transition.kernels.levels import (
    DEEP,
    DIAGONAL,
    HALF,
    INVERSE,
    JOINED,
    MASS,
    ONE,
    OTHER,
    RIGHT,
    TWO_THIRDS,
    UP,
    children_of,
    fill_margin,
    load,
)

# Mobility that every cell has besides its own: it bounds the solution deep in metal, and carries next to nothing.
LEAK = 1e-6
LEAK_SINGLE = np.float32(LEAK)


@called
def prepare(mobility, storage, sink, top_conductance, count, work):
    """Fill diagonals of the first `count` levels, and the conductances of those that are not ready."""
    if work.ready[0] == 0:
        _fill_conductances(mobility, top_conductance, work.fields)
    _fill_mass(storage, sink, work.fields)
    for level in range(count):
        if level > 0:
            steps = work.levels[level - 1], work.levels[level], work.fields
            children = children_of(level - 1, work.levels, work.children)
            if level >= work.ready[0]:
                _coarsen_right(*steps, children)
                _coarsen_up(*steps, children)
                _coarsen_deep(*steps, children)
            sum_children(MASS, MASS, *steps, children)
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
def _join_faces(own, other, size, faces):
    """Conductances between cells and their neighbours on one side."""
    for i in range(size):
        faces[i] = HALF * (own[i] + other[i]) + LEAK_SINGLE


@called
def _fill_conductances(mobility, top_conductance, fields):
    depth, rows, columns = mobility.shape
    stride = columns + 2
    plane, size = (rows + 2) * stride, rows * stride
    load(mobility, 1.0, fields[OTHER])
    fill_margin(fields[OTHER], depth, rows, columns)
    for z in range(depth):
        o, behind = z * plane + stride, (z + 1) % depth * plane + stride
        a, right, up, deep = fields[OTHER, o:], fields[RIGHT, o:], fields[UP, o:], fields[DEEP, o:]
        if columns > 1:
            _join_faces(a, a[1:], size, right)
        _join_faces(a, a[stride:], size - stride, up)
        if depth > 1:
            _join_faces(a, fields[OTHER, behind:], size, deep)
        for i in range(0, size, stride):
            right[i + columns + 1] = up[i] = up[i + columns + 1] = deep[i] = deep[i + columns + 1] = 0
        edge, top = up[size - stride + 1 :], top_conductance[z]
        for x in range(columns):
            edge[x] = top[x]


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
def _join(first, second, size, joined, add):
    """joined = first + second, or += where `add`."""
    if add:
        for i in range(size):
            joined[i] += first[i] + second[i]
    else:
        for i in range(size):
            joined[i] = first[i] + second[i]


@called
def _join_four(values, size, stride, joined, add):
    """As `_join`, the sum over each slot and those to its right, above, and both."""
    right, up, both = values[1:], values[stride:], values[stride + 1 :]
    if add:
        for i in range(size):
            joined[i] += (values[i] + right[i]) + (up[i] + both[i])
    else:
        for i in range(size):
            joined[i] = (values[i] + right[i]) + (up[i] + both[i])


@called
def _take(joined, children, factor, to):
    """to = factor · what is joined at the first child of every coarse slot."""
    for j in range(children.size):
        to[j] = factor * joined[children[j]]


@called
def sum_children(field, to_field, fine, coarse, fields, children):
    """Sum `field` over the cells that each coarse cell joins, into `to_field`."""
    depth, rows, columns, start, slots = fine
    to_depth, to_start, to_slots = coarse[0], coarse[3], coarse[4]
    stride, plane, to_plane = columns + 2, slots // depth, to_slots // to_depth
    joined = fields[JOINED, start : start + plane]
    for deep in range(to_depth):
        for z in range(2 * deep, min(2 * deep + 2, depth)):
            values = fields[field, start + z * plane + stride :]
            _join_four(values, rows * stride - 1, stride, joined[stride:], z > 2 * deep)
        _take(joined, children, ONE, fields[to_field, to_start + deep * to_plane :])


@called
def _coarsen_right(fine, coarse, fields, children):
    """Sum conductances over faces across x, over the distance between coarse centres."""
    depth, rows, columns, start, slots = fine
    to_depth, to_rows, to_columns, to_start, to_slots = coarse
    stride, plane, to_stride, to_plane = columns + 2, slots // depth, to_columns + 2, to_slots // to_depth
    joined = fields[JOINED, start : start + plane]
    for deep in range(to_depth if to_columns > 1 else 0):
        planes, to_first = range(2 * deep, min(2 * deep + 2, depth)), to_start + deep * to_plane
        for z in planes:
            right = fields[RIGHT, start + z * plane + stride + 1 :]
            _join(right, right[stride:], rows * stride - 2, joined[stride:], z > 2 * deep)
        _take(joined, children, HALF, fields[RIGHT, to_first:])
        for y in range(to_rows):
            to_right = fields[RIGHT, to_first + (y + 1) * to_stride :]
            if columns % 2:
                to_right[to_columns - 1] *= TWO_THIRDS / HALF
                alone = np.float32(0)
                for z in planes:
                    for below in range(2 * y, min(2 * y + 2, rows)):
                        alone += fields[RIGHT, start + z * plane + (below + 1) * stride + columns]
                to_right[to_columns] = TWO_THIRDS * alone
            to_right[0] = to_right[to_columns]


@called
def _coarsen_up(fine, coarse, fields, children):
    """As `_coarsen_right`, across y; the top row's conductance leads to the given value."""
    depth, rows, columns, start, slots = fine
    to_depth, to_rows, to_columns, to_start, to_slots = coarse
    stride, plane, to_stride, to_plane = columns + 2, slots // depth, to_columns + 2, to_slots // to_depth
    joined = fields[JOINED, start : start + plane]
    for deep in range(to_depth):
        planes, to_first = range(2 * deep, min(2 * deep + 2, depth)), to_start + deep * to_plane
        for z in planes:
            up = fields[UP, start + z * plane + 2 * stride :]
            _join(up, up[1:], rows * stride - 1, joined[stride:], z > 2 * deep)
        _take(joined, children, HALF, fields[UP, to_first:])
        top = fields[UP, to_first + to_rows * to_stride + 1 :]
        below = fields[UP, to_first + (to_rows - 1) * to_stride + 1 :]
        for x in range(to_columns):
            top[x] = 0
            if rows % 2 and rows > 1:
                below[x] *= TWO_THIRDS / HALF
        for z in planes:
            last = start + z * plane + rows * stride + 1
            up, inner = fields[UP, last:], fields[UP, last - stride :]
            for x in range(columns):
                if rows % 2:
                    top[x // 2] += up[x]
                else:
                    # from the centre to the given value: half the face between the joined cells, then the top's
                    top[x // 2] += up[x] * max(HALF, inner[x] / (inner[x] + HALF * up[x] + np.float32(1e-30)))


@called
def _coarsen_deep(fine, coarse, fields, children):
    """As `_coarsen_right`, across z."""
    depth, rows, columns, start, slots = fine
    to_depth, to_start, to_slots = coarse[0], coarse[3], coarse[4]
    stride, plane, to_plane = columns + 2, slots // depth, to_slots // to_depth
    joined = fields[JOINED, start : start + plane]
    for deep in range(to_depth if to_depth > 1 else 0):
        z = min(2 * deep + 1, depth - 1)
        values = fields[DEEP, start + z * plane + stride :]
        _join_four(values, rows * stride - 1, stride, joined[stride:], False)
        alone = depth % 2 and z >= depth - 2
        _take(joined, children, TWO_THIRDS if alone else HALF, fields[DEEP, to_start + deep * to_plane :])
