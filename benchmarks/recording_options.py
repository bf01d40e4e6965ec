"""Options of benchmarks on a recording, given or simulated, and what they stand for."""

from __future__ import annotations

import argparse
from pathlib import Path

import xarray as xr

from hmm_plating import PlatingModel, Protocol, simulate_recording
from hmm_plating.model_file import load_model_file
from hmm_plating.recording import first_steps, read, resample

INTERVAL = 2.0  # s


def surrogate_parser(description: str | None) -> argparse.ArgumentParser:
    """Weights of a surrogate, and what `add_recording` adds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    add_recording(parser)
    return parser


def add_recording(parser: argparse.ArgumentParser) -> None:
    """Files of a recording, model and seed."""
    parser.add_argument("files", nargs="*", metavar="QCMD ECHEM")
    parser.add_argument("--air")
    parser.add_argument("--model", default=str(Path(__file__).parents[1] / "models" / "zinc.py"))
    parser.add_argument("--seed", type=int, default=0)


def recording_and_model(options: argparse.Namespace) -> tuple[xr.Dataset, PlatingModel]:
    """The recording of the files, without files the model's own, and the model of its first steps."""
    build = load_model_file(options.model)
    raw = read(*options.files, options.air) if options.files else simulate_recording(build, Protocol(), options.seed)[0]
    recording = resample(raw, INTERVAL)
    return recording, build(first_steps(recording))
