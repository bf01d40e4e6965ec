"""The torch reference: reciprocity, exact half space, dense solution; and the kernels against it."""

import numpy as np
import pytest
import torch
from surfaces import random_surface

from hmm_plating.emission import kanazawa_gordon, load_impedance, solve
from hmm_plating.emission.half_space import reflection
from hmm_plating.emission.lattice import relaxation
from hmm_plating.emission.operator import bilinear, collide, corrected_load, motion, operator, stream
from hmm_plating.emission.saturation import bare_load, calibrate
from hmm_plating.emission.solver import ConvergenceError
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ, SPACING = Electrolyte(997.05, 0.890e-3), Resonator(), 6e-9
TIGHT = {"tolerance": 1e-13, "absolute_tolerance": 1e-12}


def surface():
    """Partial, liquid and solid cells, an overhang and a solid cell in the top row."""
    fraction = random_surface(5, 6, 7)
    fraction[0] = 1
    fraction[1, :3] = 1
    fraction[2, 4] = 0
    fraction[4, :3] = 0
    fraction[3:, 5] = 1
    return fraction


def reference(fraction, order):
    """Operator on a box with a liquid row on top, and what turns its load into Pa s/m."""
    fraction = torch.cat([fraction, torch.zeros(1, fraction.shape[1], dtype=torch.float64)])
    omega = QUARTZ.angular_frequency(order)
    wavenumber = (1 + 1j) * SPACING / WATER.penetration_depth(omega)
    relax = relaxation(wavenumber)
    terms = calibrate(relax, wavenumber)
    powers = torch.stack([fraction**j for j in range(len(terms.saturation))], -1).to(torch.complex128)
    bubble = fraction * (1 - fraction)
    saturation = fraction + bubble * (powers @ torch.from_numpy(terms.saturation))
    ghosts = (bubble * (powers @ torch.from_numpy(terms.ghost))).sum()
    solid = fraction == 1
    mirror = torch.tensor(reflection(relax, fraction.shape[1]))
    system = operator(relax, mirror, torch.where(solid, 0, saturation), solid)

    def impedance(load):
        unit = 1j * omega * WATER.density * SPACING * (1 + relax.momentum) / (2 * (1 - relax.momentum))
        rough = (load - ghosts) / fraction.shape[1] - bare_load(relax, wavenumber)
        return kanazawa_gordon([order], WATER, QUARTZ)[0] + unit * rough

    return system, impedance


def dense(system):
    """A = I − SC as a matrix over all populations, and one solution of A f = β (unused populations are zero)."""
    size = 9 * system.solid.numel()
    columns = torch.eye(size, dtype=torch.complex128).reshape(size, 9, *system.solid.shape)
    matrix = torch.stack([(c - stream(system, collide(system, c))).reshape(-1) for c in columns], 1)
    source, _ = motion(system)
    return torch.linalg.solve(matrix, source.reshape(-1)).reshape(source.shape)


@pytest.mark.parametrize("order", [1, 13])
def test_operator_is_symmetric_in_the_bilinear_form(order):
    system, _ = reference(surface(), order)
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 9, *system.solid.shape, dtype=torch.complex128, generator=generator)
    left, right = torch.where(system.solid, 0, left), torch.where(system.solid, 0, right)

    def form(a, b):  # aᵀ G A b
        return bilinear(collide(system, a), b - stream(system, collide(system, b)))

    assert abs(form(left, right) - form(right, left)) < 1e-12 * abs(form(left, right))


@pytest.mark.parametrize("order", [3, 13])
def test_kernels_agree_with_the_dense_solution(order):
    system, impedance = reference(surface(), order)
    expected = impedance(corrected_load(system, dense(system)))
    computed = load_impedance(surface(), SPACING, [order], WATER, QUARTZ, **TIGHT)[0]
    assert abs(computed - expected) < 1e-10 * abs(expected)


def test_kernels_and_torch_correct_the_same_load_for_any_field():
    """From an arbitrary field, the first steps of the recurrence agree to round-off."""
    fraction = surface()
    system, impedance = reference(fraction, 7)
    generator = torch.Generator().manual_seed(1)
    guess = torch.randn(1, 18, *fraction.shape, dtype=torch.float64, generator=generator)
    result = solve(
        fraction,
        SPACING,
        [7],
        WATER,
        QUARTZ,
        initial_guess=guess,
        tolerance=1e30,
        absolute_tolerance=1e30,
        applications=30,
    )
    # the same steps of the textbook recurrence, in torch; the row above the box starts as a copy of the last
    full = torch.cat([guess[0], guess[0, :, -1:]], 1)
    field = torch.where(system.solid, 0, torch.complex(full[:9], full[9:]))
    source, _ = motion(system)
    residual = source - field + stream(system, collide(system, field))
    direction, rho = residual, bilinear(residual, collide(system, residual))
    for _ in range(int(result.applications[0]) - 1):
        change = direction - stream(system, collide(system, direction))
        alpha = rho / bilinear(collide(system, direction), change)
        field, residual = field + alpha * direction, residual - alpha * change
        following = bilinear(residual, collide(system, residual))
        direction, rho = residual + following / rho * direction, following
    expected = impedance(corrected_load(system, field))
    assert abs(result.load[0] - expected) < 1e-10 * abs(expected)
    kept = torch.complex(result.field[0, :9], result.field[0, 9:])
    liquid = ~system.solid[:-1]
    torch.testing.assert_close(kept[:, liquid], field[:, :-1][:, liquid], rtol=1e-9, atol=1e-9)


def test_corrected_load_is_second_order_in_the_field():
    system, _ = reference(surface(), 7)
    solution = dense(system)
    exact = corrected_load(system, solution)
    noise = torch.randn(solution.shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(2))
    noise = torch.where(system.solid, 0, noise)
    errors = [abs(corrected_load(system, solution + size * noise) - exact) for size in (1e-2, 1e-3)]
    assert float(errors[0] / errors[1]) == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("width", [1, 4, 5])
def test_half_space_is_a_tall_box(width):
    """Rows of liquid between surface and top boundary change nothing: every lateral mode is answered exactly."""
    relax = relaxation(0.1 + 0.1j)
    mirror = torch.tensor(reflection(relax, width))
    saturation = torch.zeros(4, width, dtype=torch.complex128)
    saturation[0] = torch.linspace(0.1, 0.9, width)
    loads = []
    for rows in (1, 4):
        system = operator(relax, mirror, saturation[:rows], torch.zeros(rows, width, dtype=torch.bool))
        loads.append(complex(corrected_load(system, dense(system))))
    np.testing.assert_allclose(loads, loads[0], rtol=1e-11)


def test_half_space_is_reciprocal():
    response = reflection(relaxation(0.2 + 0.2j), 10)
    weighted = response * np.array([4, 1, 1])[None, :, None] ** -1.0
    np.testing.assert_allclose(weighted, np.roll(weighted[::-1], 1, 0).transpose(0, 2, 1), atol=1e-13)


def test_limit_of_applications_is_an_error_that_says_what_was_reached():
    with pytest.raises(ConvergenceError, match=r"30 operator applications reached .* of the excess"):
        solve(
            random_surface(8, 32, 3), SPACING, [3], WATER, QUARTZ, tolerance=1e-9, absolute_tolerance=0, applications=30
        )
