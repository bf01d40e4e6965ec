"""Concentration that a stiff reaction leaves at the surface during a sub-step, and its reverse.

    s c̃* + (r/D) g(c̃*) − ∇·(1 − ξ)∇c̃* = s c̃,     g = v0 w (c̃* e^{−α(y + shift)} − e^{β(y + shift)}) + w n

in cells, with the notation of `box`, ξ, c̃, shift and noise w n those before the sub-step and v0 = j0/(zF c_s): what the
reaction takes is proportional to the concentration that it finds, a sink on the diagonal; y carries the whole current.
The matrix is an M-matrix, so that c̃* stays bounded, and without noise positive, however fast the reaction is (Patankar,
Numerical Heat Transfer and Fluid Flow, 1980, section 7.2), and a sub-step may be as long as the front's motion allows.
What the surface then really gains at c̃* goes into the balance of `box`, which stays exact.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import called, inlined
from hmm_plating.transition.kernels.box import MOST, TOLERANCE, conductance_reverse, fill_mobility
from hmm_plating.transition.kernels.elliptic import reached, solve
from hmm_plating.transition.kernels.substep import AGITATION, ALPHA, DIFFUSIVITY, EXCHANGE, RATIO, SUPPLY, weights

FEEDBACK = 0.5  # of the rates on themselves through one sub-step's change of the concentration


class Reaction(NamedTuple):
    """Fields (z, y, x): w e^{−α·shift} of live rows, c̃*, and d."""

    affinity: np.ndarray
    reacting: np.ndarray
    consumption: np.ndarray


@called
def reaction_workspace(depth, height, width):
    """Allocate `Reaction`."""
    shape = (depth, height, width)
    return Reaction(np.empty(shape), np.empty(shape), np.empty(shape))


@inlined
def is_stiff(sums, pace, least, c):
    """Whether rates from the concentration before the sub-step would feed back on themselves too much within it.

    A wave of the rates at wave number q changes the concentration under it by K/(D (q + 1/sqrt(DΔt))); `least` is the
    least q of the box.
    """
    plating = c[RATIO] * c[EXCHANGE] * math.exp(-c[ALPHA] * (pace.first_overpotential + sums.low))
    excess = plating / (FEEDBACK * c[DIFFUSIVITY]) - least
    return excess > 0 and c[DIFFUSIVITY] * pace.substep * excess * excess > 1


@called
def rate_factors(y, c):
    """(r/D) v0 e^{−αy} and (r/D) v0 e^{βy}."""
    factor = c[RATIO] * c[EXCHANGE] / c[DIFFUSIVITY]
    return factor * math.exp(-c[ALPHA] * y), factor * math.exp((1 - c[ALPHA]) * y)


@called
def fill_consumption(y, c, work, reaction):
    """d, zero off the interface."""
    plate, _ = rate_factors(y, c)
    for z in range(reaction.consumption.shape[0]):
        for j in range(reaction.consumption.shape[1]):
            target, affinity = reaction.consumption[z, j], reaction.affinity[z, j]
            if work.live[z, j]:
                for i in range(target.size):
                    target[i] = plate * affinity[i]
            else:
                for i in range(target.size):
                    target[i] = 0.0


@called
def react(xi, concentration, noise, pace, grid, c, work, reaction, box):
    """Solve for c̃* and let `work.forward` be the rates at it.

    Args:
        xi: ξ before the sub-step, padded.
        concentration, noise: c̃ and noise (z, y, x).

    Returns:
        The sum of the cathodic rates, as in `Sums`, and whether the solution was found.
    """
    storage, (_, strip) = 1 / (c[DIFFUSIVITY] * pace.substep), rate_factors(pace.first_overpotential, c)
    taken = c[RATIO] / c[DIFFUSIVITY]
    agitation = taken * c[AGITATION]
    fill_mobility(xi, grid.margin, box)
    fill_consumption(pace.first_overpotential, c, work, reaction)
    weight = work.rows[11, : noise.shape[2]]
    for z in range(concentration.shape[0]):
        for j in range(concentration.shape[1]):
            row, target, start = concentration[z, j], box.source[z, j], reaction.reacting[z, j]
            for i in range(row.size):
                start[i] = row[i]
                target[i] = storage * row[i]
            if work.live[z, j]:
                backward, given = work.backward[z, j], noise[z, j]
                weights(xi[z + grid.margin, j + 1], grid, weight)
                for i in range(row.size):
                    target[i] += strip * backward[i] - agitation * weight[i] * given[i]
    found = reaction.reacting
    _, residual = solve(
        found, box.mobility, storage, reaction.consumption, box.source, c[SUPPLY], box.top, TOLERANCE, MOST, box.space
    )
    cathodic = 0.0
    for z in range(found.shape[0]):
        for j in range(found.shape[1]):
            if work.live[z, j]:
                row, affinity, forward, row_cathodic = found[z, j], reaction.affinity[z, j], work.forward[z, j], 0.0
                for i in range(row.size):
                    forward[i] = affinity[i] * row[i]
                for i in range(row.size):
                    row_cathodic += forward[i]
                cathodic += row_cathodic
    return c[EXCHANGE] * cathodic / (found.shape[0] * found.shape[2]), reached(residual, TOLERANCE)


@called
def react_reverse(
    xi, concentration, noise, pace, grid, c, work, reaction, box, given, solution, by_c, by_concentration, drawn
):
    """Through `react`.

    Args:
        given: derivatives with respect to c̃* (z, y, x), overwritten by those with respect to the mobility 1 − ξ.
        solution: of the adjoint solve, which starts from what it holds.
        by_c: derivatives with respect to the coefficients, added to.
        by_concentration: those with respect to c̃ (z, y, x), added to.
        drawn: derivatives with respect to the logarithms of `affinity` and `work.backward`, and to the noise's part
            of g (3, z, y, x), overwritten in live rows.

    Returns:
        The derivative with respect to the overpotential, and whether the solve converged.
    """
    storage, (_, strip) = 1 / (c[DIFFUSIVITY] * pace.substep), rate_factors(pace.first_overpotential, c)
    fill_mobility(xi, grid.margin, box)
    fill_consumption(pace.first_overpotential, c, work, reaction)
    _, residual = solve(
        solution, box.mobility, storage, reaction.consumption, given, 0.0, box.top, TOLERANCE, MOST, box.space
    )
    by_c[SUPPLY] += conductance_reverse(solution, reaction.reacting, c[SUPPLY], box, given)
    taken, weight = c[RATIO] / c[DIFFUSIVITY], work.rows[11, : noise.shape[2]]
    by_storage = by_plate = by_strip = by_noise = 0.0
    for z in range(given.shape[0]):
        for j in range(given.shape[1]):
            own, found, old, target = solution[z, j], reaction.reacting[z, j], concentration[z, j], drawn[0, z, j]
            lost, backward, other = reaction.consumption[z, j], work.backward[z, j], drawn[1, z, j]
            to = by_concentration[z, j]
            for i in range(own.size):
                to[i] += storage * own[i]
            for i in range(own.size):
                by_storage += own[i] * (old[i] - found[i])
            if work.live[z, j]:
                for i in range(own.size):
                    target[i] = -own[i] * found[i] * lost[i]
                    other[i] = strip * own[i] * backward[i]
                agitated, pull = noise[z, j], drawn[2, z, j]
                weights(xi[z + grid.margin, j + 1], grid, weight)
                for i in range(own.size):
                    pull[i] = -taken * own[i]
                for i in range(own.size):
                    by_plate += target[i]
                    by_strip += other[i]
                    by_noise += pull[i] * weight[i] * agitated[i]
    alpha, rates = c[ALPHA], by_plate + by_strip
    all_rates = rates + c[AGITATION] * by_noise
    by_c[ALPHA] -= pace.first_overpotential * rates
    by_c[RATIO] += all_rates / c[RATIO]
    by_c[EXCHANGE] += rates / c[EXCHANGE]
    by_c[AGITATION] += by_noise
    by_c[DIFFUSIVITY] -= (all_rates + storage * by_storage) / c[DIFFUSIVITY]
    return (1 - alpha) * by_strip - alpha * by_plate, reached(residual, TOLERANCE)
