"""Concentration and potential in the electrolyte of one particle: (s + d) u − ∇·(a ∇u) = f, as Numba kernels.

Units of cells: a = 1 − ξ is the mobility of each cell, s its storage Δx²/(DΔt), d the sink of a linearised reaction.
Fields are (z, y, x), y the surface normal; a section is one cell deep. Lateral directions are periodic, no flux leaves
below row 0, and top_conductance · (u_top − u) enters each cell of the top row.

The conductance of a face is the mean of its two cells' mobilities. In a diffuse interface it must carry what reacts
deeper inside, the sum of 4ξ(1 − ξ)/ℓ there: with ℓ of four cells the arithmetic mean displaces a flat surface by 0.004
cells, the harmonic mean by 0.13.

Iterative refinement in mixed precision (Göddeke, Strzodka and Turek, Int. J. Parallel Emergent Distrib. Syst. 22 (2007)
221): conjugate gradients, preconditioned by a multigrid cycle, run in single precision on a residual that double
precision computes anew whenever it has fallen far. Directions are made conjugate to the last one explicitly, which
forgives rounding in the preconditioner (Notay, SIAM J. Sci. Comput. 22 (2000) 1444). Everything is serial: threads are
for particles.
"""

from __future__ import annotations

import math

import numpy as np

from hmm_plating.compiled import called
from hmm_plating.transition.kernels.conductances import LEAK, prepare
from hmm_plating.transition.kernels.levels import (
    DEEP,
    DIRECTION,
    IMAGE,
    LANES,
    MASS,
    RIGHT,
    SOURCE,
    UP,
    VALUE,
    fill_margin,
    load,
    workspace,
)
from hmm_plating.transition.kernels.multigrid import cycle, depth_of_hierarchy

__all__ = ["LEAK", "apply", "reached", "residual", "solve", "workspace"]

# Fall of the residual after which it is computed anew: single precision no longer knows it.
RENEWAL = 1e-5


@called
def solve(
    u, mobility, storage, sink, source, top_value, top_conductance, tolerance, most, work, again=False, magnitude=0.0
):
    """Solve in place, starting from what `u` holds.

    Args:
        u: (z, y, x), overwritten.
        mobility: a ≥ 0 (z, y, x).
        storage: s ≥ 0.
        sink: d ≥ 0 (z, y, x).
        source: f (z, y, x).
        top_value: u_top.
        top_conductance: ≥ 0 (z, x); 2a half a cell above the top row.
        tolerance: of |f + top_conductance u_top − A u| relative to |f + top_conductance u_top|, Euclidean norms. Of
            rounding remain about 1e-15 |u|: with a tiny conductance and no storage more than 1e-10 of the scale.
            |top_conductance| `magnitude`, what a u of that size brings, is added to what it is relative to.
        most: iterations.
        work: of `workspace(z, y, x)`.
        again: mobility and top_conductance are those of the last solve with `work`, whose conductances are kept.
        magnitude: of u, see `tolerance`.

    Returns:
        Iterations, and the residual reached: larger than the tolerance, or NaN, where there was no convergence.
    """
    if not again:
        work.ready[0] = 0
    depth, rows, columns = u.shape
    below = _norm(source[:, : rows - 1], work.sums)
    scale = below * below
    for z in range(depth):
        for x in range(columns):
            scale += (source[z, rows - 1, x] + top_conductance[z, x] * top_value) ** 2
            scale += (top_conductance[z, x] * magnitude) ** 2
    scale = math.sqrt(scale)
    if scale == 0.0:
        u[:] = 0.0
        return 0, 0.0
    remainder = work.remainder
    residual(u, mobility, storage, sink, source, top_value, top_conductance, remainder)
    unit = _norm(remainder, work.sums)
    if unit <= tolerance * scale or not math.isfinite(unit):
        return 0, unit / scale
    levels, fields, lanes = work.levels, work.fields, work.lanes
    count = depth_of_hierarchy(storage, levels)
    prepare(mobility, storage, sink, top_conductance, count, work)
    size = (levels[0, 4] + LANES - 1) // LANES * LANES
    left, correction = fields[SOURCE, :size], fields[VALUE, :size]
    direction, image = fields[DIRECTION, :size], fields[IMAGE, :size]
    load(remainder, 1 / unit, left)
    curvature = 0.0
    iterations = 0
    fallen = 1.0
    while iterations < most:
        iterations += 1
        cycle(count, levels, fields, work.children)
        conjugate = np.float32(-_dot(correction, image, lanes) / curvature if curvature > 0 else 0.0)
        for i in range(size):
            direction[i] = correction[i] + conjugate * direction[i]
        _fill_image(levels[0], fields)
        curvature = _dot(direction, image, lanes)
        step = _dot(left, direction, lanes) / curvature
        _advance(u, direction, step * unit)
        fallen = math.sqrt(_reduce(left, image, np.float32(step), lanes))
        if not math.isfinite(fallen):
            return iterations, math.nan
        if fallen * unit <= 0.99 * tolerance * scale or fallen <= RENEWAL or iterations == most:
            residual(u, mobility, storage, sink, source, top_value, top_conductance, remainder)
            unit = _norm(remainder, work.sums)
            if unit <= tolerance * scale:
                break
            load(remainder, 1 / unit, left)
            curvature = 0.0
    return iterations, unit / scale


@called
def reached(residual, tolerance):
    """Whether a solve converged; in exact arithmetic, where NaN is no small number."""
    return residual <= tolerance


@called
def apply(u, mobility, storage, sink, top_conductance, out):
    """out = (s + d) u − ∇·(a ∇u), with the value above the top at zero; shapes as `solve`."""
    out[:] = 0.0
    _add_arrivals(u, mobility, storage, sink, 0.0, top_conductance, out)
    for z in range(u.shape[0]):
        for y in range(u.shape[1]):
            for x in range(u.shape[2]):
                out[z, y, x] = -out[z, y, x]


@called
def residual(u, mobility, storage, sink, source, top_value, top_conductance, out):
    """out = f + top_conductance u_top − A u; shapes as `solve`."""
    out[:] = source
    _add_arrivals(u, mobility, storage, sink, top_value, top_conductance, out)


@called
def _add_arrivals(u, mobility, storage, sink, top_value, top_conductance, out):
    """out += what flows into each cell, less what is stored and lost there.

    Both cells of a face compute the same number, so that fluxes cancel in the sum over cells. A cell without a
    neighbour is its own: nothing flows.
    """
    depth, rows, columns = u.shape
    inner = columns - 2
    for z in range(depth):
        near, deep = (z - 1) % depth, (z + 1) % depth
        for y in range(rows):
            a, v, lost, to = mobility[z, y], u[z, y], sink[z, y], out[z, y]
            down, up = max(y - 1, 0), min(y + 1, rows - 1)
            a_down, v_down, a_up, v_up = mobility[z, down], u[z, down], mobility[z, up], u[z, up]
            for x in range(columns):
                arrives = _flux(a[x], v[x], a_down[x], v_down[x]) + _flux(a[x], v[x], a_up[x], v_up[x])
                to[x] += arrives - (storage + lost[x]) * v[x]
            if depth > 1:
                a_near, v_near, a_deep, v_deep = mobility[near, y], u[near, y], mobility[deep, y], u[deep, y]
                for x in range(columns):
                    to[x] += _flux(a[x], v[x], a_near[x], v_near[x]) + _flux(a[x], v[x], a_deep[x], v_deep[x])
            if y == rows - 1:
                top = top_conductance[z]
                for x in range(columns):
                    to[x] += top[x] * (top_value - v[x])
            for x in range(0, columns, max(columns - 1, 1)):  # the first and the last
                left, right = (x - 1) % columns, (x + 1) % columns
                to[x] += _flux(a[x], v[x], a[left], v[left]) + _flux(a[x], v[x], a[right], v[right])
            a_here, v_here, a_right, v_right, to_here = a[1:], v[1:], a[2:], v[2:], to[1:]
            for x in range(inner):
                arrives = _flux(a_here[x], v_here[x], a[x], v[x]) + _flux(a_here[x], v_here[x], a_right[x], v_right[x])
                to_here[x] += arrives


@called
def _flux(a, u, other_a, other_u):
    return (0.5 * (a + other_a) + LEAK) * (other_u - u)


@called
def _fill_image(level, fields):
    """IMAGE = A DIRECTION, from differences: a smooth direction would lose its image in the rounding of products."""
    depth, rows, columns = level[0], level[1], level[2]
    stride, plane = columns + 2, level[4] // depth
    size = rows * stride
    fill_margin(fields[DIRECTION], depth, rows, columns)
    for z in range(depth):
        o = z * plane + stride
        out, u, mass = fields[IMAGE, o:], fields[DIRECTION, o:], fields[MASS, o:]
        u_right, u_left = fields[DIRECTION, o + 1 :], fields[DIRECTION, o - 1 :]
        u_up, u_down = fields[DIRECTION, o + stride :], fields[DIRECTION, o - stride :]
        right, left = fields[RIGHT, o:], fields[RIGHT, o - 1 :]
        up, down = fields[UP, o:], fields[UP, o - stride :]
        for i in range(size):
            across = right[i] * (u[i] - u_right[i]) + left[i] * (u[i] - u_left[i])
            out[i] = mass[i] * u[i] + (across + (up[i] * (u[i] - u_up[i]) + down[i] * (u[i] - u_down[i])))
        if depth > 1:
            before, behind = (z - 1) % depth * plane + stride, (z + 1) % depth * plane + stride
            u_near, u_deep = fields[DIRECTION, before:], fields[DIRECTION, behind:]
            near, deep = fields[DEEP, before:], fields[DEEP, o:]
            for i in range(size):
                out[i] += deep[i] * (u[i] - u_deep[i]) + near[i] * (u[i] - u_near[i])
        for i in range(0, size, stride):
            out[i] = out[i + columns + 1] = 0


@called
def _dot(a, b, lanes):
    """Inner product in a fixed order that vector instructions can follow."""
    lanes[:] = 0
    for begin in range(0, a.size, LANES):
        p, q = a[begin : begin + LANES], b[begin : begin + LANES]
        for k in range(LANES):
            lanes[k] += p[k] * q[k]
    total = 0.0
    for k in range(LANES):
        total += lanes[k]
    return total


@called
def _reduce(left, image, step, lanes):
    """left −= step · image, and its squared norm in the same pass."""
    lanes[:] = 0
    for begin in range(0, left.size, LANES):
        p, q = left[begin : begin + LANES], image[begin : begin + LANES]
        for k in range(LANES):
            p[k] -= step * q[k]
            lanes[k] += p[k] * p[k]
    total = 0.0
    for k in range(LANES):
        total += lanes[k]
    return total


@called
def _norm(field, sums):
    """Euclidean norm, column by column, for the same reason."""
    sums[:] = 0
    for z in range(field.shape[0]):
        for y in range(field.shape[1]):
            row = field[z, y]
            for x in range(row.size):
                sums[x] += row[x] * row[x]
    total = 0.0
    for x in range(sums.size):
        total += sums[x]
    return math.sqrt(total)


@called
def _advance(u, direction, step):
    depth, rows, columns = u.shape
    for z in range(depth):
        for y in range(rows):
            first = (z * (rows + 2) + y + 1) * (columns + 2) + 1
            row, values = direction[first : first + columns], u[z, y]
            for x in range(columns):
                values[x] += step * row[x]
