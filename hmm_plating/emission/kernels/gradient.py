"""Gradient of the load with respect to every cell's fraction, from the solved field: no further solve."""

from __future__ import annotations

from hmm_plating.compiled import inlined
from hmm_plating.emission.kernels.layout import LANES, place_of


@inlined
def slope_of_saturation(f, saturation, relaxation, lattice, block, lane):
    """∂Z/∂B of a cell, 2 − 4 j_x + ⅓ fᵀW⁻¹P ∂C/∂B f, through its moments."""
    half = lattice.weights.size
    momentum, even, odd = relaxation[0], relaxation[1], relaxation[2]
    density = complex(f[block, lane], f[block, half * LANES + lane])
    even_square = lattice.inverse_weights[0] * density * density
    odd_square = flow_x = flow_y = flow_z = 0.0j
    for i in range(1, half, 2):
        at, imaginary = i * LANES + lane, (half + i) * LANES + lane
        forth = complex(f[block, at], f[block, imaginary])
        back = complex(f[block, at + LANES], f[block, imaginary + LANES])
        both, difference = forth + back, forth - back
        density += both
        flow_x += lattice.cx[i] * difference
        flow_y += lattice.cy[i] * difference
        flow_z += lattice.cz[i] * difference
        even_square += lattice.inverse_weights[i] / 2 * both * both
        odd_square += lattice.inverse_weights[i] / 2 * difference * difference
    apart = 2 * (1 - saturation) * (momentum - odd)
    change = (1 - even) * (even_square - density * density) + (1 + momentum - apart) * odd_square
    change += 3 * apart * (flow_x * flow_x + flow_y * flow_y + flow_z * flow_z)
    return 2 - 4 * flow_x + change / 3


def differentiate(lattice, box, bottom, fraction, medium, media, threshold, f, gradient):
    """∂(load per cell of area)/∂fraction into `gradient`, complex (z, y, x), of the solved field f in blocks.

    A solid cell carries its liquid rigidly. Rows above the box are left as they are. Arguments as in `prepare_surface`.
    """
    depth, rows, width = fraction.shape
    area = depth * width
    last, of, held, held_slope, ghost, ghost_slope = -1.0, -1, 0.0j, 0.0j, 0.0j, 0.0j
    for z in range(depth):
        for y in range(min(bottom + box.height, rows)):
            for column in range(width):
                e = fraction[z, y, column]
                kind = medium[z, y, column]
                if e > threshold:
                    gradient[z, y, column] = (media.relaxation[kind, 0] - 1) / area
                    continue
                # derivatives of the calibration polynomials e + e(1 − e)s and e(1 − e)g
                centred, bubble = 2 * e - 1, e * (1 - e)
                if e != last or kind != of:  # many cells of liquid follow each other
                    last, of, held, held_slope, ghost, ghost_slope = e, kind, 0.0j, 0.0j, 0.0j, 0.0j
                    saturation_terms, ghost_terms = media.saturation[kind], media.ghost[kind]
                    for j in range(saturation_terms.size - 1, -1, -1):
                        held_slope = held_slope * centred + held
                        held = held * centred + saturation_terms[j]
                        ghost_slope = ghost_slope * centred + ghost
                        ghost = ghost * centred + ghost_terms[j]
                block, lane = place_of(z, y - bottom, column, box)
                change = slope_of_saturation(f, e + bubble * held, media.relaxation[kind], lattice, block, lane)
                change *= 1 - centred * held + 2 * bubble * held_slope
                gradient[z, y, column] = (change + centred * ghost - 2 * bubble * ghost_slope) / area
