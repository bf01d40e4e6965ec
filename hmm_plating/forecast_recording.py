"""Forecast from the end of a filtered recording: what the surface and the crystal would do under a planned current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import arviz
import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.filter_recording import drives
from hmm_plating.inference import FilterState, ParticleFilter, concatenate, forecast
from hmm_plating.inference.chains import chain_seed
from hmm_plating.inference.checkpoint import read_filter_state
from hmm_plating.instrument import Drive
from hmm_plating.model import PlatingModel
from hmm_plating.model_file import ModelBuilder
from hmm_plating.threads import one_torch_thread


class PlannedCurrent(NamedTuple):
    """A stretch of constant current.

    Attributes:
        current_density: [A/m²], plating negative.
        duration: [s].
    """

    current_density: float
    duration: float


def final_states(checkpoint: str | Path, result: arviz.InferenceData) -> list[FilterState]:
    """State of each chain after the last step of a result, from the checkpoint that its run kept.

    Raises:
        InputError: there is no checkpoint, it is one of another run, or the result is not one of a particle filter.
    """
    if "filter_stats" not in result.groups():
        raise InputError("the result has no filter_stats: a forecast continues a result of `hmm-plating filter`")
    states = chain_states(checkpoint, result["filter_stats"].sizes["chain"])
    require_final(states, result, str(checkpoint))
    return states


def chain_states(checkpoint: str | Path, chains: int) -> list[FilterState]:
    """State of each chain in the checkpoint of a run, or InputError."""
    return [FilterState(**read_filter_state(Path(checkpoint) / f"chain-{chain}")[0]) for chain in range(chains)]


def require_final(states: Sequence[FilterState], result: arviz.InferenceData, place: str) -> None:
    """Raise InputError unless the states, found at `place`, are those after the last step of the result."""
    evidence = result["filter_stats"]["log_evidence_increment"].sum("time").values
    steps = result["filter_stats"].sizes["time"]
    for state, expected in zip(states, evidence, strict=True):
        if state.step != steps or not np.isclose(state.log_evidence, expected, rtol=1e-9):
            raise InputError(f"{place} is not the checkpoint of this result: filter again with --keep-checkpoint")


def recorded(result: arviz.InferenceData) -> xr.Dataset:
    """The resampled recording that a result was filtered from, as far as the result holds it."""
    try:
        series = xr.merge([result["observed_data"], result["constant_data"]], combine_attrs="drop")
        return series.drop_vars("withheld").assign_attrs(result.attrs, interval=float(result.attrs["interval"]))
    except (KeyError, ValueError) as error:
        raise InputError(f"the result is not one of `hmm-plating filter`: {error}") from error


def model_of(result: arviz.InferenceData, build: ModelBuilder) -> PlatingModel:
    """The model that a result was filtered with, from the model file's function."""
    model = build(recorded(result))
    viscosity = float(result.attrs["electrolyte_viscosity"])  # found from the crystal in air, which results lack
    return replace(model, electrolyte=replace(model.electrolyte, viscosity=viscosity))


def planned(recording: xr.Dataset, plan: Sequence[PlannedCurrent]) -> xr.Dataset:
    """The drive of a resampled recording, continued by a plan in whole steps; what remains of it is left out.

    The potential of a planned step is the median of the recorded ones under a current of the same sign (of all where
    there was none): what it will be is not known.

    Raises:
        InputError: a plan shorter than one step.
    """
    interval, last = float(recording.attrs["interval"]), recording.isel(time=-1)
    ends = np.cumsum([0.0, *(part.duration for part in plan)])
    charge = np.cumsum([0.0, *(part.duration * part.current_density for part in plan)])
    steps = int(ends[-1] / interval * (1 + 1e-12))
    if steps < 1:
        raise InputError(f"the plan lasts {ends[-1]:g} s, less than one filter step of {interval:g} s")
    current = np.diff(np.interp(interval * np.arange(steps + 1), ends, charge)) / interval
    sign, before = np.sign(current), np.sign(recording["current_density"].values)
    potential = np.empty(steps)
    for value in np.unique(sign):
        alike = recording["potential"].values[before == value]
        potential[sign == value] = np.nanmedian(alike if np.isfinite(alike).any() else recording["potential"].values)
    future = xr.Dataset(
        {
            "current_density": ("time", current),
            "potential": ("time", potential),
            "charge_density": ("time", float(last["charge_density"]) + interval * np.cumsum(current)),
        },
        {"time": float(last["time"]) + interval * np.arange(1, steps + 1)},
    )
    series = ["current_density", "potential", "charge_density"]
    return xr.concat([recording[series].reset_coords(drop=True), future], "time").assign_attrs(recording.attrs)


@one_torch_thread()
def forecast_recording(
    result: arviz.InferenceData,
    states: Sequence[FilterState],
    model: PlatingModel,
    drive: xr.Dataset,
    *,
    seed: int = 0,
) -> arviz.InferenceData:
    """Surface and shifts that each chain's final state predicts under the current that follows it.

    Args:
        result: of `filter_recording`.
        states: of its chains, from `final_states`.
        model: from `model_of`.
        drive: `current_density` [A/m²], `potential` [V] and `charge_density` [C/m²] (time) at the filter's steps, from
            the start of the recording to the end of the forecast, from `planned` or from a longer recording.
        seed: of the forecast's draws.

    Returns:
        predictions (chain, draw, time, …): the variables of posterior and posterior_predictive, each draw one
        trajectory; predictions_constant_data: the drive.

    Raises:
        InputError: a drive that does not go beyond the result.
    """
    seen = result["posterior"].sizes["time"]
    future = drive.isel(time=slice(seen, None))
    steps = future.sizes["time"]
    if steps < 1:
        raise InputError(f"the drive has {drive.sizes['time']} steps, no more than the {seen} of the result")
    series = Drive(*(entry[seen:] for entry in drives(drive, model.instrument.lag_times)))
    chains = [
        forecast(
            ParticleFilter(model, len(state.log_weights)),
            state,
            steps,
            series,
            sites=("observation",),
            seed=chain_seed(seed, chain),
            time=future["time"].values.tolist(),
        )
        for chain, state in enumerate(states)
    ]
    kept = ("fundamental_frequency", "resonator_impedance", "interval", "metal", "model", "model_text")
    together = concatenate(chains, {name: result.attrs[name] for name in kept if name in result.attrs} | {"seed": seed})
    constant = future[["current_density", "potential", "charge_density"]].drop_attrs()
    together.add_groups({"predictions_constant_data": constant})
    return together
