"""Numba kernels: COCG with the corrected load for one surface at one overtone, and its gradient.

Cells are (z, y, x), in two dimensions with one z. Real and imaginary parts are separate planes of a flat array
(planes, cells), rows one after another: row stride `level`, within it width + 2 per z; a ghost column on either side,
in three dimensions a ghost z on either side too, a ghost row below and above. Values that arrive from crystal, solid
cells or the half space are written to the slots they would be pulled from, so that streaming is a plain shifted read.
Cells are taken LANES at a time through small buffers with constant offsets, the form that LLVM vectorises. Everything
is serial, in fixed order and without the interpreter's lock: threads share pairs, never a pair, and the result does not
depend on their number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from hmm_plating.emission.lattice import Lattice

LANES = 16  # cells per buffer


_kernel = njit(fastmath=True, error_model="numpy", nogil=True, cache=True)
# One copy of the machine code: a called copy is optimised apart from a cached one and rounds otherwise.
_inlined = njit(fastmath=True, error_model="numpy", nogil=True, forceinline=True)


class Stencil(NamedTuple):
    """A lattice as the kernels read it: arrays over populations, `upward` and `downward` over lanes."""

    cx: np.ndarray
    cy: np.ndarray
    cz: np.ndarray
    weights: np.ndarray
    opposite: np.ndarray
    upward: np.ndarray
    downward: np.ndarray


def stencil(lattice: Lattice) -> Stencil:
    """Velocities of two dimensions with cz = 0."""
    cx, cy, cz = np.pad(lattice.velocities, ((0, 0), (0, 3 - lattice.dimensions))).T.copy()
    return Stencil(cx, cy, cz, lattice.weights, lattice.opposite, lattice.upward, lattice.downward)


class Box(NamedTuple):
    """Cells and strides of the flat arrays; `margin` is 1 with ghosts along z; cells lie in [first, last)."""

    depth: int
    height: int
    width: int
    margin: int
    stride: int
    level: int
    first: int
    last: int


CONVERGED, NOT_CONVERGED = 0, 1


@_inlined
def collide_d2q9(f, b, g, moment_r, moment_i, even, odd):
    """Leaving populations g = C f of LANES cells; f, g (18 LANES), b (2 LANES) the saturation. Returns fᵀ W⁻¹P C f."""
    sr = 0.0
    si = 0.0
    for x in range(LANES):
        a0 = f[x]
        a1 = f[LANES + x]
        a2 = f[2 * LANES + x]
        a3 = f[3 * LANES + x]
        a4 = f[4 * LANES + x]
        a5 = f[5 * LANES + x]
        a6 = f[6 * LANES + x]
        a7 = f[7 * LANES + x]
        a8 = f[8 * LANES + x]
        b0 = f[9 * LANES + x]
        b1 = f[10 * LANES + x]
        b2 = f[11 * LANES + x]
        b3 = f[12 * LANES + x]
        b4 = f[13 * LANES + x]
        b5 = f[14 * LANES + x]
        b6 = f[15 * LANES + x]
        b7 = f[16 * LANES + x]
        b8 = f[17 * LANES + x]
        # twice the even and odd parts of each pair of opposite velocities
        p1, p3, p5, p7 = a1 + a2, a3 + a4, a5 + a6, a7 + a8
        q1, q3, q5, q7 = b1 + b2, b3 + b4, b5 + b6, b7 + b8
        m1, m3, m5, m7 = a1 - a2, a3 - a4, a5 - a6, a7 - a8
        n1, n3, n5, n7 = b1 - b2, b3 - b4, b5 - b6, b7 - b8
        hold_r, hold_i = b[x], b[LANES + x]
        free = 1.0 - hold_r
        # factors of equilibrium density, odd moments, momentum
        er, ei = free * (1.0 - even), -hold_i * (1.0 - even)
        kr, ki = 1.0 - er, -ei
        our, oui = free * odd - hold_r, -hold_i * (odd + 1.0)
        cr = 3.0 * (free * (moment_r - odd) + hold_i * moment_i)
        ci = 3.0 * (free * moment_i - hold_i * (moment_r - odd))
        rr, ri = a0 + p1 + p3 + p5 + p7, b0 + q1 + q3 + q5 + q7
        dr, di = er * rr - ei * ri, er * ri + ei * rr
        jr, ji = m1 + m5 + m7, n1 + n5 + n7
        xr, xi = cr * jr - ci * ji, cr * ji + ci * jr
        jr, ji = m3 + m5 - m7, n3 + n5 - n7
        yr, yi = cr * jr - ci * ji, cr * ji + ci * jr

        ar = kr * a0 - ki * b0 + 4 / 9 * dr
        ai = kr * b0 + ki * a0 + 4 / 9 * di
        g[x] = ar
        g[9 * LANES + x] = ai
        sr += 2.25 * (a0 * ar - b0 * ai)
        si += 2.25 * (a0 * ai + b0 * ar)

        ar = 0.5 * (kr * p1 - ki * q1) + 1 / 9 * dr
        ai = 0.5 * (kr * q1 + ki * p1) + 1 / 9 * di
        br = 0.5 * (our * m1 - oui * n1) + 1 / 9 * xr
        bi = 0.5 * (our * n1 + oui * m1) + 1 / 9 * xi
        g[LANES + x] = ar + br
        g[2 * LANES + x] = ar - br
        g[10 * LANES + x] = ai + bi
        g[11 * LANES + x] = ai - bi
        tr = p1 * ar - q1 * ai - m1 * br + n1 * bi
        ti = p1 * ai + q1 * ar - m1 * bi - n1 * br

        ar = 0.5 * (kr * p3 - ki * q3) + 1 / 9 * dr
        ai = 0.5 * (kr * q3 + ki * p3) + 1 / 9 * di
        br = 0.5 * (our * m3 - oui * n3) + 1 / 9 * yr
        bi = 0.5 * (our * n3 + oui * m3) + 1 / 9 * yi
        g[3 * LANES + x] = ar + br
        g[4 * LANES + x] = ar - br
        g[12 * LANES + x] = ai + bi
        g[13 * LANES + x] = ai - bi
        tr += p3 * ar - q3 * ai - m3 * br + n3 * bi
        ti += p3 * ai + q3 * ar - m3 * bi - n3 * br

        ar = 0.5 * (kr * p5 - ki * q5) + 1 / 36 * dr
        ai = 0.5 * (kr * q5 + ki * p5) + 1 / 36 * di
        br = 0.5 * (our * m5 - oui * n5) + 1 / 36 * (xr + yr)
        bi = 0.5 * (our * n5 + oui * m5) + 1 / 36 * (xi + yi)
        g[5 * LANES + x] = ar + br
        g[6 * LANES + x] = ar - br
        g[14 * LANES + x] = ai + bi
        g[15 * LANES + x] = ai - bi
        ur = p5 * ar - q5 * ai - m5 * br + n5 * bi
        ui = p5 * ai + q5 * ar - m5 * bi - n5 * br

        ar = 0.5 * (kr * p7 - ki * q7) + 1 / 36 * dr
        ai = 0.5 * (kr * q7 + ki * p7) + 1 / 36 * di
        br = 0.5 * (our * m7 - oui * n7) + 1 / 36 * (xr - yr)
        bi = 0.5 * (our * n7 + oui * m7) + 1 / 36 * (xi - yi)
        g[7 * LANES + x] = ar + br
        g[8 * LANES + x] = ar - br
        g[16 * LANES + x] = ai + bi
        g[17 * LANES + x] = ai - bi
        ur += p7 * ar - q7 * ai - m7 * br + n7 * bi
        ui += p7 * ai + q7 * ar - m7 * bi - n7 * br
        sr += 9.0 * tr + 36.0 * ur
        si += 9.0 * ti + 36.0 * ui
    return complex(sr, si)


@_inlined
def collide(f, b, g, lattice, moment_r, moment_i, even, odd, work):
    """As `collide_d2q9`, on any lattice: f, g (planes LANES), `work` at least (14 LANES)."""
    lanes, half = np.uintp(LANES), np.uintp(lattice.weights.size)
    for x in range(lanes):
        work[x] = f[x]
        work[lanes + x] = f[half * lanes + x]
        for moment in range(2, 8):
            work[np.uintp(moment) * lanes + x] = 0.0
    for i in range(np.uintp(1), half, np.uintp(2)):
        cx, cy, cz = lattice.cx[i], lattice.cy[i], lattice.cz[i]
        for x in range(lanes):
            forth, back = f[i * lanes + x], f[(i + np.uintp(1)) * lanes + x]
            forth_i, back_i = f[(half + i) * lanes + x], f[(half + i + np.uintp(1)) * lanes + x]
            m, n = forth - back, forth_i - back_i
            work[x] += forth + back
            work[lanes + x] += forth_i + back_i
            work[np.uintp(2) * lanes + x] += cx * m
            work[np.uintp(3) * lanes + x] += cx * n
            work[np.uintp(4) * lanes + x] += cy * m
            work[np.uintp(5) * lanes + x] += cy * n
            work[np.uintp(6) * lanes + x] += cz * m
            work[np.uintp(7) * lanes + x] += cz * n
    w = lattice.weights[0]
    for x in range(lanes):
        hold_r, hold_i = b[x], b[lanes + x]
        free = 1.0 - hold_r
        # factors of equilibrium density, odd moments, momentum
        er, ei = free * (1.0 - even), -hold_i * (1.0 - even)
        kr, ki = 1.0 - er, -ei
        cr = 3.0 * (free * (moment_r - odd) + hold_i * moment_i)
        ci = 3.0 * (free * moment_i - hold_i * (moment_r - odd))
        rr, ri = work[x], work[lanes + x]
        dr, di = er * rr - ei * ri, er * ri + ei * rr
        work[x] = dr
        work[lanes + x] = di
        for flow in range(2, 8, 2):
            jr, ji = work[np.uintp(flow) * lanes + x], work[np.uintp(flow + 1) * lanes + x]
            work[np.uintp(flow) * lanes + x] = cr * jr - ci * ji
            work[np.uintp(flow + 1) * lanes + x] = cr * ji + ci * jr
        work[np.uintp(8) * lanes + x] = kr
        work[np.uintp(9) * lanes + x] = ki
        work[np.uintp(10) * lanes + x] = free * odd - hold_r
        work[np.uintp(11) * lanes + x] = -hold_i * (odd + 1.0)
        a, b0 = f[x], f[half * lanes + x]
        ar = kr * a - ki * b0 + w * dr
        ai = kr * b0 + ki * a + w * di
        g[x] = ar
        g[half * lanes + x] = ai
        work[np.uintp(12) * lanes + x] = (a * ar - b0 * ai) / w
        work[np.uintp(13) * lanes + x] = (a * ai + b0 * ar) / w
    for i in range(np.uintp(1), half, np.uintp(2)):
        cx, cy, cz = lattice.cx[i], lattice.cy[i], lattice.cz[i]
        w = lattice.weights[i]
        inverse = 1.0 / w
        for x in range(lanes):
            forth, back = f[i * lanes + x], f[(i + np.uintp(1)) * lanes + x]
            forth_i, back_i = f[(half + i) * lanes + x], f[(half + i + np.uintp(1)) * lanes + x]
            # twice the even and odd parts of the pair of opposite velocities
            p, q, m, n = forth + back, forth_i + back_i, forth - back, forth_i - back_i
            kr, ki = work[np.uintp(8) * lanes + x], work[np.uintp(9) * lanes + x]
            our, oui = work[np.uintp(10) * lanes + x], work[np.uintp(11) * lanes + x]
            flow = cx * work[np.uintp(2) * lanes + x] + cy * work[np.uintp(4) * lanes + x]
            flow += cz * work[np.uintp(6) * lanes + x]
            flow_i = cx * work[np.uintp(3) * lanes + x] + cy * work[np.uintp(5) * lanes + x]
            flow_i += cz * work[np.uintp(7) * lanes + x]
            ar = 0.5 * (kr * p - ki * q) + w * work[x]
            ai = 0.5 * (kr * q + ki * p) + w * work[lanes + x]
            br = 0.5 * (our * m - oui * n) + w * flow
            bi = 0.5 * (our * n + oui * m) + w * flow_i
            g[i * lanes + x] = ar + br
            g[(i + np.uintp(1)) * lanes + x] = ar - br
            g[(half + i) * lanes + x] = ai + bi
            g[(half + i + np.uintp(1)) * lanes + x] = ai - bi
            work[np.uintp(12) * lanes + x] += inverse * (p * ar - q * ai - m * br + n * bi)
            work[np.uintp(13) * lanes + x] += inverse * (p * ai + q * ar - m * bi - n * br)
    sr, si = 0.0, 0.0
    for x in range(lanes):
        sr += work[np.uintp(12) * lanes + x]
        si += work[np.uintp(13) * lanes + x]
    return complex(sr, si)


@_inlined
def load_cells(field, start, buffer):
    """Copy LANES cells of every plane into a buffer (unsigned indices: no test for negative ones)."""
    for plane in range(np.uintp(field.shape[0])):
        for x in range(np.uintp(LANES)):
            buffer[plane * np.uintp(LANES) + x] = field[plane, start + x]


@_inlined
def store_cells(buffer, field, start):
    """Copy a buffer of LANES cells back."""
    for plane in range(np.uintp(field.shape[0])):
        for x in range(np.uintp(LANES)):
            field[plane, start + x] = buffer[plane * np.uintp(LANES) + x]


@_inlined
def transform(re, im, out_re, out_im, cosine, sine, sign):
    """Unnormalised Fourier transform of (lane, z, x) along x by its matrix: at 64 cells half the time of an FFT."""
    for lane in range(re.shape[0]):
        for z in range(re.shape[1]):
            to_re, to_im = out_re[lane, z], out_im[lane, z]
            for q in range(re.shape[2]):
                to_re[q] = 0.0
                to_im[q] = 0.0
            for x in range(0, re.shape[2], 2):  # two at a time: half the traffic on the sums
                a, b = re[lane, z, x], im[lane, z, x]
                sa, sb = sign * a, sign * b
                c, s = cosine[x], sine[x]
                if x + 1 == re.shape[2]:
                    for q in range(re.shape[2]):
                        to_re[q] += c[q] * a - s[q] * sb
                        to_im[q] += c[q] * b + s[q] * sa
                    break
                d, e = re[lane, z, x + 1], im[lane, z, x + 1]
                sd, se = sign * d, sign * e
                c1, s1 = cosine[x + 1], sine[x + 1]
                for q in range(re.shape[2]):
                    to_re[q] += c[q] * a - s[q] * sb + c1[q] * d - s1[q] * se
                    to_im[q] += c[q] * b + s[q] * sa + c1[q] * e + s1[q] * sd


@_inlined
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
                to_re[x] = 0.0
                to_im[x] = 0.0
            for z in range(re.shape[1]):
                c, s = cosine[q, z], sign * sine[q, z]
                from_re, from_im = work_re[lane, z], work_im[lane, z]
                for x in range(to_re.size):
                    to_re[x] += c * from_re[x] - s * from_im[x]
                    to_im[x] += c * from_im[x] + s * from_re[x]


@_inlined
def fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, moving):
    """Write into the slots outside the liquid what streaming will pull from them; `moving` adds the wall's velocity.

    Args:
        g: leaving populations (planes, cells).
        links: (links, 3) of (population, slot, reading cell).
        reflection_r, reflection_i: half space (lane, lane, z, x), divided by the number of modes.
        fourier: cosines and sines of the transform along x (x, x) and along z (z, z).
        work: four arrays (lane, z, x).
    """
    half, stride, width = lattice.weights.size, box.stride, box.width
    for link in range(links.shape[0]):
        i, slot, cell = links[link, 0], links[link, 1], links[link, 2]
        back = lattice.opposite[i]
        g[i, slot] = g[back, cell] + (6.0 * lattice.weights[i] * lattice.cx[i] if moving else 0.0)
        g[half + i, slot] = g[half + back, cell]
    for plane in range(2 * half):
        for row in range(box.height + 1):
            near = row * box.level + box.margin * stride
            for z in range(box.depth):
                first = near + z * stride
                g[plane, first] = g[plane, first + width]
                g[plane, first + width + 1] = g[plane, first + 1]
            if box.margin > 0:
                period = box.depth * stride
                for slot in range(near, near + stride):
                    g[plane, slot - stride] = g[plane, slot - stride + period]
                    g[plane, slot + period] = g[plane, slot]
    cosine_x, sine_x, cosine_z, sine_z = fourier
    re, im, mode_re, mode_im = work
    lanes = lattice.upward.size
    top = box.height * box.level + box.margin * stride + 1
    for lane in range(lanes):
        for z in range(box.depth):
            for x in range(width):
                re[lane, z, x] = g[lattice.upward[lane], top + z * stride + x]
                im[lane, z, x] = g[half + lattice.upward[lane], top + z * stride + x]
    transform(re, im, mode_re, mode_im, cosine_x, sine_x, -1.0)
    if box.depth > 1:
        transform_depth(mode_re, mode_im, re, im, cosine_z, sine_z, -1.0)
    for i in range(lanes):
        for z in range(box.depth):
            to_re, to_im = re[i, z], im[i, z]
            for q in range(width):
                to_re[q] = 0.0
                to_im[q] = 0.0
            for j in range(lanes):
                rr, ri, mr, mi = reflection_r[i, j, z], reflection_i[i, j, z], mode_re[j, z], mode_im[j, z]
                for q in range(width):
                    to_re[q] += rr[q] * mr[q] - ri[q] * mi[q]
                    to_im[q] += rr[q] * mi[q] + ri[q] * mr[q]
    if box.depth > 1:
        transform_depth(re, im, mode_re, mode_im, cosine_z, sine_z, 1.0)
    transform(re, im, mode_re, mode_im, cosine_x, sine_x, 1.0)
    for lane in range(lanes):
        i = lattice.downward[lane]
        for z in range(box.depth):
            slot = top + box.level - lattice.cx[i] + (z - lattice.cz[i]) * stride
            for x in range(width):
                g[i, slot + x] = mode_re[lane, z, x]
                g[half + i, slot + x] = mode_im[lane, z, x]


@_inlined
def collide_all(f, saturation, g, lattice, box, moment_r, moment_i, even, odd, buffers):
    """g = C f over all cells; returns fᵀ W⁻¹P C f."""
    inside, outside, hold, work = buffers[0], buffers[1], buffers[2], buffers[3]
    total = 0.0j
    for start in range(np.uintp(box.first), np.uintp(box.last), np.uintp(LANES)):
        load_cells(f, start, inside)
        load_cells(saturation, start, hold)
        if lattice.weights.size != 9:
            total += collide(inside, hold, outside, lattice, moment_r, moment_i, even, odd, work)
        else:
            total += collide_d2q9(inside, hold, outside, moment_r, moment_i, even, odd)
        store_cells(outside, g, start)
    return total


@_inlined
def pull(g, liquid, out, lattice, box):
    """out = S F from leaving populations with filled ghosts, zero outside the liquid."""
    first, last, half = box.first, box.last, lattice.weights.size
    wet = liquid[first:last]
    for i in range(half):
        shift = lattice.cx[i] + lattice.cy[i] * box.level + lattice.cz[i] * box.stride
        for plane in (i, half + i):
            source, target = g[plane, first - shift : last - shift], out[plane, first:last]
            for x in range(wet.size):
                target[x] = wet[x] * source[x]


@_inlined
def pairing(a, b, i, lattice, box):
    """Share of population i in aᵀ W⁻¹P b over all cells."""
    first, last, half, back = box.first, box.last, lattice.weights.size, lattice.opposite[i]
    ar, ai = a[i, first:last], a[half + i, first:last]
    br, bi = b[back, first:last], b[half + back, first:last]
    sr, si = 0.0, 0.0
    for x in range(ar.size):
        sr += ar[x] * br[x] - ai[x] * bi[x]
        si += ar[x] * bi[x] + ai[x] * br[x]
    return complex(sr, si) / lattice.weights[i]


@_inlined
def bilinear(a, b, lattice, box):
    """aᵀ W⁻¹P b over all cells."""
    total = 0.0j
    for i in range(lattice.weights.size):
        total += pairing(a, b, i, lattice, box)
    return total


@_inlined
def residual_change(p, g, liquid, out, lattice, box):
    """out = p − S F = A p with F = C p; returns pᵀ G A p = Fᵀ W⁻¹P out. One array written per loop: those vectorise."""
    first, last, half = box.first, box.last, lattice.weights.size
    wet = liquid[first:last]
    total = 0.0j
    for i in range(half):
        shift = lattice.cx[i] + lattice.cy[i] * box.level + lattice.cz[i] * box.stride
        for plane in (i, half + i):
            source, target = g[plane, first - shift : last - shift], out[plane, first:last]
            own = p[plane, first:last]
            for x in range(wet.size):
                target[x] = wet[x] * (own[x] - source[x])
        total += pairing(out, g, i, lattice, box)  # while population i is still in the cache
    return total


@_inlined
def descend(f, p, alpha, box):
    """f += α p."""
    first, last, half = box.first, box.last, f.shape[0] // 2
    ar, ai = alpha.real, alpha.imag
    for i in range(half):
        fr, fi = f[i, first:last], f[half + i, first:last]
        pr, pi = p[i, first:last], p[half + i, first:last]
        for x in range(fr.size):
            fr[x] += ar * pr[x] - ai * pi[x]
            fi[x] += ar * pi[x] + ai * pr[x]


@_inlined
def redirect(p, r, beta, box):
    """p = r + β p."""
    first, last, half = box.first, box.last, p.shape[0] // 2
    br, bi = beta.real, beta.imag
    for i in range(half):
        pr, pi = p[i, first:last], p[half + i, first:last]
        rr, ri = r[i, first:last], r[half + i, first:last]
        for x in range(pr.size):
            re, im = pr[x], pi[x]
            pr[x] = rr[x] + br * re - bi * im
            pi[x] = ri[x] + br * im + bi * re


@_inlined
def box_of(solid, lattice):
    """Flat arrangement of cells (z, y, x)."""
    depth, height, width = solid.shape
    margin, stride = lattice.cz.max(), width + 2
    level = (depth + 2 * margin) * stride
    # every pull stays inside the array
    first = level + margin * stride + 1
    last = height * level + (depth - 1 + margin) * stride + width + 1
    return Box(depth, height, width, margin, stride, level, first, last)


@_inlined
def cell_of(z, y, x, box):
    """Flat index of a cell."""
    return (y + 1) * box.level + (z + box.margin) * box.stride + 1 + x


@_inlined
def wrapped(index, period):
    """Index modulo the period, from at most one period away (a division costs more)."""
    if index < 0:
        return index + period
    return index - period if index >= period else index


@_inlined
def find_links(solid, lattice, box):
    """Links from crystal or solid cells into liquid, (links, 3) of (population, slot, reading cell)."""
    depth, height, width = solid.shape
    links = np.empty(((lattice.weights.size - 1) * solid.size, 3), np.int64)
    count = 0
    for y in range(height):
        for z in range(depth):
            for x in range(width):
                if solid[z, y, x]:
                    continue
                for i in range(1, lattice.weights.size):
                    above = y - lattice.cy[i]
                    aside, beside = wrapped(z - lattice.cz[i], depth), wrapped(x - lattice.cx[i], width)
                    if above < height and (above < 0 or solid[aside, above, beside]):
                        links[count, 0] = i
                        links[count, 1] = cell_of(aside, above, beside, box)
                        links[count, 2] = cell_of(z, y, x, box)
                        count += 1
    return links[:count]


@_inlined
def solve_pair(
    lattice,
    saturation,
    solid,
    moment,
    even,
    odd,
    reflection,
    fourier,
    excess_reference,
    relative,
    absolute,
    most,
    keep,
    field,
):
    """Load of one surface at one overtone; `field` (planes, z, y, x) holds the initial guess.

    Args:
        lattice: Stencil.
        saturation: B, complex (z, y, x); solid: bool (z, y, x), no solid cell in the top row.
        moment, even, odd: relaxation factors; reflection: half space, complex (z, x, lane, lane).
        fourier: as in `fill_ghosts`.
        excess_reference: load from which the excess is counted for the relative tolerance.
        relative, absolute: accepted error of the load, relative to its excess, and in lattice units.
        most: upper limit of operator applications.
        keep: whether `field` receives the solution, which the load does not need.

    Returns:
        load (lattice units, summed over the area), applications, estimated error of the load, status.
    """
    box = box_of(solid, lattice)
    depth, height, width = solid.shape
    half, lanes, first, last = lattice.weights.size, lattice.upward.size, box.first, box.last
    cells = (height + 2) * box.level + LANES + 1
    links = find_links(solid, lattice, box)
    work = (
        np.empty((lanes, depth, width)),
        np.empty((lanes, depth, width)),
        np.empty((lanes, depth, width)),
        np.empty((lanes, depth, width)),
    )
    reflection_r, reflection_i = np.empty((lanes, lanes, depth, width)), np.empty((lanes, lanes, depth, width))
    for z in range(depth):
        for q in range(width):
            for i in range(lanes):
                for j in range(lanes):
                    reflection_r[i, j, z, q] = reflection[z, q, i, j].real / (depth * width)
                    reflection_i[i, j, z, q] = reflection[z, q, i, j].imag / (depth * width)
    buffers = np.empty((4, 2 * half * LANES))
    hold = np.zeros((2, cells))
    liquid = np.zeros(cells)
    f, r, p = np.zeros((2 * half, cells)), np.zeros((2 * half, cells)), np.zeros((2 * half, cells))
    g, change = np.zeros((2 * half, cells)), np.zeros((2 * half, cells))
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not solid[z, y, x]:
                    cell = cell_of(z, y, x, box)
                    liquid[cell] = 1.0
                    hold[0, cell] = saturation[z, y, x].real
                    hold[1, cell] = saturation[z, y, x].imag
                    for plane in range(2 * half):
                        f[plane, cell] = field[plane, z, y, x]

    # source β and the constant of the load
    for i in range(1, half):
        push = 6.0 * lattice.weights[i] * lattice.cx[i]
        for x in range(first, last):
            g[i, x] = push * hold[0, x]
            g[half + i, x] = push * hold[1, x]
    fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, True)
    source = np.zeros((2 * half, cells))
    pull(g, liquid, source, lattice, box)
    load = 0.0j
    for x in range(first, last):
        held = complex(hold[0, x], hold[1, x])
        arriving = 0.0j
        for i in range(1, half):
            arriving += lattice.cx[i] * complex(source[i, x], source[half + i, x])
        load += 2.0 * held * (1.0 - arriving)
    for link in range(links.shape[0]):
        i, cell = links[link, 0], links[link, 2]
        load += lattice.weights[i] * lattice.cx[i] ** 2 * (6.0 - 12.0 * complex(hold[0, cell], hold[1, cell]))

    collide_all(f, hold, g, lattice, box, moment.real, moment.imag, even, odd, buffers)
    load += bilinear(source, g, lattice, box) / 3
    fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, False)
    pull(g, liquid, r, lattice, box)
    for plane in range(2 * half):
        for x in range(first, last):
            r[plane, x] += source[plane, x] - f[plane, x]
    # correction of the initial guess: rᵀ G f, from C f that `g` still holds in the liquid
    load += bilinear(r, g, lattice, box) / 3

    history = np.empty(most + 1, np.complex128)
    history[0] = load
    rho = collide_all(r, hold, change, lattice, box, moment.real, moment.imag, even, odd, buffers)
    redirect(p, r, 0.0j, box)
    redirect(g, change, 0.0j, box)
    status, applications, estimate = NOT_CONVERGED, 1, np.inf
    for step in range(1, most + 1):
        if rho == 0:
            status, estimate = CONVERGED, 0.0
            break
        fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, False)
        curvature = residual_change(p, g, liquid, change, lattice, box)
        applications += 1
        if curvature == 0:
            break
        alpha = rho / curvature
        load += alpha * rho / 3
        if keep:
            descend(f, p, alpha, box)
        descend(r, change, -alpha, box)
        history[step] = load
        window = 8 + step // 4
        if step >= window:
            estimate = 0.0
            for past in range(step - window, step):
                estimate = max(estimate, abs(history[past] - load))
            if estimate <= max(absolute, relative * abs(load - excess_reference), 1e-14 * abs(load)):
                status = CONVERGED
                break
        following = collide_all(r, hold, change, lattice, box, moment.real, moment.imag, even, odd, buffers)
        redirect(p, r, following / rho, box)
        redirect(g, change, following / rho, box)  # C p = C r + β C p: one collision less
        rho = following

    for z in range(depth):
        for y in range(height):
            for x in range(width):
                for i in range(half):
                    # solid cells move with the crystal
                    cell, rigid = cell_of(z, y, x, box), 3.0 * lattice.weights[i] * lattice.cx[i]
                    field[i, z, y, x] = rigid if solid[z, y, x] else f[i, cell]
                    field[half + i, z, y, x] = 0.0 if solid[z, y, x] else f[half + i, cell]
    return load, applications, estimate, status


@_inlined
def saturate(fraction, saturation_terms, ghost_terms, threshold, saturation, solid):
    """Saturation and solid mask of a surface; returns the summed load of its ghost liquid."""
    ghosts = 0.0j
    for z in range(fraction.shape[0]):
        for y in range(fraction.shape[1]):
            for x in range(fraction.shape[2]):
                e = fraction[z, y, x]
                solid[z, y, x] = e > threshold
                saturation[z, y, x] = 0.0
                if 0 < e <= threshold:
                    held, ghost = 0.0j, 0.0j
                    for j in range(saturation_terms.size - 1, -1, -1):
                        held = held * e + saturation_terms[j]
                        ghost = ghost * e + ghost_terms[j]
                    saturation[z, y, x] = e + e * (1 - e) * held
                    ghosts += e * (1 - e) * ghost
    return ghosts


@_inlined
def occupied_rows(fraction, threshold):
    """Rows [bottom, top) that hold the roughness: above rows of solid only, up to the last that has to be resolved."""
    depth, height, width = fraction.shape
    bottom, top = 0, 0
    for y in range(height):
        full = True
        for z in range(depth):
            for x in range(width):
                if fraction[z, y, x] > threshold:
                    top = y + 2  # the half space needs a row without solid cells below it
                else:
                    full = False
                    if fraction[z, y, x] > 0:
                        top = max(top, y + 1)
        if full and bottom == y:
            bottom = y + 1
    return bottom, max(top, bottom + 1)


@_kernel
def solve_surface(
    lattice,
    fraction,
    moment,
    even,
    odd,
    saturation_terms,
    ghost_terms,
    flat_load,
    reflection,
    fourier,
    threshold,
    relative,
    absolute,
    most,
    crop,
    guess,
    field,
):
    """Load of one surface at one overtone, solved only between the rows that hold its roughness.

    Args:
        lattice: Stencil.
        fraction: (z, y, x).
        moment, even, odd: relaxation factors.
        saturation_terms, ghost_terms: Calibration (terms,).
        flat_load: load of a flat wall per cell of area.
        reflection, fourier: as in `solve_pair`.
        threshold: fraction above which a cell is solid.
        relative, absolute, most: as in `solve_pair`, absolute per cell of area.
        crop: leave out the liquid rows above the surface.
        guess: (planes, z, y, x), field to start from, or of length 0.
        field: (planes, z, y, x), receives the solution, or of length 0 if it is not wanted.

    Returns:
        load per cell of area, applications, estimated error per cell of area, status.
    """
    depth, rows, width = fraction.shape
    half, area = lattice.weights.size, depth * width
    bottom, top = occupied_rows(fraction, threshold)
    if not crop:
        top = max(top, rows)
    height = top - bottom
    inside = np.zeros((depth, height, width))
    for z in range(depth):
        for y in range(bottom, min(top, rows)):
            for x in range(width):
                inside[z, y - bottom, x] = fraction[z, y, x]
    saturation = np.empty((depth, height, width), np.complex128)
    solid = np.empty((depth, height, width), np.bool_)
    ghosts = saturate(inside, saturation_terms, ghost_terms, threshold, saturation, solid)
    solution = np.zeros((2 * half, depth, height, width))
    if guess.shape[0] > 0:
        for plane in range(2 * half):
            for z in range(depth):
                for y in range(height):
                    for x in range(width):
                        solution[plane, z, y, x] = guess[plane, z, min(bottom + y, rows - 1), x]
    total, count, estimate, state = solve_pair(
        lattice,
        saturation,
        solid,
        moment,
        even,
        odd,
        reflection,
        fourier,
        flat_load * area + ghosts,
        relative,
        absolute * area,
        most,
        field.shape[0] > 0,
        solution,
    )
    if field.shape[0] > 0:
        for i in range(half):
            for z in range(depth):
                for y in range(rows):
                    for x in range(width):
                        if y < bottom:
                            field[i, z, y, x] = 3.0 * lattice.weights[i] * lattice.cx[i]
                            field[half + i, z, y, x] = 0.0
                        else:
                            near = min(y - bottom, height - 1)
                            field[i, z, y, x] = solution[i, z, near, x]
                            field[half + i, z, y, x] = solution[half + i, z, near, x]
    return (total - ghosts) / area, count, estimate / area, state


@_kernel
def surface_sensitivity(
    lattice, fraction, moment, even, odd, saturation_terms, ghost_terms, threshold, field, gradient
):
    """∂(load per cell of area)/∂fraction into `gradient`, complex (z, y, x), from a solved field: no further solve.

    ∂Z/∂B = 2 − 4 j_x + ⅓ fᵀW⁻¹(f − P C f) with C of the liquid; a solid cell carries its liquid rigidly.
    """
    depth, rows, width = fraction.shape
    half, area = lattice.weights.size, depth * width
    f = np.empty(half, np.complex128)
    for z in range(depth):
        for y in range(rows):
            for x in range(width):
                e = fraction[z, y, x]
                if e > threshold:
                    gradient[z, y, x] = (moment - 1) / area
                    continue
                density, flow_x, flow_y, flow_z = 0.0j, 0.0j, 0.0j, 0.0j
                for i in range(half):
                    f[i] = complex(field[i, z, y, x], field[half + i, z, y, x])
                    density += f[i]
                    flow_x += lattice.cx[i] * f[i]
                    flow_y += lattice.cy[i] * f[i]
                    flow_z += lattice.cz[i] * f[i]
                change = 2.0 - 4.0 * flow_x
                for i in range(half):
                    w, back = lattice.weights[i], lattice.opposite[i]
                    flow = lattice.cx[i] * flow_x + lattice.cy[i] * flow_y + lattice.cz[i] * flow_z
                    equilibrium_odd = 3.0 * w * flow
                    even_part, odd_part = 0.5 * (f[i] + f[back]), 0.5 * (f[i] - f[back])
                    even_left = w * density + even * (even_part - w * density)
                    odd_left = moment * equilibrium_odd + odd * (odd_part - equilibrium_odd)
                    change += f[i] * (f[i] - even_left + odd_left) / (3.0 * w)
                # derivatives of the calibration polynomials e + e(1 − e)s and e(1 − e)g
                held, held_slope, ghost, ghost_slope = 0.0j, 0.0j, 0.0j, 0.0j
                for j in range(saturation_terms.size - 1, -1, -1):
                    held_slope = held_slope * e + held
                    held = held * e + saturation_terms[j]
                    ghost_slope = ghost_slope * e + ghost
                    ghost = ghost * e + ghost_terms[j]
                bubble, bubble_slope = e * (1 - e), 1 - 2 * e
                change *= 1 + bubble_slope * held + bubble * held_slope
                change -= bubble_slope * ghost + bubble * ghost_slope
                gradient[z, y, x] = change / area
