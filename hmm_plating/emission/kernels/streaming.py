"""Streaming: ghosts that hold what arrives from crystal, solid cells and half space, and the shifted reads."""

from __future__ import annotations

from hmm_plating.emission.kernels.compiled import inlined
from hmm_plating.emission.kernels.layout import LANES, shift_of, slot_of


@inlined
def transform(re, im, out_re, out_im, cosine, sine, sign):
    """Unnormalised Fourier transform of (lane, z, x) along x by its matrix: at 64 cells half the time of an FFT."""
    for lane in range(re.shape[0]):
        for z in range(re.shape[1]):
            to_re, to_im = out_re[lane, z], out_im[lane, z]
            for q in range(re.shape[2]):
                to_re[q] = 0
                to_im[q] = 0
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
def fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, moving):
    """Write into the slots outside the liquid what streaming will pull from them; `moving` adds the wall's velocity.

    Args:
        g: leaving populations (plane, slot).
        links: as `find_links`.
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
    for i in range(1, half):
        for plane in (i, half + i):
            for y in range(-1, box.height):
                near = slot_of(0, y, -1, box)
                for z in range(box.depth if lattice.cx[i] != 0 else 0):
                    first = near + z * stride
                    g[plane, first] = g[plane, first + width]
                    g[plane, first + width + 1] = g[plane, first + 1]
                if lattice.cz[i] != 0:
                    period = box.depth * stride
                    for slot in range(near, near + stride):
                        g[plane, slot - stride] = g[plane, slot - stride + period]
                        g[plane, slot + period] = g[plane, slot]
    cosine_x, sine_x, cosine_z, sine_z = fourier
    re, im, mode_re, mode_im = work
    lanes = lattice.upward.size
    top = slot_of(0, box.height - 1, 0, box)
    for lane in range(lanes):
        for z in range(box.depth):
            for x in range(width):
                re[lane, z, x] = g[lattice.upward[lane], top + z * stride + x]
                im[lane, z, x] = g[half + lattice.upward[lane], top + z * stride + x]
    one = lattice.weights.dtype.type(1)
    transform(re, im, mode_re, mode_im, cosine_x, sine_x, -one)
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
    transform(re, im, mode_re, mode_im, cosine_x, sine_x, one)
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
