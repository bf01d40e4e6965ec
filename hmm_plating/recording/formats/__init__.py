"""Instrument files of every kind, told apart by what is in them: `read_contents` is the way in.

A format is one module here. Those that are a table with one header line have `matches(headers)` and `read(table,
hints)`, and read it from text and from a workbook alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from hmm_plating.did_you_mean import no_such_file
from hmm_plating.errors import InputError
from hmm_plating.recording.formats import (
    awsensors,
    eclab,
    eclab_binary,
    gamry,
    named_columns,
    openqcm,
    qcm200,
    qcm_i,
    qsense_binary,
    qsense_text,
    qsoft,
    qtools,
    single_frequency,
    text,
    workbooks,
)
from hmm_plating.recording.formats.contents import NO_HINTS, Contents, Crystal, Hints, Potentiostat
from hmm_plating.recording.formats.named_columns import parse_columns
from hmm_plating.recording.problems import gaps
from hmm_plating.recording.table import Table, read_table

__all__ = ["NO_HINTS", "Contents", "Crystal", "Hints", "Potentiostat", "parse_columns", "read_contents", "read_data"]

QCM_TABLES: tuple[ModuleType, ...] = (
    qsoft,
    qtools,
    qsense_text,
    qcm_i,
    openqcm,
    awsensors,
    single_frequency,
    qcm200,
)
WORKBOOK = b"PK\x03\x04"
HEADER_LINES = 200  # within which a header line is looked for
KNOWN = (
    "QSense (.qsd, QSoft text, QTools, newer text), MicroVacuum QCM-I, openQCM NEXT, AWSensors, Gamry .DTA, SRS "
    "QCM200, BioLogic EC-Lab (.mpt, .mpr), tables of time, f3, D3, …"
)


def read_contents(path: str | Path, hints: Hints = NO_HINTS, part: str = "") -> Contents:
    """What a file says; its format is found from its contents, never from its name.

    Args:
        part: "crystal", "potentiostat" or "air": what a plain table (see `workbooks`) is read as; by default found
            from its columns.

    Raises:
        InputError: no such file, of no known format, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(no_such_file(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return read_data(data, path, hints, part)


def read_data(data: bytes, path: Path, hints: Hints = NO_HINTS, part: str = "") -> Contents:
    """The same for the bytes of a file that are at hand."""
    found = _read(data, path, hints, part)
    parts = ((found.crystal, "QCM"), (found.potentiostat, "potentiostat"))
    warnings = [warning for recorded, name in parts if recorded is not None for warning in gaps(recorded.time, name)]
    return found._replace(warnings=(*found.warnings, *warnings))


def _read(data: bytes, path: Path, hints: Hints, part: str) -> Contents:
    if not data:
        raise InputError(f"{path}: the file is empty")
    name = path.name
    if data.startswith(qsense_binary.FIRST_BYTES):
        return qsense_binary.read(data, name, hints)
    if data.startswith(eclab_binary.FIRST_BYTES):
        return eclab_binary.read(data, name)
    if data.startswith(WORKBOOK):
        return _table(read_table(data, path), hints, part)
    return _text(text.lines_of(data, name), hints, part)


def _text(lines: text.Lines, hints: Hints, part: str) -> Contents:
    if hints.columns is None:
        if eclab.is_mpt(lines):
            return eclab.read_mpt(lines)
        if gamry.matches(lines):
            return gamry.read(lines)
    first = 0
    while first < len(lines.lines) and (not lines.lines[first].strip() or lines.lines[first].startswith("sep=")):
        first += 1
    last = min(len(lines.lines), HEADER_LINES if hints.columns else first + 1)
    for number in range(first, last):
        for separator in text.SEPARATORS:
            headers = text.split(lines.lines[number], separator)
            if hints.columns:
                if named_columns.matches(headers, hints.columns):
                    return named_columns.read(text.table(lines, number, separator), hints)
                continue
            if len(headers) > 1 and (found := _recognised(headers)):
                return found(text.table(lines, number, separator, ragged=openqcm.matches(headers)), hints, part)
    if hints.columns:
        listing = ", ".join(map(repr, hints.columns.values()))
        raise InputError(f"{lines.name}: no line has all the columns of --columns: {listing}")
    start = lines.lines[first].strip()[:60] if first < len(lines.lines) else ""
    raise InputError(
        f"{lines.name}: of no known format, or its first line is damaged ({start!r}); known are {KNOWN}. For another "
        "table say which column is what: --columns 'time=HEADER,f3=HEADER,D3=HEADER'"
    )


def _recognised(headers: Sequence[str]) -> Callable[[Table, Hints, str], Contents] | None:
    """The reader of a text table with these headers."""
    for module in QCM_TABLES:
        if module.matches(headers):
            return lambda table, hints, part: module.read(table, hints)
    if eclab.matches(headers):
        return lambda table, hints, part: eclab.read(table, hints)
    plain = Table("", list(headers), None, None)  # type: ignore[arg-type]
    return _plain if workbooks.has_crystal(plain) else None


def _table(table: Table, hints: Hints, part: str) -> Contents:
    """A workbook's sheet."""
    if hints.columns is not None and named_columns.matches(table.headers, hints.columns):
        return named_columns.read(table, hints)
    for module in QCM_TABLES:
        if module.matches(table.headers):
            return module.read(table, hints)
    return _plain(table, hints, part)


def _plain(table: Table, hints: Hints, part: str) -> Contents:
    if part == "crystal" and eclab.matches(table.headers):
        raise InputError(
            f"{table.name}: columns of a potentiostat ({', '.join(table.headers)}), none of a QCM (f3, D3, …): give "
            "the QCM's file as QCMD, and this one with --electrochemistry"
        )
    if part == "potentiostat" and workbooks.has_crystal(table):
        raise InputError(
            f"{table.name}: columns of a QCM (f3, D3, …), none of a potentiostat (time/s, (Q-Qo)/mC, …): "
            "give the potentiostat's file with --electrochemistry, and this one as QCMD"
        )
    if not part:
        part = "potentiostat" if not workbooks.has_crystal(table) else "crystal" if workbooks.has_time(table) else "air"
    read = {
        "crystal": workbooks.read_crystal,
        "potentiostat": workbooks.read_potentiostat,
        "air": workbooks.read_in_air,
    }
    return read[part](table)
