"""The state before plating, from samples whose every value is known."""

from __future__ import annotations

import numpy as np
import pytest

from hmm_plating.recording.baseline import before_current, column_median, first_second

TIME = np.arange(0.0, 40.0, 0.25)
TAKEN = TIME[:, None] + np.array([0.0, 0.1])
CHARGE_TIME = np.array([0.0, 20.0, 40.0])
CHARGE = np.array([0.0, 0.0, -200.0])  # the current starts at 20 s
BASE = np.array([1.5e7, 2.5e7])


def _frequency(taken):
    return BASE * (1 + 4e-7 * np.interp(taken, CHARGE_TIME, CHARGE))  # Sauerbrey: Δf ∝ n


def test_median_of_what_precedes_the_current():
    """An outlier and an early drift do not matter; what the current does is not used."""
    frequency = _frequency(TAKEN)
    frequency[TIME < 9] += 500
    frequency[70, 0] += 1e4
    reference = before_current(TAKEN, frequency, 1e-12 * frequency, CHARGE_TIME, CHARGE)
    np.testing.assert_allclose(reference.frequency, BASE, rtol=0, atol=1e-6)
    np.testing.assert_allclose(reference.dissipation, 1e-12 * BASE, rtol=1e-12)
    assert "40 to 40 samples" in reference.description


def test_one_sample_before_the_current_is_enough():
    """The overtones are sampled at different moments: the second one's only baseline sample is at 19.85 s.

    An error of that one sample is shared by the overtones; between them it is averaged out.
    """
    late = TIME > 19.6
    frequency = _frequency(TAKEN[late])
    frequency[0, 1] += 8.0
    reference = before_current(TAKEN[late], frequency, 0 * TAKEN[late], CHARGE_TIME, CHARGE)
    np.testing.assert_allclose(reference.frequency, BASE, rtol=0, atol=5.0)
    relative = reference.frequency / BASE - 1
    assert abs(relative[1] - relative[0]) * BASE[1] < 1.5  # the kink of the onset and 8 Hz over 9 samples
    assert "before any current" in reference.description


def test_line_back_to_no_charge():
    late = TIME > 24
    frequency = _frequency(TAKEN[late])
    frequency[3, 1] = np.nan
    reference = before_current(TAKEN[late], frequency, 0 * TAKEN[late], CHARGE_TIME, CHARGE)
    np.testing.assert_allclose(reference.frequency, BASE, rtol=0, atol=1e-4)
    assert "extrapolated" in reference.description


def test_no_current_at_all():
    """At open circuit shifts count from the start of the recording, that is its first 10 s."""
    frequency = BASE + np.where(TIME < 12, 0.0, 100.0)[:, None]
    reference = before_current(TAKEN, frequency, 0 * TAKEN, CHARGE_TIME, np.zeros(3))
    np.testing.assert_allclose(reference.frequency, BASE)


def test_first_second_and_missing_channels():
    frequency = _frequency(TAKEN) + np.arange(len(TIME))[:, None]
    frequency[:, 1] = np.nan
    reference = first_second(TIME, frequency, 0 * frequency)
    assert reference.frequency[0] == pytest.approx(BASE[0] + 2)
    assert np.isnan(reference.frequency[1])
    assert np.isnan(column_median(np.full((4, 1), np.nan))[0])
