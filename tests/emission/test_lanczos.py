"""The recurrence where a pair of the batch is solved already or cannot be, and where it breaks down."""

import pytest
import torch
from surfaces import polygon, random_surface

from hmm_plating.emission import felt_fraction, kanazawa_gordon, lanczos, solve, torch_solver
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
    return correct_load(system, residual.clone(), one, load, 0 * load, 1e-12, 0 * one, limit, 0 * limit, True)


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
    """As if it did in every pair and recurrence: the same load.

    Each goes on until it has won a digit. Where one was broken off as soon as it was near, the next was at once.
    """
    fraction = torch.stack([random_surface(5, 8, seed) for seed in range(2)])
    options = {"backend": "torch", "keep_field": False, "keep_gradient": keep_gradient, "tolerance": 1e-10}
    whole = solve(fraction, 6e-9, (3, 7), WATER, QUARTZ, **options)
    going = []
    monkeypatch.setattr(lanczos, "LOST", 0.0)
    monkeypatch.setattr(
        torch_solver, "correct_load", lambda *arguments: going.append(len(arguments[1])) or correct_load(*arguments)
    )
    parts = solve(fraction, 6e-9, (3, 7), WATER, QUARTZ, **options)
    torch.testing.assert_close(parts.load, whole.load, rtol=1e-7, atol=0)
    assert going[1] == parts.applications.numel()  # every pair is started again
    assert (parts.applications != whole.applications).all()
    assert (parts.applications < 2 * whole.applications).all()
    if keep_gradient:
        error = (parts.gradient - whole.gradient).abs().max()  # that of the fields, √1e-10 and more
        assert error < 1e-3 * whole.gradient.abs().max()


def test_recurrence_may_take_as_long_as_those_that_broke_down(monkeypatch):
    """As if each broke down at once, two steps before it would be started again: it never converged."""
    fraction = torch.stack([random_surface(5, 8, seed) for seed in range(2)])
    options = {"backend": "torch", "keep_field": False, "keep_gradient": True, "tolerance": 1e-10}
    whole = solve(fraction, 6e-9, (3, 7), WATER, QUARTZ, **options)
    for name, value in {"LOST": 0.0, "LONGER": 2, "CRUDE": 0.0}.items():
        monkeypatch.setattr(lanczos, name, value)
    parts = solve(fraction, 6e-9, (3, 7), WATER, QUARTZ, applications=2000, **options)
    torch.testing.assert_close(parts.load, whole.load, rtol=1e-7, atol=0)


TOP_OF_A_PLATE = [  # edges raised
    [0, 0.000023, 0.803209, 1, 1, 0.200132, 0.000002, 0],
    [0.000166, 0.017945, 0.952025, 1, 1, 0.273067, 0.002071, 0.000003],
    [0.004604, 0.159166, 0.964476, 1, 1, 0.459707, 0.040219, 0.000081],
    [0.030153, 0.257262, 0.482647, 0.535563, 0.523392, 0.332258, 0.127790, 0.000319],
    [0.030657, 0.158036, 0.096775, 0.060613, 0.072734, 0.129586, 0.092628, 0.000162],
    [0.000084, 0.000436, 0.000202, 0.000093, 0.000127, 0.000303, 0.000162, 0.000001],
]


@pytest.mark.slow
def test_plate_whose_recurrences_all_break_down_converges():
    """A plate of 6 × 80 nm with cells of 2 nm: started again every 55 steps, it went away from its solution.

    Oracle: the same plate with one cell's fraction changed by 0.02, which converged.
    """
    plate = torch.zeros(46, 120, dtype=torch.float64)
    plate[0], plate[1] = 1, 0.2
    plate[1:38, 56:60] = torch.tensor([0.8, 1, 1, 0.2], dtype=torch.float64)
    plate[1, [56, 59]] = torch.tensor([0.84, 0.36], dtype=torch.float64)
    plate[38:44, 54:62] = torch.tensor(TOP_OF_A_PLATE, dtype=torch.float64)
    changed = plate.clone()
    changed[24, 56] -= 0.02
    load = solve(torch.stack([plate, changed]), 2e-9, (3,), WATER, QUARTZ, tolerance=1e-4, keep_field=False).load
    excess = load - kanazawa_gordon((3,), WATER, QUARTZ)
    torch.testing.assert_close(excess[0], excess[1], rtol=1e-3, atol=0)


@pytest.mark.slow
def test_plate_whose_load_rests_has_not_converged():
    """12 × 80 cells of 1 nm at δ of 66 cells, after recurrences that broke down: rested an eighth too large."""
    fraction = polygon([c * 1e-9 for c in (112, 112 + 80j, 124 + 80j, 124)], period=240e-9, cells=240, offset=0.35)
    fraction = felt_fraction(torch.nn.functional.pad(fraction, (0, 0, 0, 4)))
    check_tolerances(fraction, 1e-9, 13, (1e-3, 1e-4))


def test_ridge_whose_load_rests_has_not_converged():
    """A triangular ridge of 90°, 60 nm high: rested for 30 steps of the first recurrence, 3 % off."""
    ridge = polygon([c * 1e-9 for c in (60, 120 + 60j, 180)], period=240e-9, cells=120, offset=0.3403664660517659)
    check_tolerances(torch.nn.functional.pad(ridge, (0, 0, 0, 1)), 2e-9, 3, (1e-2, 1e-3))


def check_tolerances(fraction, spacing, overtone, tolerances):
    """Oracle: the same to 1e-7, where the load goes on."""
    box, flat = (fraction, spacing, (overtone,), WATER, QUARTZ), kanazawa_gordon((overtone,), WATER, QUARTZ)
    exact = solve(*box, tolerance=1e-7, absolute_tolerance=0.0, keep_field=False).load
    for tolerance in tolerances:
        load = solve(*box, tolerance=tolerance, absolute_tolerance=0.0, keep_field=False).load
        torch.testing.assert_close(load - flat, exact - flat, rtol=2 * tolerance, atol=0)


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
    """Of a surface that took six times the applications of double precision, and the load within the tolerance.

    It takes a second recurrence, some twice as many in all; how long it goes on depends on how a processor rounds.
    """
    surface = random_surface(40, 32, 29)
    options = {"tolerance": 1e-3, "absolute_tolerance": 0.0, "keep_field": False, "backend": backend}
    single, double = (solve(surface, 4e-9, (7,), WATER, QUARTZ, precision=p, **options) for p in ("single", "double"))
    assert int(single.applications) <= 3 * int(double.applications)
    excess = double.load - kanazawa_gordon((7,), WATER, QUARTZ)
    assert float(((single.load - double.load) / excess).abs()) < 3e-3
