"""What the page shows of a result, computed from its draws; in the units of the page (nm, Hz, 10⁻⁶, mA/cm²)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.report.figures.over_time import PARAMETERS, QUANTITIES, SURFACE
from hmm_plating.report.result import attributes, credible_interval, group, pooled, withheld
from hmm_plating.watch.history import Columns

CHANNELS = ("frequency_shift", "dissipation_shift")
PROBABILITY = 0.9  # that every interval of the page holds
MILLIAMPERE_PER_SQUARE_CENTIMETRE = 0.1  # of 1 A/m²
PIXELS = 128  # of a surface's picture, along each side, at most
SURFACE_DRAWS = 3
SURFACE_SEARCH = 60  # steps that a kept surface is looked for from the last one back


def complete_steps(result: InferenceData) -> int:
    """How many steps all groups hold, in order of time: a writer at work may have added one to some groups only."""
    times = [result[name]["time"].values for name in result.groups() if "time" in result[name].coords]
    if not times or group(result, "posterior") is None:
        raise InputError("there is no step yet")
    count = min(len(time) for time in times)
    head = np.asarray(times[0][:count], dtype=float)
    agree = np.all([np.asarray(time[:count], dtype=float) == head for time in times], axis=0)
    agree[1:] &= np.diff(head) > 0
    count = int(np.argmin(agree)) if not agree.all() else count
    if count == 0:
        raise InputError("there is no complete step yet")
    return count


def summarise(result: InferenceData, steps: slice) -> Columns:
    """One row per step: time, measured and predicted shifts, quantities, current, effective sample size.

    Returns:
        arrays that lead with the steps; an interval's last axis is (lower, median, upper). What the result lacks is
        left out.
    """
    posterior = result["posterior"]
    columns = {"time": np.asarray(posterior["time"].values[steps], dtype=float)}
    for name in CHANNELS:
        for prefix, group_name in (("measured", "observed_data"), ("predicted", "posterior_predictive")):
            dataset = group(result, group_name)
            if dataset is None or name not in dataset or "overtone" not in dataset[name].dims:
                continue
            values = dataset[name].isel(time=steps).transpose(..., "time", "overtone")
            scale = _shift_scale(name, values["overtone"].values)
            columns[f"{prefix}.{name}"] = (
                np.asarray(values.values, dtype=float) * scale if prefix == "measured" else interval(values, scale)
            )
    for name in (*SURFACE, *PARAMETERS):
        if name in posterior:
            columns[name] = interval(posterior[name].isel(time=steps).transpose(..., "time"), QUANTITIES[name].scale)
    constant = group(result, "constant_data")
    if constant is not None and "current_density" in constant:
        current = constant["current_density"].isel(time=steps).values
        columns["current_density"] = np.asarray(current, dtype=float) * MILLIAMPERE_PER_SQUARE_CENTIMETRE
    statistics = group(result, "filter_stats")
    if statistics is not None and "effective_sample_size" in statistics:
        size = statistics["effective_sample_size"].isel(time=steps).transpose("chain", "time").values
        columns["effective_sample_size"] = np.stack([size.min(0), size.mean(0), size.max(0)], axis=-1)
    return columns


def interval(draws: xr.DataArray, scale: Any = 1.0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(lower, median, upper) of draws (chain, draw, …) as the last axis."""
    found = credible_interval(pooled(draws) * scale, PROBABILITY)
    return np.stack([found.lower, found.median, found.upper], axis=-1)


def _shift_scale(name: str, overtones: Any) -> Any:
    """From SI to Δf/n [Hz] or ΔD [10⁻⁶], per overtone."""
    return 1.0 / overtones if name == "frequency_shift" else np.full(len(overtones), 1e6)


class Surface(NamedTuple):
    """The latest surface that the result keeps.

    Attributes:
        step: which it is of.
        probability: posterior mean of the solid fraction, shape (y, x), row 0 at the crystal.
        draws: solid fraction of some draws, shape (draws, y, x).
        width, height: of the picture [nm].
    """

    step: int
    probability: np.ndarray[Any, np.dtype[np.float64]]
    draws: np.ndarray[Any, np.dtype[np.float64]]
    width: float
    height: float


def latest_surface(result: InferenceData, count: int) -> Surface | None:
    """The surface of the last of `count` steps that keeps one; None where there is none near the end."""
    posterior = result["posterior"]
    if "morphology" not in posterior:
        return None
    for step in range(count - 1, max(-1, count - 1 - SURFACE_SEARCH), -1):
        section = posterior["morphology"].isel(time=step)
        section = section.isel(z=0) if "z" in section.dims else section
        draws = pooled(section.transpose("chain", "draw", "y", "x"))
        draws = draws[np.isfinite(draws).all((1, 2))]
        if len(draws):
            x, y = 1e9 * section["x"].values, 1e9 * section["y"].values
            top = _rows_shown(draws)
            thin = tuple(slice(None, None, -(-size // PIXELS)) for size in (top, len(x)))
            pictures = draws[:, :top][:, thin[0], thin[1]]
            chosen = np.linspace(0, len(draws) - 1, min(SURFACE_DRAWS, len(draws))).round().astype(int)
            return Surface(step, pictures.mean(0), pictures[chosen], _extent(x), _extent(y) * top / len(y))
    return None


def _rows_shown(draws: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """Rows of the box up to a third above the highest metal, and not less than a quarter of its width."""
    occupied = np.flatnonzero(draws.max((0, 2)) > 0.05)
    highest = int(occupied[-1]) + 1 if len(occupied) else 0
    return min(draws.shape[1], max(-(-4 * highest // 3), draws.shape[2] // 4))


def _extent(centres: Any) -> float:
    """Length that equal cells cover."""
    return float(len(centres) * (centres[1] - centres[0]) if len(centres) > 1 else 1.0)


def overtones_of(result: InferenceData) -> list[dict[str, Any]]:
    """Order of each overtone, and whether the filter never saw it."""
    observed = group(result, "observed_data")
    if observed is None or "frequency_shift" not in observed or "overtone" not in observed.coords:
        return []
    return [
        {"order": int(order), "withheld": bool(flag)}
        for order, flag in zip(observed["overtone"].values, withheld(result), strict=True)
    ]


def facts(result: InferenceData) -> dict[str, str]:
    """What the run is of, in words."""
    given = attributes(result)
    names = {"source": "recording", "metal": "metal", "model": "model", "chains": "chains", "seed": "seed"}
    return {label: str(given[name]) for name, label in names.items() if name in given}
