"""Tables as columns of checked numbers: what cannot be read is refused with its file, column and row."""

from __future__ import annotations

import io
import math
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hmm_plating.errors import InputError

FIRST_DATA_ROW = 2  # as the spreadsheet program counts: row 1 holds the headers
LARGEST = 1e30  # no instrument's number, in whatever unit
_NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_DECIMAL = {".": "point", ",": "comma"}


class Table(NamedTuple):
    """The first sheet of a workbook, or the table in a text file.

    Attributes:
        name: of the file.
        headers: texts of the header row, "" where blank.
        cells: the rows below, as the file holds them, shape (rows, columns); NaN where blank.
        rows: where each of them stands in the file, as a spreadsheet program or an editor counts, shape (rows,).
        warnings: what was left out, or may be wrong.
    """

    name: str
    headers: list[str]
    cells: np.ndarray
    rows: np.ndarray
    warnings: tuple[str, ...] = ()


def read_table(data: bytes, path: Path) -> Table:
    """First sheet of the .xlsx file of these bytes; rows that are blank at its end are left out.

    Raises:
        InputError: unreadable, or without data.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's, on styles and extensions
            sheet = pd.read_excel(io.BytesIO(data), header=None, dtype=object, engine="openpyxl")
    except Exception as error:  # zip, XML and openpyxl raise a dozen unrelated types on damaged files
        raise InputError(
            f"{path}: cannot be read as an Excel workbook, damaged or cut short? ({one_line(error)})"
        ) from error
    if sheet.empty:
        raise InputError(f"{path}: the first sheet is empty")
    sheet = sheet.mask(sheet.map(lambda cell: isinstance(cell, str) and not cell.strip()))
    headers = ["" if pd.isna(cell) else str(cell).strip() for cell in sheet.iloc[0]]
    used = np.flatnonzero(sheet.iloc[1:].notna().any(axis=1))
    if len(used) == 0:
        raise InputError(f"{path}: the first sheet has headers but no data rows")
    cells = sheet.iloc[1 : used[-1] + 2].to_numpy(dtype=object)
    return Table(path.name, headers, cells, np.arange(len(cells)) + FIRST_DATA_ROW)


def one_line(error: Exception) -> str:
    """The message of another package's error, whose line ends would break ours."""
    return " ".join(str(error).split())


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
    """A column as float64, shape (rows,); blank cells are NaN; text has a decimal point or a decimal comma throughout.

    Raises:
        InputError: a cell is not a number, or points and commas are mixed.
    """
    values = np.empty(len(table.cells))
    decimal = ""
    for index, cell in enumerate(table.cells[:, column]):
        try:
            values[index] = _number(cell)
        except ValueError as error:
            raise InputError(f"{where(table, column, index)}: {cell!r} is not a number") from error
        if isinstance(cell, str) and (own := "," if "," in cell else "." if "." in cell else ""):
            if decimal not in ("", own):
                raise InputError(
                    f"{where(table, column, index)}: {cell!r} has a decimal {_DECIMAL[own]}, the rows before a decimal "
                    f"{_DECIMAL[decimal]}"
                )
            decimal = own
    return values


def times(table: Table, column: int) -> np.ndarray:
    """A column of strictly increasing times, shape (rows,).

    Raises:
        InputError: a time is missing, not a number, or not later than the one before.
    """
    return increasing(table, column, numbers(table, column))


def increasing(table: Table, column: int, time: np.ndarray) -> np.ndarray:
    """The times themselves, read from the column, shape (rows,).

    Raises:
        InputError: a time is missing, or not later than the one before.
    """
    missing = np.flatnonzero(np.isnan(time))
    if len(missing):
        raise InputError(f"{where(table, column, missing[0])}: the time is missing; fill it in or delete the row")
    backwards = np.flatnonzero(np.diff(time) <= 0)
    if len(backwards):
        index = backwards[0] + 1
        how = "repeats" if time[index] == time[index - 1] else "goes back behind"
        raise InputError(
            f"{where(table, column, index)}: time {time[index]:.10g} {how} the row before ({time[index - 1]:.10g}); "
            "times must increase from row to row"
        )
    return time


def where(table: Table, column: int, index: int) -> str:
    """How a message calls a cell of the table."""
    return f"{table.name}: column {table.headers[column]!r}, row {table.rows[index]}"


def _number(cell: object) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float | np.number | str):
        raise ValueError
    if isinstance(cell, str):
        text = cell.strip(" ")
        if text.lower() == "nan":
            return math.nan
        if not _NUMBER.fullmatch(text):  # float() would take 1_0
            raise ValueError
        cell = text.replace(",", ".")
    value = float(cell)
    if abs(value) > LARGEST:
        raise ValueError
    return value


def _listing(table: Table) -> str:
    return ", ".join(repr(header) for header in table.headers if header) or "no headers at all"
