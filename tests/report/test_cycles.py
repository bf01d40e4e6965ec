"""Cycles, charge balance and mass per electron against hand-made records."""

import numpy as np
import pytest

from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.report.cycles import cycle_summaries, cycle_table, faradaic_mass, mass_interval, plating_cycles


def test_cycles_start_where_plating_follows_stripping():
    #         rest | plate | rest | plate | strip | rest | plate | strip | plate
    current = [0, 0, -1, -1, 0, -1, -1, 1, 1, 0, 0, -1, -1, -1, 1, 1, -1]
    cycles = plating_cycles(np.arange(len(current)), current)
    assert [(c.start, c.reversal, c.stop) for c in cycles] == [(2, 7, 11), (11, 14, 16), (16, 17, 17)]
    assert [c.number for c in cycles] == [1, 2, 3]
    assert [c.start_time for c in cycles] == [2.0, 11.0, 16.0]


@pytest.mark.parametrize("current", [[], [0.0] * 5, [np.nan] * 5, [1.0, 1.0, 1.0]])
def test_without_plating_there_are_no_cycles(current):
    assert plating_cycles(np.arange(len(current)), current) == ()


def test_a_leakage_current_is_rest():
    current = np.array([-10.0] * 5 + [10.0] * 5 + [-0.1] * 5)
    assert len(plating_cycles(np.arange(15), current)) == 1


def test_charge_mass_and_efficiency_are_those_built_in(result):
    summaries = cycle_summaries(result)
    assert [s.cycle.number for s in summaries] == [1, 2, 3]
    assert [s.complete for s in summaries] == [True, True, False]
    sensitivity = 2 * 4.94e6**2 / 8.84e6
    expected = FARADAY_CONSTANT * 3.0 / sensitivity  # the record falls by 3 Hz per C/m²
    for summary in summaries:
        # 30 steps of 2 s at 10 A/m², then at 9 A/m²
        assert summary.plated_charge == pytest.approx(600.0)
        assert summary.stripped_charge == pytest.approx(540.0)
        assert summary.coulombic_efficiency == pytest.approx(0.9)
        # slope error: 2 Hz / sqrt(Σ(q − q̄)²) over 29 steps of 20 C/m² is 0.0022 Hz per C/m²
        np.testing.assert_allclose(summary.plating_mass, expected, rtol=5 * 0.0025 / 3)
        np.testing.assert_allclose(summary.stripping_mass, expected, rtol=5 * 0.0025 / 3)
        for interval in (summary.plating_interval, summary.stripping_interval):
            # the mean of the overtones has a smaller slope error than each, and so a short interval around the truth
            assert float(interval.lower[0]) < expected < float(interval.upper[0])
            assert 0 < float(interval.upper[0] - interval.lower[0]) / expected < 10 * 0.0025 / 3
        assert summary.metal_mass is not None
        assert summary.metal_mass.median == pytest.approx(0.9 * 65.38e-3 / 2, rel=0.005)
        half_width = (summary.metal_mass.upper - summary.metal_mass.lower) / 2
        assert half_width == pytest.approx(1.645 * 0.01 * 65.38e-3 / 2, rel=0.25)  # 400 draws
        assert summary.metal_recovered is not None
        assert summary.metal_recovered.lower < 0.9 < summary.metal_recovered.upper


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_the_interval_of_a_mass_holds_it_as_often_as_it_says(correlation: float):
    """Noise that is white or correlated over steps: 88 to 91 % of 1000 segments of 29 steps; one standard error 1 %."""
    generator = np.random.default_rng(4)
    noise = np.zeros((1000, 29))
    noise[:, 0] = generator.standard_normal(1000)
    for step in range(1, 29):
        new = generator.standard_normal(1000)
        noise[:, step] = correlation * noise[:, step - 1] + np.sqrt(1 - correlation**2) * new
    charge = -20.0 * np.arange(29)
    held = []
    for error in noise:
        interval = mass_interval((3.0 * charge + error)[:, None], charge, FARADAY_CONSTANT)
        held.append(float(interval.lower[0]) <= 3.0 <= float(interval.upper[0]))
    assert 0.85 < np.mean(held) < 0.94


def test_a_short_segment_has_no_interval():
    interval = mass_interval(np.arange(14.0)[:, None], np.arange(14.0), 1.0)
    assert np.isnan(np.concatenate(interval)).all()
    nothing = mass_interval(np.full((30, 2), np.nan), np.arange(30.0), 1.0)
    assert np.isnan(np.concatenate(nothing)).all()


def test_table_shows_field_units_and_marks_the_unfinished_cycle(result):
    table = cycle_table(cycle_summaries(result))
    assert [row[2] for row in table.rows] == ["60.0"] * 3
    assert [row[4] for row in table.rows] == ["90.0", "90.0", "90.0 *"]


def test_without_attributes_or_efficiency_the_posterior_columns_stay_empty(result):
    result.attrs.pop("metal_molar_mass")
    assert faradaic_mass(result) is None
    assert all(summary.metal_mass is None for summary in cycle_summaries(result))
    del result.constant_data["charge_density"]
    assert cycle_summaries(result) == ()
