"""Text of the newer QSense software: `sep=` in line 1, then `Time [s]`, `f1 [Hz]`, `D1 [ppm]`, …, often decimal commas.

f is Δf/n already, so the absolute frequencies are lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hmm_plating.recording.formats.contents import Contents, Crystal, Hints
from hmm_plating.recording.formats.overtones import (
    PPM,
    channels,
    is_absolute,
    not_used,
    overtone_columns,
    without_empty,
)
from hmm_plating.recording.table import Table, times

FORMAT = "QSense text"
TIME = "Time [s]"
KNOWN = rf"{re.escape(TIME)}|f\d+ \[Hz\]|D\d+ \[ppm\]"


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return TIME in headers and any(re.fullmatch(r"f\d+ \[Hz\]", header) for header in headers)


def read(table: Table, hints: Hints) -> Contents:
    """The crystal's part of the file. Raises InputError."""
    time = times(table, table.headers.index(TIME))
    frequency, dissipation = overtone_columns(table, r"f(\d+) \[Hz\]"), overtone_columns(table, r"D(\d+) \[ppm\]")
    overtones, frequencies, dissipations, empty = without_empty(*channels(table, frequency, dissipation))
    absolute = is_absolute(overtones, frequencies)
    if absolute:
        assumption = "f is an absolute frequency, not Δf/n as this software usually writes"
    else:
        frequencies = frequencies * overtones
        assumption = "f taken as Δf/n, as this software writes it; the absolute frequencies are lost"
    return Contents(
        table.name,
        FORMAT,
        f"f in Hz, {'absolute' if absolute else 'Δf/n'}; D in 1e-6",
        crystal=Crystal(time, overtones, frequencies, PPM * dissipations, absolute, table.rows),
        assumptions=(assumption, *not_used(table, KNOWN)),
        warnings=table.warnings + empty,
    )
