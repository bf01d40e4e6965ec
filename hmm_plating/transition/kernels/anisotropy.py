"""Stiffness of the interface energy γ [1 + δ_a cos ω_a(θ − θ_0)] of a section, and its derivative; see also `cubic`."""

from __future__ import annotations

import math

from hmm_plating.compiled import inlined
from hmm_plating.transition.kernels.curvature import FLAT_SLOPE
from hmm_plating.transition.kernels.geometry import add_row


@inlined
def stiffness_row(p, z, j, strength, cosine, sine, fold, work, out):
    """1 + δ_a(1 − ω_a²) cos ω_a(θ − θ_0) of row (z, j), padded indices, at least 0; θ between outward normal and y.

    Leaves cos and sin of ω_a θ in rows 4 and 5, n_y and n_x in rows 6 and 7, 1/|∇ψ| in row 8.
    """
    power_r, power_i, along, across, inverse = work.rows[4], work.rows[5], work.rows[6], work.rows[7], work.rows[8]
    here, up, down = p[z, j], p[z, j + 1], p[z, j - 1]
    for i in range(out.size):
        gx, gy = 0.5 * (here[i + 2] - here[i]), 0.5 * (up[i + 1] - down[i + 1])
        inverse[i] = 1 / math.sqrt(gx * gx + gy * gy + FLAT_SLOPE**2)
        along[i] = -gy * inverse[i]
        across[i] = -gx * inverse[i]
    for i in range(out.size):
        power_r[i], power_i[i] = along[i], across[i]
    for _ in range(fold - 1):  # (cos θ + i sin θ)^ω
        for i in range(out.size):
            real = power_r[i] * along[i] - power_i[i] * across[i]
            power_i[i] = power_r[i] * across[i] + power_i[i] * along[i]
            power_r[i] = real
    factor = strength * (1 - fold * fold)
    for i in range(out.size):
        out[i] = max(1 + factor * (power_r[i] * cosine + power_i[i] * sine), 0.0)


@inlined
def stiffness_reverse(given, z, j, strength, cosine, sine, fold, stiffness, work, out):
    """Add the derivative with respect to ψ (padded, `out`) of row (z, j), just computed by `stiffness_row`.

    Returns those with respect to strength, cosine and sine. `given` is overwritten.
    """
    power_r, power_i, along, across, inverse = work.rows[4], work.rows[5], work.rows[6], work.rows[7], work.rows[8]
    factor = strength * (1 - fold * fold)
    by_strength = by_cosine = by_sine = 0.0
    for i in range(given.size):
        given[i] = given[i] if stiffness[i] > 0 else 0.0
        by_strength += given[i] * (1 - fold * fold) * (power_r[i] * cosine + power_i[i] * sine)
        by_cosine += given[i] * factor * power_r[i]
        by_sine += given[i] * factor * power_i[i]
    # d(c + i s)^ω = ω (c + i s)^(ω − 1) d(c + i s), and (c + i s)^(ω − 1) = (c + i s)^ω (c − i s)/(c² + s²)
    for i in range(given.size):
        c, s = along[i], across[i]
        length = max(c * c + s * s, 1e-300)
        lower_r = (power_r[i] * c + power_i[i] * s) / length
        lower_i = (power_i[i] * c - power_r[i] * s) / length
        scale = given[i] * factor * fold
        by_c = scale * (lower_r * cosine + lower_i * sine)
        by_s = scale * (lower_r * sine - lower_i * cosine)
        common = by_c * c + by_s * s  # of the common factor 1/|∇ψ|
        power_r[i] = -0.5 * inverse[i] * (by_c - common * c)
        power_i[i] = -0.5 * inverse[i] * (by_s - common * s)
    add_row(out[z, j + 1, 1:-1], 1.0, power_r[: given.size])
    add_row(out[z, j - 1, 1:-1], -1.0, power_r[: given.size])
    add_row(out[z, j, 2:], 1.0, power_i[: given.size])
    add_row(out[z, j, :-2], -1.0, power_i[: given.size])
    return by_strength, by_cosine, by_sine
