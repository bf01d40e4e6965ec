"""Segments of charge curves whose switches are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmm_plating.errors import InputError
from hmm_plating.recording import resample, segments
from hmm_plating.recording.segments import find_segments


@given(
    st.lists(st.tuples(st.sampled_from([-10.0, -4.0, 0.0, 6.0, 10.0]), st.floats(3.0, 40.0)), min_size=1, max_size=8),
    st.floats(0.05, 0.9),
)
def test_piecewise_constant_currents_are_recovered_exactly(pulses, sampling):
    """Galvanostatic pulses: every switch lies somewhere inside a sample and is found from the charge to round-off."""
    merged: list[list[float]] = []
    for current, duration in pulses:
        if merged and np.sign(merged[-1][0]) == np.sign(current):
            duration, current = duration + merged[-1][1], merged[-1][0]
            merged.pop()
        merged.append([current, duration])
    current, duration = np.array(merged).T
    corners = np.concatenate([[0.0], np.cumsum(duration)])
    time = np.arange(0.0, corners[-1], sampling)
    curve = np.interp(time, corners, np.concatenate([[0.0], np.cumsum(current * duration)]))
    found = find_segments(time, curve)
    kinds = {-1.0: "plating", 0.0: "rest", 1.0: "stripping"}
    complete = [part for part in found if part.duration > 2 * sampling]
    expected = [kinds[sign] for sign in np.sign(current)]
    assert [part.kind for part in complete] == expected[: len(complete)]
    assert len(complete) >= len(expected) - 1
    for part, start in zip(complete, corners, strict=False):
        assert part.start == pytest.approx(start, abs=1e-6)
    for part, charge in zip(complete[:-1], current * duration, strict=False):
        assert part.charge == pytest.approx(charge, abs=1e-5)


def test_resampling_keeps_the_reversals(quiet):
    """Bin means round a corner off; the crossing lines do not."""
    raw, coarse = segments(quiet), segments(resample(quiet, 2.0))
    assert [part.kind for part in raw] == ["rest"] + 3 * ["plating", "stripping"] + ["rest"]
    assert [part.kind for part in coarse] == [part.kind for part in raw]
    for fine, binned in zip(raw[1:-1], coarse[1:-1], strict=True):
        assert binned.start == pytest.approx(fine.start, abs=0.05)
        assert binned.charge == pytest.approx(fine.charge, rel=0.003)


def test_a_recording_without_current_has_no_segments(quiet):
    with pytest.raises(InputError, match="--electrochemistry"):
        segments(quiet.drop_vars(["current_density", "potential", "charge_density"]))
    with pytest.raises(InputError, match="two samples"):
        find_segments(np.array([0.0, 1.0]), np.array([np.nan, 0.0]))


def test_zinc_has_seven_platings_of_a_minute(zinc):
    """The experiment's protocol: ±1 mA/cm², 60 s plating, stripping until the potential runs away."""
    parts = segments(zinc)
    assert [part.kind for part in parts] == 7 * ["plating", "stripping"]
    for part in parts[::2]:
        assert part.duration == pytest.approx(60.0, abs=0.3)
        assert part.charge == pytest.approx(-600.0, rel=0.002)
    efficiency = [-after.charge / before.charge for before, after in zip(parts[0:12:2], parts[1:12:2], strict=True)]
    assert efficiency[0] == pytest.approx(41.23 / 47.09, rel=0.002)  # extremes of the potentiostat's own charge column
    assert np.all(np.diff(efficiency) > 0)
    assert efficiency[-1] < 1
