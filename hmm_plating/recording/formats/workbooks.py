"""Three plain tables, of a workbook or of text: a QCM-D recording, a potentiostat's and the crystal's values in air.

    QCM-D           time [s], f3, D3, f5, D5, …      absolute frequency [Hz], dissipation [1e-6]
    potentiostat    time/s, (Q-Qo)/mC, <Ewe/V>, I/mA (names of BioLogic's EC-Lab)
    air             f3_1 (Hz), D3_1 (ppm), …         one row or several

Row 1 of the first sheet holds the headers; blanks and case in them do not matter, units do.
"""

from __future__ import annotations

import re

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents, Crystal, Potentiostat
from hmm_plating.recording.formats.overtones import PPM
from hmm_plating.recording.table import Table, find_column, matching_columns, numbers, times

TIME = r"time(/s|\[s\]|\(s\))?"
FREQUENCY = r"f(\d+)(_\d+)?([\[(]hz[\])])?"
DISSIPATION = r"d(\d+)(_\d+)?([\[(](ppm|1e-6)[\])])?"
POTENTIOSTAT = {
    "time/s": TIME,
    "(Q-Qo)/mC": r"\(q-qo\)/mc",
    "<Ewe/V>": r"<?ewe>?/v>?",
    "I/mA": r"<?i>?/ma",
}


def has_crystal(table: Table) -> bool:
    """Whether there are columns of frequencies."""
    return bool(matching_columns(table, FREQUENCY))


def has_time(table: Table) -> bool:
    """Whether there is a column of times."""
    return bool(matching_columns(table, TIME))


def read_crystal(table: Table) -> Contents:
    """A QCM-D recording. Raises InputError."""
    time = times(table, find_column(table, TIME, "time"))
    overtones, frequency, dissipation = _channels(table)
    used = {index for pattern in (TIME, FREQUENCY, DISSIPATION) for index in matching_columns(table, pattern)}
    unused = [header for index, header in enumerate(table.headers) if header and index not in used]
    return Contents(
        table.name,
        "table of time, f3, D3, …",
        "f in Hz, absolute; D in 1e-6",
        crystal=Crystal(time, overtones, frequency, dissipation, True, table.rows),
        assumptions=(f"columns not used: {', '.join(map(repr, unused))}",) if unused else (),
        warnings=table.warnings,
    )


def read_in_air(table: Table) -> Contents:
    """The crystal in air; its rows are not in any time. Raises InputError."""
    overtones, frequency, dissipation = _channels(table)
    return Contents(
        table.name,
        "table of f3, D3, … in air",
        "f in Hz, absolute; D in 1e-6",
        crystal=Crystal(np.arange(float(len(frequency))), overtones, frequency, dissipation, True, table.rows),
        warnings=table.warnings,
    )


def read_potentiostat(table: Table) -> Contents:
    """A potentiostat's recording. Raises InputError."""
    columns = {name: find_column(table, pattern, name) for name, pattern in POTENTIOSTAT.items()}
    time = times(table, columns["time/s"])
    charge, potential, current = (numbers(table, columns[name]) for name in ("(Q-Qo)/mC", "<Ewe/V>", "I/mA"))
    for name, values in (("(Q-Qo)/mC", charge), ("I/mA", current)):
        if np.isfinite(values).sum() < 2:
            raise InputError(f"{table.name}: column {table.headers[columns[name]]!r} has fewer than two numbers")
    return Contents(
        table.name,
        "table of EC-Lab's columns",
        ", ".join(POTENTIOSTAT),
        potentiostat=Potentiostat(time, 1e-3 * current, 1e-3 * charge, potential),
        warnings=table.warnings,
    )


def _by_overtone(table: Table, pattern: str, letter: str) -> dict[int, int]:
    """Overtone to column; InputError where two columns claim the same overtone."""
    columns: dict[int, int] = {}
    for index, match in matching_columns(table, pattern).items():
        overtone = int(match.group(1))
        if overtone in columns:
            names = f"{table.headers[columns[overtone]]!r} and {table.headers[index]!r}"
            raise InputError(f"{table.name}: columns {names} both look like {letter}{overtone}; keep one sensor's")
        columns[overtone] = index
    return columns


def _channels(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overtones, ascending, with frequency and dissipation, each (rows, overtones); dissipation as a plain number."""
    frequency, dissipation = _by_overtone(table, FREQUENCY, "f"), _by_overtone(table, DISSIPATION, "D")
    if not frequency:
        find_column(table, FREQUENCY, "f3")  # raises and lists what there is
    for present, partner, letter in ((frequency, dissipation, "D"), (dissipation, frequency, "f")):
        for overtone in sorted(present.keys() - partner.keys()):
            find_column(table, re.escape(f"{letter}{overtone}".lower()), f"{letter}{overtone}")
    overtones = np.array(sorted(frequency))
    if np.any(overtones % 2 == 0):
        raise InputError(f"{table.name}: overtones must be odd, found columns for {overtones.tolist()}")
    return (
        overtones,
        np.stack([numbers(table, frequency[n]) for n in overtones], axis=1),
        PPM * np.stack([numbers(table, dissipation[n]) for n in overtones], axis=1),
    )
