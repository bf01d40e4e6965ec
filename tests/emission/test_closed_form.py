"""Closed forms against the design's table 4.1 (25 °C water unless stated) and independent numerical solutions."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_bvp

from hmm_plating.emission import brinkman, kanazawa_gordon, sauerbrey, shifts, viscoelastic_film
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator

WATER = Electrolyte(997.05, 0.890e-3)
QUARTZ = Resonator(5e6, 8.84e6)
ALL = [1, 3, 5, 7, 9, 11, 13]


def frequency_and_bandwidth(load, overtones, reference=0.0):
    frequency, dissipation = shifts(load, torch.as_tensor(reference), overtones, QUARTZ)
    return frequency, dissipation * torch.tensor(overtones) * 5e6 / 2


def test_kanazawa_gordon_water_at_20_degrees():
    frequency, bandwidth = frequency_and_bandwidth(kanazawa_gordon(ALL, Electrolyte(1e3, 1e-3), QUARTZ), ALL)
    expected = torch.tensor([713.6, 412.0, 319.1, 269.7, 237.9, 215.1, 197.9], dtype=torch.float64)
    orders = torch.tensor(ALL)
    torch.testing.assert_close(-frequency / orders, expected, atol=0.05, rtol=0)
    torch.testing.assert_close(bandwidth / orders, expected, atol=0.05, rtol=0)


def test_sauerbrey_copper_film():
    frequency, bandwidth = frequency_and_bandwidth(sauerbrey(8960 * 10e-9, ALL, QUARTZ), ALL)
    torch.testing.assert_close(
        frequency / torch.tensor(ALL), torch.full((7,), -506.79, dtype=torch.float64), atol=5e-3, rtol=0
    )
    assert bandwidth.abs().max() < 1e-3
    # 1 Hz per overtone order in ng/cm²: 1 kg/m² = 1e8 ng/cm²
    assert 8960 * 10e-9 * 1e8 / float(-frequency[0]) == pytest.approx(17.68, abs=5e-3)


def test_rigid_film_is_sauerbrey():
    film = viscoelastic_film(10e-9, 8960.0, 1e15, ALL, WATER, QUARTZ) - kanazawa_gordon(ALL, WATER, QUARTZ)
    torch.testing.assert_close(film, sauerbrey(8960 * 10e-9, ALL, QUARTZ), rtol=1e-6, atol=0)


def test_viscoelastic_film():
    orders = [3, 7, 13]
    omega = 2 * math.pi * 5e6 * torch.tensor(orders)
    load = viscoelastic_film(20e-9, 1100.0, 1e5 + 1j * omega * 1e-3, orders, WATER, QUARTZ)
    frequency, bandwidth = frequency_and_bandwidth(load, orders, kanazawa_gordon(orders, WATER, QUARTZ))
    expected = torch.tensor([-210.14, -195.75, -224.50], dtype=torch.float64)
    # the table's last digit is rounded from a value that differs by less than 0.01 Hz
    torch.testing.assert_close(frequency, expected, atol=0.01, rtol=0)
    expected = torch.tensor([179.94, 293.95, 326.83], dtype=torch.float64)
    torch.testing.assert_close(bandwidth, expected, atol=0.01, rtol=0)


def test_brinkman_layer():
    orders = [3, 7, 13]
    frequency, bandwidth = frequency_and_bandwidth(brinkman(100e-9, 20e-9, orders, WATER, QUARTZ), orders)
    n = torch.tensor(orders)
    torch.testing.assert_close(
        frequency / n, torch.tensor([-434.3, -422.9, -406.9], dtype=torch.float64), atol=0.05, rtol=0
    )
    torch.testing.assert_close(bandwidth / n, torch.tensor([27.3, 49.9, 78.1], dtype=torch.float64), atol=0.05, rtol=0)


@pytest.mark.parametrize(("thickness", "permeability_length"), [(30e-9, 50e-9), (400e-9, 60e-9)])
def test_brinkman_against_boundary_value_solver(thickness, permeability_length):
    """η u'' = iωρu + η(u − 1)/ξ² integrated numerically, load = wall stress + drag of the layer."""
    omega = 2 * math.pi * 5e6 * 3
    density, viscosity = WATER.density, WATER.viscosity
    outside = np.sqrt(1j * omega * density / viscosity) * thickness
    friction = (thickness / permeability_length) ** 2

    def right(_, y):  # real and imaginary parts, lengths in units of the thickness
        u, slope = y[0] + 1j * y[1], y[2] + 1j * y[3]
        curve = outside**2 * u + friction * (u - 1)
        return np.array([slope.real, slope.imag, curve.real, curve.imag])

    def boundary(bottom, top):
        leak = top[2] + 1j * top[3] + outside * (top[0] + 1j * top[1])
        return np.array([bottom[0] - 1, bottom[1], leak.real, leak.imag])

    grid = np.linspace(0, 1, 201)
    start = np.array([np.ones(201), np.zeros(201), np.zeros(201), np.zeros(201)])
    numeric = solve_bvp(right, boundary, grid, start, tol=1e-8, max_nodes=20_000)
    u = numeric.sol(np.linspace(0, 1, 20_001))
    drag = friction * np.trapezoid(1 - u[0] - 1j * u[1], dx=1 / 20_000)
    load = viscosity / thickness * (drag - (u[2, 0] + 1j * u[3, 0]))
    expected = load - np.sqrt(1j * omega * density * viscosity)
    computed = complex(brinkman(thickness, permeability_length, [3], WATER, QUARTZ)[0])
    assert abs(computed - expected) < 1e-6 * abs(expected)


def test_deep_inside_a_brinkman_layer_each_length_adds_the_same():
    """iωρ times the carried velocity 1/(1 + iωρξ²/η); at 2000 permeability lengths cosh would overflow."""
    length = 1e-9
    heights = torch.tensor([100.0, 2000.0], dtype=torch.float64) * length
    thin, thick = brinkman(heights, length, ALL, WATER, QUARTZ)
    inertia = 1j * 2 * math.pi * 5e6 * torch.tensor(ALL, dtype=torch.float64) * WATER.density
    expected = 1900 * length * inertia / (1 + inertia * length**2 / WATER.viscosity)
    torch.testing.assert_close(thick - thin, expected, rtol=1e-9, atol=0)


def test_batched_thickness_adds_a_dimension():
    heights = torch.tensor([[10e-9, 20e-9, 1e-6]], dtype=torch.float64)
    assert viscoelastic_film(heights, 1100.0, 1e6, [1, 3], WATER, QUARTZ).shape == (1, 3, 2)
    batched = brinkman(heights, 20e-9, [1, 3], WATER, QUARTZ)
    torch.testing.assert_close(batched[0, 1], brinkman(20e-9, 20e-9, [1, 3], WATER, QUARTZ))
    assert bool(torch.isfinite(torch.view_as_real(batched)).all())


@pytest.mark.parametrize("overtones", [[2], [0], [-1], [1.5], []])
def test_orders_must_be_odd_and_positive(overtones):
    with pytest.raises(InputError, match="odd positive"):
        kanazawa_gordon(overtones, WATER, QUARTZ)


def test_lengths_must_be_positive():
    with pytest.raises(InputError, match="permeability_length"):
        brinkman(1e-7, 0.0, [1], WATER, QUARTZ)
    with pytest.raises(InputError, match="thickness"):
        viscoelastic_film(float("nan"), 1e3, 1e6, [1], WATER, QUARTZ)


def test_shifts_refuses_a_load_of_other_overtones():
    with pytest.raises(InputError, match="last dimension"):
        shifts(torch.zeros(2, dtype=torch.complex128), torch.tensor(0.0), [1, 3, 5], QUARTZ)
