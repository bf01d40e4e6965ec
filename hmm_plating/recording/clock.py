"""The clocks of the QCM and of the potentiostat, aligned by the kinks that a reversal of the current leaves in Δf.

    t_QCM = t_potentiostat + offset + sampling_delay_n

Where plating turns into stripping the deposit's mass changes the sign of its rate at once, so Δf_n has a kink; the
opposite switch is blurred by double layer and oxide and is not used. A QCM that sweeps one overtone after the other and
stamps them alike adds a delay of its own to each overtone: of several Hz at 25 Hz/s and 0.26 s per sweep, with opposite
sign while plating and stripping (zinc: Δf_11/11 − Δf_3/3 jumps by 11 Hz at each reversal, and by 0 once corrected).
The kink is located by segmented least squares (Muggeo, Stat. Med. 22 (2003) 3055): two parabolas that meet at the break
point, which is scanned and then refined.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from hmm_plating.errors import InputError
from hmm_plating.recording.segments import find_segments

SEARCH_RANGE = 10.0  # s, either side of the guess
INCREMENT = 1.0  # s, over which charge and frequency changes are compared in the coarse search
HALF_WINDOW = 8.0  # s, either side of a kink: long against the sampling, short against the deposit's evolution
FINE_RANGE = 1.0  # s, either side of the coarse offset
FEWEST_SAMPLES = 8  # on each side of a kink: two parabolas and a break point have six parameters
LEAST_CORRELATION = 0.3  # of Δf increments with charge increments, below which the two do not belong together


class Clock(NamedTuple):
    """How the time stamps of two instruments relate.

    Attributes:
        offset: mean over the overtones [s].
        uncertainty: standard error of `offset` [s].
        sampling_delay: of each overtone against that mean, shape (overtones,) [s]; near 0 where not significant.
        sampling_delay_uncertainty: standard error, shape (overtones,) [s].
        reversals: how many changes from plating to stripping it was found from.
    """

    offset: float
    uncertainty: float
    sampling_delay: np.ndarray
    sampling_delay_uncertainty: np.ndarray
    reversals: int


def estimate_clock_offset(
    time: np.ndarray,
    normalised_shift: np.ndarray,
    electrochemistry_time: np.ndarray,
    charge: np.ndarray,
    guess: float = 0.0,
) -> Clock | None:
    """Offset of the clocks, searched within 10 s of `guess` or half the time between current reversals.

    None where the samples show no plating that turns into stripping: nothing else tells the offset.

    Args:
        time: of the QCM samples, shape (samples,) [s].
        normalised_shift: Δf_n/n up to a constant, shape (samples, overtones) [Hz]; NaN is skipped.
        electrochemistry_time: shape (points,) [s].
        charge: charge curve, any unit, plating negative, shape (points,).
        guess: offset to search around [s].

    Raises:
        InputError: the clocks do not overlap, or Δf does not follow the charge.
    """
    require_overlap(time, electrochemistry_time, guess)
    reversals = [
        (before, after)
        for before, after in pairwise(find_segments(electrochemistry_time, charge))
        if (before.kind, after.kind) == ("plating", "stripping") and time[0] < before.stop + guess < time[-1]
    ]
    if not reversals:
        return None
    search = min(SEARCH_RANGE, min(min(before.duration, after.duration) for before, after in reversals) / 2)
    coarse = _coarse_offset(time, normalised_shift, electrochemistry_time, charge, guess, search)
    kinks = []
    for before, after in reversals:
        half_window = min(HALF_WINDOW, before.duration, after.duration)
        kinks.append([_kink(time - before.stop, shift, coarse, half_window) for shift in normalised_shift.T])
    found = np.array(kinks).reshape(-1, normalised_shift.shape[1], 2)
    usable = found[np.any(np.isfinite(found[..., 0]), axis=1)]
    measured = np.any(np.isfinite(usable[..., 0]), axis=0)
    if len(usable) == 0:
        return None
    delay, uncertainty = np.zeros(len(measured)), np.full(len(measured), np.nan)
    for channel in np.flatnonzero(measured):
        delay[channel], uncertainty[channel] = _combine(*usable[:, channel].T)
    offset = float(delay[measured].mean())
    common = usable[:, measured, 0] - delay[measured]
    scatter = _standard_error(np.nanmean(common, axis=1))
    propagated = np.sqrt(np.sum(uncertainty[measured] ** 2)) / measured.sum()
    sampling_delay = np.where(measured, delay - offset, 0.0)
    return Clock(
        offset,
        float(max(scatter, propagated)),
        _shrunk(sampling_delay, uncertainty),
        uncertainty,
        len(usable),
    )


def require_overlap(time: np.ndarray, electrochemistry_time: np.ndarray, offset: float) -> None:
    """Raise InputError unless the QCM's and the potentiostat's recordings share some time."""
    start, stop = electrochemistry_time[0] + offset, electrochemistry_time[-1] + offset
    if stop <= time[0] or start >= time[-1]:
        raise InputError(
            f"the QCM's clock ({time[0]:g} to {time[-1]:g} s) and the potentiostat's ({start:g} to {stop:g} s, "
            f"clock offset {offset:g} s) do not overlap: give the seconds to add to the potentiostat's time "
            "(--clock-offset S)"
        )


def _coarse_offset(
    time: np.ndarray,
    normalised_shift: np.ndarray,
    electrochemistry_time: np.ndarray,
    charge: np.ndarray,
    guess: float,
    search: float,
) -> float:
    """Offset at which changes of Δf over about a second correlate best with changes of the charge."""
    sampling = float(np.median(np.diff(time)))
    stride = max(1, round(INCREMENT / sampling))
    change = normalised_shift[stride:] - normalised_shift[:-stride]
    known = np.isfinite(change)
    counts = known.sum(axis=1)
    mean_change = np.where(known, change, 0.0).sum(axis=1)[counts > 0] / counts[counts > 0]
    candidates = guess + np.arange(-search, search + sampling, sampling)
    correlations = []
    for candidate in candidates:
        charge_now = np.interp(time - candidate, electrochemistry_time, charge)
        charge_change = (charge_now[stride:] - charge_now[:-stride])[counts > 0]
        norm = np.sqrt(np.sum(charge_change**2) * np.sum(mean_change**2))
        correlations.append(np.sum(charge_change * mean_change) / norm if norm > 0 else 0.0)
    best = int(np.argmax(correlations))
    if correlations[best] < LEAST_CORRELATION:
        raise InputError(
            f"Δf does not follow the charge at any clock offset within {search:.3g} s of {guess:g} s "
            f"(best correlation {correlations[best]:.2f}): are these files of one experiment? "
            "Else give the offset (--clock-offset S)"
        )
    return float(candidates[best])


def _kink(time: np.ndarray, shift: np.ndarray, centre: float, half_window: float) -> tuple[float, float]:
    """Time of the break point near `centre` and its standard error; NaN where the samples do not determine it."""
    missing = (np.nan, np.nan)
    inside = (np.abs(time - centre) < half_window) & np.isfinite(shift)
    time, shift = time[inside] - centre, shift[inside]
    reach = min(FINE_RANGE, half_window / 4)
    if min(np.sum(time < -reach), np.sum(time > reach)) < FEWEST_SAMPLES:
        return missing

    def design(moment: float) -> np.ndarray:
        after = np.maximum(time - moment, 0) / half_window
        scaled = time / half_window
        return np.stack([np.ones_like(time), scaled, scaled**2, after, after**2], axis=1)

    def residual_sum(moment: float) -> float:
        matrix = design(moment)
        coefficients = np.linalg.lstsq(matrix, shift, rcond=None)[0]
        return float(np.sum((shift - matrix @ coefficients) ** 2))

    step = float(np.median(np.diff(time))) / 4
    grid = np.arange(-reach, reach + step, step)
    best = int(np.argmin([residual_sum(moment) for moment in grid]))
    if best in (0, len(grid) - 1):
        return missing
    moment = float(minimize_scalar(residual_sum, bounds=(grid[best - 1], grid[best + 1]), method="bounded").x)

    matrix = design(moment)
    coefficients = np.linalg.lstsq(matrix, shift, rcond=None)[0]
    slope = -(coefficients[3] + 2 * coefficients[4] * matrix[:, 3]) * (time > moment) / half_window
    jacobian = np.column_stack([matrix, slope])
    variance = np.sum((shift - matrix @ coefficients) ** 2) / (len(time) - jacobian.shape[1])
    covariance = variance * np.linalg.pinv(jacobian.T @ jacobian)
    return centre + moment, float(np.sqrt(covariance[-1, -1]))


def _combine(moments: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Median of repeated estimates, and the larger of its propagated and its observed standard error."""
    known = np.isfinite(moments)
    moments, errors = moments[known], errors[known]
    efficiency = 1.2533 if len(moments) > 2 else 1.0  # standard error of a median against that of a mean
    propagated = efficiency * float(np.sqrt(np.mean(errors**2) / len(moments)))
    return float(np.median(moments)), max(propagated, _standard_error(moments))


def _shrunk(delay: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Delays that sum to zero, drawn towards none by as much as chance explains them (Efron and Morris, J. Am. Stat.
    Assoc. 68 (1973) 117): an instrument that samples all overtones at once is not given delays out of its noise."""
    known = np.isfinite(uncertainty) & (uncertainty > 0)
    if not np.any(known):
        return delay
    evidence = float(np.sum((delay[known] / uncertainty[known]) ** 2))
    freedom = int(known.sum()) - 1
    return delay * (1 - freedom / evidence) if evidence > freedom else np.zeros_like(delay)


def _standard_error(values: np.ndarray) -> float:
    """Of a median, from the median absolute deviation; 0 for fewer than three values."""
    if len(values) < 3:
        return 0.0
    return float(1.2533 * 1.4826 * np.median(np.abs(values - np.median(values))) / np.sqrt(len(values)))
