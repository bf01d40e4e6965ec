"""The forecast on the page: the next minutes, should the current stay what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.forecast_recording import PlannedCurrent, final_states, forecast_recording, model_of, planned, recorded
from hmm_plating.inference.checkpoint import read_filter_state
from hmm_plating.model_file import load_model_file, model_file_errors


def next_minutes(result: InferenceData, checkpoint: Path, model: Path, seconds: float) -> InferenceData:
    """Forecast from the last kept state under the last recorded current.

    Args:
        result: of a filter; it may have gone on since the checkpoint.
        checkpoint: folder that the filter keeps.
        model: the model file that it runs with, which is executed.
        seconds: how far, rounded to whole filter steps and at least one.

    Raises:
        InputError: no checkpoint, one of another run, or another model file.
    """
    build = load_model_file(model)
    if model.read_text(encoding="utf-8", errors="replace") != result.attrs.get("model_text"):
        raise InputError(f"model file {model} is not what the run was filtered with")
    step = int(read_filter_state(checkpoint / "chain-0")[0]["step"])
    one = next(iter(result["posterior"].data_vars))
    groups: dict[str, Any] = {
        "posterior": result["posterior"][["thickness" if "thickness" in result["posterior"] else one]],
        **{name: result[name] for name in ("filter_stats", "observed_data", "constant_data")},
    }
    seen = InferenceData(
        attrs=result.attrs,
        **{
            name: (data.isel(time=slice(step)) if "time" in data.dims else data).load() for name, data in groups.items()
        },
    )
    states = final_states(checkpoint, seen)
    with model_file_errors(model):
        recording = recorded(seen)
        duration = max(seconds, float(recording.attrs["interval"]))
        drive = planned(recording, [PlannedCurrent(float(recording["current_density"][-1]), duration)])
        return forecast_recording(seen, states, model_of(seen, build), drive)
