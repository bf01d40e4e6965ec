"""Raw samples to filter steps.

A resampled value is the mean, over a bin of fixed width, of the straight lines between the samples. The same is done to
Δf_n, ΔD_n and the charge curve, and the current of a step is the difference of its mean charge and the previous one:

    q_k = (1/Δt) ∫_bin q dt,        j_k = (q_k − q_{k−1}) / Δt,    q_{−1} = 0

so a response that is linear in the charge stays exactly linear, also in the bin where the current switches, and the
currents add up to the charge. An overtone's `sampling_delay` is taken out on the way.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording.dataset import CHANNELS, validate
from hmm_plating.recording.first_part import NotYet

UNMEASURED_NOISE = 1.0  # stated for a channel that was measured at no overtone
NORMAL_MEDIAN_DEVIATION = 1.4826  # standard deviation of a normal variable per median absolute deviation


def resample(dataset: xr.Dataset, interval: float = 2.0, *, first: int = 0) -> xr.Dataset:
    """The recording in steps of `interval` [s], `time` at the bin centres; a last, partial bin is left out.

    Shifts are NaN in a bin that holds no sample of the channel or touches a gap longer than half the bin (or than one
    and a half sampling intervals). Adds, per overtone, the standard deviation of one resampled value, `noise` of

        frequency_shift_white_noise, dissipation_shift_white_noise: the raw samples, taken as independent;
        frequency_shift_noise, dissipation_shift_noise: the means over half a bin, where this gives more.

    The second sees noise that is correlated over a few samples. Longer bins than half of one would see the signal's own
    curvature: with 2 s on zinc that is 0.7 Hz in Δf_n/n, all overtones alike, where the noise is 0.2 to 0.8 Hz.
    Of a channel that was measured at no overtone both are stated as 1: nothing is compared with them.

    Of a recording with a `first_part`, sampling and noise are those of that part, and the steps end before the first
    one that a later sample could change.

    Args:
        first: number of the first step to give, from 0; samples of earlier ones, but for the first part and those just
            before, may then be left out of the dataset.

    Raises:
        InputError: not a recording; interval not positive, shorter than the sampling or longer than the recording.
    """
    validate(dataset)
    time = dataset["time"].values
    first_part = dataset.attrs.get("first_part")
    early = time <= time[0] + (math.inf if first_part is None else first_part)
    sampling = float(np.median(np.diff(time[early]))) if early.sum() > 1 else math.nan
    _check_interval(interval, time, sampling)
    delay = dataset["sampling_delay"].values if "sampling_delay" in dataset else np.zeros(dataset.sizes["overtone"])
    longest_gap, longest_lead = max(interval / 2, 1.5 * sampling), 1.5 * sampling
    raw = {channel: dataset[channel].transpose("time", "overtone").values for channel in CHANNELS}
    edges = _edges(time, interval)
    if first_part is not None:
        longest_lead_out = 0.0
        decided = min(
            _decided_until(time - lag, column, longest_gap)
            for values in raw.values()
            for column, lag in zip(values.T, delay, strict=True)
        )
        edges = edges[: 1 + np.searchsorted(edges[1:], min(decided, time[-1]), side="right")]
    else:
        longest_lead_out = longest_lead
    before = max(first - 1, 0)  # whose charge the first current is counted from
    edges = edges[min(before, len(edges) - 1) :]
    half_edges = _edges(time[early], interval, halves=2)

    result = dataset.drop_dims("time").assign_coords(time=0.5 * (edges[:-1] + edges[1:]))
    for channel, values in raw.items():
        binned = np.empty((len(edges) - 1, len(delay)))
        white, correlated = np.empty(len(delay)), np.full(len(delay), np.nan)
        for index, (column, lag) in enumerate(zip(values.T, delay, strict=True)):
            known = np.isfinite(column)
            covered = _covered(time[known] - lag, edges, longest_gap, longest_lead, longest_lead_out)
            binned[:, index] = np.where(covered, _bin_means(time - lag, column, edges), np.nan)
            white[index] = noise(time[early], column[early]) * math.sqrt(sampling / interval)
            if interval / 2 > sampling:
                halves = _bin_means(time[early] - lag, column[early], half_edges)
                moments = time[known & early] - lag
                halves[~_covered(moments, half_edges, longest_gap, longest_lead, longest_lead)] = np.nan
                correlated[index] = noise(half_edges[1:], halves) / math.sqrt(2)
        result[channel] = ("time", "overtone"), binned
        if not np.isfinite(values[early]).any():  # an instrument without dissipation: nothing is compared with this
            white[:] = correlated[:] = UNMEASURED_NOISE
        result[f"{channel}_white_noise"] = "overtone", white
        result[f"{channel}_noise"] = "overtone", np.fmax(white, correlated)
    if "charge_density" in dataset:
        charge = _bin_means(time, dataset["charge_density"].values, edges)
        result["charge_density"] = "time", charge
        result["current_density"] = "time", np.diff(charge, prepend=0.0) / interval
        result["potential"] = "time", _bin_means(time, dataset["potential"].values, edges)
    return result.isel(time=slice(first - before, None)).assign_attrs(interval=interval)


def first_steps(resampled: xr.Dataset) -> xr.Dataset:
    """The steps of the recording's first part, at least one; all of a recording without one.

    Raises:
        NotYet: they are not all there.
    """
    if "first_part" not in resampled.attrs:
        return resampled
    count = max(1, math.floor(resampled.attrs["first_part"] / resampled.attrs["interval"]))
    if resampled.sizes["time"] < count:
        raise NotYet(f"{resampled.attrs['source']}: {resampled.sizes['time']} of {count} steps of the first part")
    return resampled.isel(time=slice(0, count))


def _edges(time: np.ndarray, interval: float, halves: int = 1) -> np.ndarray:
    """Of the bins, or their halves, that the samples fill."""
    count = math.floor((time[-1] - time[0]) / interval * (1 + 1e-12))
    return time[0] + interval / halves * np.arange(halves * count + 1)


def _decided_until(time: np.ndarray, values: np.ndarray, longest_gap: float) -> float:
    """Up to when no later sample changes a mean: the last known one, or the last of all when it is too far behind."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) == 0 or time[-1] - time[known[-1]] > longest_gap:
        return float(time[-1])
    return float(time[known[-1]])


def noise(time: np.ndarray, values: np.ndarray) -> float:
    """Standard deviation of independent noise on a smooth curve; NaN for fewer than three values.

    From the median absolute distance of each value from the straight line between its neighbours, whose variance is
    (1 + a² + b²) σ² with interpolation weights a and b (1.5 σ² on a regular grid: the second difference over √6).
    Kinks and outliers are few and leave a median alone.
    """
    known = np.isfinite(values)
    time, values = time[known], values[known]
    if len(values) < 3:
        return math.nan
    weight = (time[1:-1] - time[:-2]) / (time[2:] - time[:-2])
    distance = values[1:-1] - (1 - weight) * values[:-2] - weight * values[2:]
    standardised = distance / np.sqrt(1 + weight**2 + (1 - weight) ** 2)
    return float(NORMAL_MEDIAN_DEVIATION * np.median(np.abs(standardised)))


def _check_interval(interval: float, time: np.ndarray, sampling: float) -> None:
    if not (isinstance(interval, int | float) and math.isfinite(interval) and interval > 0):
        raise InputError(f"the filter's interval must be a positive number of seconds, got {interval!r}")
    if not time[-1] - time[0] >= interval:
        raise InputError(f"the recording lasts {time[-1] - time[0]:g} s, less than one filter step of {interval:g} s")
    if interval < sampling:
        raise InputError(
            f"filter steps of {interval:g} s are shorter than the sampling interval, {sampling:g} s: take at least that"
        )


def _bin_means(time: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of the polyline through the known samples over each bin, shape (bins,); constant beyond its ends."""
    known = np.isfinite(values)
    if not np.any(known) or len(edges) < 2:
        return np.full(len(edges) - 1, np.nan)
    time, values = time[known], values[known]
    grid = np.union1d(time[(time > edges[0]) & (time < edges[-1])], edges)
    line = np.interp(grid, time, values)
    # each bin summed by itself: its digits do not depend on the others
    integral = np.add.reduceat(np.diff(grid) * (line[1:] + line[:-1]) / 2, np.searchsorted(grid, edges[:-1]))
    return integral / np.diff(edges)


def _covered(
    time: np.ndarray, edges: np.ndarray, longest_gap: float, longest_lead: float, longest_lead_out: float
) -> np.ndarray:
    """Which bins the samples at `time` determine, shape (bins,); a bin may reach beyond them by the two leads."""
    if len(time) == 0:
        return np.zeros(len(edges) - 1, dtype=bool)
    start, stop = edges[:-1], edges[1:]
    position = np.searchsorted(time, edges)
    covered = (np.diff(position) > 0) & (start >= time[0] - longest_lead) & (stop <= time[-1] + longest_lead_out)
    for gap in np.flatnonzero(np.diff(time) > longest_gap):
        covered &= (stop <= time[gap]) | (start >= time[gap + 1])
    return covered
