"""Streaming: ghosts that hold what arrives from crystal, solid cells and half space, and the shifted reads."""

from __future__ import annotations

import numpy as np

from hmm_plating.compiled import inlined
from hmm_plating.emission.kernels.layout import LANES, shift_of, slot_of


@inlined
def add_products(pair, matrix, sums):
    """sums += pair @ matrix for two rows, four rows of the matrix at a time: what is loaded is used more than once."""
    count = matrix.shape[0]
    fours = count // 4 * 4
    u, v, to_u, to_v = pair[0], pair[1], sums[0], sums[1]
    for k in range(0, fours, 4):
        u0, u1, u2, u3 = u[k], u[k + 1], u[k + 2], u[k + 3]
        v0, v1, v2, v3 = v[k], v[k + 1], v[k + 2], v[k + 3]
        m0, m1, m2, m3 = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
        for q in range(count):
            to_u[q] += u0 * m0[q] + u1 * m1[q] + u2 * m2[q] + u3 * m3[q]
            to_v[q] += v0 * m0[q] + v1 * m1[q] + v2 * m2[q] + v3 * m3[q]
    for k in range(fours, count):
        u0, v0, m0 = u[k], v[k], matrix[k]
        for q in range(count):
            to_u[q] += u0 * m0[q]
            to_v[q] += v0 * m0[q]


@inlined
def transform(re, im, out_re, out_im, cosine, sine, sign, parts):
    """Unnormalised Fourier transform of (lane, z, x) along x by its matrix, even and odd parts apart.

    `cosine`, `sine` (half, half), half = x // 2 + 1; `parts` (8, half). At 64 cells a tenth of the time of an FFT.
    """
    width, half = re.shape[2], parts.shape[1]
    even_re, even_im, odd_re, odd_im = parts[0], parts[1], parts[2], parts[3]
    zero = parts.dtype.type(0)
    for lane in range(re.shape[0]):
        for z in range(re.shape[1]):
            a, b = re[lane, z], im[lane, z]
            even_re[0], odd_re[0], even_im[0], odd_im[0] = a[0], zero, b[0], zero
            for x in range(1, half):
                alone = 2 * x == width
                even_re[x] = a[x] if alone else a[x] + a[width - x]
                odd_re[x] = zero if alone else sign * (a[x] - a[width - x])
                even_im[x] = b[x] if alone else b[x] + b[width - x]
                odd_im[x] = zero if alone else sign * (b[x] - b[width - x])
            parts[4:] = zero
            add_products(parts[0:2], cosine, parts[4:6])
            add_products(parts[2:4], sine, parts[6:8])
            to_even_re, to_even_im, to_odd_im, to_odd_re = parts[4], parts[5], parts[6], parts[7]
            to_re, to_im = out_re[lane, z], out_im[lane, z]
            for q in range(half):
                to_re[q] = to_even_re[q] - to_odd_re[q]
                to_im[q] = to_even_im[q] + to_odd_im[q]
            for q in range(1, (width + 1) // 2):
                to_re[width - q] = to_even_re[q] + to_odd_re[q]
                to_im[width - q] = to_even_im[q] - to_odd_im[q]


@inlined
def transform_depth(re, im, work_re, work_im, cosine, sine, sign):
    """As `transform`, along z and in place; `work_re`, `work_im` (lane, z, x)."""
    for lane in range(re.shape[0]):
        for z in range(re.shape[1]):
            for x in range(re.shape[2]):
                work_re[lane, z, x] = re[lane, z, x]
                work_im[lane, z, x] = im[lane, z, x]
        for q in range(re.shape[1]):
            to_re, to_im = re[lane, q], im[lane, q]
            for x in range(to_re.size):
                to_re[x] = 0
                to_im[x] = 0
            for z in range(re.shape[1]):
                c, s = cosine[q, z], sign * sine[q, z]
                from_re, from_im = work_re[lane, z], work_im[lane, z]
                for x in range(to_re.size):
                    to_re[x] += c * from_re[x] - s * from_im[x]
                    to_im[x] += c * from_im[x] + s * from_re[x]


@inlined
def workspace(lattice, box):
    """What `fill_ghosts`, and what the collision works in."""
    real, plane, planes = lattice.weights.dtype, (lattice.upward.size, box.depth, box.width), 2 * lattice.weights.size
    work = (
        np.empty(plane, real),
        np.empty(plane, real),
        np.empty(plane, real),
        np.empty(plane, real),
        np.empty((8, box.width // 2 + 1), real),
    )
    return work, np.empty((8 + planes, LANES), real)


@inlined
def fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, moving):
    """Write into the slots outside the liquid what streaming will pull from them; `moving` adds the wall's velocity.

    Args:
        g: leaving populations (plane, slot).
        links: as `find_links`.
        reflection_r, reflection_i: half space (lane, lane, z, x), divided by the number of modes.
        fourier: cosines and sines of the transform along x (half, half) and along z (z, z).
        work: four arrays (lane, z, x) and one (8, half).
    """
    half, stride, width = lattice.weights.size, box.stride, box.width
    for link in range(links.shape[0]):
        i, slot, cell = links[link, 0], links[link, 1], links[link, 2]
        back = lattice.opposite[i]
        g[i, slot] = g[back, cell] + (6.0 * lattice.weights[i] * lattice.cx[i] if moving else 0.0)
        g[half + i, slot] = g[half + back, cell]
    first, last = slot_of(0, -1, -1, box), slot_of(box.depth, box.height - 1, -1, box)
    for i in range(1, half):
        target, source = (0, width) if lattice.cx[i] > 0 else (width + 1, 1)  # the side it is pulled from
        for plane in (i, half + i):
            flat = g[plane]
            if lattice.cx[i] != 0:
                for near in range(first, last, stride):  # with the ghost rows along z, which are overwritten
                    flat[near + target] = flat[near + source]
            if lattice.cz[i] != 0:
                period = box.depth * stride
                for low in range(first, last, box.level):
                    for slot in range(low, low + stride):
                        flat[slot - stride] = flat[slot - stride + period]
                        flat[slot + period] = flat[slot]
    cosine_x, sine_x, cosine_z, sine_z = fourier
    re, im, mode_re, mode_im, parts = work
    lanes = lattice.upward.size
    top = slot_of(0, box.height - 1, 0, box)
    for lane in range(lanes):
        for z in range(box.depth):
            for x in range(width):
                re[lane, z, x] = g[lattice.upward[lane], top + z * stride + x]
                im[lane, z, x] = g[half + lattice.upward[lane], top + z * stride + x]
    one = lattice.weights.dtype.type(1)
    transform(re, im, mode_re, mode_im, cosine_x, sine_x, -one, parts)
    if box.depth > 1:
        transform_depth(mode_re, mode_im, re, im, cosine_z, sine_z, -one)
    for i in range(lanes):
        for z in range(box.depth):
            to_re, to_im = re[i, z], im[i, z]
            for q in range(width):
                to_re[q] = 0
                to_im[q] = 0
            for j in range(lanes):
                rr, ri, mr, mi = reflection_r[i, j, z], reflection_i[i, j, z], mode_re[j, z], mode_im[j, z]
                for q in range(width):
                    to_re[q] += rr[q] * mr[q] - ri[q] * mi[q]
                    to_im[q] += rr[q] * mi[q] + ri[q] * mr[q]
    if box.depth > 1:
        transform_depth(re, im, mode_re, mode_im, cosine_z, sine_z, one)
    transform(re, im, mode_re, mode_im, cosine_x, sine_x, one, parts)
    for lane in range(lanes):
        i = lattice.downward[lane]
        for z in range(box.depth):
            slot = top + box.level - lattice.cx[i] + (z - lattice.cz[i]) * stride
            for x in range(width):
                g[i, slot + x] = mode_re[lane, z, x]
                g[half + i, slot + x] = mode_im[lane, z, x]


@inlined
def pull(g, block, lattice, box, wet, arriving):
    """Arriving populations S F of a block (planes LANES), zero outside the liquid."""
    half = lattice.weights.size
    for i in range(half):
        start = box.first + block * LANES - shift_of(i, lattice, box)
        for plane in (i, half + i):
            source, target = g[plane, start : start + LANES], arriving[plane * LANES : (plane + 1) * LANES]
            for x in range(LANES):
                target[x] = wet[x] * source[x]


@inlined
def pairing(ar, ai, br, bi):
    """Σ a b of two complex planes, real and imaginary part."""
    sr = si = ar.dtype.type(0)
    for x in range(ar.size):
        sr += ar[x] * br[x] - ai[x] * bi[x]
        si += ar[x] * bi[x] + ai[x] * br[x]
    return sr, si


@inlined
def bilinear(a, g, lattice, box):
    """aᵀ W⁻¹P F from blocks a and flat F."""
    half = lattice.weights.size
    re = im = 0.0
    for block in range(box.blocks):
        start = box.first + block * LANES
        for i in range(half):
            back = lattice.opposite[i]
            sr, si = pairing(
                a[block, i * LANES : (i + 1) * LANES],
                a[block, (half + i) * LANES : (half + i + 1) * LANES],
                g[back, start : start + LANES],
                g[half + back, start : start + LANES],
            )
            re += lattice.inverse_weights[i] * sr
            im += lattice.inverse_weights[i] * si
    return complex(re, im)
