"""Gradient of the load with respect to every cell's fraction."""

from __future__ import annotations

import numpy as np

from hmm_plating.emission.kernels.compiled import kernel


@kernel
def surface_sensitivity(lattice, fraction, medium, media, threshold, field, gradient):
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
                relaxation = media.relaxation[medium[z, y, x]]
                moment, even, odd = relaxation[0], relaxation[1], relaxation[2]
                saturation_terms, ghost_terms = media.saturation[medium[z, y, x]], media.ghost[medium[z, y, x]]
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
