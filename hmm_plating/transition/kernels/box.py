"""Concentration and potential inside the box after a sub-step, and their reverse.

    s c̃' − ∇·(1 − ξ)∇c̃' = s (c̃ − r G),     −∇·(1 − ξ)∇ψ' = −P G/Δt
    G = (w v + w n)Δt + a Σ R,     R = Δξ − (w v + w n)Δt

in cells, with s = 1/(DΔt), r = (1 − t₊) c_s/c0 and P = zF/(RT) zF c_s/σ; ψ = zFφ/(RT) less that at the box top. R is
what the profile's repair moves. It may make metal where no ion is left, as in a fjord that closes, so its ions are
taken where the reaction runs, by the share a of the cathodic rates, and ΣG = ΣΔξ: the books close to round-off. The sum
of these rates is positive whatever the current, because the overpotential cancels; a sub-step without is refused.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import called
from hmm_plating.transition.kernels.conductances import LEAK
from hmm_plating.transition.kernels.elliptic import reached, solve
from hmm_plating.transition.kernels.geometry import ACTIVE
from hmm_plating.transition.kernels.levels import Workspace, workspace
from hmm_plating.transition.kernels.substep import (
    AGITATION,
    ALPHA,
    DIFFUSIVITY,
    EXCHANGE,
    OHMIC,
    RATIO,
    SUPPLY,
    weights,
)

TOLERANCE, MOST = 1e-9, 60
LEAST_POTENTIAL = 0.01  # of ψ; to `TOLERANCE` of that it is solved, however small the current makes it
LEAST_CONCENTRATION = -0.02  # c̃ at the surface, below which the drive, not the splitting of a sub-step, has emptied it


class Box(NamedTuple):
    """Arrays of the solves; fields (z, y, x), the conductance of the top (z, x)."""

    mobility: np.ndarray
    source: np.ndarray
    sink: np.ndarray
    growth: np.ndarray
    top: np.ndarray
    space: Workspace


@called
def box_workspace(depth, height, width):
    """Allocate `Box`."""
    shape = (depth, height, width)
    return Box(
        np.empty(shape),
        np.empty(shape),
        np.zeros(shape),
        np.empty(shape),
        np.empty((depth, width)),
        workspace(depth, height, width),
    )


@called
def fill_mobility(xi, margin, box):
    """1 − ξ; `xi` padded."""
    depth, height, width = box.mobility.shape
    for z in range(depth):
        for j in range(height):
            row, target = xi[z + margin, j + 1], box.mobility[z, j]
            for i in range(width):
                target[i] = 1 - row[i + 1]
        target, edge = box.mobility[z, height - 1], box.top[z]
        for i in range(width):
            edge[i] = 2 * (target[i] + LEAK)


@called
def fill_growth(before, xi, noise, pace, c, grid, work, box):
    """G of the sub-step from ξ before and after, both padded; returns Σ R and the sum of the cathodic rates."""
    plate = pace.substep * c[EXCHANGE] * math.exp(-c[ALPHA] * pace.overpotential)
    strip = pace.substep * c[EXCHANGE] * math.exp((1 - c[ALPHA]) * pace.overpotential)
    agitation, weight = pace.substep * c[AGITATION], work.rows[11, : noise.shape[2]]
    repaired = cathodic = 0.0
    for z in range(box.growth.shape[0]):
        for j in range(box.growth.shape[1]):
            target = box.growth[z, j]
            if not work.live[z, j]:
                for i in range(target.size):
                    target[i] = 0.0
                continue
            old, new, given = before[z + grid.margin, j + 1], xi[z + grid.margin, j + 1], noise[z, j]
            forward, backward = work.forward[z, j], work.backward[z, j]
            weights(old, grid, weight)
            for i in range(target.size):
                target[i] = plate * forward[i] - strip * backward[i] + agitation * weight[i] * given[i]
            for i in range(target.size):
                repaired += new[i + 1] - old[i + 1] - target[i]
                cathodic += forward[i]
    for z in range(box.growth.shape[0]):
        for j in range(box.growth.shape[1]):
            if work.live[z, j]:
                add_field(box.growth[z, j], repaired / cathodic, work.forward[z, j])
    return repaired, cathodic


@called
def growth_reverse(cathodic, work, by_growth):
    """Through `fill_growth`: `by_growth` (z, y, x) becomes derivatives with respect to (w v + w n)Δt at given Δξ.

    Returns that with respect to each Δξ, Σ a by_growth.
    """
    mean = 0.0
    for z in range(by_growth.shape[0]):
        for j in range(by_growth.shape[1]):
            if work.live[z, j]:
                target, forward = by_growth[z, j], work.forward[z, j]
                for i in range(target.size):
                    mean += forward[i] * target[i]
    mean /= cathodic
    for z in range(by_growth.shape[0]):
        for j in range(by_growth.shape[1]):
            target = by_growth[z, j]
            for i in range(target.size):
                target[i] = target[i] - mean if work.live[z, j] else 0.0
    return mean


@called
def is_depleted(xi, concentration, margin):
    """Whether c̃ (z, y, x) is below `LEAST_CONCENTRATION` somewhere on the liquid side of the interface; `xi` padded."""
    for z in range(concentration.shape[0]):
        for j in range(concentration.shape[1]):
            row, own, least = xi[z + margin, j + 1], concentration[z, j], 0.0
            for i in range(own.size):
                value = row[i + 1]
                if value < 0.5 and value * (1 - value) > ACTIVE:
                    least = min(least, own[i])
            if least < LEAST_CONCENTRATION:
                return True
    return False


@called
def add_field(target, factor, field):
    """target += factor field."""
    to, given = target.reshape(-1), field.reshape(-1)
    for i in range(to.size):
        to[i] += factor * given[i]


@called
def advance_box(fields, substep, c, box):
    """Solve for concentration and potential (2, z, y, x) in place; returns whether both were found."""
    storage, found = 1 / (c[DIFFUSIVITY] * substep), True
    # where storage is small, ψ follows c̃: the change of one is a start for that of the other
    follows = c[OHMIC] * c[DIFFUSIVITY] / c[RATIO]
    if c[OHMIC] > 0:
        add_field(fields[1], -follows, fields[0])
    for part in range(2 if c[OHMIC] > 0 else 1):
        field, keep, rate = fields[part], storage, storage * c[RATIO]
        if part == 1:
            keep, rate = 0.0, c[OHMIC] / substep
        for z in range(field.shape[0]):
            for j in range(field.shape[1]):
                row, grown, target = field[z, j], box.growth[z, j], box.source[z, j]
                for i in range(row.size):
                    target[i] = keep * row[i] - rate * grown[i]
        top, potential = c[SUPPLY] if part == 0 else 0.0, part == 1
        size = LEAST_POTENTIAL if potential else 0.0
        _, residual = solve(
            field, box.mobility, keep, box.sink, box.source, top, box.top, TOLERANCE, MOST, box.space, potential, size
        )
        found = found and reached(residual, TOLERANCE)
        if part == 0 and c[OHMIC] > 0:
            add_field(fields[1], follows, fields[0])
    return found


@called
def pair_row(own, other, found, there, target, factor):
    """target += factor (λ − λ')(u − u') over a row of faces: what the conductance of a face is worth."""
    for i in range(target.size):
        target[i] += factor * (own[i] - other[i]) * (found[i] - there[i])


@called
def conductance_reverse(adjoint, solution, top_value, box, out):
    """out = −λᵀ (∂A/∂a) u per cell, `out` (z, y, x); returns the derivative with respect to the top value."""
    depth, height, width = solution.shape
    by_top = 0.0
    for z in range(depth):
        behind, ahead = (z + 1) % depth, (z - 1) % depth
        for j in range(height):
            target, own, found = out[z, j], adjoint[z, j], solution[z, j]
            for i in range(width):
                target[i] = 0.0
            if width > 1:
                pair_row(own[:-1], own[1:], found[:-1], found[1:], target[:-1], -0.5)
                pair_row(own[1:], own[:-1], found[1:], found[:-1], target[1:], -0.5)
                edge = 0.5 * (own[0] - own[width - 1]) * (found[0] - found[width - 1])
                target[0] -= edge
                target[width - 1] -= edge
            if j > 0:
                pair_row(own, adjoint[z, j - 1], found, solution[z, j - 1], target, -0.5)
            if j < height - 1:
                pair_row(own, adjoint[z, j + 1], found, solution[z, j + 1], target, -0.5)
            else:
                edge_row = box.top[z]
                for i in range(width):
                    target[i] -= 2 * own[i] * (found[i] - top_value)
                    by_top += edge_row[i] * own[i]
            if depth > 1:
                pair_row(own, adjoint[behind, j], found, solution[behind, j], target, -0.5)
                pair_row(own, adjoint[ahead, j], found, solution[ahead, j], target, -0.5)
    return by_top


@called
def box_reverse(before, after, adjoints, substep, c, box, solutions, by_c, by_mobility, by_growth):
    """Through `advance_box`.

    Args:
        before, after: concentration and potential (2, z, y, x).
        adjoints: derivatives with respect to `after` on entry, to `before` on return.
        solutions: of the two adjoint solves (2, z, y, x), which start from what it holds.
        by_c: derivatives with respect to the coefficients, added to.
        by_mobility, by_growth: (z, y, x), overwritten. `box.growth` and `box.mobility` are those of the sub-step.

    Returns:
        whether both solves converged.
    """
    storage, good = 1 / (c[DIFFUSIVITY] * substep), True
    parts = 2 if c[OHMIC] > 0 else 1
    for z in range(by_growth.shape[0]):
        for j in range(by_growth.shape[1]):
            for i in range(by_growth.shape[2]):
                by_growth[z, j, i] = by_mobility[z, j, i] = 0.0
    for part in range(parts):
        keep, rate = storage, storage * c[RATIO]
        if part == 1:
            keep, rate = 0.0, c[OHMIC] / substep
        given, found, old = adjoints[part], after[part], before[part]
        solution = solutions[part]
        _, residual = solve(
            solution, box.mobility, keep, box.sink, given, 0.0, box.top, TOLERANCE, MOST, box.space, part == 1
        )
        good = good and reached(residual, TOLERANCE)
        by_top = conductance_reverse(solution, found, c[SUPPLY] if part == 0 else 0.0, box, box.source)
        by_rate = by_keep = 0.0
        for z in range(found.shape[0]):
            for j in range(found.shape[1]):
                own, grown, to_mobility = solution[z, j], box.growth[z, j], by_mobility[z, j]
                to_growth, worth, target = by_growth[z, j], box.source[z, j], given[z, j]
                for i in range(own.size):
                    to_mobility[i] += worth[i]
                for i in range(own.size):
                    to_growth[i] -= rate * own[i]
                for i in range(own.size):
                    by_rate -= own[i] * grown[i]
                new_row, old_row = found[z, j], old[z, j]
                for i in range(own.size):
                    by_keep += own[i] * (old_row[i] - new_row[i])
                for i in range(own.size):
                    target[i] = keep * own[i]
        if part == 0:
            by_c[SUPPLY] += by_top
            by_c[RATIO] += storage * by_rate
            by_c[DIFFUSIVITY] -= (by_keep + c[RATIO] * by_rate) * storage / c[DIFFUSIVITY]
        else:
            by_c[OHMIC] += by_rate / substep
    if parts == 1:
        for z in range(by_growth.shape[0]):
            for j in range(by_growth.shape[1]):
                for i in range(by_growth.shape[2]):
                    adjoints[1, z, j, i] = 0.0
    return good
