"""The torch recurrence where a pair of the batch is solved already, or cannot be."""

import torch
from surfaces import random_surface

from hmm_plating.emission.half_space import reflection
from hmm_plating.emission.lanczos import correct_load
from hmm_plating.emission.lattice import D2Q9, relaxation
from hmm_plating.emission.operator import operator, residual_and_load


def pairs(count):
    """The same surface `count` times: operator, residual of the field 0 and its load."""
    held = random_surface(5, 8, 0).expand(count, 5, 8).to(torch.complex128)
    relax = relaxation(0.1 + 0.1j)
    mirror = torch.tensor(reflection(D2Q9, relax, (8,)))
    system = operator(D2Q9, relax, mirror.expand(count, 8, 3, 3), held, torch.zeros(count, 5, 8, dtype=torch.bool))
    return system, *residual_and_load(system, torch.zeros(count, 9, 5, 8, dtype=torch.complex128))


def correct(system, residual, load, most):
    one = torch.ones(len(load), dtype=torch.float64)
    limit = torch.full((len(load),), most)
    return correct_load(system, residual.clone(), one, load, 0 * load, 1e-12, 0 * one, limit, True)


def test_field_is_the_solution_of_what_was_left():
    """Against the operator itself: the field removes the residual, and its load is the corrected one."""
    system, residual, load = pairs(1)
    found = correct(system, residual, load, 10_000)
    left, corrected = residual_and_load(system, found.field)
    assert bool(found.converged)
    assert left.abs().max() < 1e-6 * residual.abs().max()
    torch.testing.assert_close(found.load, corrected, rtol=1e-11, atol=0)


def test_what_is_solved_exactly_stays_as_it_is():
    system, residual, load = pairs(2)
    residual[0] = 0
    found = correct(system, residual, load, 10_000)
    alone = correct(system.take(torch.tensor([1])), residual[1:], load[1:], 10_000)
    assert found.converged.tolist() == [True, True]
    assert complex(found.load[0]) == complex(load[0])
    assert float(found.field[0].abs().max()) == 0
    assert float(found.error[0]) == 0
    torch.testing.assert_close(found.load[1:], alone.load, rtol=1e-11, atol=0)
    assert found.applications[0] < found.applications[1]


def test_pair_that_cannot_go_on_is_reported_and_leaves_the_others():
    """A residual that is not a number stands for a breakdown."""
    system, residual, load = pairs(2)
    residual[0, 0, 2, 3] = torch.nan
    found = correct(system, residual, load, 10_000)
    assert found.converged.tolist() == [False, True]
    assert int(found.applications[0]) < 10
