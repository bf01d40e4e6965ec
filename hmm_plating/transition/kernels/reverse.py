"""The reverse of what a sub-step does to fields: from derivatives by its results to those by its start."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import inlined
from hmm_plating.transition.kernels.anisotropy import stiffness_reverse
from hmm_plating.transition.kernels.cubic import fill_cubic
from hmm_plating.transition.kernels.cubic_reverse import cubic_reverse
from hmm_plating.transition.kernels.curvature import curvature_reverse
from hmm_plating.transition.kernels.geometry import CLIP, fill_ghosts, fold_ghosts, laplacian_row
from hmm_plating.transition.kernels.substep import (
    AGITATION,
    ALPHA,
    CAPILLARY,
    COSINE,
    EXCHANGE,
    SINE,
    STRENGTH,
    SUPPLY,
    largest_curvature,
    row_shift,
    weights,
)


class Adjoints(NamedTuple):
    """Derivatives with respect to fields: ξ and what follows padded, noise and curvature (z, y, x), coefficients."""

    order_parameter: np.ndarray
    force: np.ndarray
    distance: np.ndarray
    curvature: np.ndarray
    noise: np.ndarray
    coefficients: np.ndarray


@inlined
def update_reverse(xi, noise, pace, c, grid, work, given_thickness, by_growth, adjoints):
    """Through `apply_rates`: `adjoints.curvature` takes what pulls on the change of each cell.

    `by_growth`, of `growth_reverse` or None, pulls on what reaction and noise change, but not on the profile's repair.
    Returns Σ pull × (forward, backward, w noise, force).
    """
    depth, height, columns = work.force.shape
    plate = pace.substep * c[EXCHANGE] * math.exp(-c[ALPHA] * pace.overpotential)
    strip = pace.substep * c[EXCHANGE] * math.exp((1 - c[ALPHA]) * pace.overpotential)
    agitation, relaxation = pace.substep * c[AGITATION], pace.substep * pace.relaxation
    weight, change = work.rows[11, :columns], work.rows[12, :columns]
    by_plate = by_strip = by_noise = by_force = 0.0
    share = given_thickness / (depth * columns)
    for z in range(depth):
        for j in range(height):
            if not work.live[z, j]:
                continue
            row, given, pull = xi[z + grid.margin, j + 1], noise[z, j], adjoints.curvature[z, j]
            forward, backward, force = work.forward[z, j], work.backward[z, j], work.force[z, j]
            target = adjoints.order_parameter[z + grid.margin, j + 1]
            weights(row, grid, weight)
            for i in range(columns):
                change[i] = plate * forward[i] - strip * backward[i] + agitation * weight[i] * given[i]
            for i in range(columns):
                after = row[i + 1] + change[i] + relaxation * force[i]
                pull[i] = target[i + 1] + share if 0.0 < after < 1.0 else 0.0
            for i in range(columns):
                target[i + 1] = pull[i] - share
            row_plate = row_strip = row_noise = row_force = 0.0
            for i in range(columns):
                change[i] = pull[i] if by_growth is None else pull[i] + by_growth[z, j, i]
            for i in range(columns):
                row_plate += change[i] * forward[i]
                row_strip += change[i] * backward[i]
                row_noise += change[i] * weight[i] * given[i]
                row_force += pull[i] * force[i]
            by_plate += row_plate
            by_strip += row_strip
            by_noise += row_noise
            by_force += row_force
    return by_plate, by_strip, by_noise, by_force


@inlined
def reacting_reverse(pulls, by_growth, repair_per_rate, pace, by_cathodic, c, work, affinity, out):
    """Derivatives with respect to c̃* (z, y, x), through `apply_rates`, `fill_growth` and the cathodic sum.

    `pulls` of `update_reverse`, `repair_per_rate` of the sums of both.
    """
    plate = pace.substep * c[EXCHANGE] * math.exp(-c[ALPHA] * pace.overpotential)
    share = by_cathodic * c[EXCHANGE] / (out.shape[0] * out.shape[2])
    for z in range(out.shape[0]):
        for j in range(out.shape[1]):
            target, pull, moved, attracted = out[z, j], pulls[z, j], by_growth[z, j], affinity[z, j]
            if work.live[z, j]:
                for i in range(target.size):
                    target[i] = attracted[i] * (plate * pull[i] + (plate + repair_per_rate) * moved[i] + share)
            else:
                for i in range(target.size):
                    target[i] = 0.0


@inlined
def rates_reverse(
    xi,
    inside,
    affinity,
    drawn,
    stiff,
    by_growth,
    repair_per_rate,
    noise,
    pace,
    sums,
    by_sums,
    c,
    grid,
    work,
    adjoints,
    by_inside,
):
    """Through `fill_rates`; `adjoints.curvature` holds the pull of `update_reverse` and is overwritten.

    `by_growth` and `repair_per_rate` as in `reacting_reverse`.
    `drawn` is of `react_reverse`, where the sub-step was stiff. Adds to `by_inside` (2, z, y, x), if there is one.
    """
    depth, height, columns = work.force.shape
    sites, alpha, margin = depth * columns, c[ALPHA], grid.margin
    plate = pace.substep * c[EXCHANGE] * math.exp(-alpha * pace.overpotential)
    strip = pace.substep * c[EXCHANGE] * math.exp((1 - alpha) * pace.overpotential)
    by_c, limit, cubic = adjoints.coefficients, largest_curvature(grid), grid.anisotropic and margin == 1
    t2, correction = math.tanh(2 / grid.width) ** 2, 8 / (3 * grid.width**2)
    carried, found = by_sums.carried * c[EXCHANGE] / sites, by_sums.cathodic * c[EXCHANGE] / sites
    shift, stiffness, weight = work.rows[9, :columns], work.rows[10, :columns], work.rows[11, :columns]
    plated, stripped, by_shift = work.rows[12, :columns], work.rows[13, :columns], work.rows[14, :columns]
    by_stiffness, by_weight, excited = work.rows[15, :columns], work.rows[16, :columns], work.rows[17, :columns]
    by_forward = work.rows[18, :columns]
    for row in adjoints.distance.reshape(-1, columns + 2):
        for i in range(columns + 2):
            row[i] = 0.0
    for row in adjoints.force.reshape(-1, columns + 2):
        for i in range(columns + 2):
            row[i] = 0.0
    if inside is None:
        by_c[SUPPLY] += by_sums.richest
    if cubic:
        fill_cubic(c[STRENGTH], c[COSINE], c[SINE], limit, work)
    for z in range(depth):
        for j in range(height):
            if not work.live[z, j]:
                continue
            number = z * height + j
            row, kappa, pull = xi[z + margin, j + 1], work.curvature[z, j], adjoints.curvature[z, j]
            forward, backward, given = work.forward[z, j], work.backward[z, j], noise[z, j]
            by_force = adjoints.force[z + margin, j + 1, 1:-1]
            target, by_noise = adjoints.order_parameter[z + margin, j + 1], adjoints.noise[z, j]
            weights(row, grid, weight)
            row_shift(z, j, inside, c, grid, work, weight, shift, stiffness)
            for i in range(columns):
                by_forward[i] = plate * pull[i] + carried
            for i in range(columns):
                excited[i] = pull[i]
            if inside is not None:
                moved = by_growth[z, j]
                for i in range(columns):
                    by_forward[i] += (plate + repair_per_rate) * moved[i]
                    excited[i] += moved[i]
            for i in range(columns):
                plated[i] = forward[i] * by_forward[i]
            for i in range(columns):
                stripped[i] = backward[i] * (by_sums.anodic * c[EXCHANGE] / sites - strip * excited[i])
            if inside is None:
                by_supply = 0.0
                for i in range(columns):
                    plated[i] += forward[i] * found
                    by_supply += plated[i]
                by_c[SUPPLY] += by_supply / c[SUPPLY]
            else:
                concentration, attracted, to_concentration = inside[0, z, j], affinity[z, j], by_inside[0, z, j]
                if stiff:
                    own_plated, own_stripped = drawn[0, z, j], drawn[1, z, j]
                    for i in range(columns):
                        plated[i] += concentration[i] * attracted[i] * found + own_plated[i]
                        stripped[i] += own_stripped[i]
                        to_concentration[i] += attracted[i] * found
                else:
                    for i in range(columns):
                        plated[i] += forward[i] * found
                        to_concentration[i] += attracted[i] * (by_forward[i] + found)
            for i in range(columns):
                by_force[i] = pace.substep * pace.relaxation * pull[i] + by_sums.force / sites
            for i in range(columns):
                excited[i] = c[AGITATION] * pace.substep * excited[i] + by_sums.noise / sites
            if inside is not None and stiff:
                own_pull = drawn[2, z, j]
                for i in range(columns):
                    excited[i] += c[AGITATION] * own_pull[i]
            for i in range(columns):
                by_noise[i] += weight[i] * excited[i]
            for i in range(columns):
                by_shift[i] = (1 - alpha) * stripped[i] - alpha * plated[i]
            if number == sums.low_row:
                by_shift[shift.argmin()] += by_sums.low
            if number == sums.high_row:
                by_shift[shift.argmax()] += by_sums.high
            if number == sums.loudest_row:
                best = 0
                for i in range(columns):
                    if weight[i] > 0 and (weight[best] == 0 or abs(given[i]) > abs(given[best])):
                        best = i
                by_noise[best] += by_sums.loudest * (1.0 if given[best] > 0 else -1.0)
            by_alpha = by_capillary = 0.0
            for i in range(columns):
                by_alpha -= shift[i] * (plated[i] + stripped[i])
            if cubic:
                weighted = work.cubic[0, z, j]
                for i in range(columns):
                    by_capillary += by_shift[i] * weighted[i] if weight[i] > 0 else 0.0
            else:
                for i in range(columns):
                    by_capillary += by_shift[i] * kappa[i] * (stiffness[i] if grid.anisotropic else 1.0)
            by_c[ALPHA] += by_alpha
            by_c[CAPILLARY] += by_capillary
            if inside is not None:
                to_potential = by_inside[1, z, j]
                for i in range(columns):
                    to_potential[i] -= by_shift[i] if weight[i] > 0 else 0.0
                if number == sums.richest_row:
                    best = 0
                    for i in range(columns):
                        if weight[i] > 0 and (weight[best] == 0 or concentration[i] > concentration[best]):
                            best = i
                    to_concentration[best] += by_sums.richest
            for i in range(columns):
                profile = 1 + correction * (1 - 6 * row[i + 1] * (1 - row[i + 1]))
                on = 1 / weight[i] if weight[i] > 0 else 0.0
                by_weight[i] = (plated[i] + stripped[i]) * on
                by_weight[i] += (excited[i] * given[i] + by_force[i] * kappa[i] * profile) if weight[i] > 0 else 0.0
            for i in range(columns):
                phi = 2 * row[i + 1] - 1
                square = phi * phi
                under = 1 / (1 - t2 * square)
                well = 2 * t2 * under * (1 - 3 * square + 2 * t2 * square * (1 - square) * under)
                repair = well + 6 * correction * weight[i] * kappa[i] * phi
                target[i + 1] += repair * by_force[i] - 4 / grid.width * phi * by_weight[i]
            stiffest = -1
            if grid.anisotropic and number == sums.stiffest_row:
                stiffest = 0
                for i in range(columns):
                    if weight[i] > 0 and (weight[stiffest] == 0 or stiffness[i] > stiffness[stiffest]):
                        stiffest = i
            if cubic:
                by_weighted, by_curvature, by_most = work.cubic[0, z, j], work.cubic[1, z, j], work.cubic[2, z, j]
                for i in range(columns):
                    by_most[i] = by_sums.stiffest if i == stiffest else 0.0
                for i in range(columns):
                    stiffness[i] = by_curvature[i]
                for i in range(columns):
                    by_weighted[i] = by_shift[i] * c[CAPILLARY] if weight[i] > 0 else 0.0
            for i in range(columns):
                profile = 1 + correction * (1 - 6 * row[i + 1] * (1 - row[i + 1]))
                ratio = stiffness[i] if grid.anisotropic else 1.0
                given_here = by_shift[i] * c[CAPILLARY] * ratio + by_force[i] * weight[i] * profile
                pull[i] = given_here if weight[i] > 0 and abs(kappa[i]) < limit else 0.0
            if grid.anisotropic and margin == 0:
                for i in range(columns):
                    by_stiffness[i] = by_shift[i] * c[CAPILLARY] * kappa[i] if weight[i] > 0 else 0.0
                if stiffest >= 0:
                    by_stiffness[stiffest] += by_sums.stiffest
                by_strength, by_cosine, by_sine = stiffness_reverse(
                    by_stiffness,
                    z,
                    j + 1,
                    c[STRENGTH],
                    c[COSINE],
                    c[SINE],
                    grid.fold,
                    stiffness,
                    work,
                    adjoints.distance,
                )
                by_c[STRENGTH] += by_strength
                by_c[COSINE] += by_cosine
                by_c[SINE] += by_sine
    if cubic:
        by_strength, by_angle = cubic_reverse(c[STRENGTH], c[COSINE], c[SINE], limit, work, adjoints.distance)
        by_c[STRENGTH] += by_strength
        by_c[COSINE] -= 0.25 * c[SINE] * by_angle
        by_c[SINE] += 0.25 * c[COSINE] * by_angle
    curvature_reverse(adjoints.curvature, margin, work, adjoints.distance)
    fold_ghosts(adjoints.distance, margin)
    fill_ghosts(adjoints.force, margin)
    laplacian = work.rows[9, :columns]
    for z in range(depth):
        for j in range(height):
            if not work.near[z, j]:
                continue
            row, target = xi[z + margin, j + 1], adjoints.order_parameter[z + margin, j + 1]
            by_distance = adjoints.distance[z + margin, j + 1]
            laplacian_row(adjoints.force, z + margin, j + 1, margin, laplacian)
            for i in range(columns):
                value = row[i + 1]
                slope = 0.25 * grid.width / (value * (1 - value)) if CLIP < value < 1 - CLIP else 0.0
                target[i + 1] += laplacian[i] + slope * by_distance[i + 1]
