"""What may be wrong with a recording although it can be read: said in `warnings` and by `hmm-plating inspect`."""

from __future__ import annotations

import numpy as np

GAP = 1.5  # times the usual interval, beyond which samples are missing
IRREGULAR = 0.1  # part of the intervals, beyond which there is no usual one
UNRECORDED = 0.02  # of the QCM's recording


def gaps(time: np.ndarray, part: str) -> list[str]:
    """Whether samples are missing between the others, as one sentence or none."""
    intervals = np.diff(time)
    if len(intervals) < 2:
        return []
    usual = float(np.median(intervals))
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
