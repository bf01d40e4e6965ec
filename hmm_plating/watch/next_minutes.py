"""The forecast on the page: the next minutes, should the current stay what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.followed_filters import stored_states
from hmm_plating.forecast_recording import (
    PlannedCurrent,
    chain_states,
    forecast_recording,
    model_of,
    planned,
    recorded,
    require_final,
)
from hmm_plating.inference import FilterState
from hmm_plating.model_file import load_model_file, model_file_errors


def kept_states(path: Path) -> list[FilterState]:
    """The last kept state of each chain of a run, OUT.nc or RUN.zarr.

    Raises:
        InputError: none is kept, or it cannot be read now.
    """
    if path.is_dir():
        return stored_states(path)
    folder = path.with_suffix(".checkpoint")
    chains = len(list(folder.glob("chain-*")))
    if not chains:
        raise InputError(f"{folder} holds no state to go on from: filter with --keep-checkpoint")
    return chain_states(folder, chains)


def next_minutes(result: InferenceData, states: Sequence[FilterState], model: Path, seconds: float) -> InferenceData:
    """Forecast from the last kept state under the last recorded current.

    Args:
        result: of a filter; it may have gone on since the states were kept.
        states: that its filter kept.
        model: the model file that it runs with, which is executed.
        seconds: how far, rounded to whole filter steps and at least one.

    Raises:
        InputError: states of another run, or another model file.
    """
    build = load_model_file(model)
    if model.read_text(encoding="utf-8", errors="replace") != result.attrs.get("model_text"):
        raise InputError(f"model file {model} is not what the run was filtered with")
    one = next(iter(result["posterior"].data_vars))
    groups: dict[str, Any] = {
        "posterior": result["posterior"][["thickness" if "thickness" in result["posterior"] else one]],
        **{name: result[name] for name in ("filter_stats", "observed_data", "constant_data")},
    }
    seen = InferenceData(
        attrs=result.attrs,
        **{
            name: (data.isel(time=slice(states[0].step)) if "time" in data.dims else data).load()
            for name, data in groups.items()
        },
    )
    require_final(states, seen, "the kept state")
    with model_file_errors(model):
        recording = recorded(seen)
        duration = max(seconds, float(recording.attrs["interval"]))
        drive = planned(recording, [PlannedCurrent(float(recording["current_density"][-1]), duration)])
        return forecast_recording(seen, states, model_of(seen, build), drive)
