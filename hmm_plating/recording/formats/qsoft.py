"""QSense QSoft text export: `Time_1 [s];f1_1 [Hz];D1_1 [ppm];f3_1 [Hz];…;Time_2 [s];…`, one time per sensor.

Frequencies are absolute, dissipations in 1e-6.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hmm_plating.recording.formats.contents import Contents, Crystal, Hints
from hmm_plating.recording.formats.overtones import (
    PPM,
    channels,
    choose_sensor,
    is_absolute,
    not_used,
    overtone_columns,
    until_blank,
    without_empty,
)
from hmm_plating.recording.table import Table, times

FORMAT = "QSense QSoft text"
TIME = re.compile(r"Time_(\d+) \[s\]")
KNOWN = r"(Time|f\d+|D\d+)_\d+ \[(s|Hz|ppm)\]"


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return any(TIME.fullmatch(header) for header in headers) and any(
        re.fullmatch(r"f\d+_\d+ \[Hz\]", header) for header in headers
    )


def read(table: Table, hints: Hints) -> Contents:
    """The crystal's part of the file. Raises InputError."""
    found = {
        int(match.group(1)): index for index, header in enumerate(table.headers) if (match := TIME.fullmatch(header))
    }
    sensor, assumptions = choose_sensor(table.name, sorted(found), hints)
    table = until_blank(table, found[sensor])
    time = times(table, found[sensor])
    frequency = overtone_columns(table, rf"f(\d+)_{sensor} \[Hz\]")
    dissipation = overtone_columns(table, rf"D(\d+)_{sensor} \[ppm\]")
    overtones, frequencies, dissipations, empty = without_empty(*channels(table, frequency, dissipation))
    absolute = is_absolute(overtones, frequencies)
    if not absolute:
        assumptions += ("f is no absolute frequency: taken as Δf, not divided by n",)
    return Contents(
        table.name,
        FORMAT,
        f"f in Hz, {'absolute' if absolute else 'a shift'}; D in 1e-6",
        crystal=Crystal(time, overtones, frequencies, PPM * dissipations, absolute, table.rows),
        assumptions=assumptions + not_used(table, KNOWN),
        warnings=table.warnings + empty,
    )
