"""AWSensors text: `Time_(s)`, `Delta_F/n_n=3_(Hz)`, `Delta_D_n=3_()`, …: Δf/n and ΔD, absolute values lost."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hmm_plating.recording.formats.contents import Contents, Crystal, Hints
from hmm_plating.recording.formats.overtones import (
    channels,
    dissipation_by_magnitude,
    not_used,
    overtone_columns,
    without_empty,
)
from hmm_plating.recording.table import Table, times

FORMAT = "AWSensors text"
TIME = "Time_(s)"
KNOWN = rf"{re.escape(TIME)}|Delta_F/n_n=\d+_\(Hz\)|Delta_D_n=\d+_\(\)"


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return TIME in headers and any(header.startswith("Delta_F/n_n=") for header in headers)


def read(table: Table, hints: Hints) -> Contents:
    """The crystal's part of the file. Raises InputError."""
    time = times(table, table.headers.index(TIME))
    frequency = overtone_columns(table, r"Delta_F/n_n=(\d+)_\(Hz\)")
    dissipation = overtone_columns(table, r"Delta_D_n=(\d+)_\(\)")
    overtones, shifts, dissipations, empty = without_empty(*channels(table, frequency, dissipation))
    dissipations, unit = dissipation_by_magnitude(table.name, dissipations)
    return Contents(
        table.name,
        FORMAT,
        "Δf/n in Hz; ΔD without a unit",
        crystal=Crystal(time, overtones, shifts * overtones, dissipations, False, table.rows),
        assumptions=(unit, "the absolute frequencies and dissipations are lost", *not_used(table, KNOWN)),
        warnings=table.warnings + empty,
    )
