"""Curvature of the diffuse interface from the signed distance on rows near it, and its derivative."""

from __future__ import annotations

import math

from hmm_plating.compiled import inlined
from hmm_plating.transition.kernels.geometry import add_row

FLAT_SLOPE = 1e-3  # |∇ψ| far below its 1: where fronts meet, the normal vanishes


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
