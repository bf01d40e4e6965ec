"""Signed distance and curvature of the diffuse interface, and the derivative of each.

Fields are padded by a cell on each side, (z, y, x) with one plane of depth in two dimensions: mirrored at bottom and
top, periodic laterally. Only rows near the interface are visited.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import inlined
from hmm_plating.transition.kernels.functions import logarithm

ACTIVE = 1e-6  # ξ(1 − ξ) above which a cell belongs to the interface
CLIP = 1e-8  # of ξ before the logarithm
FLAT_SLOPE = 1e-3  # |∇ψ| far below its 1: where fronts meet, the normal vanishes


class Work(NamedTuple):
    """Arrays that a sub-step works in; fields (z, y, x), padded where said."""

    distance: np.ndarray  # ψ, padded
    curvature: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    force: np.ndarray
    live: np.ndarray  # (z, y), rows with or next to an active cell
    near: np.ndarray  # (z, y), rows with or next to a live row
    rows: np.ndarray  # (20, x + 2)
    cubic: np.ndarray  # (3, z, y, x), see `cubic.fill_cubic`; in three dimensions only


@inlined
def workspace(depth, height, width):
    """Allocate `Work`."""
    margin = 1 if depth > 1 else 0
    return Work(
        np.empty((depth + 2 * margin, height + 2, width + 2)),
        np.empty((depth, height, width)),
        np.empty((depth, height, width)),
        np.empty((depth, height, width)),
        np.empty((depth, height, width)),
        np.empty((depth, height), np.bool_),
        np.empty((depth, height), np.bool_),
        np.empty((20, width + 2)),
        np.empty((3 * margin, depth, height, width)),
    )


@inlined
def fill_ghosts(padded, margin):
    """Mirror at bottom and top, continue periodically."""
    depth, height, width = padded.shape[0] - 2 * margin, padded.shape[1] - 2, padded.shape[2] - 2
    for z in range(margin, depth + margin):
        plane = padded[z]
        for i in range(1, width + 1):
            plane[0, i] = plane[1, i]
            plane[height + 1, i] = plane[height, i]
        for j in range(height + 2):
            plane[j, 0] = plane[j, width]
            plane[j, width + 1] = plane[j, 1]
    if margin == 1:
        for j in range(height + 2):
            for i in range(width + 2):
                padded[0, j, i] = padded[depth, j, i]
                padded[depth + 1, j, i] = padded[1, j, i]


@inlined
def fold_ghosts(padded, margin):
    """The transpose of `fill_ghosts`."""
    depth, height, width = padded.shape[0] - 2 * margin, padded.shape[1] - 2, padded.shape[2] - 2
    if margin == 1:
        for j in range(height + 2):
            for i in range(width + 2):
                padded[depth, j, i] += padded[0, j, i]
                padded[1, j, i] += padded[depth + 1, j, i]
    for z in range(margin, depth + margin):
        plane = padded[z]
        for j in range(height + 2):
            plane[j, width] += plane[j, 0]
            plane[j, 1] += plane[j, width + 1]
        for i in range(1, width + 1):
            plane[1, i] += plane[0, i]
            plane[height, i] += plane[height + 1, i]


@inlined
def widen(narrow, wide):
    """Rows of which a neighbour is set; lateral direction z periodic."""
    depth, height = narrow.shape
    for z in range(depth):
        for j in range(height):
            found = False
            for dz in range(-1 if depth > 1 else 0, 2 if depth > 1 else 1):
                for k in range(max(j - 1, 0), min(j + 2, height)):
                    found = found or narrow[(z + dz) % depth, k]
            wide[z, j] = found


@inlined
def find_rows(xi, margin, work):
    """Set `work.live` and `work.near`; `xi` padded."""
    depth, height = work.live.shape
    for z in range(depth):
        for j in range(height):
            row, active = xi[z + margin, j + 1], 0
            for i in range(1, row.size - 1):
                active += 1 if row[i] * (1 - row[i]) > ACTIVE else 0  # counted: a maximum is not made vector code
            work.near[z, j] = active > 0
    widen(work.near, work.live)
    widen(work.live, work.near)


@inlined
def fill_distance(xi, margin, length, work):
    """ψ = (ℓ/4) ln(ξ/(1 − ξ)) of the rows near the interface, `work.distance`."""
    ratio, mantissa, exponent = work.rows[0], work.rows[1], work.rows[2]
    depth, height = work.near.shape
    for z in range(depth):
        for j in range(height):
            if work.near[z, j]:
                row, target = xi[z + margin, j + 1], work.distance[z + margin, j + 1]
                for i in range(row.size):
                    value = min(max(row[i], CLIP), 1 - CLIP)
                    ratio[i] = value / (1 - value)
                logarithm(ratio, mantissa, exponent, target)
                for i in range(row.size):
                    target[i] *= 0.25 * length
    fill_ghosts(work.distance, margin)


@inlined
def slopes_2d(near, far, plus0, plus1, minus0, minus1, along, across):
    """Differences of ψ along and across a row of faces between `near` and `far`."""
    for i in range(along.size):
        along[i] = far[i] - near[i]
    for i in range(along.size):
        across[i] = 0.25 * (plus0[i] + plus1[i] - minus0[i] - minus1[i])


@inlined
def normals(along, across, aside, deep, out):
    """Component of the inward normal through faces."""
    if deep:
        for i in range(out.size):
            a, b, c = along[i], across[i], aside[i]
            out[i] = a / math.sqrt(a * a + b * b + c * c + FLAT_SLOPE**2)
    else:
        for i in range(out.size):
            a, b = along[i], across[i]
            out[i] = a / math.sqrt(a * a + b * b + FLAT_SLOPE**2)


@inlined
def face_slopes(p, z, j, axis, margin, along, across, aside):
    """Slopes on the faces of row (z, j), padded indices, towards the next cell along `axis` (0 x, 1 y, 2 z).

    Rows of x faces start at the face before the first cell; `aside` is along z, along y for z faces.
    """
    width = p.shape[2] - 2
    here = p[z, j]
    if axis == 0:
        up, down = p[z, j + 1], p[z, j - 1]
        slopes_2d(here[:-1], here[1:], up[:-1], up[1:], down[:-1], down[1:], along, across)
        if margin == 1:
            up, down = p[z + 1, j], p[z - 1, j]
            for i in range(width + 1):
                aside[i] = 0.25 * (up[i] + up[i + 1] - down[i] - down[i + 1])
        return
    there = p[z, j + 1] if axis == 1 else p[z + 1, j]
    slopes_2d(here[1:-1], there[1:-1], here[2:], there[2:], here[:-2], there[:-2], along, across)
    if axis == 1 and margin == 1:
        up0, up1, down0, down1 = p[z + 1, j], p[z + 1, j + 1], p[z - 1, j], p[z - 1, j + 1]
        for i in range(width):
            aside[i] = 0.25 * (up0[i + 1] + up1[i + 1] - down0[i + 1] - down1[i + 1])
    elif axis == 2:
        up0, up1, down0, down1 = p[z, j + 1], p[z + 1, j + 1], p[z, j - 1], p[z + 1, j - 1]
        for i in range(width):
            aside[i] = 0.25 * (up0[i + 1] + up1[i + 1] - down0[i + 1] - down1[i + 1])


@inlined
def add_row(target, factor, source):
    """target += factor source."""
    for i in range(target.size):
        target[i] += factor * source[i]


@inlined
def add_sides(target, before, after, source, reach):
    """target[i + reach] += before source[i] and target[i] += after source[i], in one pass; `target` longer by reach."""
    count = source.size
    for i in range(min(reach, count)):
        target[i] += after * source[i]
        target[count + reach - 1 - i] += before * source[count - 1 - i]
    inner, earlier, later = target[reach:count], source[: count - reach], source[reach:]
    for i in range(inner.size):
        inner[i] += before * earlier[i] + after * later[i]


@inlined
def crossed_row(p, z, j, out):
    """Nineteen- less seven-point Laplacian of row (z, j), padded indices: the mixed fourth differences by 1/6."""
    for i in range(out.size):
        faces = p[z, j, i] + p[z, j, i + 2] + p[z, j - 1, i + 1] + p[z, j + 1, i + 1]
        edges = p[z, j - 1, i] + p[z, j - 1, i + 2] + p[z, j + 1, i] + p[z, j + 1, i + 2]
        out[i] = (edges - 4 * faces + 12 * p[z, j, i + 1]) * (1 / 6)
    for side in (z - 1, z + 1):
        for i in range(out.size):
            edges = p[side, j, i] + p[side, j, i + 2] + p[side, j - 1, i + 1] + p[side, j + 1, i + 1]
            out[i] += (edges - 4 * p[side, j, i + 1]) * (1 / 6)


@inlined
def crossed_reverse(given, z, j, out):
    """Subtract the transpose of `crossed_row` from `out`."""
    add_row(out[z, j, 1:-1], -2.0, given)
    for sign in (1, -1):
        add_row(out[z + sign, j, 1:-1], 2 / 3, given)
        add_row(out[z, j + sign, 1:-1], 2 / 3, given)
        for other in (1, -1):
            add_row(out[z + sign, j + other, 1:-1], -1 / 6, given)
    for target in (out[z, j, 2:], out[z, j, :-2]):
        add_row(target, 2 / 3, given)
    for side, row in ((z + 1, j), (z - 1, j), (z, j + 1), (z, j - 1)):
        add_row(out[side, row, 2:], -1 / 6, given)
        add_row(out[side, row, :-2], -1 / 6, given)


@inlined
def fill_curvature(margin, work):
    """κ = −div n of live rows, positive where metal is convex, `work.curvature`; not yet clipped.

    In three dimensions with the mixed fourth differences that the Laplacian has, see `reference.geometry`.
    """
    p, live, kappa = work.distance, work.live, work.curvature
    depth, height = live.shape
    width = kappa.shape[2]
    deep = margin == 1
    along, across, aside, normal = (
        work.rows[0, : width + 1],
        work.rows[1, : width + 1],
        work.rows[2, : width + 1],
        work.rows[3, : width + 1],
    )
    for z in range(depth):
        for j in range(height):
            if live[z, j]:
                face_slopes(p, z + margin, j + 1, 0, margin, along, across, aside)
                normals(along, across, aside, deep, normal)
                row = kappa[z, j]
                for i in range(width):
                    row[i] = normal[i] - normal[i + 1]
    for axis in range(1, 3 if deep else 2):
        for z in range(depth):
            for j in range(height):
                if axis == 1 and j + 1 == height:
                    continue
                next_z, next_j = (z, j + 1) if axis == 1 else ((z + 1) % depth, j)
                if not (live[z, j] or live[next_z, next_j]):
                    continue
                face_slopes(p, z + margin, j + 1, axis, margin, along[:width], across[:width], aside[:width])
                normals(along[:width], across[:width], aside[:width], deep, normal[:width])
                if live[z, j]:
                    row = kappa[z, j]
                    for i in range(width):
                        row[i] -= normal[i]
                if live[next_z, next_j]:
                    row = kappa[next_z, next_j]
                    for i in range(width):
                        row[i] += normal[i]
    if deep:
        for z in range(depth):
            for j in range(height):
                if live[z, j]:
                    crossed_row(p, z + 1, j + 1, normal[:width])
                    add_row(kappa[z, j], -1.0, normal[:width])


@inlined
def normals_reverse(along, across, aside, deep, given):
    """Overwrite the slopes of faces by the derivatives with respect to them, `given` that with respect to n."""
    if deep:
        for i in range(given.size):
            a, b, c = along[i], across[i], aside[i]
            rest = b * b + c * c + FLAT_SLOPE**2
            root = 1 / math.sqrt(a * a + rest)
            scale = given[i] * root * root * root
            along[i] = scale * rest
            across[i] = -0.25 * scale * a * b
            aside[i] = -0.25 * scale * a * c
    else:
        for i in range(given.size):
            a, b = along[i], across[i]
            rest = b * b + FLAT_SLOPE**2
            root = 1 / math.sqrt(a * a + rest)
            scale = given[i] * root * root * root
            along[i] = scale * rest
            across[i] = -0.25 * scale * a * b


@inlined
def curvature_reverse(given, margin, work, out):
    """Add to `out` the derivative with respect to ψ, padded; `given` (z, y, x) is that with respect to κ."""
    p, live = work.distance, work.live
    depth, height, width = given.shape
    deep = margin == 1
    along, across, aside, normal = (
        work.rows[0, : width + 1],
        work.rows[1, : width + 1],
        work.rows[2, : width + 1],
        work.rows[3, : width + 1],
    )
    for z in range(depth):
        for j in range(height):
            if not live[z, j]:
                continue
            row, at_z, at_j = given[z, j], z + margin, j + 1
            face_slopes(p, at_z, at_j, 0, margin, along, across, aside)
            normal[0], normal[width] = row[0], -row[width - 1]
            for i in range(1, width):
                normal[i] = row[i] - row[i - 1]
            normals_reverse(along, across, aside, deep, normal)
            add_sides(out[at_z, at_j], 1.0, -1.0, along, 1)
            for sign in (1.0, -1.0):
                add_sides(out[at_z, at_j + int(sign)], sign, sign, across, 1)
                if deep:
                    add_sides(out[at_z + int(sign), at_j], sign, sign, aside, 1)
    along, across, aside, normal = along[:width], across[:width], aside[:width], normal[:width]
    for axis in range(1, 3 if deep else 2):
        for z in range(depth):
            for j in range(height):
                if axis == 1 and j + 1 == height:
                    continue
                next_z, next_j = (z, j + 1) if axis == 1 else ((z + 1) % depth, j)
                if not (live[z, j] or live[next_z, next_j]):
                    continue
                at_z, at_j = z + margin, j + 1
                to_z, to_j = (at_z, at_j + 1) if axis == 1 else (at_z + 1, at_j)
                face_slopes(p, at_z, at_j, axis, margin, along, across, aside)
                for i in range(width):
                    normal[i] = 0.0
                if live[z, j]:
                    add_row(normal, -1.0, given[z, j])
                if live[next_z, next_j]:
                    add_row(normal, 1.0, given[next_z, next_j])
                normals_reverse(along, across, aside, deep, normal)
                add_row(out[to_z, to_j, 1:-1], 1.0, along)
                add_row(out[at_z, at_j, 1:-1], -1.0, along)
                for row_z, row_j in ((at_z, at_j), (to_z, to_j)):
                    add_sides(out[row_z, row_j], 1.0, -1.0, across, 2)
                    if deep:
                        dz, dj = (1, 0) if axis == 1 else (0, 1)
                        add_row(out[row_z + dz, row_j + dj, 1:-1], 1.0, aside)
                        add_row(out[row_z - dz, row_j - dj, 1:-1], -1.0, aside)
    if deep:
        for z in range(depth):
            for j in range(height):
                if live[z, j]:
                    crossed_reverse(given[z, j], z + 1, j + 1, out)


@inlined
def laplacian_row(f, z, j, margin, out):
    """Nine- or nineteen-point Laplacian of row (z, j), padded indices, isotropic to fourth order, in cells."""
    here, up, down = f[z, j], f[z, j + 1], f[z, j - 1]
    if margin == 0:
        for i in range(out.size):
            axial = here[i] + here[i + 2] + down[i + 1] + up[i + 1]
            diagonal = down[i] + down[i + 2] + up[i] + up[i + 2]
            out[i] = (4 * axial + diagonal - 20 * here[i + 1]) * (1 / 6)
        return
    front, back = f[z + 1], f[z - 1]
    for i in range(out.size):
        axial = here[i] + here[i + 2] + down[i + 1] + up[i + 1]
        diagonal = down[i] + down[i + 2] + up[i] + up[i + 2]
        out[i] = (2 * axial + diagonal - 24 * here[i + 1]) * (1 / 6)
    for plane in (front, back):
        here, up, down = plane[j], plane[j + 1], plane[j - 1]
        for i in range(out.size):
            out[i] += (2 * here[i + 1] + here[i] + here[i + 2] + up[i + 1] + down[i + 1]) * (1 / 6)
