"""Entry points: the sub-steps of one particle, forwards, and backwards from a checkpoint."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hmm_plating.compiled import inlined, kernel
from hmm_plating.transition.kernels.box import (
    advance_box,
    box_reverse,
    box_workspace,
    fill_growth,
    fill_mobility,
    growth_reverse,
    is_depleted,
)
from hmm_plating.transition.kernels.geometry import Work, add_row, fill_distance, fill_ghosts, workspace
from hmm_plating.transition.kernels.pace_reverse import carry_reverse, pace_reverse
from hmm_plating.transition.kernels.reaction import Reaction, is_stiff, react, react_reverse, reaction_workspace
from hmm_plating.transition.kernels.reverse import Adjoints, rates_reverse, reacting_reverse, update_reverse
from hmm_plating.transition.kernels.substep import apply_rates, carry, fill_rates, set_pace

DEPLETED, NOT_CONVERGED = 1.0, 2.0


class Tape(NamedTuple):
    """What `reverse` notes of each sub-step from a checkpoint on, in memory that is faulted in once for all of them."""

    states: np.ndarray  # ξ, padded, and that after the last
    fields: np.ndarray  # curvature, forward, backward and force (4, z, y, x)
    live: np.ndarray  # (z, y)
    near: np.ndarray  # (z, y)
    times: np.ndarray  # left
    insides: np.ndarray | None  # c̃ and ψ (2, z, y, x), and those after the last
    reactions: np.ndarray | None  # affinity and c̃* (2, z, y, x)


def blank_tape(most: int, field: np.ndarray, inside: np.ndarray | None, margin: int) -> Tape:
    """A tape for `most` sub-steps of one particle; ξ (z, y, x), c̃ and ψ (2, z, y, x)."""
    depth, height, width = field.shape
    return Tape(
        np.empty((most + 1, depth + 2 * margin, height + 2, width + 2)),
        np.empty((most, 4, depth, height, width)),
        np.empty((most, depth, height), np.bool_),
        np.empty((most, depth, height), np.bool_),
        np.empty(most),
        None if inside is None else np.empty((most + 1, *inside.shape)),
        None if inside is None else np.empty((most, 2, depth, height, width)),
    )


@inlined
def may_run(xi, margin, on_base, rows):
    """A surface is there and the window need not shift (`moving_window.must_shift`); `xi` padded."""
    height = xi.shape[1] - 2
    metal = False
    for z in range(margin, xi.shape[0] - margin):
        for j in range(height):
            row, filled = xi[z, j + 1], 0
            for i in range(1, row.size - 1):
                filled += 1 if row[i] > 0.5 else 0
            if filled > 0:
                metal = True
                if j >= height - 2 * rows:
                    return False
            if on_base and j < rows and filled < row.size - 2:
                return False
    return metal


@inlined
def padded(field, margin):
    """A padded copy of (z, y, x)."""
    depth, height, width = field.shape
    out = np.empty((depth + 2 * margin, height + 2, width + 2))
    for z in range(depth):
        for j in range(height):
            for i in range(width):
                out[z + margin, j + 1, i + 1] = field[z, j, i]
    fill_ghosts(out, margin)
    return out


@inlined
def store(xi, margin, field):
    """The inner part of a padded array."""
    for z in range(field.shape[0]):
        for j in range(field.shape[1]):
            for i in range(field.shape[2]):
                field[z, j, i] = xi[z + margin, j + 1, i + 1]


@inlined
def lateral_wave_number(field):
    """Least wave number of a box (z, y, x) [1/cell]: along its width, its depth, or from bottom to top."""
    least = min(2 * math.pi / field.shape[2], 0.5 * math.pi / field.shape[1])
    return min(least, 2 * math.pi / field.shape[0]) if field.shape[0] > 1 else least


@inlined
def move(xi, former, inside, sums, pace, noise, c, grid, work, reaction, box):
    """A sub-step from its rates and pace: ξ (padded), c̃ and ψ in place; `former` a copy of ξ.

    Returns the pace, the thickness deposited, whether the reaction was stiff, and whether all solves converged.
    """
    stiff, good = False, True
    if inside is not None:
        stiff = is_stiff(sums, pace, lateral_wave_number(work.force), c)
        if stiff:
            cathodic, good = react(xi, inside[0], noise, pace, grid, c, work, reaction, box)
            pace = carry(pace, cathodic, sums, c, grid)
    grown = apply_rates(xi, noise, pace, c, grid, work)
    if inside is not None:
        fill_mobility(xi, grid.margin, box)
        fill_growth(former, xi, noise, pace, c, grid, work, box)
        good = advance_box(inside, pace.substep, c, box) and good
    return pace, grown, stiff, good


@kernel
def advance(field, inside, progress, noise, c, grid, on_base, rows, most):
    """At most `most` sub-steps of one particle.

    Args:
        field: ξ (z, y, x), changed in place.
        inside: c̃ and ψ in the box (2, z, y, x), changed in place, or None where they are those at its top.
        progress: demand, time left, overpotential, number of sub-steps and status (0, or why it stopped), in place.
        noise: (z, y, x).
        c: coefficients.
        grid: Grid.
        on_base: whether rigid metal lies below.
        rows: margin of the window, see `must_shift`.
        most: sub-steps.
    """
    work, xi, taken = workspace(*field.shape), padded(field, grid.margin), 0
    box = None if inside is None else box_workspace(*field.shape)
    reaction = None if inside is None else reaction_workspace(*field.shape)
    former = None if inside is None else xi.copy()
    while taken < most and progress[1] > 0 and may_run(xi, grid.margin, on_base, rows):
        sums = fill_rates(xi, inside, reaction, noise, c, grid, work)
        if sums.cathodic <= 0:
            progress[4] = DEPLETED
            break
        if inside is not None:
            copy_to(xi, former)
        pace = set_pace(sums, progress[0], progress[1], progress[2], c, grid)
        pace, grown, _, good = move(xi, former, inside, sums, pace, noise, c, grid, work, reaction, box)
        progress[0] -= grown
        if not good:
            progress[4] = NOT_CONVERGED
            break
        if inside is not None and is_depleted(xi, inside[0], grid.margin):
            progress[4] = DEPLETED
            break
        progress[1] = 0.0 if pace.last else progress[1] - pace.substep
        progress[2] = pace.overpotential
        taken += 1
    progress[3] += taken
    store(xi, grid.margin, field)


@kernel
def reverse(
    field, inside, progress, noise, c, grid, on_base, rows, tape, by_field, by_inside, by_progress, by_noise, by_c
):
    """The reverse of `advance` from the same start, which is kept; derivatives `by_…` of the shapes of their variables.

    It advances as many sub-steps as the tape has room for.

    `by_field`, `by_inside` and `by_progress` come with respect to the results and leave with respect to the start;
    `by_noise` and `by_c` are added to. Returns whether all solves converged.
    """
    margin, xi = grid.margin, padded(field, grid.margin)
    spare = workspace(*field.shape)
    states, fields, live, near, times = tape.states, tape.fields, tape.live, tape.near, tape.times
    insides, reactions, most = tape.insides, tape.reactions, len(tape.times)
    demand, left, y, taken = progress[0], progress[1], progress[2], 0
    all_sums, paces = [], []
    box = None if inside is None else box_workspace(*field.shape)
    drawn = None if inside is None else np.empty((3, *field.shape))
    by_growth = None if inside is None else np.empty(field.shape)
    sites = field.shape[0] * field.shape[2]
    stiff = np.zeros(most, np.bool_)
    if inside is not None:
        consumption, given = np.empty(field.shape), np.empty(field.shape)
        by_mobility = np.empty(field.shape)
        solutions, predicted = np.zeros(inside.shape), np.zeros(field.shape)
        copy_to(inside, insides[0])
    while taken < most and left > 0 and may_run(xi, margin, on_base, rows):
        k = taken
        states[k] = xi
        work = Work(
            spare.distance, fields[k, 0], fields[k, 1], fields[k, 2], fields[k, 3], live[k], near[k], spare.rows,
            spare.cubic,
        )  # fmt: skip
        reaction = None if inside is None else Reaction(reactions[k, 0], reactions[k, 1], consumption)
        if inside is not None:
            copy_to(insides[k], insides[k + 1])
        own = None if inside is None else insides[k + 1]
        sums = fill_rates(xi, own, reaction, noise, c, grid, work)
        pace = set_pace(sums, demand, left, y, c, grid)
        pace, grown, stiff[k], _ = move(xi, states[k], own, sums, pace, noise, c, grid, work, reaction, box)
        all_sums.append(sums)
        paces.append(pace)
        times[k] = left
        demand -= grown
        left = 0.0 if pace.last else left - pace.substep
        y = pace.overpotential
        taken += 1
    states[taken] = xi
    adjoints = Adjoints(
        padded(by_field, margin), np.empty_like(xi), np.empty_like(xi), np.empty(field.shape), by_noise, by_c
    )
    good = True
    for k in range(taken - 1, -1, -1):
        xi, sums, pace = states[k], all_sums[k], paces[k]
        work = Work(
            spare.distance, fields[k, 0], fields[k, 1], fields[k, 2], fields[k, 3], live[k], near[k], spare.rows,
            spare.cubic,
        )  # fmt: skip
        own = None if inside is None else insides[k]
        affinity = None if inside is None else reactions[k, 0]
        by_thickness, repair_per_rate = -by_progress[0], 0.0
        if inside is not None:
            fill_mobility(states[k + 1], margin, box)
            repaired, cathodic = fill_growth(xi, states[k + 1], noise, pace, c, grid, work, box)
            solved = box_reverse(
                insides[k], insides[k + 1], by_inside, pace.substep, c, box, solutions, by_c, by_mobility, by_growth
            )
            good = good and solved
            add_inner(adjoints.order_parameter, -1.0, by_mobility, margin)
            by_thickness += growth_reverse(cathodic, work, by_growth) * sites
            repair_per_rate = repaired / cathodic
        fill_distance(xi, margin, grid.width, work)
        pulls = update_reverse(xi, noise, pace, c, grid, work, by_thickness, by_growth, adjoints)
        by_carry = carry_reverse(pulls, sums, pace, by_progress[2], c, grid, by_c)
        by_first = by_carry.first_overpotential
        if inside is not None and stiff[k]:
            reaction = Reaction(reactions[k, 0], reactions[k, 1], consumption)
            reacting_reverse(
                adjoints.curvature, by_growth, repair_per_rate, pace, by_carry.cathodic, c, work, affinity, given
            )
            more_first, solved = react_reverse(
                xi,
                insides[k, 0],
                noise,
                pace,
                grid,
                c,
                work,
                reaction,
                box,
                given,
                predicted,
                by_c,
                by_inside[0],
                drawn,
            )
            good = good and solved
            by_first += more_first
            add_inner(adjoints.order_parameter, -1.0, given, margin)
        by_sums = pace_reverse(by_carry, by_first, sums, pace, by_progress[0], times[k], c, grid, by_c)
        rates_reverse(
            xi,
            own,
            affinity,
            drawn,
            stiff[k],
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
        )
        by_progress[0], by_progress[2] = by_sums.demand, by_sums.overpotential
    store(adjoints.order_parameter, margin, by_field)
    return good


@inlined
def copy_to(source, target):
    """Copy an array into another of the same shape."""
    from_row, to_row = source.reshape(-1), target.reshape(-1)
    for i in range(from_row.size):
        to_row[i] = from_row[i]


@inlined
def add_inner(target, factor, field, margin):
    """Add a field (z, y, x) to the inner part of a padded one."""
    for z in range(field.shape[0]):
        for j in range(field.shape[1]):
            add_row(target[z + margin, j + 1, 1:-1], factor, field[z, j])
