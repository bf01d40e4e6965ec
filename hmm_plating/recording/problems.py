"""What may be wrong with a recording although it can be read: said in `warnings` and by `hmm-plating inspect`."""

from __future__ import annotations

import numpy as np

GAP, STUTTER = 1.5, 0.5  # times the usual interval, beyond which samples are missing, or below too many
IRREGULAR = 0.1  # part of the intervals, beyond which there is no usual one
UNRECORDED = 0.02  # of the QCM's recording


def gaps(time: np.ndarray, part: str) -> list[str]:
    """Whether samples are missing between the others, or too many, as sentences."""
    intervals = np.diff(time)
    if len(intervals) < 2:
        return []
    usual = float(np.median(intervals))
    short = np.flatnonzero(intervals < STUTTER * usual)
    found = []
    if len(short):
        extra = " (some instruments add points where the current switches)" if part == "potentiostat" else ""
        found.append(
            f"the {part} has {len(short)} samples sooner after the one before than half of {usual:.3g} s, first at "
            f"{time[short[0] + 1]:.6g} s{extra}"
        )
    return found + _lacking(time, intervals, usual, part)


def _lacking(time: np.ndarray, intervals: np.ndarray, usual: float, part: str) -> list[str]:
    long = np.flatnonzero(intervals > GAP * usual)
    if len(long) == 0:
        return []
    worst = int(np.argmax(intervals))
    what = "is sampled irregularly" if len(long) > IRREGULAR * len(intervals) else "lacks samples"
    return [
        f"the {part} {what}: {len(long)} intervals longer than {GAP:g} × {usual:.3g} s, the longest "
        f"{intervals[worst]:.3g} s after {time[worst]:.6g} s"
    ]


def unrecorded(time: np.ndarray, potentiostat_time: np.ndarray) -> list[str]:
    """How much of the QCM's recording the potentiostat does not cover, where that is much."""
    duration = time[-1] - time[0]
    covered = min(time[-1], potentiostat_time[-1]) - max(time[0], potentiostat_time[0])
    if duration - covered <= UNRECORDED * duration:
        return []
    return [f"the potentiostat covers {covered:.4g} of {duration:.4g} s: no current is assumed beyond"]
