"""The recurrence where a pair of the batch is solved already or cannot be, and where it breaks down."""

import pytest
import torch
from surfaces import polygon, random_surface

from hmm_plating.emission import kanazawa_gordon, lanczos, solve
from hmm_plating.emission.half_space import reflection
from hmm_plating.emission.lanczos import correct_load
from hmm_plating.emission.lattice import D2Q9, relaxation
from hmm_plating.emission.operator import operator, residual_and_load
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ = Electrolyte(997.05, 0.890e-3), Resonator(5e6, 8.84e6)


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


@pytest.mark.parametrize("keep_gradient", [False, True])
def test_recurrence_that_breaks_down_goes_on_from_its_field(monkeypatch, keep_gradient):
    """As if it did in every pair: the same load, from two recurrences or three."""
    fraction = torch.stack([random_surface(5, 8, seed) for seed in range(2)])
    options = {"backend": "torch", "keep_field": False, "keep_gradient": keep_gradient, "tolerance": 1e-10}
    whole = solve(fraction, 6e-9, (3, 7), WATER, QUARTZ, **options)
    monkeypatch.setattr(lanczos, "LOST", 0.0)
    parts = solve(fraction, 6e-9, (3, 7), WATER, QUARTZ, **options)
    torch.testing.assert_close(parts.load, whole.load, rtol=1e-7, atol=0)
    assert (parts.applications > whole.applications).all()
    if keep_gradient:
        error = (parts.gradient - whole.gradient).abs().max()  # that of the fields, √1e-10 and more
        assert error < 1e-3 * whole.gradient.abs().max()


@pytest.mark.slow
def test_breakdown_of_a_large_surface_is_found():
    """A block on 480 × 165 cells whose vectors vanish in the form: its load came out a tenth too large.

    Oracle: the same block 0.01 cells further, where none does.
    """
    block = [c * 1e-9 for c in (40, 40 + 80j, 200 + 80j, 200)]
    excess = []
    for offset in (0.40, 0.41):
        fraction = polygon(block, period=240e-9, cells=480, offset=offset)
        load = solve(fraction, 0.5e-9, (3,), WATER, QUARTZ, tolerance=1e-3, keep_field=False).load
        excess.append(load - kanazawa_gordon((3,), WATER, QUARTZ))
    torch.testing.assert_close(excess[0], excess[1], rtol=2e-3, atol=0)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_breakdown_in_single_precision_is_found(backend):
    """Of a surface that took six times the applications of double precision, and the load within the tolerance."""
    surface = random_surface(40, 32, 29)
    options = {"tolerance": 1e-3, "absolute_tolerance": 0.0, "keep_field": False, "backend": backend}
    single, double = (solve(surface, 4e-9, (7,), WATER, QUARTZ, precision=p, **options) for p in ("single", "double"))
    assert int(single.applications) <= 2 * int(double.applications)
    excess = double.load - kanazawa_gordon((7,), WATER, QUARTZ)
    assert float(((single.load - double.load) / excess).abs()) < 3e-3
