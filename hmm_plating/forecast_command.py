"""The subcommand `forecast`: what a planned current would do to a filtered surface."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from hmm_plating import inference
from hmm_plating.atomic_file import check_folder
from hmm_plating.command_options import MILLIAMPERE_PER_SQUARE_CENTIMETRE, add_seed
from hmm_plating.errors import InputError
from hmm_plating.followed_filters import kept_states
from hmm_plating.forecast_recording import PlannedCurrent, final_states, forecast_recording, model_of, planned, recorded
from hmm_plating.model_file import load_model_file, model_file_errors


def add_forecast(commands: Any) -> None:
    """Add the subcommand to those of the command line."""
    forecast = commands.add_parser(
        "forecast",
        help="forecast surface and shifts under a planned current",
        description="Forecast from the last state of a result that was filtered with --keep-checkpoint: surface and "
        "shifts under a planned current, as ArviZ InferenceData (group predictions), in SI units.",
        epilog="For example: hmm-plating forecast OUT.nc --model models/zinc.py --current=-1:60 --current=1:55 "
        "--output FORECAST.nc",
    )
    forecast.add_argument(
        "result", metavar="RUN", help="OUT.nc of filter --keep-checkpoint, or RUN.zarr of filter --follow"
    )
    forecast.add_argument("--model", required=True, metavar="FILE", help="the model file that it was filtered with")
    forecast.add_argument(
        "--current",
        required=True,
        action="append",
        type=_planned,
        metavar="MA:S",
        help="current density in mA/cm², plating negative, and seconds that it lasts; repeated, one after another",
    )
    forecast.add_argument("--output", required=True, metavar="FORECAST.nc", help="forecast (netCDF)")
    add_seed(forecast)
    forecast.set_defaults(run=_forecast)


def _planned(text: str) -> PlannedCurrent:
    """Type of an option: current:duration."""
    try:
        current, duration = (float(part) for part in text.split(":"))
    except ValueError:
        current = duration = math.nan
    if not (math.isfinite(current) and 0 < duration < math.inf):
        raise argparse.ArgumentTypeError(f"must be mA/cm²:seconds, as in =-1:60, got {text!r}")
    return PlannedCurrent(current * MILLIAMPERE_PER_SQUARE_CENTIMETRE, duration)


def _forecast(options: argparse.Namespace) -> None:
    output, path = Path(options.output), Path(options.result)
    if output.suffix != ".nc":
        raise InputError(f"--output {output}: forecasts are netCDF, name the file with .nc")
    if output.is_dir():
        raise InputError(f"--output {output} is a folder: name a file")
    if output.absolute() == path.absolute():
        raise InputError(f"--output {output} is the result itself: name another file")
    check_folder(output.absolute().parent)
    if path.is_dir():
        states, result = kept_states(path)
    else:
        result = inference.load(path)
        checkpoint = path.with_suffix(".checkpoint")
        if not checkpoint.is_dir():
            raise InputError(
                f"{checkpoint} does not exist: filter again with --keep-checkpoint to forecast from the result"
            )
        states = final_states(checkpoint, result)
    build = load_model_file(options.model)
    if Path(options.model).read_text(encoding="utf-8", errors="replace") != result.attrs.get("model_text"):
        raise InputError(f"model file {options.model} is not what {path} was filtered with: filter again with it")
    with model_file_errors(options.model):
        drive = planned(recorded(result), options.current)
        found = forecast_recording(result, states, model_of(result, build), drive, seed=options.seed)
    found.attrs.update(command=options.command_line)
    inference.save(found, output)
    print(output)
