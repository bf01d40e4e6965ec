"""BioLogic EC-Lab text: an .mpt file with its preamble, or the columns alone.

Columns come with the decimal comma or point of the computer and with a separator behind the last one. Names vary
between versions: `Ewe/V`, `<Ewe>/V` or `<Ewe/V>`; `I/mA` or `<I>/mA`, a mean since the previous point; the charge as
`(Q-Qo)/mC`, `/C`, `/mA.h` or `/A.h`. Time is in seconds, or a date and local time of day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents, Hints, Potentiostat
from hmm_plating.recording.formats.overtones import not_used
from hmm_plating.recording.formats.text import Lines, table
from hmm_plating.recording.table import Table, increasing, numbers, times, where

FORMAT = "BioLogic EC-Lab text"
FIRST_LINE = re.compile(r"(EC-Lab|BT-Lab) ASCII FILE")
HEADER_LINES = re.compile(r"Nb header lines : (\d+)")
LOOP = re.compile(r"Loop \d+ from point number (\d+) to (\d+)")
STARTED = re.compile(r"Acquisition started on : (\d+)/(\d+)/(\d{4}) (\d+):(\d+):(\d+(?:\.\d+)?)")
STAMP = re.compile(r"(\d{2})/(\d{2})/(\d{4}) (\d{2}):(\d{2}):(\d{2}(?:[.,]\d+)?)")
TIME = "time/s"
CURRENT = {"<I>/mA": 1e-3, "<I>/A": 1.0, "<I>/µA": 1e-6, "I/mA": 1e-3, "I/A": 1.0, "I/µA": 1e-6}
CHARGE = {"(Q-Qo)/mC": 1e-3, "(Q-Qo)/C": 1.0, "(Q-Qo)/mA.h": 3.6, "(Q-Qo)/A.h": 3600.0}
POTENTIAL = {"Ewe/V": 1.0, "<Ewe>/V": 1.0, "<Ewe/V>": 1.0, "Ewe/mV": 1e-3, "<Ewe>/mV": 1e-3}
OTHERS = (  # columns that EC-Lab often writes and that are not needed
    r"mode|ox/red|error|(control|Ns) changes|counter inc\.|Ns|control/(V|mA|V/mA)|cycle number|half cycle|z cycle|x|"
    r"I Range|<?Ece>?/V|P/W|Ewe-Ece/V|dq/mA\.h|dQ/(C|mA\.h)|Q (dis)?charge(/discharge)?/mA\.h|"
    r"(Capacity|Energy)[ a-z]*/(mA|W)\.h|Capacitance (dis)?charge/.F|Efficiency/%|step time/s|R(cmp)?/Ohm|"
    r"Analog IN \d/V"
)


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return TIME in headers and not {*CURRENT, *CHARGE}.isdisjoint(headers)


def is_mpt(text: Lines) -> bool:
    """Whether the text starts as an .mpt file does."""
    return bool(text.lines) and FIRST_LINE.match(text.lines[0]) is not None


def read_mpt(text: Lines) -> Contents:
    """An .mpt file. Raises InputError."""
    counts = [HEADER_LINES.match(line) for line in text.lines[:5]]
    count = next((int(match.group(1)) for match in counts if match), 0)
    if not 0 < count <= len(text.lines) or not matches(_names(text.lines[count - 1])):
        raise InputError(
            f"{text.name}: 'Nb header lines' does not lead to a line of column names with {TIME!r} and a current or "
            "charge: damaged, or cut short in its preamble?"
        )
    preamble = "\n".join(text.lines[: count - 1])
    found = read(table(text, count - 1, "\t"), Hints())
    recorded = found.potentiostat
    assert recorded is not None
    ends = [int(match.group(2)) for match in LOOP.finditer(preamble)]
    if ends and ends[-1] + 1 != len(recorded.time):
        announced = f"the preamble announces {ends[-1] + 1} points, the file has {len(recorded.time)}"
        found = found._replace(warnings=(*found.warnings, announced))
    started = STARTED.search(preamble)
    if started and not recorded.start:
        first, second, year, hour, minute = map(int, started.groups()[:5])
        seconds = 3600 * hour + 60 * minute + float(started.group(6))
        start = tuple(date + timedelta(seconds=seconds) for date in _dates(first, second, year))
        found = found._replace(potentiostat=recorded._replace(start=start))
    return found


def _names(line: str) -> list[str]:
    return [name.strip(" ") for name in line.split("\t")]


def read(table: Table, hints: Hints) -> Contents:
    """The potentiostat's part of a table with EC-Lab's columns. Raises InputError."""
    time, start = _time(table)
    current = _first_of(table, CURRENT)
    charge = _first_of(table, CHARGE)
    potential = _first_of(table, POTENTIAL)
    if current is None and charge is None:
        raise InputError(f"{table.name}: no column of current or charge; found {', '.join(map(repr, table.headers))}")
    assumptions: tuple[str, ...] = ()
    if start:
        order = "month before day" if len(start) == 2 else "the only order of day and month that is a date"
        assumptions = (f"dates read with {order}, as local time of an unknown time zone",)
    known = "|".join([OTHERS, *map(re.escape, (TIME, *CURRENT, *CHARGE, *POTENTIAL))])
    assumptions += not_used(table, known)
    units = [name for name, _ in filter(None, (current, charge, potential))]
    return Contents(
        table.name,
        FORMAT,
        f"{TIME}, {', '.join(units)}",
        potentiostat=Potentiostat(
            time,
            None if current is None else current[1],
            None if charge is None else charge[1],
            None if potential is None else potential[1],
            averaged=current is not None and current[0].startswith("<"),
            start=start,
        ),
        assumptions=assumptions,
        warnings=table.warnings,
    )


def _first_of(table: Table, units: dict[str, float]) -> tuple[str, np.ndarray] | None:
    """Header and values in SI units of the first column that there is."""
    for name, unit in units.items():
        if name in table.headers:
            return name, unit * numbers(table, table.headers.index(name))
    return None


def _time(table: Table) -> tuple[np.ndarray, tuple[datetime, ...]]:
    """Seconds since the start, and the start where the column holds dates."""
    column = table.headers.index(TIME)
    if not (isinstance(table.cells[0, column], str) and STAMP.fullmatch(table.cells[0, column])):
        return times(table, column), ()
    fields = []
    for index, cell in enumerate(table.cells[:, column]):
        match = STAMP.fullmatch(cell) if isinstance(cell, str) else None
        if not match:
            raise InputError(f"{where(table, column, index)}: {cell!r} is no date and time like the first row's")
        fields.append(match.groups())
    starts, seconds = [], None
    for month, day in ((0, 1), (1, 0)):
        try:
            dates = {row[:3]: datetime(int(row[2]), int(row[month]), int(row[day])) for row in fields}
        except ValueError:
            continue
        first = dates[fields[0][:3]]
        if seconds is None:
            seconds = np.array(
                [
                    86400 * (dates[row[:3]] - first).days
                    + 3600 * int(row[3])
                    + 60 * int(row[4])
                    + float(row[5].replace(",", "."))
                    for row in fields
                ]
            )
        start = first + timedelta(seconds=float(seconds[0]))
        if start not in starts:
            starts.append(start)
    if seconds is None:
        raise InputError(f"{table.name}: column {TIME!r} holds dates that do not exist")
    return increasing(table, column, seconds - seconds[0]), tuple(starts)


def _dates(first: int, second: int, year: int) -> tuple[datetime, ...]:
    """The dates that 1/2/2020 may mean, month first before day first."""
    found: dict[datetime, None] = {}
    for month, day in ((first, second), (second, first)):
        try:
            found[datetime(year, month, day)] = None
        except ValueError:
            continue
    return tuple(found)
