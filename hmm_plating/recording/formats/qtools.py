"""QSense QTools export: `Time_1, F_1:1, D_1:1, F_1:3, …, Tact`, with or without units in the headers.

F is Δf/n and D a shift too, in 1e-6, each against an offset that the export does not hold.
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
from hmm_plating.recording.table import Table, numbers, times

FORMAT = "QSense QTools"
TIME = re.compile(r"Time_(\d+)( ?[\[(]s[\])])?")
FREQUENCY, DISSIPATION = r"F_{}:(\d+)( ?[\[(]Hz[\])])?", r"D_{}:(\d+)( ?[\[(](ppm|1e-6|1E-6)[\])])?"
KNOWN = "|".join([TIME.pattern, FREQUENCY.format(r"\d+"), DISSIPATION.format(r"\d+"), "Tact"])


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return any(TIME.fullmatch(header) for header in headers) and any(
        re.fullmatch(FREQUENCY.format(r"\d+"), header) for header in headers
    )


def read(table: Table, hints: Hints) -> Contents:
    """The crystal's part of the file. Raises InputError."""
    found = {
        int(match.group(1)): index for index, header in enumerate(table.headers) if (match := TIME.fullmatch(header))
    }
    sensor, assumptions = choose_sensor(table.name, sorted(found), hints)
    table = until_blank(table, found[sensor])
    time = times(table, found[sensor])
    frequency = overtone_columns(table, FREQUENCY.format(sensor))
    dissipation = overtone_columns(table, DISSIPATION.format(sensor))
    overtones, frequencies, dissipations, empty = without_empty(*channels(table, frequency, dissipation))
    absolute = is_absolute(overtones, frequencies)
    if absolute:
        assumptions += ("F is an absolute frequency, not Δf/n as QTools usually writes",)
    else:
        frequencies = frequencies * overtones
        assumptions += ("F taken as Δf/n, as QTools writes it; the absolute frequencies and dissipations are lost",)
    temperature = numbers(table, table.headers.index("Tact")) if "Tact" in table.headers else None
    return Contents(
        table.name,
        FORMAT,
        f"F in Hz, {'absolute' if absolute else 'Δf/n'}; D in 1e-6",
        crystal=Crystal(
            time, overtones, frequencies, PPM * dissipations, absolute, table.rows, temperature=temperature
        ),
        assumptions=assumptions + not_used(table, KNOWN),
        warnings=table.warnings + empty,
    )
