"""MicroVacuum QCM-I csv: `Channel A QCM Time [sec]`, `Channel A 3. Overtone [Hz]`, `Channel A 3. Dissipation  [ ]`, …

Frequencies are absolute, dissipations plain numbers; blanks inside the headers vary between versions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hmm_plating.recording.formats.contents import Contents, Crystal, Hints
from hmm_plating.recording.formats.overtones import (
    channels,
    choose_sensor,
    not_used,
    overtone_columns,
    plain_dissipation,
    without_empty,
)
from hmm_plating.recording.table import Table, numbers, times

FORMAT = "MicroVacuum QCM-I csv"
TIME = re.compile(r"Channel ([A-Z]) QCM Time *\[sec\]")
KNOWN = (
    r"Channel [A-Z] (QCM Time|Flow|Temp|(Fundamental|\d+\.) (Boffs|Dissipation|Fi|Frequency|Overtone|FWHM|Gmax|Goffs|Q|"
    r"Residual|Sauerbrey Mass|(Dissipation|Frequency|Overtone|FWHM) Variation)) *\[[A-Za-z/0-9 ]*\]"
)


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return any(TIME.fullmatch(header) for header in headers)


def read(table: Table, hints: Hints) -> Contents:
    """The crystal's part of the file; sensor 1 is channel A. Raises InputError."""
    found = {
        ord(match.group(1)) - ord("A") + 1: index
        for index, header in enumerate(table.headers)
        if (match := TIME.fullmatch(header))
    }
    sensor, assumptions = choose_sensor(table.name, sorted(found), hints)
    channel = f"Channel {chr(ord('A') + sensor - 1)} "
    names = [header.removeprefix(channel).replace("Fundamental Frequency", "1. Overtone") for header in table.headers]
    short = table._replace(headers=[name.replace("Fundamental ", "1. ") for name in names])
    time = times(table, found[sensor])
    frequency = overtone_columns(short, r"(\d+)\. Overtone *\[Hz\]")
    dissipation = overtone_columns(short, r"(\d+)\. Dissipation *\[ *\]")
    overtones, frequencies, dissipations, empty = without_empty(*channels(table, frequency, dissipation))
    temperature: np.ndarray | None = None
    if "Temp [Celsius]" in short.headers:
        temperature = numbers(table, short.headers.index("Temp [Celsius]"))
    return Contents(
        table.name,
        FORMAT,
        "f in Hz, absolute; D a plain number",
        crystal=Crystal(
            time,
            overtones,
            frequencies,
            plain_dissipation(table.name, dissipations),
            True,
            table.rows,
            temperature=temperature,
        ),
        assumptions=assumptions + not_used(table, KNOWN),
        warnings=table.warnings + empty,
    )
