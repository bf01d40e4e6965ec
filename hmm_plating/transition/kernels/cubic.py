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

import numpy as np

from hmm_plating.compiled import called
from hmm_plating.transition.kernels.curvature import FLAT_SLOPE

LEAST = 1e-30  # of r²
# of eighteen rows: of the planes behind, here and in front the mean, first and second difference along y (nine rows);
# of these what is named after its differences, those along x still to be taken, the others being means; the slopes
PLANES, MEAN, ZZ, XZ, XY, YZ, YY, SLOPES, FREE = 0, 9, 10, 11, 12, 13, 14, 15, 18


@called
def crystal_turn(c_cosine, c_sine):
    """cos θ_0 and sin θ_0 from those of 4θ_0; which of the four does not matter to a cube."""
    angle = 0.25 * math.atan2(c_sine, c_cosine)
    return math.cos(angle), math.sin(angle)


@called
def smooth(before, here, after, out):
    """Mean over two cells, twice."""
    for i in range(out.size):
        out[i] = 0.25 * (before[i] + 2 * here[i] + after[i])


@called
def central(before, after, out):
    """First difference."""
    for i in range(out.size):
        out[i] = 0.5 * (after[i] - before[i])


@called
def second(before, here, after, out):
    """Second difference."""
    for i in range(out.size):
        out[i] = before[i] - 2 * here[i] + after[i]


@called
def fill_stencils(p, z, j, rows):
    """What the derivatives of row (z, j), padded indices, need: all `rows` below `FREE`."""
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
    width = p.shape[2] - 2
    central(p[z, j, :-2], p[z, j, 2:], rows[SLOPES, :width])
    central(p[z, j - 1, 1:-1], p[z, j + 1, 1:-1], rows[SLOPES + 1, :width])
    central(p[z - 1, j, 1:-1], p[z + 1, j, 1:-1], rows[SLOPES + 2, :width])


@called
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


@called
def cell_frame(rows, i, cosine, sine):
    """`crystal_frame` of cell i of a row, from `stencil_rows`."""
    mean, twice_z, across_z, across_y, both, twice_y, gx, gy, gz = rows
    return crystal_frame(
        gx[i],
        gy[i],
        gz[i],
        mean[i] - 2 * mean[i + 1] + mean[i + 2],
        0.25 * (twice_y[i] + 2 * twice_y[i + 1] + twice_y[i + 2]),
        0.25 * (twice_z[i] + 2 * twice_z[i + 1] + twice_z[i + 2]),
        0.5 * (across_y[i + 2] - across_y[i]),
        0.5 * (across_z[i + 2] - across_z[i]),
        0.25 * (both[i] + 2 * both[i + 1] + both[i + 2]),
        cosine,
        sine,
    )


@called
def stencil_rows(rows):
    """Those of `fill_stencils` from which the derivatives of a cell follow."""
    slopes = (rows[SLOPES], rows[SLOPES + 1], rows[SLOPES + 2])
    return (rows[MEAN], rows[ZZ], rows[XZ], rows[XY], rows[YZ], rows[YY], *slopes)


@called
def fill_cubic(strength, cosine, sine, limit, work):
    """`work.cubic` of the live rows: A:K, its derivative with respect to κ, and λ_1, at least 0.

    Args:
        strength: δ_a.
        cosine, sine: of 4θ_0.
        limit: of |κ|, to which `work.curvature` is cut if it is not yet; A:K is kept within what principal curvatures
            of half of it can make it.
        work: with signed distance and curvature.
    """
    turn, rows = crystal_turn(cosine, sine), np.empty((FREE, work.distance.shape[2]))
    for z in range(work.live.shape[0]):
        for j in range(work.live.shape[1]):
            if work.live[z, j]:
                fill_stencils(work.distance, z + 1, j + 1, rows)
                weighted, by_kappa, most_stiff = work.cubic[0, z, j], work.cubic[1, z, j], work.cubic[2, z, j]
                cubic_row(rows, work.curvature[z, j], strength, turn, limit, weighted, by_kappa, most_stiff)


@called
def cubic_row(buffers, kappa, strength, turn, limit, weighted, by_kappa, most_stiff):
    """`fill_cubic` of a row, after `fill_stencils`; `turn` of `crystal_turn`."""
    rows = stencil_rows(buffers)
    for i in range(kappa.size):
        x, y, w, _, xx, yy, ww, xy, xw, yw = cell_frame(rows, i, turn[0], turn[1])
        mx, my, mz = y * w, x * w, x * y
        a, b, c = mx * mx, my * my, mz * mz
        square = x * x + y * y + w * w
        r_square = 0.5 * ((a - b) * (a - b) + (b - c) * (b - c) + (c - a) * (c - a))
        e, r = a + b + c, math.sqrt(r_square if r_square > LEAST else LEAST)
        mixed = a * xx + b * yy + c * ww - my * mz * yw - mx * mz * xw - mx * my * xy
        mean, apart = 1 + strength * (72 * e - 15 * square * square), 48 * strength * r
        most = mean + apart if mean + apart > 0 else 0.0
        partial = mean < apart
        first = 0.5 * most * (1 + e / r) if partial else mean + 48 * strength * e
        factor = most / r if partial else 96 * strength
        bound = 0.5 * most * limit if partial else mean * limit
        curved = kappa[i] if kappa[i] < limit else limit
        curved = curved if curved > -limit else -limit
        value = first * curved + factor * mixed
        inside = abs(value) < bound
        by_kappa[i] = first if inside else 0.0
        weighted[i] = value if inside else (bound if value > 0 else -bound)
        most_stiff[i] = most
