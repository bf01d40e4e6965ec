"""Two clocks from the dates at which two files say that they start.

Dates of two computers need not be of the same time zone, and a file need not say which zone it has, nor in which order
day and month stand. Recordings of one experiment start within the same hour or so: of all readings of the dates that
let the two recordings overlap, whole hours apart at first, the one with the nearest starts is taken.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from hmm_plating.recording.formats.contents import Crystal, Potentiostat

HOUR = 3600.0  # s
ZONES = range(-26, 27)  # hours between two computers' clocks
QUARTERS = (0.0, 0.25, 0.5, 0.75)  # of an hour, by which some zones differ


class StartOffset(NamedTuple):
    """Seconds to add to the potentiostat's time, and how they were found."""

    offset: float
    description: str


def offset_from_starts(crystal: Crystal, potentiostat: Potentiostat) -> StartOffset | None:
    """Offset of the clocks; None where a file has no date, or no reading of the dates lets the recordings overlap."""
    candidates = []
    for one in crystal.start:
        for other in potentiostat.start:
            apart = (_plain(other) - _plain(one)).total_seconds()
            for quarter in QUARTERS:
                for hours in ZONES:
                    zone = hours + quarter
                    offset = apart - HOUR * zone
                    if _overlap(crystal, potentiostat, offset) > 0:
                        alike = (one.tzinfo is None) == (other.tzinfo is None)
                        candidates.append((not (alike and zone == 0), quarter, abs(offset), zone, offset, other))
    if not candidates:
        return None
    _, _, _, zone, offset, start = min(candidates, key=lambda candidate: candidate[:3])
    if zone == 0:
        return StartOffset(offset, f"both files' times taken to be of one zone, {start:%Y-%m-%d}")
    return StartOffset(
        offset, f"the potentiostat's clock taken to be {zone:+g} h ahead of the QCM's (time zones), {start:%Y-%m-%d}"
    )


def _plain(date: datetime) -> datetime:
    return date.replace(tzinfo=None)


def _overlap(crystal: Crystal, potentiostat: Potentiostat, offset: float) -> float:
    """Time that both record [s]."""
    first = max(crystal.time[0], potentiostat.time[0] + offset)
    return min(crystal.time[-1], potentiostat.time[-1] + offset) - first
