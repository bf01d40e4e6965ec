"""Baselines against answers that are known by construction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator
from hmm_plating.report import baselines

WATER = Electrolyte(997.05, 0.890e-3)
CRYSTAL = Resonator(5e6, 8.84e6)
OVERTONES = (3, 5, 7, 9, 11, 13)


def layer_by_finite_differences(thickness: float, length: float, overtone: int, cells: int = 4000) -> complex:
    """Excess shift (Δf_n + iΔΓ_n)/n of a Brinkman layer: η u'' = iωρ u + η/ξ² (u − 1), solved on a grid of nodes."""
    omega = 2 * np.pi * overtone * CRYSTAL.fundamental_frequency
    wave = np.sqrt(1j * omega * WATER.density / WATER.viscosity)
    step = thickness / cells
    square = wave**2 + 1 / length**2
    from scipy.linalg import solve_banded

    diagonal = np.full(cells, -(2 + step**2 * square), dtype=complex)
    source = np.full(cells, -((step / length) ** 2), dtype=complex)
    source[0] -= 1.0  # u = 1 at the crystal
    # at the top half a cell of layer, then the decaying wave: η (u_N − u_{N−1})/step + stress balance
    diagonal[-1] = -(1 + step * wave + step**2 * square / 2)
    source[-1] = -((step / length) ** 2) / 2
    bands = np.ones((3, cells), dtype=complex)
    bands[1] = diagonal
    velocity = np.concatenate([[1.0], solve_banded((1, 1), bands, source)])
    # stress on the crystal and its solid: rate of change of the liquid's momentum in the layer plus what leaves its top
    momentum = 1j * omega * WATER.density * np.trapezoid(velocity, dx=step)
    load = momentum + WATER.viscosity * wave * velocity[-1] - WATER.viscosity * wave
    return 1j * CRYSTAL.fundamental_frequency / (np.pi * CRYSTAL.impedance) * load / overtone


@pytest.mark.parametrize(("thickness", "length", "rigid"), [(60e-9, 25e-9, -800.0), (150e-9, 50e-9, -300.0)])
def test_brinkman_layer_recovers_a_layer_solved_by_finite_differences(thickness, length, rigid):
    shift = np.array([layer_by_finite_differences(thickness, length, n) for n in OVERTONES])
    frequency = (np.array(OVERTONES) * (shift.real + rigid))[None]
    dissipation = (2 * shift.imag / CRYSTAL.fundamental_frequency)[None]
    noise = {"frequency_noise": np.array(OVERTONES) * 0.5, "dissipation_noise": np.full(6, 1e-7)}
    hidden = frequency.copy(), dissipation.copy()
    for values in hidden:
        values[:, 2] = 1e9  # a withheld overtone must not be read
    predicted = baselines.brinkman_prediction(*hidden, OVERTONES, [7], WATER, CRYSTAL, **noise)
    # the grid's error is second order: (1/4000)² relative, far below; the fit stops at machine precision of the cost
    assert predicted[0][0, 0] / 7 == pytest.approx(frequency[0, 2] / 7, abs=0.05)
    assert predicted[1][0, 0] == pytest.approx(dissipation[0, 2], abs=0.02e-6)


def test_brinkman_layer_uses_what_is_known_and_says_nan_where_too_little_is():
    shift = np.array([layer_by_finite_differences(80e-9, 30e-9, n, 1000) for n in OVERTONES])
    frequency = np.tile(np.array(OVERTONES) * shift.real, (3, 1))
    dissipation = np.tile(2 * shift.imag / CRYSTAL.fundamental_frequency, (3, 1))
    frequency[1, 0] = np.nan
    frequency[2, [0, 1, 3, 4]] = np.nan
    noise = np.array(OVERTONES) * 0.5, np.full(6, 1e-7)
    predicted, _ = baselines.brinkman_prediction(frequency, dissipation, OVERTONES, [7], WATER, CRYSTAL, *noise)
    assert predicted[1, 0] == pytest.approx(predicted[0, 0], abs=0.5)
    assert np.isnan(predicted[2, 0])


def test_brinkman_layer_needs_two_overtones():
    with pytest.raises(InputError, match="two overtones"):
        baselines.brinkman_prediction(np.zeros((5, 2)), np.zeros((5, 2)), (3, 5), [5], WATER, CRYSTAL)


def test_overtone_that_was_not_recorded_cannot_be_withheld():
    with pytest.raises(InputError, match="overtone 15 is not in the recording"):
        baselines.interpolation(np.zeros((5, 2)), (3, 5), [15])


@given(st.integers(0, 2**31), st.floats(-5, 5), st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_charge_step_is_the_least_squares_line_and_exact_for_proportional_data(seed, slope, level):
    charge = np.cumsum(np.random.default_rng(seed).normal(size=40))
    shift = np.stack([level + slope * charge, level - slope * charge], axis=1)
    prediction, factor = baselines.charge_step(shift, charge, np.ones(40, dtype=bool))
    np.testing.assert_allclose(factor, [slope, -slope], atol=1e-9)
    np.testing.assert_allclose(prediction[1:], shift[1:], atol=1e-9)
    assert np.isnan(prediction[0]).all()


def test_charge_step_fits_the_scored_steps_only():
    charge = np.arange(20.0)
    shift = np.where(charge < 10, 7.0 * charge, 70.0 + 2.0 * (charge - 10))[:, None]
    _, factor = baselines.charge_step(shift, charge, charge > 10)
    assert factor[0] == pytest.approx(2.0)


def test_interpolation_is_exact_for_a_line_in_the_overtone_and_takes_the_nearest_beyond_the_last():
    line = np.array([[2.0 + 0.5 * n for n in OVERTONES]])
    np.testing.assert_allclose(baselines.interpolation(line, OVERTONES, [5, 7]), [[4.5, 5.5]])
    np.testing.assert_allclose(baselines.interpolation(line, OVERTONES, [3, 13]), [[line[0, 1], line[0, 4]]])
