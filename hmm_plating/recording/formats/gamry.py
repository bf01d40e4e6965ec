"""Gamry .DTA text: `CURVEn TABLE` holds the potentiostat's points, `QCMCurve DTABLE` those of the eQCM 10M.

The two tables have their own clocks: QCMOFFSETTIME is the QCM's when the potentiostat's was 0. A table ends where its
lines are no longer indented. Points are numbered on, so missing ones show. The charge starts anew with each curve. Of
the series resonance fs and the parallel resonance fp, fs is taken; there is no dissipation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats import text as texts
from hmm_plating.recording.formats.contents import Contents, Crystal, Potentiostat
from hmm_plating.recording.formats.text import Lines
from hmm_plating.recording.table import Table, numbers, times

FORMAT = "Gamry .DTA"
FIRST_LINE = "EXPLAIN"
CURVE = re.compile(r"CURVE\d*\tTABLE(\t\d+)?")
QCM = re.compile(r"QCMCurve\tD?TABLE(\t\d+)?")
UNITS = {
    "Pt": ("#",),
    "T": ("s",),
    "Q": ("C",),
    "Vf": ("V vs. Ref.", "V"),
    "Im": ("A",),
    **dict.fromkeys(("Vu", "Sig", "ACH"), ("V",)),
    "IERange": ("#",),
    "Over": ("bits",),
    **dict.fromkeys(("fs", "fp"), ("MHz",)),
    "chisq": ("arb",),
    **dict.fromkeys(("As", "Ap"), ("Mag",)),
}
MEGAHERTZ = 1e6
SQUARE_CENTIMETRE = 1e-4  # m²


class _Points(NamedTuple):
    table: Table
    number: np.ndarray  # of each point


def matches(text: Lines) -> bool:
    """Whether the text starts as a .DTA file does."""
    return len(text.lines) > 1 and text.lines[0].strip() == FIRST_LINE and text.lines[1].startswith("TAG\t")


def read(text: Lines) -> Contents:
    """Both parts of the file, or the potentiostat's alone. Raises InputError."""
    settings = {fields[0]: fields[2] for line in text.lines if len(fields := line.split("\t")) > 2 and fields[0]}
    curves = [_points(text, index) for index, line in enumerate(text.lines) if CURVE.match(line)]
    crystals = [_points(text, index) for index, line in enumerate(text.lines) if QCM.match(line)]
    if not curves:
        raise InputError(f"{text.name}: a Gamry file without a table of points (CURVE TABLE): cut short?")
    if len(crystals) > 1:
        raise InputError(f"{text.name}: more than one table QCMCurve")
    warnings = [*text.warnings, *_missing("potentiostat", curves), *_missing("QCM", crystals)]
    inside = sum(len(points.number) + 2 for points in (*curves, *crystals))
    indented = sum(line.startswith("\t") for line in text.lines) - inside
    if curves[0].number[0] != 0:
        warnings.append(f"the potentiostat's first point is number {curves[0].number[0]:g}, not 0: points are missing")
    if indented > 0:
        warnings.append(f"{indented} indented lines belong to no table: is a line CURVE … TABLE damaged?")
    crystal = _crystal(crystals[0].table, settings) if crystals else None
    assumptions: tuple[str, ...] = ()
    if crystal is not None:
        assumptions = (
            "the frequency is the series resonance fs, taken as the fundamental's, n = 1",
            "one clock: QCMOFFSETTIME subtracted from the QCM's time",
        )
        if "CALIBRATIONFACTOR" in settings:
            assumptions += (
                f"the calibration factor {settings['CALIBRATIONFACTOR']} Hz cm²/µg in the file is not used",
            )
    elif "QCM" in text.lines[1]:
        warnings.append("no table QCMCurve, although the experiment had a QCM: cut short?")
    return Contents(
        text.name,
        FORMAT,
        "T in s, Q in C, Vf in V, Im in A" + ("; fs in MHz, absolute; no dissipation" if crystal else ""),
        crystal=crystal,
        potentiostat=_potentiostat(text.name, curves)._replace(start=_start(settings)),
        area=_number(text.name, "AREA", settings["AREA"]) * SQUARE_CENTIMETRE if "AREA" in settings else None,
        assumptions=assumptions,
        warnings=tuple(warnings),
    )


def _points(text: Lines, title: int) -> _Points:
    """The table below a title line: names, units, then points."""
    stop = next((i for i in range(title + 1, len(text.lines)) if not text.lines[i].startswith("\t")), len(text.lines))
    body = [line.removeprefix("\t") for line in text.lines[title + 1 : stop]]
    name = text.lines[title].split("\t")[0]
    if len(body) < 3:
        raise InputError(f"{text.name}: line {title + 1}: table {name} has no points: cut short?")
    if stop < len(text.lines) and not re.match(r"[A-Z]|$", text.lines[stop]):
        raise InputError(f"{text.name}: line {stop + 1} is neither a point of {name} nor a new entry: damaged?")
    whole = texts.table(Lines(text.name, [body[0], *body[2:]]), 0, "\t")
    whole = whole._replace(rows=whole.rows + title + 2)
    units = texts.split(body[1], "\t")
    for column, unit in zip(whole.headers, units, strict=False):
        if unit not in UNITS.get(column, (unit,)):
            raise InputError(f"{text.name}: line {title + 3}: {column} in {unit!r}, expected {UNITS[column][0]!r}")
    if len(units) != len(whole.headers):
        raise InputError(
            f"{text.name}: line {title + 3}: {len(units)} units for {len(whole.headers)} columns: damaged?"
        )
    if "Pt" not in whole.headers:
        raise InputError(f"{text.name}: line {title + 2}: table {name} has no column 'Pt'")
    number = numbers(whole, whole.headers.index("Pt"))
    if np.any(np.isnan(number)):
        raise InputError(f"{text.name}: table {name}: a point has no number")
    announced = text.lines[title].split("\t")[2:]
    if announced and int(announced[0]) != len(number):
        whole = whole._replace(
            warnings=(*whole.warnings, f"table {name} announces {announced[0]} points and has {len(number)}")
        )
    return _Points(whole, number)


def _missing(part: str, tables: Sequence[_Points]) -> list[str]:
    """Warnings of the tables, and of points whose numbers do not follow each other."""
    found = [warning for points in tables for warning in points.table.warnings]
    if not tables:
        return found
    number = np.concatenate([points.number for points in tables])
    jumps = np.flatnonzero(np.diff(number) != 1)
    if len(jumps):
        found.append(
            f"the {part}'s points do not follow each other: {number[jumps[0]]:g} before {number[jumps[0] + 1]:g} "
            f"({len(jumps)} such places)"
        )
    return found


def _column(table: Table, name: str) -> int:
    if table.headers.count(name) != 1:
        raise InputError(f"{table.name}: one column {name!r} is needed; found {', '.join(map(repr, table.headers))}")
    return table.headers.index(name)


def _potentiostat(name: str, curves: Sequence[_Points]) -> Potentiostat:
    columns: dict[str, list[np.ndarray]] = {}
    for points in curves:
        columns.setdefault("T", []).append(times(points.table, _column(points.table, "T")))
        for column in ("Im", "Vf", "Q"):
            values = numbers(points.table, _column(points.table, column))
            columns.setdefault(column, []).append(values)
    time = np.concatenate(columns["T"])
    if np.any(np.diff(time) <= 0):
        raise InputError(f"{name}: the curves' times overlap: {time[np.flatnonzero(np.diff(time) <= 0)[0]]:g} s")
    ends = np.cumsum([0.0, *(charge[np.isfinite(charge)][-1:].sum() for charge in columns["Q"][:-1])])
    charge = np.concatenate([own + end for own, end in zip(columns["Q"], ends, strict=True)])
    return Potentiostat(time, np.concatenate(columns["Im"]), charge, np.concatenate(columns["Vf"]), averaged=True)


def _crystal(table: Table, settings: dict[str, str]) -> Crystal:
    if "QCMOFFSETTIME" not in settings:
        raise InputError(f"{table.name}: no QCMOFFSETTIME: the two tables' clocks cannot be aligned")
    offset = _number(table.name, "QCMOFFSETTIME", settings["QCMOFFSETTIME"])
    time = times(table, _column(table, "T"))
    frequency = MEGAHERTZ * numbers(table, _column(table, "fs"))
    return Crystal(time - offset, np.array([1]), frequency[:, None], None, True, table.rows)


def _number(name: str, key: str, text: str) -> float:
    setting = Table(name, [key], np.array([[text]], dtype=object), np.array([0]))
    try:
        return float(numbers(setting, 0)[0])
    except InputError as error:
        raise InputError(f"{name}: {key} is {text!r}, no number") from error


def _start(settings: dict[str, str]) -> tuple[datetime, ...]:
    """When the potentiostat started, month first before day first; none where the entries are no date."""
    found: dict[datetime, None] = {}
    for order in ("%m/%d/%Y", "%d/%m/%Y"):
        try:
            found[datetime.strptime(f"{settings['DATE']} {settings['TIME']}", f"{order} %H:%M:%S")] = None
        except (KeyError, ValueError):
            continue
    return tuple(found)
