"""Collision of one block: even part f⁺ → K f⁺ + (1 − K) w ρ, odd part f⁻ → O f⁻ + w M c·j, per cell complex K, O, M.

With B the saturation and m, e, o the relaxation factors of the cell's liquid: K = B + (1 − B) e,
M = 3 (1 − B)² (m − o), O = (1 − B) m − B − M/3, as in `saturation`. Blocks are (planes LANES), factors (6 LANES) with
K/2, O/2 and M.
"""

from __future__ import annotations

from hmm_plating.compiled import inlined
from hmm_plating.emission.kernels.layout import LANES


@inlined
def set_factors(factors, lane, saturation, relaxation):
    """Write K/2, O/2 and M of one cell into its block; `relaxation` (m, e, o)."""
    momentum, even, odd = relaxation[0], relaxation[1], relaxation[2]
    free = 1 - saturation
    apart = free * free * (momentum - odd)
    values = (saturation + free * even) / 2, (free * momentum - saturation - apart) / 2, 3 * apart
    for k in range(3):
        factors[2 * k * LANES + lane] = values[k].real
        factors[(2 * k + 1) * LANES + lane] = values[k].imag


@inlined
def collide_d2q9(f, factors, g, lattice):
    """g = C f of one block; returns fᵀ W⁻¹P C f, real and imaginary part."""
    w0, w1, w5 = lattice.weights[0], lattice.weights[1], lattice.weights[5]
    v0, v1, v5 = lattice.inverse_weights[0], lattice.inverse_weights[1], lattice.inverse_weights[5]
    sr = si = lattice.weights.dtype.type(0)
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
        kr, ki = factors[x], factors[LANES + x]
        our, oui = factors[2 * LANES + x], factors[3 * LANES + x]
        cr, ci = factors[4 * LANES + x], factors[5 * LANES + x]
        er, ei = kr + kr, ki + ki
        rr, ri = a0 + p1 + p3 + p5 + p7, b0 + q1 + q3 + q5 + q7
        dr, di = rr - er * rr + ei * ri, ri - er * ri - ei * rr
        jr, ji = m1 + m5 + m7, n1 + n5 + n7
        xr, xi = cr * jr - ci * ji, cr * ji + ci * jr
        jr, ji = m3 + m5 - m7, n3 + n5 - n7
        yr, yi = cr * jr - ci * ji, cr * ji + ci * jr

        ar = er * a0 - ei * b0 + w0 * dr
        ai = er * b0 + ei * a0 + w0 * di
        g[x] = ar
        g[9 * LANES + x] = ai
        sr += v0 * (a0 * ar - b0 * ai)
        si += v0 * (a0 * ai + b0 * ar)

        ar = kr * p1 - ki * q1 + w1 * dr
        ai = kr * q1 + ki * p1 + w1 * di
        br = our * m1 - oui * n1 + w1 * xr
        bi = our * n1 + oui * m1 + w1 * xi
        g[LANES + x] = ar + br
        g[2 * LANES + x] = ar - br
        g[10 * LANES + x] = ai + bi
        g[11 * LANES + x] = ai - bi
        tr = p1 * ar - q1 * ai - m1 * br + n1 * bi
        ti = p1 * ai + q1 * ar - m1 * bi - n1 * br

        ar = kr * p3 - ki * q3 + w1 * dr
        ai = kr * q3 + ki * p3 + w1 * di
        br = our * m3 - oui * n3 + w1 * yr
        bi = our * n3 + oui * m3 + w1 * yi
        g[3 * LANES + x] = ar + br
        g[4 * LANES + x] = ar - br
        g[12 * LANES + x] = ai + bi
        g[13 * LANES + x] = ai - bi
        tr += p3 * ar - q3 * ai - m3 * br + n3 * bi
        ti += p3 * ai + q3 * ar - m3 * bi - n3 * br

        ar = kr * p5 - ki * q5 + w5 * dr
        ai = kr * q5 + ki * p5 + w5 * di
        br = our * m5 - oui * n5 + w5 * (xr + yr)
        bi = our * n5 + oui * m5 + w5 * (xi + yi)
        g[5 * LANES + x] = ar + br
        g[6 * LANES + x] = ar - br
        g[14 * LANES + x] = ai + bi
        g[15 * LANES + x] = ai - bi
        ur = p5 * ar - q5 * ai - m5 * br + n5 * bi
        ui = p5 * ai + q5 * ar - m5 * bi - n5 * br

        ar = kr * p7 - ki * q7 + w5 * dr
        ai = kr * q7 + ki * p7 + w5 * di
        br = our * m7 - oui * n7 + w5 * (xr - yr)
        bi = our * n7 + oui * m7 + w5 * (xi - yi)
        g[7 * LANES + x] = ar + br
        g[8 * LANES + x] = ar - br
        g[16 * LANES + x] = ai + bi
        g[17 * LANES + x] = ai - bi
        ur += p7 * ar - q7 * ai - m7 * br + n7 * bi
        ui += p7 * ai + q7 * ar - m7 * bi - n7 * br
        sr += v1 * tr + v5 * ur
        si += v1 * ti + v5 * ui
    return sr, si


@inlined
def planes_of(block, i, half):
    """Real and imaginary part of population i."""
    return block[i * LANES : (i + 1) * LANES], block[(half + i) * LANES : (half + i + 1) * LANES]


@inlined
def collide_any(f, factors, g, lattice, work):
    """As `collide_d2q9`, on any lattice; `work` (8, LANES)."""
    half, real = lattice.weights.size, lattice.weights.dtype.type
    er, ei, our, oui, cr, ci = (
        factors[:LANES],
        factors[LANES : 2 * LANES],
        factors[2 * LANES : 3 * LANES],
        factors[3 * LANES : 4 * LANES],
        factors[4 * LANES : 5 * LANES],
        factors[5 * LANES : 6 * LANES],
    )
    rr, ri, xr, xi, yr, yi, zr, zi = work[0], work[1], work[2], work[3], work[4], work[5], work[6], work[7]
    ar, ai = planes_of(f, 0, half)
    for x in range(LANES):
        rr[x], ri[x] = ar[x], ai[x]
    for moment in range(2, 8):
        for x in range(LANES):
            work[moment, x] = 0
    for i in range(1, half, 2):
        ar, ai = planes_of(f, i, half)
        br, bi = planes_of(f, i + 1, half)
        for x in range(LANES):
            rr[x] += ar[x] + br[x]
            ri[x] += ai[x] + bi[x]
        velocity = (lattice.cx[i], lattice.cy[i], lattice.cz[i])
        for axis in range(3):
            if velocity[axis] != 0:
                c, jr, ji = real(velocity[axis]), work[2 + 2 * axis], work[3 + 2 * axis]
                for x in range(LANES):
                    jr[x] += c * (ar[x] - br[x])
                    ji[x] += c * (ai[x] - bi[x])
    for x in range(LANES):
        dr, di = er[x] * rr[x] - ei[x] * ri[x], er[x] * ri[x] + ei[x] * rr[x]
        rr[x] -= dr + dr
        ri[x] -= di + di
    for axis in range(3):
        jr, ji = work[2 + 2 * axis], work[3 + 2 * axis]
        for x in range(LANES):
            a, b = jr[x], ji[x]
            jr[x] = cr[x] * a - ci[x] * b
            ji[x] = cr[x] * b + ci[x] * a
    w = lattice.weights[0]
    ar, ai = planes_of(f, 0, half)
    gr, gi = planes_of(g, 0, half)
    sr = si = real(0)
    for x in range(LANES):
        dr, di = er[x] * ar[x] - ei[x] * ai[x], er[x] * ai[x] + ei[x] * ar[x]
        a, b = dr + dr + w * rr[x], di + di + w * ri[x]
        gr[x], gi[x] = a, b
        sr += ar[x] * a - ai[x] * b
        si += ar[x] * b + ai[x] * a
    total_r, total_i = lattice.inverse_weights[0] * sr, lattice.inverse_weights[0] * si
    for i in range(1, half, 2):
        w = lattice.weights[i]
        cx, cy, cz = w * real(lattice.cx[i]), w * real(lattice.cy[i]), w * real(lattice.cz[i])
        ar, ai = planes_of(f, i, half)
        br, bi = planes_of(f, i + 1, half)
        gr, gi = planes_of(g, i, half)
        hr, hi = planes_of(g, i + 1, half)
        sr = si = real(0)
        for x in range(LANES):
            # twice the even and odd parts of the pair of opposite velocities
            p, q, m, n = ar[x] + br[x], ai[x] + bi[x], ar[x] - br[x], ai[x] - bi[x]
            even_r = er[x] * p - ei[x] * q + w * rr[x]
            even_i = er[x] * q + ei[x] * p + w * ri[x]
            odd_r = our[x] * m - oui[x] * n + cx * xr[x] + cy * yr[x] + cz * zr[x]
            odd_i = our[x] * n + oui[x] * m + cx * xi[x] + cy * yi[x] + cz * zi[x]
            gr[x] = even_r + odd_r
            hr[x] = even_r - odd_r
            gi[x] = even_i + odd_i
            hi[x] = even_i - odd_i
            sr += p * even_r - q * even_i - m * odd_r + n * odd_i
            si += p * even_i + q * even_r - m * odd_i - n * odd_r
        total_r += lattice.inverse_weights[i] * sr
        total_i += lattice.inverse_weights[i] * si
    return total_r, total_i


@inlined
def collide_alone(f, factors, g, lattice, work):
    """g = C f of one block; returns fᵀ W⁻¹P C f. `work` (8, LANES)."""
    if lattice.weights.size != 9:
        sr, si = collide_any(f, factors, g, lattice, work)
    else:
        sr, si = collide_d2q9(f, factors, g, lattice)
    return sr, si


@inlined
def collide_block(f, factors, g, block, lattice, box, work):
    """As `collide_alone`, with flat g. `work` (8 + planes, LANES)."""
    left = work[8:].reshape(-1)
    sr, si = collide_alone(f[block], factors[block], left, lattice, work)
    start = box.first + block * LANES
    for plane in range(g.shape[0]):
        target = g[plane, start : start + LANES]
        for x in range(LANES):
            target[x] = left[plane * LANES + x]
    return complex(sr, si)


@inlined
def collide_all(f, factors, g, lattice, box, work):
    """As `collide_block`, of all."""
    total = 0.0j
    for block in range(box.blocks):
        total += collide_block(f, factors, g, block, lattice, box, work)
    return total
