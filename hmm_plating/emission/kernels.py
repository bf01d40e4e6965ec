"""Numba kernels: COCG with the corrected load for one surface at one overtone, and its gradient.

Real and imaginary parts are separate planes of a flat array (18, cells): row stride width + 2, a ghost column on
either side, a ghost row below and above. Values that arrive from crystal, solid cells or the half space are written to
the slots they would be pulled from, so that streaming is a plain shifted read. Cells are taken LANES at a time through
small buffers with constant offsets, the form that LLVM vectorises. Everything is serial, in fixed order and without
the interpreter's lock: threads share pairs, never a pair, and the result does not depend on their number.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hmm_plating.emission.lattice import DOWNWARD, OPPOSITE, UPWARD, VELOCITIES, WEIGHTS

LANES = 16  # cells per buffer

_kernel = njit(fastmath=True, error_model="numpy", nogil=True, cache=True)
# One copy of the machine code: a called copy is optimised apart from a cached one and rounds otherwise.
_inlined = njit(fastmath=True, error_model="numpy", nogil=True, forceinline=True)

_CX = tuple(int(c) for c in VELOCITIES[:, 0])
_CY = tuple(int(c) for c in VELOCITIES[:, 1])
_OPPOSITE = tuple(int(i) for i in OPPOSITE)
_WEIGHTS = tuple(float(w) for w in WEIGHTS)
_UPWARD = tuple(int(i) for i in UPWARD)
_DOWNWARD = tuple(int(i) for i in DOWNWARD)

CONVERGED, NOT_CONVERGED = 0, 1


@_inlined
def collide(f, b, g, moment_r, moment_i, even, odd):
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
    """Unnormalised discrete Fourier transform of (3, width) by its matrix; at 64 cells half the time of a plain FFT."""
    for lane in range(3):
        to_re, to_im = out_re[lane], out_im[lane]
        for q in range(re.shape[1]):
            to_re[q] = 0.0
            to_im[q] = 0.0
        for x in range(re.shape[1]):
            a, b = re[lane, x], im[lane, x]
            sa, sb = sign * a, sign * b
            c, s = cosine[x], sine[x]
            for q in range(re.shape[1]):
                to_re[q] += c[q] * a - s[q] * sb
                to_im[q] += c[q] * b + s[q] * sa


@_inlined
def fill_ghosts(g, links, height, width, reflection_r, reflection_i, fourier, moving):
    """Write into the slots outside the liquid what streaming will pull from them; `moving` adds the wall's velocity.

    Args:
        g: leaving populations (18, cells).
        links: (links, 3) of (population, slot, reading cell).
        reflection_r, reflection_i: half space (3, 3, x), divided by the width.
        fourier: cosines and sines (x, x) of the transform, four work arrays (3, x).
    """
    stride = width + 2
    for link in range(links.shape[0]):
        i, slot, cell = links[link, 0], links[link, 1], links[link, 2]
        back = _OPPOSITE[i]
        g[i, slot] = g[back, cell] + (6.0 * _WEIGHTS[i] * _CX[i] if moving else 0.0)
        g[9 + i, slot] = g[9 + back, cell]
    for plane in range(18):
        for row in range(height + 1):
            first = row * stride
            g[plane, first] = g[plane, first + width]
            g[plane, first + width + 1] = g[plane, first + 1]
    cosine, sine, re, im, mode_re, mode_im = fourier
    top = height * stride + 1
    for lane in range(3):
        for x in range(width):
            re[lane, x] = g[_UPWARD[lane], top + x]
            im[lane, x] = g[9 + _UPWARD[lane], top + x]
    transform(re, im, mode_re, mode_im, cosine, sine, -1.0)
    for i in range(3):
        for q in range(width):
            sr, si = 0.0, 0.0
            for j in range(3):
                sr += reflection_r[i, j, q] * mode_re[j, q] - reflection_i[i, j, q] * mode_im[j, q]
                si += reflection_r[i, j, q] * mode_im[j, q] + reflection_i[i, j, q] * mode_re[j, q]
            re[i, q] = sr
            im[i, q] = si
    transform(re, im, mode_re, mode_im, cosine, sine, 1.0)
    for lane in range(3):
        i = _DOWNWARD[lane]
        slot = top + stride - _CX[i]
        for x in range(width):
            g[i, slot + x] = mode_re[lane, x]
            g[9 + i, slot + x] = mode_im[lane, x]


@_inlined
def collide_all(f, saturation, g, first, last, moment_r, moment_i, even, odd, buffers):
    """g = C f over all cells; returns fᵀ W⁻¹P C f."""
    inside, outside, hold = buffers[0], buffers[1], buffers[2]
    total = 0.0j
    for start in range(np.uintp(first), np.uintp(last), np.uintp(LANES)):
        load_cells(f, start, inside)
        load_cells(saturation, start, hold)
        total += collide(inside, hold, outside, moment_r, moment_i, even, odd)
        store_cells(outside, g, start)
    return total


@_inlined
def pull(g, liquid, out, first, last, stride):
    """out = S F from leaving populations with filled ghosts, zero outside the liquid."""
    wet = liquid[first:last]
    for i in range(9):
        shift = _CX[i] + _CY[i] * stride
        for plane in (i, 9 + i):
            source, target = g[plane, first - shift : last - shift], out[plane, first:last]
            for x in range(wet.size):
                target[x] = wet[x] * source[x]


@_inlined
def bilinear(a, b, first, last):
    """aᵀ W⁻¹P b over all cells."""
    total = 0.0j
    for i in range(9):
        back = _OPPOSITE[i]
        ar, ai = a[i, first:last], a[9 + i, first:last]
        br, bi = b[back, first:last], b[9 + back, first:last]
        sr, si = 0.0, 0.0
        for x in range(ar.size):
            sr += ar[x] * br[x] - ai[x] * bi[x]
            si += ar[x] * bi[x] + ai[x] * br[x]
        total += complex(sr, si) / _WEIGHTS[i]
    return total


@_inlined
def residual_change(p, g, liquid, out, first, last, stride):
    """out = p − S F = A p with F = C p; returns pᵀ G A p = Fᵀ W⁻¹P out. One array written per loop: those vectorise."""
    wet = liquid[first:last]
    for i in range(9):
        shift = _CX[i] + _CY[i] * stride
        for plane in (i, 9 + i):
            source, target = g[plane, first - shift : last - shift], out[plane, first:last]
            own = p[plane, first:last]
            for x in range(wet.size):
                target[x] = wet[x] * (own[x] - source[x])
    return bilinear(out, g, first, last)


@_inlined
def descend(f, p, alpha, first, last):
    """f += α p."""
    ar, ai = alpha.real, alpha.imag
    for i in range(9):
        fr, fi = f[i, first:last], f[9 + i, first:last]
        pr, pi = p[i, first:last], p[9 + i, first:last]
        for x in range(fr.size):
            fr[x] += ar * pr[x] - ai * pi[x]
            fi[x] += ar * pi[x] + ai * pr[x]


@_inlined
def redirect(p, r, beta, first, last):
    """p = r + β p."""
    br, bi = beta.real, beta.imag
    for i in range(9):
        pr, pi = p[i, first:last], p[9 + i, first:last]
        rr, ri = r[i, first:last], r[9 + i, first:last]
        for x in range(pr.size):
            re, im = pr[x], pi[x]
            pr[x] = rr[x] + br * re - bi * im
            pi[x] = ri[x] + br * im + bi * re


@_inlined
def find_links(solid, height, width):
    """Links from crystal or solid cells into liquid, (links, 3) of (population, slot, reading cell)."""
    stride = width + 2
    links = np.empty((8 * height * width, 3), np.int64)
    count = 0
    for y in range(height):
        for x in range(width):
            if solid[y, x]:
                continue
            for i in range(1, 9):
                above, beside = y - _CY[i], (x - _CX[i]) % width
                if above < height and (above < 0 or solid[above, beside]):
                    links[count, 0] = i
                    links[count, 1] = (above + 1) * stride + 1 + beside
                    links[count, 2] = (y + 1) * stride + 1 + x
                    count += 1
    return links[:count]


@_inlined
def solve_pair(
    saturation, solid, moment, even, odd, reflection, cosine, sine, excess_reference, relative, absolute, most, field
):
    """Load of one surface at one overtone; `field` (18, y, x) holds the initial guess and receives the solution.

    Args:
        saturation: B, complex (y, x); solid: bool (y, x), no solid cell in the top row.
        moment, even, odd: relaxation factors; reflection: half space, complex (x, 3, 3).
        cosine, sine: (x, x) of the Fourier transform.
        excess_reference: load from which the excess is counted for the relative tolerance.
        relative, absolute: accepted error of the load, relative to its excess, and in lattice units.
        most: upper limit of operator applications.

    Returns:
        load (lattice units, summed over the width), applications, estimated error of the load, status.
    """
    height, width = solid.shape
    stride = width + 2
    first, last = stride + 1, (height + 1) * stride - 1  # every pull stays inside the array
    cells = (height + 2) * stride + LANES + 1
    links = find_links(solid, height, width)
    fourier = (cosine, sine, np.empty((3, width)), np.empty((3, width)), np.empty((3, width)), np.empty((3, width)))
    reflection_r, reflection_i = np.empty((3, 3, width)), np.empty((3, 3, width))
    for q in range(width):
        for i in range(3):
            for j in range(3):
                reflection_r[i, j, q] = reflection[q, i, j].real / width
                reflection_i[i, j, q] = reflection[q, i, j].imag / width
    buffers = np.empty((3, 18 * LANES))
    hold = np.zeros((2, cells))
    liquid = np.zeros(cells)
    f, r, p = np.zeros((18, cells)), np.zeros((18, cells)), np.zeros((18, cells))
    g, change = np.zeros((18, cells)), np.zeros((18, cells))
    for y in range(height):
        base = (y + 1) * stride + 1
        for x in range(width):
            if not solid[y, x]:
                liquid[base + x] = 1.0
                hold[0, base + x] = saturation[y, x].real
                hold[1, base + x] = saturation[y, x].imag
                for plane in range(18):
                    f[plane, base + x] = field[plane, y, x]

    # source β and the constant of the load
    for i in range(1, 9):
        push = 6.0 * _WEIGHTS[i] * _CX[i]
        for x in range(first, last):
            g[i, x] = push * hold[0, x]
            g[9 + i, x] = push * hold[1, x]
    fill_ghosts(g, links, height, width, reflection_r, reflection_i, fourier, True)
    source = np.zeros((18, cells))
    pull(g, liquid, source, first, last, stride)
    load = 0.0j
    for x in range(first, last):
        held = complex(hold[0, x], hold[1, x])
        arriving = 0.0j
        for i in range(1, 9):
            arriving += _CX[i] * complex(source[i, x], source[9 + i, x])
        load += 2.0 * held * (1.0 - arriving)
    for link in range(links.shape[0]):
        i, cell = links[link, 0], links[link, 2]
        load += _WEIGHTS[i] * _CX[i] ** 2 * (6.0 - 12.0 * complex(hold[0, cell], hold[1, cell]))

    collide_all(f, hold, g, first, last, moment.real, moment.imag, even, odd, buffers)
    load += bilinear(source, g, first, last) / 3
    fill_ghosts(g, links, height, width, reflection_r, reflection_i, fourier, False)
    pull(g, liquid, r, first, last, stride)
    for plane in range(18):
        for x in range(first, last):
            r[plane, x] += source[plane, x] - f[plane, x]
    # correction of the initial guess: rᵀ G f, from C f that `g` still holds in the liquid
    load += bilinear(r, g, first, last) / 3

    history = np.empty(most + 1, np.complex128)
    history[0] = load
    rho = collide_all(r, hold, change, first, last, moment.real, moment.imag, even, odd, buffers)
    redirect(p, r, 0.0j, first, last)
    redirect(g, change, 0.0j, first, last)
    status, applications, estimate = NOT_CONVERGED, 1, np.inf
    for step in range(1, most + 1):
        if rho == 0:
            status, estimate = CONVERGED, 0.0
            break
        fill_ghosts(g, links, height, width, reflection_r, reflection_i, fourier, False)
        curvature = residual_change(p, g, liquid, change, first, last, stride)
        applications += 1
        if curvature == 0:
            break
        alpha = rho / curvature
        load += alpha * rho / 3
        descend(f, p, alpha, first, last)
        descend(r, change, -alpha, first, last)
        history[step] = load
        window = 8 + step // 4
        if step >= window:
            estimate = 0.0
            for past in range(step - window, step):
                estimate = max(estimate, abs(history[past] - load))
            if estimate <= max(absolute, relative * abs(load - excess_reference), 1e-14 * abs(load)):
                status = CONVERGED
                break
        following = collide_all(r, hold, change, first, last, moment.real, moment.imag, even, odd, buffers)
        redirect(p, r, following / rho, first, last)
        redirect(g, change, following / rho, first, last)  # C p = C r + β C p: one collision less
        rho = following

    for y in range(height):
        base = (y + 1) * stride + 1
        for x in range(width):
            for i in range(9):
                # solid cells move with the crystal
                field[i, y, x] = 3.0 * _WEIGHTS[i] * _CX[i] if solid[y, x] else f[i, base + x]
                field[9 + i, y, x] = 0.0 if solid[y, x] else f[9 + i, base + x]
    return load, applications, estimate, status


@_inlined
def saturate(fraction, saturation_terms, ghost_terms, threshold, saturation, solid):
    """Saturation and solid mask of a surface; returns the summed load of its ghost liquid."""
    ghosts = 0.0j
    for y in range(fraction.shape[0]):
        for x in range(fraction.shape[1]):
            e = fraction[y, x]
            solid[y, x] = e > threshold
            saturation[y, x] = 0.0
            if 0 < e <= threshold:
                held, ghost = 0.0j, 0.0j
                for j in range(saturation_terms.size - 1, -1, -1):
                    held = held * e + saturation_terms[j]
                    ghost = ghost * e + ghost_terms[j]
                saturation[y, x] = e + e * (1 - e) * held
                ghosts += e * (1 - e) * ghost
    return ghosts


@_inlined
def occupied_rows(fraction, threshold):
    """Rows [bottom, top) that hold the roughness: above rows of solid only, up to the last that has to be resolved."""
    height, width = fraction.shape
    bottom, top = 0, 0
    for y in range(height):
        full = True
        for x in range(width):
            if fraction[y, x] > threshold:
                top = y + 2  # the half space needs a row without solid cells below it
            else:
                full = False
                if fraction[y, x] > 0:
                    top = max(top, y + 1)
        if full and bottom == y:
            bottom = y + 1
    return bottom, max(top, bottom + 1)


@_kernel
def solve_surface(
    fraction,
    moment,
    even,
    odd,
    saturation_terms,
    ghost_terms,
    flat_load,
    reflection,
    cosine,
    sine,
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
        fraction: (y, x).
        moment, even, odd: relaxation factors.
        saturation_terms, ghost_terms: Calibration (terms,).
        flat_load: load of a flat wall per cell of width.
        reflection, cosine, sine: as in `solve_pair`.
        threshold: fraction above which a cell is solid.
        relative, absolute, most: as in `solve_pair`, absolute per cell of width.
        crop: leave out the liquid rows above the surface.
        guess: (18, y, x), field to start from, or of length 0.
        field: (18, y, x), receives the solution, or of length 0 if it is not wanted.

    Returns:
        load per cell of width, applications, estimated error per cell of width, status.
    """
    rows, width = fraction.shape
    bottom, top = occupied_rows(fraction, threshold)
    if not crop:
        top = max(top, rows)
    height = top - bottom
    inside = np.zeros((height, width))
    for y in range(bottom, min(top, rows)):
        for x in range(width):
            inside[y - bottom, x] = fraction[y, x]
    saturation = np.empty((height, width), np.complex128)
    solid = np.empty((height, width), np.bool_)
    ghosts = saturate(inside, saturation_terms, ghost_terms, threshold, saturation, solid)
    solution = np.zeros((18, height, width))
    if guess.shape[0] > 0:
        for plane in range(18):
            for y in range(height):
                for x in range(width):
                    solution[plane, y, x] = guess[plane, min(bottom + y, rows - 1), x]
    total, count, estimate, state = solve_pair(
        saturation,
        solid,
        moment,
        even,
        odd,
        reflection,
        cosine,
        sine,
        flat_load * width + ghosts,
        relative,
        absolute * width,
        most,
        solution,
    )
    if field.shape[0] > 0:
        for i in range(9):
            for y in range(rows):
                for x in range(width):
                    if y < bottom:
                        field[i, y, x] = 3.0 * _WEIGHTS[i] * _CX[i]
                        field[9 + i, y, x] = 0.0
                    else:
                        near = min(y - bottom, height - 1)
                        field[i, y, x] = solution[i, near, x]
                        field[9 + i, y, x] = solution[9 + i, near, x]
    return (total - ghosts) / width, count, estimate / width, state


@_kernel
def surface_sensitivity(fraction, moment, even, odd, saturation_terms, ghost_terms, threshold, field, gradient):
    """∂(load per cell of width)/∂fraction into `gradient`, complex (y, x), from a solved field: no further solve.

    ∂Z/∂B = 2 − 4 j_x + ⅓ fᵀW⁻¹(f − P C f) with C of the liquid; a solid cell carries its liquid rigidly.
    """
    rows, width = fraction.shape
    f = np.empty(9, np.complex128)
    for y in range(rows):
        for x in range(width):
            e = fraction[y, x]
            if e > threshold:
                gradient[y, x] = (moment - 1) / width
                continue
            density, flow_x, flow_y = 0.0j, 0.0j, 0.0j
            for i in range(9):
                f[i] = complex(field[i, y, x], field[9 + i, y, x])
                density += f[i]
                flow_x += _CX[i] * f[i]
                flow_y += _CY[i] * f[i]
            change = 2.0 - 4.0 * flow_x
            for i in range(9):
                w, back = _WEIGHTS[i], _OPPOSITE[i]
                equilibrium_odd = 3.0 * w * (_CX[i] * flow_x + _CY[i] * flow_y)
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
            gradient[y, x] = change / width
