"""Interface energy of a cubic crystal in three dimensions: the curvature that drives its surface, and the derivative.

    γ(n) = γ [1 + δ_a (4 Σ n_i⁴ − 3)],     n along the crystal's axes, turned by θ_0 about z

which for n_z = 0 is that of a section with ω_a = 4 (Karma and Rappel, Phys. Rev. E 57 (1998) 4323). In the place of κ
stands A:K, the divergence of the Cahn–Hoffman vector over the surface (Hoffman and Cahn, Surf. Sci. 31 (1972) 368):
Herring's tensor A = ∂²γ/∂p∂p, γ(p) = |p| γ(p/|p|), times that of curvature, K. With m = (n_y n_z, n_x n_z, n_x n_y),
N = Σ n_i², e = Σ m_i² and h the second derivatives of the signed distance, K = −P h P, it is

    A:K = [1 + δ_a (120 e − 15 N²)] κ + 96 δ_a B,     B = Σ m_i² h_ii − Σ_{i<j} m_i m_j h_ij

whose first part is the section's and whose second vanishes where nothing varies along an axis of the crystal. The
eigenvalues of A on the surface are

    λ = 1 + δ_a (72 e − 15 N² ± 48 r),     r² = ½ Σ_{i<j} (m_i² − m_j²)²

all positive below δ_a = 1/15. Above, A keeps its positive part: λ_1/(2r) [(e + r) κ + 2B] where λ_2 < 0 < λ_1.

The h_ij are products of differences between the means over a cell's corners, 2 sin(q_i/2) Π_{j≠i} cos(q_j/2) for a wave
q in the place of q_i. So they are never above those in κ, and no wave however short is driven backwards.
"""

from __future__ import annotations

import math

from hmm_plating.compiled import inlined
from hmm_plating.transition.kernels.geometry import FLAT_SLOPE, add_row

CONVEX = 1 / 15  # δ_a up to which A is positive
LEAST = 1e-30  # of r²
# rows of `Work`: of the planes behind, here and in front the mean, the first and the second difference along y (nine),
# of these what is named after its differences along y and z, the others being means; differences along x come last
PLANES, MEAN, ZZ, XZ, XY, YZ, YY, FREE = 22, 31, 32, 33, 34, 35, 36, 37


@inlined
def crystal_turn(c_cosine, c_sine):
    """cos θ_0 and sin θ_0 from those of 4θ_0; which of the four does not matter to a cube."""
    angle = 0.25 * math.atan2(c_sine, c_cosine)
    return math.cos(angle), math.sin(angle)


@inlined
def smooth(before, here, after, out):
    """Mean over two cells, twice."""
    for i in range(out.size):
        out[i] = 0.25 * (before[i] + 2 * here[i] + after[i])


@inlined
def central(before, after, out):
    """First difference."""
    for i in range(out.size):
        out[i] = 0.5 * (after[i] - before[i])


@inlined
def second(before, here, after, out):
    """Second difference."""
    for i in range(out.size):
        out[i] = before[i] - 2 * here[i] + after[i]


@inlined
def fill_stencils(p, z, j, rows):
    """What the second derivatives of row (z, j), padded indices, need along y and z."""
    for side in range(3):
        down, here, up = p[z - 1 + side, j - 1], p[z - 1 + side, j], p[z - 1 + side, j + 1]
        smooth(down, here, up, rows[PLANES + side])
        central(down, up, rows[PLANES + 3 + side])
        second(down, here, up, rows[PLANES + 6 + side])
    back, mid, front = rows[PLANES], rows[PLANES + 1], rows[PLANES + 2]
    smooth(back, mid, front, rows[MEAN])
    second(back, mid, front, rows[ZZ])
    central(back, front, rows[XZ])
    smooth(rows[PLANES + 3], rows[PLANES + 4], rows[PLANES + 5], rows[XY])
    central(rows[PLANES + 3], rows[PLANES + 5], rows[YZ])
    smooth(rows[PLANES + 6], rows[PLANES + 7], rows[PLANES + 8], rows[YY])


@inlined
def crystal_frame(gx, gy, gz, xx, yy, zz, xy, xz, yz, cosine, sine):
    """Outward normal (x, y, z), 1/|∇ψ| and second derivatives over |∇ψ| (xx, yy, zz, xy, xz, yz), in crystal axes."""
    inverse = 1 / math.sqrt(gx * gx + gy * gy + gz * gz + FLAT_SLOPE**2)
    nx, ny, nz = -gx * inverse, -gy * inverse, -gz * inverse
    cc, ss, cs = cosine * cosine * inverse, sine * sine * inverse, cosine * sine * inverse
    return (
        cosine * nx - sine * ny,
        cosine * ny + sine * nx,
        nz,
        inverse,
        cc * xx + ss * yy - 2 * cs * xy,
        cc * yy + ss * xx + 2 * cs * xy,
        zz * inverse,
        (cc - ss) * xy + cs * (xx - yy),
        (cosine * xz - sine * yz) * inverse,
        (cosine * yz + sine * xz) * inverse,
    )


@inlined
def cell_frame(here, up, down, front, back, rows, i, cosine, sine):
    """`crystal_frame` of cell i of a row, from `fill_stencils` and the rows beside it."""
    mean, twice_z, across_z, across_y, both, twice_y = rows
    return crystal_frame(
        0.5 * (here[i + 2] - here[i]),
        0.5 * (up[i + 1] - down[i + 1]),
        0.5 * (front[i + 1] - back[i + 1]),
        mean[i] - 2 * mean[i + 1] + mean[i + 2],
        0.25 * (twice_y[i] + 2 * twice_y[i + 1] + twice_y[i + 2]),
        0.25 * (twice_z[i] + 2 * twice_z[i + 1] + twice_z[i + 2]),
        0.5 * (across_y[i + 2] - across_y[i]),
        0.5 * (across_z[i + 2] - across_z[i]),
        0.25 * (both[i] + 2 * both[i + 1] + both[i + 2]),
        cosine,
        sine,
    )


@inlined
def stencil_rows(rows):
    """Those that `fill_stencils` fills last."""
    return rows[MEAN], rows[ZZ], rows[XZ], rows[XY], rows[YZ], rows[YY]


@inlined
def cubic_row(kappa, z, j, strength, turn, limit, work, stiffness, weighted, largest):
    """A:K of row (z, j), padded indices, as `weighted`, its derivative with respect to κ, and λ_1, at least 0.

    `turn` of `crystal_turn`. A:K is kept within what principal curvatures of half the `limit` of κ can make it.
    """
    p = work.distance
    fill_stencils(p, z, j, work.rows)
    rows = stencil_rows(work.rows)
    here, up, down, front, back = p[z, j], p[z, j + 1], p[z, j - 1], p[z + 1, j], p[z - 1, j]
    for i in range(stiffness.size):
        x, y, w, _, xx, yy, ww, xy, xw, yw = cell_frame(here, up, down, front, back, rows, i, turn[0], turn[1])
        mx, my, mz = y * w, x * w, x * y
        a, b, c = mx * mx, my * my, mz * mz
        square = x * x + y * y + w * w
        e, r = a + b + c, math.sqrt(max(0.5 * ((a - b) ** 2 + (b - c) ** 2 + (c - a) ** 2), LEAST))
        mixed = a * xx + b * yy + c * ww - my * mz * yw - mx * mz * xw - mx * my * xy
        mean, apart = 1 + strength * (72 * e - 15 * square * square), 48 * strength * r
        most = max(mean + apart, 0.0)
        first, factor = mean + 48 * strength * e, 96 * strength
        if strength > CONVEX and mean < apart:
            first, factor, mean = 0.5 * most * (1 + e / r), most / r, 0.5 * most
        value = first * kappa[i] + factor * mixed
        inside = abs(value) < mean * limit
        stiffness[i] = first if inside else 0.0
        weighted[i] = value if inside else math.copysign(mean * limit, value)
        largest[i] = most


@inlined
def cubic_reverse(given, by_largest, kappa, z, j, strength, turn, limit, work, out):
    """Add the derivative with respect to ψ (padded, `out`) of row (z, j), whose `fill_stencils` are still there.

    `given` is that with respect to `weighted` of `cubic_row`. Returns those with respect to strength and angle.
    """
    p, rows = work.distance, stencil_rows(work.rows)
    here, up, down, front, back = p[z, j], p[z, j + 1], p[z, j - 1], p[z + 1, j], p[z - 1, j]
    cosine, sine = turn[0], turn[1]
    by_strength = by_angle = 0.0
    to_x, to_y, to_z = work.rows[PLANES], work.rows[PLANES + 1], work.rows[PLANES + 2]
    to_xx, to_yy, to_zz = work.rows[PLANES + 3], work.rows[PLANES + 4], work.rows[PLANES + 5]
    to_xy, to_xz, to_yz = work.rows[PLANES + 6], work.rows[PLANES + 7], work.rows[PLANES + 8]
    for i in range(given.size):
        x, y, w, inverse, xx, yy, ww, xy, xw, yw = cell_frame(here, up, down, front, back, rows, i, cosine, sine)
        mx, my, mz = y * w, x * w, x * y
        a, b, c = mx * mx, my * my, mz * mz
        square = x * x + y * y + w * w
        r_square = 0.5 * ((a - b) ** 2 + (b - c) ** 2 + (c - a) ** 2)
        e, r = a + b + c, math.sqrt(max(r_square, LEAST))
        mixed = a * xx + b * yy + c * ww - my * mz * yw - mx * mz * xw - mx * my * xy
        mean, apart = 1 + strength * (72 * e - 15 * square * square), 48 * strength * r
        most = max(mean + apart, 0.0)
        partial = strength > CONVEX and mean < apart
        first, factor, bound = mean + 48 * strength * e, 96 * strength, mean * limit
        if partial:
            first, factor, bound = 0.5 * most * (1 + e / r), most / r, 0.5 * most * limit
        value = first * kappa[i] + factor * mixed
        by_value = given[i] if abs(value) < bound else 0.0
        by_bound = 0.0 if abs(value) < bound else math.copysign(given[i], given[i] * value)
        by_first, by_factor, by_mixed = by_value * kappa[i], by_value * mixed, by_value * factor
        by_most, by_mean, by_e, by_r = by_largest[i], 0.0, 0.0, 0.0
        if partial:
            by_most += 0.5 * by_first * (1 + e / r) + by_factor / r + 0.5 * limit * by_bound
            by_e = 0.5 * by_first * factor
            by_r = -factor / r * (0.5 * by_first * e + by_factor)
        else:
            by_mean = by_first + limit * by_bound
            by_e = 48 * strength * by_first
            by_strength += 48 * e * by_first + 96 * by_factor
        by_most = by_most if most > 0 else 0.0
        by_mean += by_most
        by_strength += by_mean * (72 * e - 15 * square * square) + 48 * r * by_most
        by_e += 72 * strength * by_mean
        by_r += 48 * strength * by_most
        by_square = -30 * strength * square * by_mean
        half = 0.5 * by_r / r if r_square > LEAST else 0.0
        by_mx = 2 * mx * (by_e + half * (3 * a - e)) + by_mixed * (2 * mx * xx - my * xy - mz * xw)
        by_my = 2 * my * (by_e + half * (3 * b - e)) + by_mixed * (2 * my * yy - mx * xy - mz * yw)
        by_mz = 2 * mz * (by_e + half * (3 * c - e)) + by_mixed * (2 * mz * ww - mx * xw - my * yw)
        by_x = w * by_my + y * by_mz + 2 * x * by_square
        by_y = w * by_mx + x * by_mz + 2 * y * by_square
        by_w = y * by_mx + x * by_my + 2 * w * by_square
        by_xx, by_yy, by_ww = by_mixed * a, by_mixed * b, by_mixed * c
        by_xy, by_xw, by_yw = -by_mixed * mx * my, -by_mixed * mx * mz, -by_mixed * my * mz
        by_angle += by_y * x - by_x * y + 2 * (by_yy - by_xx) * xy + by_xy * (xx - yy) + by_yw * xw - by_xw * yw
        pull = x * by_x + y * by_y + w * by_w + by_mixed * mixed  # of the common factor 1/|∇ψ|
        to_x[i] = -inverse * (cosine * (by_x - pull * x) + sine * (by_y - pull * y))
        to_y[i] = -inverse * (cosine * (by_y - pull * y) - sine * (by_x - pull * x))
        to_z[i] = -inverse * (by_w - pull * w)
        cc, ss, cs = cosine * cosine * inverse, sine * sine * inverse, cosine * sine * inverse
        to_xx[i] = cc * by_xx + ss * by_yy + cs * by_xy
        to_yy[i] = cc * by_yy + ss * by_xx - cs * by_xy
        to_zz[i] = inverse * by_ww
        to_xy[i] = 2 * cs * (by_yy - by_xx) + (cc - ss) * by_xy
        to_xz[i] = inverse * (cosine * by_xw + sine * by_yw)
        to_yz[i] = inverse * (cosine * by_yw - sine * by_xw)
    scatter(work.rows, z, j, given.size, out)
    return by_strength, by_angle


@inlined
def scatter(rows, z, j, width, out):
    """The transpose of the first and second differences of row (z, j): from rows `PLANES` on to `out`."""
    for sign in (1, -1):
        add_row(out[z + sign, j, 1:-1], 0.5 * sign, rows[PLANES + 2, :width])
        add_row(out[z, j + sign, 1:-1], 0.5 * sign, rows[PLANES + 1, :width])
    add_row(out[z, j, 2:], 0.5, rows[PLANES, :width])
    add_row(out[z, j, :-2], -0.5, rows[PLANES, :width])
    for row in range(MEAN, FREE):
        for i in range(width + 2):
            rows[row, i] = 0.0
    for first, value in ((MEAN, 3), (YY, 4), (ZZ, 5), (XY, 6), (XZ, 7), (YZ, 8)):
        target, source = rows[first], rows[PLANES + value, :width]
        if value == 3:
            add_row(target[:-2], 1.0, source)
            add_row(target[1:-1], -2.0, source)
            add_row(target[2:], 1.0, source)
        elif value == 6 or value == 7:
            add_row(target[:-2], -0.5, source)
            add_row(target[2:], 0.5, source)
        else:
            add_row(target[:-2], 0.25, source)
            add_row(target[1:-1], 0.5, source)
            add_row(target[2:], 0.25, source)
    mean, twice_z, across_z, across_y, both, twice_y = stencil_rows(rows)
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            mean_z, mean_y = 0.5 - 0.25 * abs(dz), 0.5 - 0.25 * abs(dy)
            second_z, second_y = 3.0 * abs(dz) - 2, 3.0 * abs(dy) - 2
            target = out[z + dz, j + dy]
            for i in range(target.size):
                smoothed = mean_z * mean[i] + second_z * twice_z[i] + 0.5 * dz * across_z[i]
                differenced = mean_z * across_y[i] + 0.5 * dz * both[i]
                target[i] += mean_y * smoothed + 0.5 * dy * differenced + second_y * mean_z * twice_y[i]
