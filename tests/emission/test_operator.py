"""The torch reference: reciprocity, exact half space, dense solution; and the kernels against it."""

import math

import numpy as np
import pytest
import torch
from surfaces import random_surface

from hmm_plating.emission import kanazawa_gordon, solve
from hmm_plating.emission.half_space import reflection
from hmm_plating.emission.lattice import D2Q9, D3Q19, collision_matrix, relaxation
from hmm_plating.emission.operator import bilinear, collide, motion, operator, residual_and_load, stream
from hmm_plating.emission.saturation import bare_load, bubble, calibrate
from hmm_plating.errors import ConvergenceError
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ, SPACING = Electrolyte(997.05, 0.890e-3), Resonator(), 6e-9
TIGHT = {"tolerance": 1e-13, "absolute_tolerance": 1e-12}


def surface():
    """Partial, liquid and solid cells, an overhang and a solid cell in the last row below the liquid."""
    fraction = random_surface(5, 6, 7)
    fraction[0] = 1
    fraction[1, :3] = 1
    fraction[2, 4] = 0
    fraction[4, :3] = 0
    fraction[3:, 5] = 1
    return torch.cat([fraction, torch.zeros_like(fraction[:1])])


def volume():
    """The same in three dimensions, (z, y, x), with a solid cell that touches others along edges only."""
    fraction = torch.stack([random_surface(4, 3, seed) for seed in range(4)])
    fraction[:, 0] = 1
    fraction[1:3, 1, :2] = 1
    fraction[1, 2, 2] = 0
    fraction[3, 1, 2] = 1
    fraction[:2, 3] = 0
    fraction[2, 3, 1] = 1
    return torch.cat([fraction, torch.zeros_like(fraction[:, :1])], 1)


def reference(fraction, order):
    """Operator on a box, and what turns its load into Pa s/m."""
    lattice, period = (D2Q9 if fraction.ndim == 2 else D3Q19), (*fraction.shape[:-2], fraction.shape[-1])
    omega = QUARTZ.angular_frequency(order)
    wavenumber = (1 + 1j) * SPACING / WATER.penetration_depth(omega)
    relax = relaxation(wavenumber)
    saturation, ghost = (bubble(fraction, torch.from_numpy(terms))[0] for terms in calibrate(relax, wavenumber))
    solid = fraction == 1
    mirror = torch.tensor(reflection(lattice, relax, period))
    system = operator(lattice, relax, mirror, fraction + saturation, solid)
    ghosts = torch.where(solid, 0, ghost).sum()

    def impedance(load):
        unit = 1j * omega * WATER.density * SPACING * (1 + relax.momentum) / (2 * (1 - relax.momentum))
        rough = (load - ghosts) / math.prod(period) - bare_load(relax, wavenumber)
        return kanazawa_gordon([order], WATER, QUARTZ)[0] + unit * rough

    return system, impedance


def dense(system):
    """Solution of A f = β by the matrix of A = I − SC over all populations in the liquid."""
    populations = len(system.lattice.weights)
    wet = system.wet.expand(populations, *system.wet.shape)
    columns = torch.zeros(int(wet.sum()), *wet.shape, dtype=torch.complex128)
    columns[:, wet] = torch.eye(len(columns), dtype=torch.complex128)
    matrix = (columns - stream(system, collide(system, columns)))[:, wet].T
    source, _ = motion(system)
    return torch.zeros_like(source).masked_scatter(wet, torch.linalg.solve(matrix, source[wet]))


def corrected_load(system, field):
    return residual_and_load(system, field)[1]


@pytest.mark.parametrize("cells", [surface, volume])
@pytest.mark.parametrize("order", [1, 13])
def test_operator_is_symmetric_in_the_bilinear_form(order, cells):
    """Reciprocity, from which one operator application per step and free gradients follow (design, section 4)."""
    system, _ = reference(cells(), order)
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(
        2, len(system.lattice.weights), *system.wet.shape, dtype=torch.complex128, generator=generator
    )
    left, right = torch.where(system.wet, left, 0), torch.where(system.wet, right, 0)

    def form(a, b):  # aᵀ G A b
        return bilinear(system, b - stream(system, collide(system, b)), collide(system, a))

    assert abs(form(left, right) - form(right, left)) < 1e-12 * abs(form(left, right))


@pytest.mark.parametrize("order", [3, 13])
@pytest.mark.parametrize("cells", [surface, volume])
@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_solve_agrees_with_the_dense_solution(order, cells, backend):
    system, impedance = reference(cells(), order)
    expected = impedance(corrected_load(system, dense(system)))
    options = {**TIGHT, "dimensions": cells().ndim, "backend": backend, "keep_field": False}
    computed = solve(cells(), SPACING, [order], WATER, QUARTZ, **options).load[0]
    assert abs(computed - expected) < 1e-10 * abs(expected)


@pytest.mark.parametrize("cells", [surface, volume])
def test_gradient_is_that_of_autograd_through_the_dense_solution(cells):
    """Through saturation, collision and matrix, for which autograd knows nothing of reciprocity."""
    fraction = cells().requires_grad_()
    system, impedance = reference(fraction, 7)
    load = impedance(corrected_load(system, dense(system)))
    real, imaginary = (torch.autograd.grad(part, fraction, retain_graph=True)[0] for part in (load.real, load.imag))
    expected = torch.where(system.wet, torch.complex(real, imaginary), 0)
    options = {"dimensions": fraction.ndim, "keep_gradient": True, "tolerance": 1e-15, "absolute_tolerance": 0}
    for backend in ("numba", "torch"):
        # the recurrence ends where the load has its last digit, the field then half of them: hence a second one
        field = solve(fraction, SPACING, [7], WATER, QUARTZ, **options, backend=backend).field
        refined = solve(fraction, SPACING, [7], WATER, QUARTZ, **options, backend=backend, initial_guess=field)
        gradient = refined.gradient[0]
        computed = torch.where(system.wet, gradient, 0)
        assert ((computed - expected).abs() < 3e-8 * expected.abs().max()).all()


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("cells", [surface, volume])
def test_recurrence_is_that_of_the_textbook_from_any_field(cells, backend):
    """From an arbitrary field, the first steps agree with those of conjugate gradients to round-off."""
    fraction = cells()
    system, impedance = reference(fraction, 7)
    half = len(system.lattice.weights)
    generator = torch.Generator().manual_seed(1)
    guess = torch.randn(1, 2 * half, *fraction.shape, dtype=torch.float64, generator=generator)
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
        dimensions=fraction.ndim,
        backend=backend,
    )
    # the same steps of the textbook recurrence
    field = torch.where(system.wet, torch.complex(guess[0, :half], guess[0, half:]), 0)
    residual, _ = residual_and_load(system, field)
    direction, rho = residual, bilinear(system, residual, collide(system, residual))
    for _ in range(int(result.applications[0]) - 1):
        leaving = collide(system, direction)
        change = direction - stream(system, leaving)
        alpha = rho / bilinear(system, change, leaving)
        field, residual = field + alpha * direction, residual - alpha * change
        following = bilinear(system, residual, collide(system, residual))
        direction, rho = residual + following / rho * direction, following
    expected = impedance(corrected_load(system, field))
    # thirty steps from a wild field amplify round-off
    assert abs(result.load[0] - expected) < 1e-8 * abs(expected)
    kept = torch.complex(result.field[0, :half], result.field[0, half:])
    torch.testing.assert_close(kept[:, system.wet], field[:, system.wet], rtol=1e-7, atol=1e-7)


def test_corrected_load_is_second_order_in_the_field():
    system, _ = reference(surface(), 7)
    solution = dense(system)
    exact = corrected_load(system, solution)
    noise = torch.randn(solution.shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(2))
    noise = torch.where(system.wet, noise, 0)
    errors = [abs(corrected_load(system, solution + size * noise) - exact) for size in (1e-2, 1e-3)]
    assert float(errors[0] / errors[1]) == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("period", [(1,), (4,), (5,), (1, 1), (1, 2), (2, 3)])
def test_half_space_is_a_tall_box(period):
    """Rows of liquid between surface and top boundary change nothing: every lateral mode is answered exactly."""
    relax = relaxation(0.1 + 0.1j)
    lattice = D2Q9 if len(period) == 1 else D3Q19
    mirror = torch.tensor(reflection(lattice, relax, period))
    saturation = torch.zeros(*period[:-1], 4, period[-1], dtype=torch.complex128)
    saturation[..., 0, :] = torch.linspace(0.1, 0.9, math.prod(period)).reshape(period)
    loads = []
    for rows in (1, 4):
        held = saturation[..., :rows, :]
        system = operator(lattice, relax, mirror, held, torch.zeros(held.shape, dtype=torch.bool))
        loads.append(complex(corrected_load(system, dense(system))))
    np.testing.assert_allclose(loads, loads[0], rtol=1e-11)


@pytest.mark.parametrize(("lattice", "period"), [(D2Q9, (10,)), (D3Q19, (6, 5)), (D3Q19, (4, 6))])
def test_half_space_is_reciprocal(lattice, period):
    """W⁻¹R(q) = (W⁻¹R(−q))ᵀ, at the Nyquist modes too."""
    response = reflection(lattice, relaxation(0.2 + 0.2j), period)
    weighted = response / lattice.weights[lattice.upward][:, None]
    lateral = tuple(range(len(period)))
    opposite = np.roll(np.flip(weighted, lateral), (1,) * len(period), lateral)
    np.testing.assert_allclose(weighted, np.swapaxes(opposite, -1, -2), atol=1e-13)


def test_three_dimensions_project_onto_two():
    """Summed over velocities along z, weights and collision of D3Q19 are those of D2Q9."""
    relax = relaxation(0.1 + 0.1j)
    along = np.array([(D3Q19.velocities[:, :2] == c).all(axis=1) for c in D2Q9.velocities], dtype=float)
    np.testing.assert_allclose(along @ D3Q19.weights, D2Q9.weights, rtol=1e-15)
    solid, flat = collision_matrix(D3Q19, relax), collision_matrix(D2Q9, relax)
    np.testing.assert_allclose(along @ solid, flat @ along, atol=1e-15)


@pytest.mark.parametrize("wavenumber", [0.05 + 0.05j, 0.4 + 0.4j])
def test_plane_shear_wave_decays_as_in_the_liquid(wavenumber):
    """One column of D3Q19 above the bare crystal: momentum falls by e^{−k} per row to round-off."""
    relax = relaxation(wavenumber)
    system = operator(
        D3Q19,
        relax,
        torch.tensor(reflection(D3Q19, relax, (1, 1))),
        torch.zeros(1, 6, 1, dtype=torch.complex128),
        torch.zeros(1, 6, 1, dtype=torch.bool),
    )
    momentum = torch.einsum("i,iy->y", torch.tensor(D3Q19.velocities[:, 0] + 0j), dense(system)[:, 0, :, 0])
    np.testing.assert_allclose(momentum[1:] / momentum[:-1], np.exp(-wavenumber), rtol=1e-12)


def test_limit_of_applications_is_an_error_that_says_what_was_reached():
    with pytest.raises(ConvergenceError, match=r"30 operator applications reached .* of the excess"):
        solve(
            random_surface(8, 32, 3), SPACING, [3], WATER, QUARTZ, tolerance=1e-9, absolute_tolerance=0, applications=30
        )
