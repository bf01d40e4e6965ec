"""openQCM NEXT csv: `Date,Time,Relative_time,Temperature,Frequency_0,Dissipation_0,…,Frequency_4,Dissipation_4`.

Frequencies are absolute, dissipations plain numbers; 0 … 4 stand for n = 1, 3, 5, 7, 9. The software leaves out values
that are zero, so that the rest of the row moves to the left. A frequency says itself which overtone it is, and a
dissipation belongs to the frequency before it unless others may have stood between; then it is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents, Crystal, Hints
from hmm_plating.recording.formats.overtones import without_empty
from hmm_plating.recording.table import Table, numbers, times

FORMAT = "openQCM NEXT csv"
CLOCK = ["Date", "Time", "Relative_time", "Temperature"]
VALUES = [f"{quantity}_{index}" for index in range(5) for quantity in ("Frequency", "Dissipation")]
OVERTONES = np.array([1, 3, 5, 7, 9])
TOLERANCE = 0.02  # of f_n/n between overtones
LEAST_FREQUENCY, LARGEST_DISSIPATION = 1e6, 0.1


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return list(headers) == CLOCK + VALUES


def read(table: Table, hints: Hints) -> Contents:
    """The crystal's part of the file. Raises InputError."""
    time = times(table, CLOCK.index("Relative_time"))
    values = np.stack([numbers(table, len(CLOCK) + index) for index in range(len(VALUES))], axis=1)
    present = np.isfinite(values)
    if np.any(present[:, 1:] & ~present[:, :-1]):
        row = int(np.flatnonzero(np.any(present[:, 1:] & ~present[:, :-1], axis=1))[0])
        raise InputError(f"{table.name}: row {table.rows[row]} has a blank between its values: mend or delete it")
    counts = present.sum(axis=1)
    if counts.max() < 2:
        raise InputError(f"{table.name}: no row has a frequency and a dissipation")
    fundamental = float(np.median(values[counts == counts.max(), 0]))
    frequency, dissipation = np.full((2, len(values), len(OVERTONES)), np.nan)
    for index, (row, count) in enumerate(zip(values, counts, strict=True)):
        try:
            frequency[index], dissipation[index] = _placed(row[:count], fundamental)
        except ValueError as error:
            raise InputError(f"{table.name}: row {table.rows[index]}: {error}: damaged?") from error
    short = int((counts < counts.max()).sum())
    warnings = table.warnings
    if short:
        unplaced = int(present.sum() - np.isfinite(frequency).sum() - np.isfinite(dissipation).sum())
        warnings += (
            f"{short} rows lack values, which moves the others to the left: put back by the magnitude of the "
            f"frequencies; {unplaced} dissipations that may belong to several overtones are left out",
        )
    overtones, frequency, dissipation, empty = without_empty(OVERTONES, frequency, dissipation)
    return Contents(
        table.name,
        FORMAT,
        "f in Hz, absolute; D a plain number",
        crystal=Crystal(
            time,
            overtones,
            frequency,
            dissipation,
            True,
            table.rows,
            temperature=numbers(table, CLOCK.index("Temperature")),
            start=_start(table, float(time[0])),
        ),
        warnings=warnings + empty,
    )


def _placed(row: np.ndarray, fundamental: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and dissipations of one row in their places, shape (5,) each; ValueError if they have none."""
    frequency, dissipation = np.full((2, len(OVERTONES)), np.nan)
    last = -1  # place of the latest overtone
    waiting: list[float] = []  # dissipations since

    def settle(following: int) -> None:
        places = range(max(last, 0), following)
        if len(waiting) > len(places):
            raise ValueError(f"{len(waiting)} dissipations where there is room for {len(places)}")
        if len(waiting) == len(places):
            dissipation[list(places)] = waiting
        waiting.clear()

    for value in row:
        if value > LEAST_FREQUENCY:
            place = int(np.argmin(np.abs(value / (OVERTONES * fundamental) - 1)))
            if abs(value / (OVERTONES[place] * fundamental) - 1) > TOLERANCE:
                raise ValueError(f"{value:.10g} Hz is no overtone of {fundamental:.10g} Hz")
            if place <= last:
                raise ValueError(f"{value:.10g} Hz stands behind a higher or the same overtone")
            settle(place)
            frequency[place], last = value, place
        elif abs(value) < LARGEST_DISSIPATION:
            waiting.append(value)
        else:
            raise ValueError(f"{value:g} is neither a frequency in Hz nor a dissipation")
    settle(len(OVERTONES))
    return frequency, dissipation


def _start(table: Table, first: float) -> tuple[datetime, ...]:
    """Local time of relative time 0, to the second; none where the first row's stamp is damaged."""
    try:
        stamp = datetime.strptime(" ".join(map(str, table.cells[0, :2])), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return ()
    return (stamp - timedelta(seconds=first),)
