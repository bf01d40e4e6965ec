"""Text files as tables: encodings, separators, and rows that do not have the columns that the header announces.

A row with another number of fields than the header is refused, because its values would stand in the wrong columns. The
exception is a last line without a line end, which is how a file ends that was cut short or is still being written: it
is left out, even if it looks whole, because its last number may lack digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.table import Table

SEPARATORS = ("\t", ";", ",")
BINARY = frozenset(map(chr, range(32))) - set("\t\n\r\x1a")  # of text, only a damaged one has them


class Lines(NamedTuple):
    """The lines of a text file, with its name and what was wrong with it."""

    name: str
    lines: list[str]
    warnings: tuple[str, ...] = ()


def lines_of(data: bytes, name: str) -> Lines:
    """Lines of a text in UTF-8, UTF-16 (with its mark) or Latin-1.

    Raises:
        InputError: not text.
    """
    try:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = data.decode("utf-16")
        else:
            try:
                text = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = data.decode("latin-1")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: neither a known binary format nor text, damaged? ({error.reason})") from error
    text = text.replace("\r\n", "\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = text.split("\n")
    last = lines.pop()
    cut = (f"line {len(lines) + 1} has no line end: the file may have been cut short there; the line is left out",)
    for number, line in enumerate(lines, 1):
        if not BINARY.isdisjoint(line):
            raise InputError(f"{name}: line {number} holds control characters: no text, or damaged")
    return Lines(name, lines, cut if last.strip() else ())


def split(line: str, separator: str) -> list[str]:
    """Fields of a line, without blanks and quotes around them and without empty ones at its end."""
    fields = [field.strip(" \r").removeprefix('"').removesuffix('"') for field in line.split(separator)]
    while fields and not fields[-1]:
        fields.pop()
    return fields


def headers(line: str) -> tuple[str, list[str]]:
    """The separator that makes the most of a header line, and the headers."""
    return max(((separator, split(line, separator)) for separator in SEPARATORS), key=lambda found: len(found[1]))


def table(text: Lines, header: int, separator: str, *, ragged: bool = False) -> Table:
    """The table below line `header` (from 0); blank lines do not count.

    Args:
        ragged: take rows that are shorter than the header too, padded with blanks.

    Raises:
        InputError: no data, or a row whose fields are not those of the header.
    """
    names = split(text.lines[header], separator)
    found = [(number, line) for number, line in enumerate(text.lines[header + 1 :], header + 2) if line.strip()]
    if not found:
        raise InputError(f"{text.name}: no data below the header in line {header + 1}")
    warnings = text.warnings
    if not ragged:  # empty fields at the end count: a lost separator would shift the others into their place
        fields = max(found[0][1].count(separator) + 1, len(names))
        counts = np.array([line.count(separator) + 1 for _, line in found])
        last = int(np.flatnonzero(counts >= fields).max(initial=-1))
        if last < 0 or np.any(counts[: last + 1] != fields):
            wrong = int(np.flatnonzero(counts != fields)[0])
            raise InputError(
                f"{text.name}: line {found[wrong][0]} has {counts[wrong]} fields where {fields} are expected: its "
                "values would stand in the wrong columns; mend or delete the line"
            )
        if last + 1 < len(found):
            ends = sorted({found[last + 1][0], found[-1][0]})
            warnings += (f"lines {' to '.join(map(str, ends))} at the end have too few fields and are left out",)
        found = found[: last + 1]
        beyond = text.lines[header].count(separator) + 1 > fields  # EC-Lab's headers end with a separator, its rows not
        if beyond and all(len(split(line, separator)) < len(names) for _, line in found):
            raise InputError(
                f"{text.name}: no row fills all {len(names)} columns of the header in line {header + 1}: a column name "
                "too many, so that values would stand in the wrong columns?"
            )
    cells = np.full((len(found), len(names)), np.nan, dtype=object)
    for index, (number, line) in enumerate(found):
        row = split(line, separator)
        if len(row) > len(names):
            raise InputError(f"{text.name}: line {number} has {len(row)} fields, the header has {len(names)}")
        cells[index, : len(row)] = [field or np.nan for field in row]
    return Table(text.name, names, cells, np.array([number for number, _ in found]), warnings)
