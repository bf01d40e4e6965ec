"""Rows near the diffuse interface, what surrounds them, and the signed distance on them.

Fields are padded by a cell on each side, (z, y, x) with one plane of depth in two dimensions: mirrored at bottom and
top, periodic laterally. Only rows near the interface are visited.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import inlined
from hmm_plating.transition.kernels.functions import logarithm

ACTIVE = 1e-6  # ξ(1 − ξ) above which a cell belongs to the interface
CLIP = 1e-8  # of ξ before the logarithm


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
def add_row(target, factor, source):
    """target += factor source."""
    for i in range(target.size):
        target[i] += factor * source[i]


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
