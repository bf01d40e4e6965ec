"""Columns of a table, one frequency and one dissipation per overtone, as arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Hints
from hmm_plating.recording.table import Table, numbers

PPM = 1e-6
LARGEST_PLAIN_DISSIPATION = 0.01  # a Q factor of 100; D in 1e-6 is nearly always above, even as a shift
LEAST_ABSOLUTE_FREQUENCY = 1e5  # Hz


def overtone_columns(table: Table, pattern: str) -> dict[int, int]:
    """Overtone to column for headers that match the whole of `pattern`, whose group 1 is the overtone.

    Raises:
        InputError: two columns claim the same overtone, or an even one.
    """
    columns: dict[int, int] = {}
    for index, header in enumerate(table.headers):
        match = re.fullmatch(pattern, header)
        if not match:
            continue
        overtone = int(match.group(1))
        if overtone % 2 == 0:
            raise InputError(f"{table.name}: column {header!r} is for overtone {overtone}: overtones must be odd")
        if overtone in columns:
            raise InputError(f"{table.name}: two columns for overtone {overtone}: {table.headers[columns[overtone]]!r}")
        columns[overtone] = index
    return columns


def channels(
    table: Table, frequency: dict[int, int], dissipation: dict[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overtones, ascending, and their columns as the file holds them, each (rows, overtones).

    Raises:
        InputError: no columns, a frequency without its dissipation or the reverse, or a cell that is not a number.
    """
    if not frequency:
        raise InputError(f"{table.name}: no frequency columns; found {', '.join(map(repr, table.headers))}")
    lone = sorted(frequency.keys() ^ dissipation.keys())
    if lone:
        missing = "dissipation" if lone[0] in frequency else "frequency"
        raise InputError(
            f"{table.name}: no {missing} column for overtone {lone[0]}; found {', '.join(map(repr, table.headers))}"
        )
    orders = sorted(frequency)
    return (
        np.array(orders),
        np.stack([numbers(table, frequency[n]) for n in orders], axis=1),
        np.stack([numbers(table, dissipation[n]) for n in orders], axis=1),
    )


def without_empty(
    overtones: np.ndarray, frequency: np.ndarray, dissipation: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """The same without overtones that were never measured, and a warning that says which.

    Raises:
        InputError: none was measured.
    """
    measured = np.isfinite(frequency).any(axis=0) | np.isfinite(dissipation).any(axis=0)
    if not measured.any():
        raise InputError("every frequency and dissipation is missing")
    if measured.all():
        return overtones, frequency, dissipation, ()
    empty = ", ".join(str(n) for n in overtones[~measured])
    warning = (f"no values at overtone {empty}: left out",)
    return overtones[measured], frequency[:, measured], dissipation[:, measured], warning


def plain_dissipation(name: str, values: np.ndarray) -> np.ndarray:
    """The values of columns that are said to be plain numbers.

    Raises:
        InputError: they cannot be.
    """
    largest = np.nanmax(np.abs(values), initial=0.0)
    if largest > LARGEST_PLAIN_DISSIPATION:
        raise InputError(
            f"{name}: the largest D is {largest:g}, no plain number as its column or the other values say: is it in "
            "1e-6, or damaged?"
        )
    return values


def dissipation_by_magnitude(name: str, values: np.ndarray) -> tuple[np.ndarray, str]:
    """Plain numbers, and how the unit was found, for columns that do not state it (or not reliably).

    Raises:
        InputError: taken as plain numbers, some are far too large.
    """
    known = np.abs(values[np.isfinite(values) & (values != 0)])
    typical = float(np.median(known)) if len(known) else 0.0  # one damaged value must not decide
    if typical > LARGEST_PLAIN_DISSIPATION:
        return PPM * values, f"D taken to be in 1e-6, because {typical:.2g} is typical"
    return plain_dissipation(name, values), f"D taken as plain numbers, because {typical:.2g} is typical"


def is_absolute(overtones: np.ndarray, frequency: np.ndarray) -> bool:
    """Whether frequencies are a crystal's rather than shifts, by their magnitude."""
    return bool(np.nanmedian(np.abs(frequency / overtones)) > LEAST_ABSOLUTE_FREQUENCY)


def not_used(table: Table, known: str) -> tuple[str, ...]:
    """The assumption that columns whose headers do not match the whole of `known` do not matter."""
    unknown = [header for header in table.headers if header and not re.fullmatch(known, header)]
    return (f"columns not used: {', '.join(map(repr, unknown))}",) if unknown else ()


def choose_sensor(name: str, found: Sequence[int], hints: Hints) -> tuple[int, tuple[str, ...]]:
    """The sensor to read, and what was assumed.

    Raises:
        InputError: the asked-for sensor is not in the file.
    """
    if hints.sensor is not None:
        if hints.sensor not in found:
            raise InputError(f"{name}: no sensor {hints.sensor}; the file has {', '.join(map(str, found))}")
        return hints.sensor, ()
    if len(found) == 1:
        return found[0], ()
    listing = ", ".join(map(str, found))
    return found[0], (f"sensor {found[0]} of {listing} read; --sensor chooses another",)


def until_blank(table: Table, column: int) -> Table:
    """The table up to the last row that has a value in the column: sensors may end one after another."""
    filled = [not (isinstance(cell, float) and np.isnan(cell)) for cell in table.cells[:, column]]
    count = int(np.flatnonzero(filled).max(initial=-1)) + 1
    if count == 0:
        raise InputError(f"{table.name}: column {table.headers[column]!r} is empty")
    return table._replace(cells=table.cells[:count], rows=table.rows[:count])
