"""Entry points: the sub-steps of one particle, forwards, and backwards from a checkpoint."""

from __future__ import annotations

import numpy as np

from hmm_plating.compiled import inlined, kernel
from hmm_plating.transition.kernels.geometry import Work, fill_distance, fill_ghosts, workspace
from hmm_plating.transition.kernels.reverse import Adjoints, pace_reverse, rates_reverse, update_reverse
from hmm_plating.transition.kernels.substep import apply_rates, fill_all_force, fill_rates, set_pace


@inlined
def may_run(xi, margin, on_base, rows):
    """A surface is there and the window need not shift (`moving_window.must_shift`); `xi` padded."""
    height = xi.shape[1] - 2
    metal = False
    for z in range(margin, xi.shape[0] - margin):
        for j in range(height):
            row = xi[z, j + 1]
            lowest, highest = 1.0, 0.0
            for i in range(1, row.size - 1):
                lowest, highest = min(lowest, row[i]), max(highest, row[i])
            if highest > 0.5:
                metal = True
                if j >= height - 2 * rows:
                    return False
            if on_base and j < rows and lowest <= 0.5:
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


@kernel
def advance(field, progress, noise, c, grid, on_base, rows, most):
    """At most `most` sub-steps of one particle.

    Args:
        field: ξ (z, y, x), changed in place.
        progress: demand, time left, overpotential and number of sub-steps, changed in place.
        noise: (z, y, x).
        c: coefficients.
        grid: Grid.
        on_base: whether rigid metal lies below.
        rows: margin of the window, see `must_shift`.
        most: sub-steps.
    """
    work, xi, taken = workspace(*field.shape), padded(field, grid.margin), 0
    while taken < most and progress[1] > 0 and may_run(xi, grid.margin, on_base, rows):
        sums = fill_rates(xi, noise, c, grid, work)
        pace = set_pace(sums, progress[0], progress[1], progress[2], c, grid)
        progress[0] -= apply_rates(xi, noise, pace, c, grid, work)
        progress[1] = 0.0 if pace.last else progress[1] - pace.substep
        progress[2] = pace.overpotential
        taken += 1
    progress[3] += taken
    store(xi, grid.margin, field)


@kernel
def reverse(field, progress, noise, c, grid, on_base, rows, most, by_field, by_progress, by_noise, by_c):
    """The reverse of `advance` from the same start, which is kept; derivatives `by_…` of the shapes of their variables.

    `by_field` and `by_progress` come with respect to the results and leave with respect to the start; `by_noise` and
    `by_c` are added to.
    """
    margin, xi = grid.margin, padded(field, grid.margin)
    spare = workspace(*field.shape)
    states, fields = np.empty((most, *xi.shape)), np.empty((most, 3, *field.shape))
    live, near = np.empty((most, *spare.live.shape), np.bool_), np.empty((most, *spare.live.shape), np.bool_)
    demand, left, y, taken = progress[0], progress[1], progress[2], 0
    all_sums, paces, times = [], [], np.empty(most)
    while taken < most and left > 0 and may_run(xi, margin, on_base, rows):
        k = taken
        states[k] = xi
        work = Work(spare.distance, fields[k, 0], fields[k, 1], fields[k, 2], spare.force, live[k], near[k], spare.rows)
        sums = fill_rates(xi, noise, c, grid, work)
        pace = set_pace(sums, demand, left, y, c, grid)
        all_sums.append(sums)
        paces.append(pace)
        times[k] = left
        taken += 1
        demand -= apply_rates(xi, noise, pace, c, grid, work)
        left = 0.0 if pace.last else left - pace.substep
        y = pace.overpotential
    adjoints = Adjoints(
        padded(by_field, margin), np.empty_like(xi), np.empty_like(xi), np.empty(field.shape), by_noise, by_c
    )
    for k in range(taken - 1, -1, -1):
        xi, sums, pace = states[k], all_sums[k], paces[k]
        work = Work(spare.distance, fields[k, 0], fields[k, 1], fields[k, 2], spare.force, live[k], near[k], spare.rows)
        fill_distance(xi, margin, grid.width, work)
        fill_all_force(xi, grid, work)
        pulls = update_reverse(xi, noise, pace, c, grid, work, -by_progress[0], adjoints)
        by_sums = pace_reverse(pulls, sums, pace, by_progress[0], by_progress[2], times[k], c, grid, by_c)
        rates_reverse(xi, noise, pace, sums, by_sums, c, grid, work, adjoints)
        by_progress[0], by_progress[2] = by_sums.demand, by_sums.overpotential
    store(adjoints.order_parameter, margin, by_field)
