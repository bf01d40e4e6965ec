"""One multigrid cycle for (s + d) u − ∇·(a ∇u) = f on cells, as Numba kernels in single precision.

A preconditioner of conjugate gradients (Tatebe, 6th Copper Mountain Conf. on Multigrid Methods (1993) 621), so it is
symmetric: the same Chebyshev–Jacobi smoothing before and after, piecewise constant prolongation, and its transpose as
restriction, over the levels of `levels` with the conductances of `conductances`. Margins come out right by themselves,
because their inverse diagonal is zero.
"""

from __future__ import annotations

import numpy as np

from hmm_plating.compiled import called
from hmm_plating.transition.kernels.conductances import sum_children
from hmm_plating.transition.kernels.levels import (
    DEEP,
    DIAGONAL,
    INVERSE,
    ONE,
    OTHER,
    RIGHT,
    SOURCE,
    SPREAD,
    UP,
    VALUE,
    children_of,
    fill_margin,
)

# Chebyshev weights for the eigenvalues 0.36 … 2 of D⁻¹A: those that the coarse grid does not see.
FIRST, SECOND, THIRD = np.float32(0.5291), np.float32(0.8475), np.float32(2.1283)
# Storage, relative to a face's conductance, from which a level is left to its diagonal.
DOMINANT = 16.0


@called
def depth_of_hierarchy(storage, levels):
    """Number of levels worth their time: storage grows fourfold from one to the next, relative to conductances."""
    count = 1
    while count < levels.shape[0] and storage < DOMINANT:
        count, storage = count + 1, 4 * storage
    return count


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
def _restrict(fine, coarse, fields, children):
    """Sum the residual, which `OTHER` holds over the diagonal, into the coarse source."""
    start, slots = fine[3:]
    scaled, diagonal = fields[OTHER, start : start + slots], fields[DIAGONAL, start : start + slots]
    for i in range(slots):
        scaled[i] *= diagonal[i]
    sum_children(OTHER, SOURCE, fine, coarse, fields, children)


@called
def _prolong(coarse, fine, fields, children):
    """`OTHER` = `VALUE` and what the coarse cell above adds: the transpose of `sum_children`."""
    depth, rows, columns, start, slots = fine
    to_depth, to_start, to_slots = coarse[0], coarse[3], coarse[4]
    stride, plane, to_plane = columns + 2, slots // depth, to_slots // to_depth
    alone = fields[SPREAD, start : start + plane]  # zero but at first children
    cell = stride + 1
    own, left, down, both = alone[cell:], alone[cell - 1 :], alone[1:], alone
    for deep in range(to_depth):
        correction = fields[VALUE, to_start + deep * to_plane :]
        for j in range(children.size):
            alone[children[j]] = correction[j]
        for z in range(2 * deep, min(2 * deep + 2, depth)):
            first = start + z * plane + cell
            out, value = fields[OTHER, first:], fields[VALUE, first:]
            for i in range(rows * stride - 2):
                out[i] = value[i] + ((own[i] + left[i]) + (down[i] + both[i]))
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
def cycle(count, levels, fields, children):
    """Fill `VALUE` of the finest level with an approximate solution for its `SOURCE`."""
    zero = np.float32(0)
    for index in range(count - 1):
        level = levels[index]
        _from_diagonal(VALUE, FIRST, level, fields)
        _sweep(OTHER, VALUE, level, fields, ONE, SECOND)
        _sweep(VALUE, OTHER, level, fields, ONE, THIRD)
        _sweep(OTHER, VALUE, level, fields, zero, ONE)
        _restrict(level, levels[index + 1], fields, children_of(index, levels, children))
    _from_diagonal(VALUE, ONE, levels[count - 1], fields)
    for index in range(count - 2, -1, -1):
        level = levels[index]
        _prolong(levels[index + 1], level, fields, children_of(index, levels, children))
        _sweep(VALUE, OTHER, level, fields, ONE, THIRD)
        _sweep(OTHER, VALUE, level, fields, ONE, SECOND)
        _sweep(VALUE, OTHER, level, fields, ONE, FIRST)
