"""Offsets of two clocks from dates, against dates worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hmm_plating.recording.formats import Crystal, Potentiostat
from hmm_plating.recording.start_times import offset_from_starts

NOON = datetime(2024, 5, 1, 12, 0, 0)


def pair(crystal_start, potentiostat_start, duration: float = 3600.0):
    time = np.linspace(0.0, duration, 100)
    values = np.zeros((100, 1))
    crystal = Crystal(time, np.array([1]), values, None, True, start=crystal_start)
    return crystal, Potentiostat(time, values[:, 0], None, None, start=potentiostat_start)


@pytest.mark.parametrize(
    ("crystal", "potentiostat", "offset"),
    [
        ((NOON,), (NOON + timedelta(seconds=40),), 40.0),
        ((NOON.replace(tzinfo=UTC),), (NOON + timedelta(hours=2, seconds=6),), 6.0),
        ((NOON.replace(tzinfo=UTC),), (NOON + timedelta(hours=-7, minutes=-20),), -1200.0),
        ((NOON.replace(tzinfo=UTC),), (NOON + timedelta(hours=5, minutes=30, seconds=9),), 9.0 - 1800.0),
        ((NOON,), (datetime(2024, 1, 5, 12, 0, 3), datetime(2024, 5, 1, 12, 0, 3)), 3.0),
        ((NOON,), (NOON + timedelta(hours=1, seconds=5),), 5.0),
    ],
    ids=[
        "one zone",
        "2 h",
        "started earlier, 7 h",
        "half an hour, the nearer of two hours",
        "day or month first",
        "summer",
    ],
)
def test_offsets(crystal, potentiostat, offset):
    assert offset_from_starts(*pair(crystal, potentiostat)).offset == pytest.approx(offset)


def test_a_zone_of_half_an_hour_where_nothing_else_overlaps():
    found = offset_from_starts(*pair((NOON.replace(tzinfo=UTC),), (NOON + timedelta(hours=5, minutes=30),), 600.0))
    assert found.offset == 0.0
    assert "+5.5 h ahead" in found.description


def test_no_dates_and_other_days_say_nothing():
    assert offset_from_starts(*pair((), (NOON,))) is None
    assert offset_from_starts(*pair((NOON,), ())) is None
    assert offset_from_starts(*pair((NOON,), (NOON + timedelta(days=30),))) is None
