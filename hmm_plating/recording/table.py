"""Spreadsheets as columns of checked numbers: what cannot be read is refused with its file, column and row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hmm_plating.errors import InputError

FIRST_DATA_ROW = 2  # as the spreadsheet program counts: row 1 holds the headers


class Table(NamedTuple):
    """The first sheet of a workbook.

    Attributes:
        name: of the file.
        headers: texts of row 1, "" where blank.
        cells: the rows below, as the file holds them, shape (rows, columns); NaN where blank.
    """

    name: str
    headers: list[str]
    cells: np.ndarray


def read_table(path: str | Path) -> Table:
    """First sheet of an .xlsx file; rows that are blank at its end are left out.

    Raises:
        InputError: no such file, not .xlsx, unreadable, or without data.
    """
    path = Path(path)
    if path.suffix.lower() != ".xlsx":
        raise InputError(f"{path}: expected an Excel workbook (.xlsx), got '{path.suffix}'")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    try:
        sheet = pd.read_excel(path, header=None, dtype=object, engine="openpyxl")
    except Exception as error:  # zip, XML and openpyxl raise a dozen unrelated types on damaged files
        raise InputError(f"{path}: cannot be read as an Excel workbook, damaged or cut short? ({error})") from error
    if sheet.empty:
        raise InputError(f"{path}: the first sheet is empty")
    sheet = sheet.mask(sheet.map(lambda cell: isinstance(cell, str) and not cell.strip()))
    headers = ["" if pd.isna(cell) else str(cell).strip() for cell in sheet.iloc[0]]
    used = np.flatnonzero(sheet.iloc[1:].notna().any(axis=1))
    if len(used) == 0:
        raise InputError(f"{path}: the first sheet has headers but no data rows")
    return Table(path.name, headers, sheet.iloc[1 : used[-1] + 2].to_numpy(dtype=object))


def matching_columns(table: Table, pattern: str) -> dict[int, re.Match[str]]:
    """Columns whose header, blanks and case ignored, matches the whole of `pattern` (lower case): index to match."""
    matches = {
        index: re.fullmatch(pattern, re.sub(r"\s+", "", header).lower()) for index, header in enumerate(table.headers)
    }
    return {index: match for index, match in matches.items() if match}


def find_column(table: Table, pattern: str, expected: str) -> int:
    """The one column whose header matches; `expected` is how the message calls it.

    Raises:
        InputError: no such column, or more than one.
    """
    found = list(matching_columns(table, pattern))
    if not found:
        raise InputError(f"{table.name}: no column {expected!r}; found {_listing(table)}")
    if len(found) > 1:
        names = " and ".join(repr(table.headers[index]) for index in found)
        raise InputError(f"{table.name}: columns {names} both look like {expected!r}; remove one")
    return found[0]


def numbers(table: Table, column: int) -> np.ndarray:
    """A column as float64, shape (rows,); blank cells are NaN; text may have a decimal point or a decimal comma.

    Raises:
        InputError: a cell is not a number.
    """
    values = np.empty(len(table.cells))
    for index, cell in enumerate(table.cells[:, column]):
        try:
            values[index] = _number(cell)
        except ValueError as error:
            where = f"{table.name}: column {table.headers[column]!r}, row {index + FIRST_DATA_ROW}"
            raise InputError(f"{where}: {cell!r} is not a number") from error
    return values


def times(table: Table, column: int) -> np.ndarray:
    """A column of strictly increasing times, shape (rows,).

    Raises:
        InputError: a time is missing, not a number, or not later than the one before.
    """
    time = numbers(table, column)
    where = f"{table.name}: column {table.headers[column]!r}, row"
    missing = np.flatnonzero(np.isnan(time))
    if len(missing):
        raise InputError(f"{where} {missing[0] + FIRST_DATA_ROW}: the time is missing; fill it in or delete the row")
    backwards = np.flatnonzero(np.diff(time) <= 0)
    if len(backwards):
        index = backwards[0] + 1
        how = "repeats" if time[index] == time[index - 1] else "goes back behind"
        raise InputError(
            f"{where} {index + FIRST_DATA_ROW}: time {time[index]:.10g} {how} the row before ({time[index - 1]:.10g}); "
            "times must increase from row to row"
        )
    return time


def _number(cell: object) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float | np.number | str):
        raise ValueError
    value = float(cell.strip().replace(",", ".") if isinstance(cell, str) else cell)
    if np.isinf(value):
        raise ValueError
    return value


def _listing(table: Table) -> str:
    return ", ".join(repr(header) for header in table.headers if header) or "no headers at all"
