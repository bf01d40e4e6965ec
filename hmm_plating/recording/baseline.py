"""The crystal in liquid before plating: the state that all shifts refer to.

The first seconds of current are too nonlinear (double layer, oxide) to extrapolate over, so even a single sample from
before the current is preferred to them. Where there are so few, what the overtones have in common comes from those
samples and their differences, in which the current's effect cancels, from the first two seconds of current.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

BASELINE_DURATION = 10.0  # s before the current starts, of which the median is the reference
ONSET_DURATION = 2.0  # s of current, used where there are few samples before it or none
FEW_SAMPLES = 8  # before the current, per overtone


class Reference(NamedTuple):
    """Frequency [Hz] and dissipation [1] before plating, shape (overtones,), and how they were found."""

    frequency: np.ndarray
    dissipation: np.ndarray
    description: str


def first_second(time: np.ndarray, frequency: np.ndarray, dissipation: np.ndarray) -> Reference:
    """Median of the first second, for a recording whose current is not known.

    Args:
        time: shape (samples,) [s].
        frequency, dissipation: shape (samples, overtones), NaN where missing.
    """
    early = time <= time[0] + 1.0
    return Reference(column_median(frequency[early]), column_median(dissipation[early]), "reference: first second")


def before_current(
    taken: np.ndarray, frequency: np.ndarray, dissipation: np.ndarray, charge_time: np.ndarray, charge: np.ndarray
) -> Reference:
    """Median of the last 10 s before the current, else the line of the values against charge, continued to none.

    Where no current ever flows, the median of the first 10 s.

    Args:
        taken: when each sample was taken, on the potentiostat's clock, shape (samples, overtones) [s].
        frequency, dissipation: shape (samples, overtones), NaN where missing.
        charge_time, charge: the charge curve, shape (points,) [s], any unit; NaN is skipped.
    """
    known = np.isfinite(charge)
    charge_time, charge = charge_time[known], charge[known]
    steps = np.abs(np.diff(charge))
    flowing = np.flatnonzero(steps > 0.01 * steps.max(initial=0.0))
    onset = charge_time[flowing[0]] if len(flowing) else taken.min() + BASELINE_DURATION
    recent = (taken < onset) & (taken >= onset - BASELINE_DURATION)
    counts = (recent & np.isfinite(frequency)).sum(axis=0)
    near = taken < max(onset, taken.min()) + ONSET_DURATION
    if np.all((counts > 0) & (counts < FEW_SAMPLES)) and frequency.shape[1] > 1:
        scale = column_median(frequency)  # a mass shifts all frequencies by the same part
        return Reference(
            scale * _common_and_differences(taken, frequency / scale, recent, near),
            _common_and_differences(taken, dissipation, recent, near),
            f"reference: the {counts.min()} to {counts.max()} samples per overtone before any current; differences "
            f"between overtones from the first {ONSET_DURATION:g} s of current",
        )
    if np.all((counts > 0) | ~np.isfinite(frequency).any(axis=0)):
        return Reference(
            column_median(np.where(recent, frequency, np.nan)),
            column_median(np.where(recent, dissipation, np.nan)),
            f"reference: median of the last {BASELINE_DURATION:g} s before any current "
            f"({counts.min()} to {counts.max()} samples per overtone)",
        )
    flowed = np.interp(taken, charge_time, charge)
    return Reference(
        _intercepts(flowed, np.where(near, frequency, np.nan)),
        _intercepts(flowed, np.where(near, dissipation, np.nan)),
        f"reference: first {ONSET_DURATION:g} s of current, extrapolated back to no charge",
    )


def _common_and_differences(taken: np.ndarray, values: np.ndarray, recent: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Mean of all overtones over `recent`, plus each one's mean distance from that of all over `near`: (overtones,)."""
    grid = np.unique(taken[near])
    curves = np.stack(
        [
            np.interp(grid, time[known], column[known])
            for time, column, known in zip(taken.T, values.T, np.isfinite(values).T, strict=True)
        ],
        axis=1,
    )
    differences = np.mean(curves - curves.mean(axis=1, keepdims=True), axis=0)
    return differences + np.nanmean(np.where(recent, values - differences, np.nan))


def column_median(values: np.ndarray) -> np.ndarray:
    """Median of each column over its known values, shape (columns,); NaN where there are none."""
    known = np.isfinite(values)
    return np.array(
        [np.median(column[mask]) if np.any(mask) else math.nan for column, mask in zip(values.T, known.T, strict=True)]
    )


def _intercepts(abscissa: np.ndarray, ordinate: np.ndarray) -> np.ndarray:
    """Least-squares line of each column at abscissa 0, shape (columns,); the median where there is no line."""
    result = column_median(ordinate)
    for column, middle in enumerate(result.copy()):
        known = np.isfinite(ordinate[:, column])
        x, y = abscissa[known, column], ordinate[known, column] - middle  # absolute frequencies would lose digits
        if len(x) > 2 and np.ptp(x) > 0:
            result[column] = middle + np.polyfit(x / np.ptp(x), y, 1)[1]
    return result
