"""Charge from current: sums and integrals against closed forms."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hmm_plating.errors import InputError
from hmm_plating.recording.charge import charge_curve
from hmm_plating.recording.formats import Potentiostat

TIME = np.cumsum(np.random.default_rng(3).uniform(0.1, 0.3, 200))


def test_a_current_at_points_is_integrated_by_trapezoids():
    """Exact for a current that is linear in time: q = a t + b t²/2."""
    curve = charge_curve("file", Potentiostat(TIME, 2.0 - 3.0 * TIME, None, None))
    expected = 2.0 * TIME - 1.5 * TIME**2
    np.testing.assert_allclose(curve.charge, expected - expected[0], atol=1e-12 * np.ptp(expected))
    assert curve.assumptions == ("charge integrated from the current", "no potential was recorded")


def test_a_mean_current_is_summed():
    """Means since the previous point are differences of the charge."""
    charge = np.sin(TIME)
    mean = np.diff(charge) / np.diff(TIME)
    curve = charge_curve("file", Potentiostat(TIME, np.insert(mean, 0, 0.0), None, np.zeros(200), averaged=True))
    np.testing.assert_allclose(curve.charge, charge - charge[0], atol=1e-12)


def test_missing_currents_are_bridged():
    current = np.full(200, -1.0)
    current[50:60] = np.nan
    curve = charge_curve("file", Potentiostat(TIME, current, None, None))
    known = np.isfinite(curve.charge)
    assert known.sum() == 190
    np.testing.assert_allclose(curve.charge[known], -(TIME - TIME[0])[known], atol=1e-12)


@pytest.mark.parametrize("factor", [1000.0, -1.0, 3.6])
def test_a_charge_of_another_unit_or_sign_is_refused(factor: float):
    with pytest.raises(InputError, match=re.escape(f"grows by {factor:.3g} times the current")):
        charge_curve("file", Potentiostat(TIME, np.full(200, -1.0), -factor * TIME, None))


def test_nothing_to_integrate():
    with pytest.raises(InputError, match="the current has fewer than two numbers"):
        charge_curve("file", Potentiostat(TIME, np.full(200, np.nan), None, None))
    with pytest.raises(InputError, match="the charge has fewer than two numbers"):
        charge_curve("file", Potentiostat(TIME, None, np.full(200, np.nan), None))
