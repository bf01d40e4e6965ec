"""Plating, stripping and rest, found in the charge curve Q(t).

A sample's mean current since the previous sample is a mixture where the current switched in between. The moment of the
switch is therefore taken from the charge: the lines that continue the segments before and after cross there.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording.dataset import require_electrochemistry

REST_FRACTION = 0.05  # of the largest current (95th percentile): what counts as none


class Segment(NamedTuple):
    """A stretch of one current direction.

    Attributes:
        kind: "plating" (negative current), "stripping" or "rest".
        start, stop: [s].
        charge: that flowed, signed like the current, in the unit of the charge curve ([C/m²] for a recording).
    """

    kind: str
    start: float
    stop: float
    charge: float

    @property
    def duration(self) -> float:
        """[s]."""
        return self.stop - self.start


def segments(dataset: xr.Dataset) -> tuple[Segment, ...]:
    """Segments of a recording, raw or resampled, in order of time.

    Raises:
        InputError: the recording has no electrochemistry.
    """
    require_electrochemistry(dataset)
    return find_segments(dataset["time"].values, dataset["charge_density"].values)


def find_segments(time: np.ndarray, charge: np.ndarray) -> tuple[Segment, ...]:
    """Segments of a charge curve; `time` and `charge` have shape (samples,), NaN charge is skipped.

    Raises:
        InputError: fewer than two samples have a charge.
    """
    known = np.isfinite(charge)
    time, charge = time[known], charge[known]
    if len(time) < 2:
        raise InputError("a charge curve needs at least two samples to have plating and stripping segments")
    current = np.diff(charge) / np.diff(time)
    magnitude = np.quantile(np.abs(current), 0.95)
    direction = np.where(np.abs(current) > REST_FRACTION * magnitude, np.sign(current), 0).astype(int)
    runs = _runs(direction)

    boundaries = [(time[0], charge[0])]
    for (_, first, end), (_, next_first, next_end) in pairwise(runs):
        left = end - 1 - _margin(end - first)
        right = next_first + _margin(next_end - next_first)
        boundaries.append(_crossing(time, charge, current, left, right))
    boundaries.append((time[-1], charge[-1]))
    kinds = {-1: "plating", 0: "rest", 1: "stripping"}
    return tuple(
        Segment(kinds[sign], float(start[0]), float(stop[0]), float(stop[1] - start[1]))
        for (sign, _, _), (start, stop) in zip(runs, pairwise(boundaries), strict=True)
    )


def _runs(direction: np.ndarray) -> list[tuple[int, int, int]]:
    """Runs of equal direction as (direction, first, end) over intervals; a single interval between two others is a
    mixture of both and belongs to neither."""
    edges = np.flatnonzero(np.diff(direction)) + 1
    bounds = list(zip([0, *edges], [*edges, len(direction)], strict=True))
    kept: list[tuple[int, int, int]] = []
    for first, end in bounds:
        interior = first > 0 and end < len(direction)
        if interior and end - first == 1:
            continue
        if kept and kept[-1][0] == direction[first]:
            kept[-1] = (kept[-1][0], kept[-1][1], int(end))
        else:
            kept.append((int(direction[first]), int(first), int(end)))
    return kept


def _margin(length: int) -> int:
    """How many intervals of a run to leave out beside a switch: bin means spread it over two."""
    return min(2, (length - 1) // 2)


def _crossing(time: np.ndarray, charge: np.ndarray, current: np.ndarray, left: int, right: int) -> tuple[float, float]:
    """Where the lines that continue intervals `left` and `right` cross: time and charge of the switch between them."""
    before, after = current[left], current[right]
    start, stop = left + 1, right  # samples at the ends of the stretch between the intervals
    if before == after:
        moment = 0.5 * (time[start] + time[stop])
    else:
        moment = (charge[stop] - charge[start] + before * time[start] - after * time[stop]) / (before - after)
        moment = float(np.clip(moment, time[start], time[stop]))
    return moment, charge[start] + before * (moment - time[start])
