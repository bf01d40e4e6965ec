"""The reverse of `cubic`: derivatives with respect to signed distance, strength and angle."""

from __future__ import annotations

import math

import numpy as np

from hmm_plating.compiled import called
from hmm_plating.transition.kernels.cubic import (
    FREE,
    LEAST,
    MEAN,
    PLANES,
    SLOPES,
    XY,
    XZ,
    YY,
    YZ,
    ZZ,
    cell_frame,
    crystal_turn,
    fill_stencils,
    stencil_rows,
)
from hmm_plating.transition.kernels.curvature import FLAT_SLOPE
from hmm_plating.transition.kernels.geometry import add_row


@called
def cubic_reverse(strength, cosine, sine, limit, work, out):
    """The reverse of `fill_cubic`, κ not taken as part of ψ: adds the derivatives with respect to ψ (padded) to `out`.

    `work.cubic` holds those with respect to A:K (first) and λ_1 (last). Returns those to strength and θ_0.
    """
    turn, buffers = crystal_turn(cosine, sine), np.empty((FREE + 6, work.distance.shape[2]))
    width = work.cubic.shape[3]
    strengths, angles = buffers[FREE, :width], buffers[FREE + 1, :width]
    by_strength = by_angle = 0.0
    for z in range(work.live.shape[0]):
        for j in range(work.live.shape[1]):
            if work.live[z, j]:
                fill_stencils(work.distance, z + 1, j + 1, buffers)
                by_value, by_most = work.cubic[0, z, j], work.cubic[2, z, j]
                normal_reverse(buffers, work.curvature[z, j], strength, turn, limit, by_value, by_most, strengths)
                slopes_reverse(buffers, turn, angles)
                second_reverse(buffers, turn, width)
                for i in range(width):
                    by_strength += strengths[i]
                    by_angle += angles[i]
                scatter(buffers, z + 1, j + 1, width, out)
    return by_strength, by_angle


@called
def pull_rows(buffers, width):
    """Of derivatives with respect to the normal (x, y, z) and to B."""
    return buffers[FREE + 2, :width], buffers[FREE + 3, :width], buffers[FREE + 4, :width], buffers[FREE + 5, :width]


@called
def normal_reverse(buffers, kappa, strength, turn, limit, given, by_largest, strengths):
    """Derivatives with respect to normal and B, `pull_rows`, and each cell's with respect to the strength."""
    rows = stencil_rows(buffers)
    to_x, to_y, to_w, to_mixed = pull_rows(buffers, kappa.size)
    for i in range(kappa.size):
        x, y, w, _, xx, yy, ww, xy, xw, yw = cell_frame(rows, i, turn[0], turn[1])
        mx, my, mz = y * w, x * w, x * y
        a, b, c = mx * mx, my * my, mz * mz
        square = x * x + y * y + w * w
        r_square = 0.5 * ((a - b) * (a - b) + (b - c) * (b - c) + (c - a) * (c - a))
        kept = r_square > LEAST
        e, r = a + b + c, math.sqrt(r_square if kept else LEAST)
        mixed = a * xx + b * yy + c * ww - my * mz * yw - mx * mz * xw - mx * my * xy
        by_delta, share = 72 * e - 15 * square * square, 1 / r
        mean, apart = 1 + strength * by_delta, 48 * strength * r
        most = mean + apart
        positive, partial = most > 0, mean < apart
        most = most if positive else 0.0
        # as if all of A were positive, and as if only λ_1 were
        first_whole, first_part = mean + 48 * strength * e, 0.5 * most * (1 + e * share)
        factor_whole, factor_part = 96 * strength, most * share
        bound = limit * (0.5 * most if partial else mean)
        factor = factor_part if partial else factor_whole
        value = (first_part if partial else first_whole) * kappa[i] + factor * mixed
        inside, by_value, by_bound = abs(value) < bound, given[i], limit * given[i]
        by_value, by_bound = by_value if inside else 0.0, by_bound if value > 0 else -by_bound
        by_bound = 0.0 if inside else by_bound
        by_first, by_factor, by_mixed = by_value * kappa[i], by_value * mixed, by_value * factor
        by_most = 0.5 * by_first * (1 + e * share) + by_factor * share + 0.5 * by_bound
        by_most = by_largest[i] + (by_most if partial else 0.0)
        by_most = by_most if positive else 0.0
        by_whole = by_first + by_bound
        by_mean = by_most + (0.0 if partial else by_whole)
        e_whole, e_part = 48 * strength * by_first, 0.5 * factor_part * by_first
        by_e = 72 * strength * by_mean + (e_part if partial else e_whole)
        by_r = share * factor_part * (0.5 * by_first * e + by_factor)
        by_r = 48 * strength * by_most - (by_r if partial else 0.0)
        by_square = -30 * strength * square * by_mean
        direct = 48 * e * by_first + 96 * by_factor
        strengths[i] = by_mean * by_delta + 48 * r * by_most + (0.0 if partial else direct)
        half = 0.5 * by_r * share
        half = half if kept else 0.0
        by_mx = 2 * mx * (by_e + half * (3 * a - e)) + by_mixed * (2 * mx * xx - my * xy - mz * xw)
        by_my = 2 * my * (by_e + half * (3 * b - e)) + by_mixed * (2 * my * yy - mx * xy - mz * yw)
        by_mz = 2 * mz * (by_e + half * (3 * c - e)) + by_mixed * (2 * mz * ww - mx * xw - my * yw)
        to_x[i] = w * by_my + y * by_mz + 2 * x * by_square
        to_y[i] = w * by_mx + x * by_mz + 2 * y * by_square
        to_w[i] = y * by_mx + x * by_my + 2 * w * by_square
        to_mixed[i] = by_mixed


@called
def slopes_reverse(buffers, turn, angles):
    """From `pull_rows` to derivatives with respect to ∇ψ, the first three rows, and each cell's with respect to θ_0."""
    rows, cosine, sine = stencil_rows(buffers), turn[0], turn[1]
    pull_x, pull_y, pull_w, pull_mixed = pull_rows(buffers, angles.size)
    to_x, to_y, to_w = buffers[PLANES], buffers[PLANES + 1], buffers[PLANES + 2]
    for i in range(angles.size):
        x, y, w, inverse, xx, yy, ww, xy, xw, yw = cell_frame(rows, i, cosine, sine)
        by_x, by_y, by_w = pull_x[i], pull_y[i], pull_w[i]
        mx, my, mz = y * w, x * w, x * y
        diagonal = mx * mx * xx + my * my * yy + mz * mz * ww
        mixed = diagonal - my * mz * yw - mx * mz * xw - mx * my * xy
        turned = 2 * (my * my - mx * mx) * xy - mx * my * (xx - yy) - my * mz * xw + mx * mz * yw
        angles[i] = by_y * x - by_x * y + pull_mixed[i] * turned
        along = x * by_x + y * by_y + w * by_w + pull_mixed[i] * mixed  # of the common factor 1/|∇ψ|
        to_x[i] = -inverse * (cosine * (by_x - along * x) + sine * (by_y - along * y))
        to_y[i] = -inverse * (cosine * (by_y - along * y) - sine * (by_x - along * x))
        to_w[i] = -inverse * (by_w - along * w)


@called
def second_reverse(buffers, turn, width):
    """From the last of `pull_rows` to derivatives with respect to h, rows 3 to 8: xx, yy, zz, xy, xz, yz."""
    cosine, sine, pull = turn[0], turn[1], pull_rows(buffers, width)[3]
    slope_x, slope_y, slope_w = buffers[SLOPES], buffers[SLOPES + 1], buffers[SLOPES + 2]
    to_xx, to_yy, to_ww = buffers[PLANES + 3], buffers[PLANES + 4], buffers[PLANES + 5]
    to_xy, to_xw, to_yw = buffers[PLANES + 6], buffers[PLANES + 7], buffers[PLANES + 8]
    for i in range(width):
        gx, gy, gw = slope_x[i], slope_y[i], slope_w[i]
        inverse = 1 / math.sqrt(gx * gx + gy * gy + gw * gw + FLAT_SLOPE**2)
        x, y, w = inverse * (cosine * gx - sine * gy), inverse * (cosine * gy + sine * gx), inverse * gw
        given = pull[i] * inverse
        mx, my, mz = y * w, x * w, x * y
        by_xx, by_yy, by_xy = given * mx * mx, given * my * my, -given * mx * my
        by_xw, by_yw = -given * mx * mz, -given * my * mz
        to_xx[i] = cosine * cosine * by_xx + sine * sine * by_yy + cosine * sine * by_xy
        to_yy[i] = cosine * cosine * by_yy + sine * sine * by_xx - cosine * sine * by_xy
        to_ww[i] = given * mz * mz
        to_xy[i] = 2 * cosine * sine * (by_yy - by_xx) + (cosine * cosine - sine * sine) * by_xy
        to_xw[i] = cosine * by_xw + sine * by_yw
        to_yw[i] = cosine * by_yw - sine * by_xw


@called
def scatter(rows, z, j, width, out):
    """The transpose of the first and second differences of row (z, j): from rows `PLANES` on to `out`."""
    for sign in (1, -1):
        add_row(out[z + sign, j, 1:-1], 0.5 * sign, rows[PLANES + 2, :width])
        add_row(out[z, j + sign, 1:-1], 0.5 * sign, rows[PLANES + 1, :width])
    add_row(out[z, j, 2:], 0.5, rows[PLANES, :width])
    add_row(out[z, j, :-2], -0.5, rows[PLANES, :width])
    for row in range(MEAN, SLOPES):
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
    mean, twice_z, across_z, across_y, both, twice_y = stencil_rows(rows)[:6]
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            mean_z, mean_y = 0.5 - 0.25 * abs(dz), 0.5 - 0.25 * abs(dy)
            second_z, second_y = 3.0 * abs(dz) - 2, 3.0 * abs(dy) - 2
            target = out[z + dz, j + dy]
            for i in range(target.size):
                smoothed = mean_z * mean[i] + second_z * twice_z[i] + 0.5 * dz * across_z[i]
                differenced = mean_z * across_y[i] + 0.5 * dz * both[i]
                target[i] += mean_y * smoothed + 0.5 * dy * differenced + second_y * mean_z * twice_y[i]
