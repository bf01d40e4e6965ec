"""One explicit sub-step of one particle: the equations of `reference`, row by row."""

from __future__ import annotations

import math
from typing import NamedTuple

from hmm_plating.compiled import called, inlined
from hmm_plating.transition.kernels.anisotropy import stiffness_row
from hmm_plating.transition.kernels.cubic import fill_cubic
from hmm_plating.transition.kernels.curvature import fill_curvature
from hmm_plating.transition.kernels.functions import exponential
from hmm_plating.transition.kernels.geometry import ACTIVE, fill_distance, fill_ghosts, find_rows, laplacian_row
from hmm_plating.transition.kernels.overpotential import solve_overpotential

PROFILE_RELAXATION = 0.5  # b / (ℓ max|v|)
# rows of the coefficients of a particle
EXCHANGE, STRENGTH, COSINE, SINE, AGITATION, CAPILLARY, ALPHA, SUPPLY, DIFFUSIVITY, RATIO, OHMIC = range(11)


class Grid(NamedTuple):
    """What does not change: ℓ in cells, ω_a, 1 in three dimensions."""

    width: float
    fold: int
    margin: int
    galvanostatic: bool  # the current is given
    anisotropic: bool  # the stiffness, or its derivative, is wanted


class Sums(NamedTuple):
    """Scalars of a sub-step; `low_row` and the like number the rows where an extreme was found, −1 for none.

    `richest` is the largest c̃ on the interface.
    """

    cathodic: float
    anodic: float
    noise: float
    force: float
    low: float
    high: float
    loudest: float
    stiffest: float
    richest: float
    low_row: int
    high_row: int
    loudest_row: int
    stiffest_row: int
    richest_row: int


class Pace(NamedTuple):
    """What the sums lead to: overpotential before and after the profile's repair, and the sub-step.

    `cathodic` is the sum of the rates with which the latter is found.
    """

    rate: float
    cathodic: float
    first_overpotential: float
    overpotential: float
    speed: float
    slope: float
    relaxation: float
    substep: float
    last: bool


@inlined
def largest_curvature(grid):
    """Bound of |κ|, 2/ℓ per lateral direction."""
    return (2 if grid.margin == 0 else 4) / grid.width


@inlined
def row_shift(z, j, inside, c, grid, work, weight, shift, stiffness):
    """Gibbs–Thomson shift less ψ of a live row, 0 off the interface, and its stiffness, if wanted.

    κ in `work.curvature` is already clipped; `work.cubic` is filled where it is wanted.
    """
    kappa = work.curvature[z, j]
    if grid.anisotropic and grid.margin == 1:
        weighted, most = work.cubic[0, z, j], work.cubic[2, z, j]
        for i in range(shift.size):
            stiffness[i] = most[i]
        for i in range(shift.size):
            shift[i] = c[CAPILLARY] * weighted[i] if weight[i] > 0 else 0.0
    elif grid.anisotropic:
        stiffness_row(work.distance, z, j + 1, c[STRENGTH], c[COSINE], c[SINE], grid.fold, work, stiffness)
        for i in range(shift.size):
            shift[i] = c[CAPILLARY] * stiffness[i] * kappa[i]
    else:
        for i in range(shift.size):
            shift[i] = c[CAPILLARY] * kappa[i]
    if inside is not None:
        potential = inside[1, z, j]
        for i in range(shift.size):
            shift[i] -= potential[i] if weight[i] > 0 else 0.0


@called
def weights(row, grid, out):
    """w = 4ξ(1 − ξ)/ℓ on the interface, else 0; `row` padded."""
    scale = 4 / grid.width
    for i in range(out.size):
        inside = row[i + 1] * (1 - row[i + 1])
        out[i] = scale * inside if inside > ACTIVE else 0.0


@inlined
def fill_force(xi, z, j, grid, work, weight):
    """∇²ξ − f(ξ) + wκ of a live row, `work.force`; wκ as the nine-point Laplacian has it, κ(w + w''/6)."""
    force, kappa, row = work.force[z, j], work.curvature[z, j], xi[z + grid.margin, j + 1]
    laplacian_row(xi, z + grid.margin, j + 1, grid.margin, force)
    t2 = math.tanh(2 / grid.width) ** 2
    correction = 8 / (3 * grid.width**2)
    for i in range(force.size):
        phi = 2 * row[i + 1] - 1
        square = phi * phi
        well = t2 * phi * (1 - square) / (1 - t2 * square)
        cancelled = weight[i] * kappa[i] * (1 + correction * (1 - 1.5 * (1 - square)))
        force[i] += well + cancelled


@inlined
def fill_rates(xi, inside, reaction, noise, c, grid, work):
    """Curvature, reaction rates and force of all live rows; returns their `Sums`.

    `xi` padded, its ghosts filled; `inside` c̃ and ψ in the box (2, z, y, x), and the `Reaction` whose affinity is
    filled, or both None where c̃ and ψ are those at the top.
    """
    depth, height, columns = work.force.shape
    sites = depth * columns
    find_rows(xi, grid.margin, work)
    fill_distance(xi, grid.margin, grid.width, work)
    fill_curvature(grid.margin, work)
    limit = largest_curvature(grid)
    if grid.anisotropic and grid.margin == 1:
        fill_cubic(c[STRENGTH], c[COSINE], c[SINE], limit, work)
    shift, stiffness, weight, power, factor = (
        work.rows[9, :columns],
        work.rows[10, :columns],
        work.rows[11, :columns],
        work.rows[12, :columns],
        work.rows[13, :columns],
    )
    cathodic = anodic = agitation = repair = low = high = loudest = 0.0
    stiffest = 0.0 if grid.anisotropic else 1.0
    low_row = high_row = loudest_row = stiffest_row = richest_row = -1
    richest = 0.0
    if inside is None:
        richest = c[SUPPLY]
    for z in range(depth):
        for j in range(height):
            if not work.live[z, j]:
                continue
            weights(xi[z + grid.margin, j + 1], grid, weight)
            kappa, forward, backward = work.curvature[z, j], work.forward[z, j], work.backward[z, j]
            for i in range(columns):
                kappa[i] = min(max(kappa[i], -limit), limit) if weight[i] > 0 else 0.0
            row_shift(z, j, inside, c, grid, work, weight, shift, stiffness)
            fill_force(xi, z, j, grid, work, weight)
            for i in range(columns):
                backward[i] = -c[ALPHA] * shift[i]
            exponential(backward, power, factor)
            exponential(shift, power, backward)
            for i in range(columns):
                backward[i] *= weight[i] * factor[i]
            number = z * height + j
            if inside is None:
                for i in range(columns):
                    forward[i] = c[SUPPLY] * weight[i] * factor[i]
            else:
                concentration, attracted, row_rich = inside[0, z, j], reaction.affinity[z, j], 0.0
                for i in range(columns):
                    attracted[i] = weight[i] * factor[i]
                    forward[i] = concentration[i] * attracted[i]
                for i in range(columns):
                    row_rich = max(row_rich, concentration[i] if weight[i] > 0 else 0.0)
                if row_rich > richest:
                    richest, richest_row = row_rich, number
            row_low = row_high = row_loud = row_stiff = row_c = row_a = row_n = row_f = 0.0
            given, force = noise[z, j], work.force[z, j]
            beyond = 0  # counted first: an extreme is not made vector code, and few rows hold a new one
            for i in range(columns):
                beyond += 1 if shift[i] < low or shift[i] > high else 0
            for i in range(columns if beyond > 0 else 0):
                row_low, row_high = min(row_low, shift[i]), max(row_high, shift[i])
            beyond = 0
            for i in range(columns):
                beyond += 1 if weight[i] > 0 and abs(given[i]) > loudest else 0
            for i in range(columns if beyond > 0 else 0):
                row_loud = max(row_loud, abs(given[i]) if weight[i] > 0 else 0.0)
            for i in range(columns):
                row_c += forward[i]
                row_a += backward[i]
                row_n += weight[i] * given[i]
                row_f += force[i]
            if grid.anisotropic:
                for i in range(columns):
                    row_stiff = max(row_stiff, stiffness[i] if weight[i] > 0 else 0.0)
            if row_low < low:
                low, low_row = row_low, number
            if row_high > high:
                high, high_row = row_high, number
            if row_loud > loudest:
                loudest, loudest_row = row_loud, number
            if row_stiff > stiffest:
                stiffest, stiffest_row = row_stiff, number
            cathodic += row_c
            anodic += row_a
            agitation += row_n
            repair += row_f
    return Sums(
        c[EXCHANGE] * cathodic / sites,
        c[EXCHANGE] * anodic / sites,
        agitation / sites,
        repair / sites,
        low,
        high,
        loudest,
        stiffest,
        richest,
        low_row,
        high_row,
        loudest_row,
        stiffest_row,
        richest_row,
    )


@inlined
def set_pace(sums, demand, time_left, overpotential, c, grid):
    """Overpotential that carries the current, coefficient of the profile's repair, and length of the sub-step."""
    alpha, exchange, width = c[ALPHA], c[EXCHANGE], grid.width
    beta = 1 - alpha
    rate = demand / time_left - c[AGITATION] * sums.noise
    first = overpotential
    if grid.galvanostatic:
        first = solve_overpotential(sums.cathodic, sums.anodic, rate, alpha)
    speed = slope = 0.0
    for shift in (sums.low, sums.high):
        plate = exchange * sums.richest * math.exp(-alpha * (first + shift))
        strip = exchange * math.exp(beta * (first + shift))
        speed = max(speed, abs(plate - strip))
        slope = max(slope, alpha * plate + beta * strip)
    speed += c[AGITATION] * sums.loudest
    diffusivity = c[CAPILLARY] * sums.stiffest * slope
    relaxation = PROFILE_RELAXATION * width * speed + diffusivity
    t2 = math.tanh(2 / width) ** 2
    longest = largest_substep(relaxation, speed, diffusivity, width, 4 * t2 / (1 - t2), grid.margin)
    count = max(math.ceil(time_left / longest), 1)
    start = Pace(rate, sums.cathodic, first, first, speed, slope, relaxation, time_left / count, count == 1)
    return carry(start, sums.cathodic, sums, c, grid)


@inlined
def carry(pace, cathodic, sums, c, grid):
    """The pace with the overpotential at which the rates carry the current, the profile's repair included."""
    y = pace.overpotential
    if grid.galvanostatic:
        y = solve_overpotential(cathodic, sums.anodic, pace.rate - pace.relaxation * sums.force, c[ALPHA])
    return Pace(
        pace.rate,
        cathodic,
        pace.first_overpotential,
        y,
        pace.speed,
        pace.slope,
        pace.relaxation,
        pace.substep,
        pace.last,
    )


@inlined
def largest_substep(relaxation, speed, capillary_diffusivity, width, well_slope, margin):
    """Time within which every weight of the explicit update stays positive (cells, seconds).

    10/3 and 4 are the centre weights of the nine- and nineteen-point Laplacians, 4 and 6 those of the curvature's.
    """
    centre, sides = (10 / 3, 4) if margin == 0 else (4.0, 6)
    rate = relaxation * (centre + well_slope + 2 * sides / width**2) + 4 * speed / width + sides * capillary_diffusivity
    return 0.9 / rate


@inlined
def apply_rates(xi, noise, pace, c, grid, work):
    """Update ξ (padded) in place; returns the thickness that was deposited."""
    depth, height, columns = work.force.shape
    plate = pace.substep * c[EXCHANGE] * math.exp(-c[ALPHA] * pace.overpotential)
    strip = pace.substep * c[EXCHANGE] * math.exp((1 - c[ALPHA]) * pace.overpotential)
    agitation, relaxation = pace.substep * c[AGITATION], pace.substep * pace.relaxation
    weight = work.rows[11, :columns]
    grown = 0.0
    for z in range(depth):
        for j in range(height):
            if not work.live[z, j]:
                continue
            row, given = xi[z + grid.margin, j + 1], noise[z, j]
            forward, backward, force = work.forward[z, j], work.backward[z, j], work.force[z, j]
            weights(row, grid, weight)
            row_grown = 0.0
            for i in range(columns):
                before = row[i + 1]
                change = plate * forward[i] - strip * backward[i] + agitation * weight[i] * given[i]
                after = min(max(before + change + relaxation * force[i], 0.0), 1.0)
                row_grown += after - before
                row[i + 1] = after
            grown += row_grown
    fill_ghosts(xi, grid.margin)
    return grown / (depth * columns)
