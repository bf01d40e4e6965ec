"""The part of growing files that decides their latest steps, so that these cost the same however long the files are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hmm_plating.recording.formats.contents import Contents
from hmm_plating.recording.samples import series_of


def latest(contents: Contents, first_part: float, since: float, offset: float = 0.0) -> Contents:
    """The samples of the first part and, of each series, those from the last known one before a time on.

    A charge that is the integral of a current needs all of it: the potentiostat's part is then left whole.

    Args:
        first_part: [s].
        since: on the QCM's clock [s].
        offset: of the QCM's clock against the potentiostat's [s].
    """
    crystal, potentiostat = contents.crystal, contents.potentiostat
    series = series_of(contents)
    if crystal is not None:
        crystal = crystal._replace(**_chosen(series.crystal, first_part, since, known=("time",)))
    if potentiostat is not None and potentiostat.charge is not None:
        kept = _chosen(series.potentiostat, first_part, since - offset, known=tuple(series.potentiostat))
        potentiostat = potentiostat._replace(**kept)
    return contents._replace(crystal=crystal, potentiostat=potentiostat)


def _chosen(series: dict[str, np.ndarray], first_part: float, since: float, known: tuple[str, ...]) -> dict[str, Any]:
    time = series["time"]
    early = int(np.searchsorted(time, time[0] + first_part, side="right")) + 1
    start = int(np.searchsorted(time, since))
    start = min(_last_known(series[name], start) for name in known)
    if start <= early:
        return series
    return {name: np.concatenate([values[:early], values[start:]]) for name, values in series.items()}


def _last_known(values: np.ndarray, before: int) -> int:
    """Place of the last number among the first `before`; looked for backwards, a little at first."""
    for reach in (64, math.inf):
        start = int(max(0, before - reach))
        found = np.flatnonzero(np.isfinite(values[start:before]))
        if len(found) or start == 0:
            break
    return start + int(found[-1]) if len(found) else 0
