"""What one instrument file says, before anything is made of it: each reader returns these, in SI units."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import numpy as np


class Crystal(NamedTuple):
    """What a QCM recorded.

    Attributes:
        time: on the instrument's own clock, strictly increasing, shape (samples,) [s].
        overtones: odd orders, ascending, shape (overtones,).
        frequency: shape (samples, overtones) [Hz], never divided by n; NaN where missing.
        dissipation: shape (samples, overtones); None where the instrument measures none.
        absolute: whether `frequency` is the resonance itself; otherwise it is a shift against a state not in the file.
        rows: where each sample stands in the file, shape (samples,); None in a binary one.
        sampling_delay: how much later than the others an overtone is stamped, shape (overtones,) [s]; None where the
            file does not tell.
        temperature: shape (samples,) [°C]; None where not recorded.
        start: dates that time 0 may have, several where day and month cannot be told apart; without a time zone it is
            the local time of the instrument's computer.
    """

    time: np.ndarray
    overtones: np.ndarray
    frequency: np.ndarray
    dissipation: np.ndarray | None
    absolute: bool
    rows: np.ndarray | None = None
    sampling_delay: np.ndarray | None = None
    temperature: np.ndarray | None = None
    start: tuple[datetime, ...] = ()


class Potentiostat(NamedTuple):
    """What a potentiostat recorded, plating negative.

    Attributes:
        time: on the instrument's own clock, strictly increasing, shape (points,) [s].
        current: shape (points,) [A]; None where only the charge is there.
        charge: shape (points,) [C]; None where only the current is there.
        potential: shape (points,) [V]; None where not recorded.
        averaged: whether `current` is the mean since the previous point.
        start: as of `Crystal`.
    """

    time: np.ndarray
    current: np.ndarray | None
    charge: np.ndarray | None
    potential: np.ndarray | None
    averaged: bool = False
    start: tuple[datetime, ...] = ()


class Contents(NamedTuple):
    """All of a file.

    Attributes:
        name: of the file.
        format: its name, for people.
        units: how the file's own columns were taken, for people.
        crystal, potentiostat: None where the file has no such part; where it has both, they share a clock.
        area: of the electrode [m²], None where not stated.
        assumptions: what the file does not say and was taken to be so.
        warnings: what was left out, or may be wrong.
    """

    name: str
    format: str
    units: str
    crystal: Crystal | None = None
    potentiostat: Potentiostat | None = None
    area: float | None = None
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Hints(NamedTuple):
    """What a user must say where a file does not.

    Attributes:
        columns: quantity to column header, for a table of unknown layout, see `named_columns`.
        electrochemistry_columns: the same for the potentiostat's file.
        scan_rate: of the potential [V/s], for a file without time.
        sensor: which of several, from 1.
    """

    columns: Mapping[str, str] | None = None
    electrochemistry_columns: Mapping[str, str] | None = None
    scan_rate: float | None = None
    sensor: int | None = None


NO_HINTS = Hints()
