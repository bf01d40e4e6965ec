"""SRS QCM200 text: `#Potential (V)`, `Current (A)`, `Frequency (Hz)` of a voltammogram, without any time.

The time follows from the sweep rate, which the user must give: rows are equal steps of the potential.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents, Crystal, Hints, Potentiostat
from hmm_plating.recording.formats.overtones import is_absolute
from hmm_plating.recording.table import Table, numbers, where

FORMAT = "SRS QCM200 text"
POTENTIAL, CURRENT, FREQUENCY = "#Potential (V)", "Current (A)", "Frequency (Hz)"
LEAST_STEP, LARGEST_STEP = 0.3, 1.5  # times the usual step: below, rows are twice there; beyond, missing


def matches(headers: Sequence[str]) -> bool:
    """Whether a table with these headers is of this kind."""
    return list(headers) == [POTENTIAL, CURRENT, FREQUENCY]


def read(table: Table, hints: Hints) -> Contents:
    """Both parts of the file. Raises InputError."""
    if hints.scan_rate is None:
        raise InputError(
            f"{table.name}: an SRS QCM200 file has no time: give the sweep rate of the potential in V/s, for 100 mV/s "
            "--scan-rate 0.1"
        )
    potential, current, frequency = (numbers(table, index) for index in range(3))
    for column, values in enumerate((potential, current, frequency)):
        if np.any(np.isnan(values)):
            raise InputError(f"{where(table, column, int(np.flatnonzero(np.isnan(values))[0]))}: the value is missing")
    if len(potential) < 3:
        raise InputError(f"{table.name}: fewer than three rows")
    steps = np.abs(np.diff(potential))
    usual = float(np.median(steps))
    if not usual > 0:
        raise InputError(f"{table.name}: the potential does not sweep, so no time follows from the sweep rate")
    lasting = np.maximum(np.round(steps / usual), 1.0)
    jumps = np.flatnonzero(steps > LARGEST_STEP * usual)
    warnings = table.warnings
    if len(jumps):
        warnings += (
            f"the potential jumps by {steps[jumps[0]]:.3g} V at row {table.rows[jumps[0] + 1]}, "
            f"usually by {usual:.3g} V: rows are missing ({len(jumps)} such places)",
        )
    signs = np.sign(np.diff(potential))
    turns = np.flatnonzero(signs[1:] * signs[:-1] < 0) + 1
    still = np.flatnonzero(steps < LEAST_STEP * usual)
    still = still[~np.isin(still, [*(turns - 1), *turns])]  # a turn may lie between two steps
    if len(still):
        warnings += (f"the potential stands still at row {table.rows[still[0] + 1]}: a row twice? ({len(still)} such)",)
    time = np.concatenate([[0.0], np.cumsum(lasting)]) * usual / hints.scan_rate
    absolute = is_absolute(np.array([1]), frequency[:, None])
    lost = () if absolute else ("the frequency is a shift; the absolute one is lost",)
    return Contents(
        table.name,
        FORMAT,
        f"potential in V, current in A, f in Hz, {'absolute' if absolute else 'a shift'}; no dissipation",
        crystal=Crystal(time, np.array([1]), frequency[:, None], None, absolute, table.rows),
        potentiostat=Potentiostat(time, current, None, potential),
        assumptions=(
            f"time from equal steps of {usual:.4g} V at {hints.scan_rate:g} V/s, with {len(turns)} turns"
            + (f", the first at {potential[turns[0]]:.4g} V in row {table.rows[turns[0]]}" if len(turns) else ""),
            "the frequency taken as the fundamental's, n = 1",
            *lost,
        ),
        warnings=warnings,
    )
