"""Csv of a single-frequency QCM: `Time Elapsed (s),Timestamp,Frequency,Moving Average`; the stamp counts from 1970."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents, Crystal, Hints
from hmm_plating.recording.formats.overtones import not_used
from hmm_plating.recording.table import Table, increasing, numbers, times

FORMAT = "single-frequency QCM csv"
TIME, STAMP, FREQUENCY = "Time Elapsed (s)", "Timestamp", "Frequency"
SLACK = 1.0  # s, by which the two clocks may disagree
YEARS = range(1990, 2200)
KNOWN = "|".join(map(re.escape, (TIME, STAMP, FREQUENCY, "Moving Average")))


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return {TIME, STAMP, FREQUENCY} <= set(headers)


def read(table: Table, hints: Hints) -> Contents:
    """The crystal's part of the file. Raises InputError."""
    time = times(table, table.headers.index(TIME))
    column = table.headers.index(STAMP)
    stamps = increasing(table, column, numbers(table, column))
    start = float(np.median(stamps - time))
    apart = np.flatnonzero(np.abs(stamps - time - start) > SLACK)
    if len(apart):
        raise InputError(
            f"{table.name}: row {table.rows[apart[0]]}: {TIME!r} and {STAMP!r} do not run alike: mend or delete the row"
        )
    try:
        date = datetime.fromtimestamp(start, UTC)
    except (ValueError, OverflowError, OSError):
        date = datetime.fromtimestamp(0, UTC)
    if date.year not in YEARS:
        raise InputError(f"{table.name}: {STAMP!r} is no time in seconds since 1970")
    return Contents(
        table.name,
        FORMAT,
        "f in Hz, absolute; no dissipation",
        crystal=Crystal(
            time,
            np.array([1]),
            numbers(table, table.headers.index(FREQUENCY))[:, None],
            None,
            True,
            table.rows,
            start=(date,),
        ),
        assumptions=(
            "the frequency taken as the fundamental's, n = 1",
            "the stamp counts seconds since 1970, UTC",
            *not_used(table, KNOWN),
        ),
        warnings=table.warnings,
    )
