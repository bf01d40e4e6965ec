"""The subcommand `inspect`: what instrument files hold, what is wrong with them, and what to do next."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording import Hints, read
from hmm_plating.recording.formats import Contents, Crystal, Potentiostat, read_contents
from hmm_plating.recording.resample import noise
from hmm_plating.recording.store import is_stored, load
from hmm_plating.recording_options import add_hints, hints_of

LABEL = 14  # width of what stands before a line


class _File(NamedTuple):
    path: str
    contents: Contents
    in_air: bool


def add_inspect(commands: Any) -> None:
    """Add the subcommand to those of the command line."""
    inspect = commands.add_parser(
        "inspect",
        help="see what is in instrument files, and the command to filter them",
        description="Print what instrument files hold: format, units, sampling, overtones with their noise, gaps and "
        "other problems, and what had to be assumed; then the command to go on with. Files are told apart by what is "
        "in them, so give those of one experiment in any order.",
        epilog="For example: hmm-plating inspect qcm.csv potentiostat.mpt",
    )
    inspect.add_argument("files", nargs="+", metavar="FILE", help="file of a QCM, a potentiostat or the crystal in air")
    add_hints(inspect)
    inspect.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> None:
    hints = hints_of(options)
    files = [_opened(path, hints) for path in options.files]
    lines = [line for file in files for line in [*_described(file), ""]]
    print("\n".join([*lines, *_next(files, options, hints)]))


def _opened(path: str, hints: Hints) -> _File:
    if is_stored(path):
        return _File(path, _stored(path), False)
    mappings = [mapping for mapping in (hints.columns, hints.electrochemistry_columns) if mapping is not None]
    for mapping in mappings:
        try:
            return _File(path, read_contents(path, hints._replace(columns=mapping)), False)
        except InputError:
            if len(mappings) == 1 and not _known_without(path, hints):
                raise
    contents = read_contents(path, hints._replace(columns=None))
    return _File(path, contents, contents.format.endswith("in air"))


def _known_without(path: str, hints: Hints) -> bool:
    try:
        read_contents(path, hints._replace(columns=None))
    except InputError:
        return False
    return True


def _stored(path: str) -> Contents:
    dataset = load(path)
    crystal = Crystal(
        dataset["time"].values,
        dataset["overtone"].values,
        dataset["frequency_shift"].values,
        dataset["dissipation_shift"].values,
        False,
    )
    potentiostat = None
    if "charge_density" in dataset:
        area = dataset.attrs["area"]
        current, charge = (dataset[f"{name}_density"].values * area for name in ("current", "charge"))
        potentiostat = Potentiostat(dataset["time"].values, current, charge, dataset["potential"].values)
    said = (tuple(filter(None, dataset.attrs.get(name, "").split("; "))) for name in ("assumptions", "warnings"))
    assumptions, warnings = said
    return Contents(
        Path(path).name,
        "whole recording, as hmm_plating.recording.write stores it",
        "SI",
        crystal,
        potentiostat,
        dataset.attrs["area"],
        assumptions,
        warnings,
    )


def _described(file: _File) -> list[str]:
    contents = file.contents
    lines = [f"{file.path}: {contents.format}", _line("units", contents.units)]
    if contents.crystal is not None:
        lines += _crystal(contents.crystal, file.in_air)
    if contents.potentiostat is not None:
        lines += _potentiostat(contents.potentiostat)
    if contents.area is not None:
        lines.append(_line("area", f"{1e4 * contents.area:.4g} cm²"))
    lines += [_line("assumed", assumption) for assumption in contents.assumptions]
    return lines + [_line("warning", warning) for warning in contents.warnings]


def _line(label: str, text: str) -> str:
    return f"  {label:{LABEL}s}{text}"


def _sampling(time: np.ndarray, points: str, start: Sequence[object]) -> str:
    text = f"{len(time)} {points}"
    if len(time) > 1:
        text += f" in {time[-1] - time[0]:.6g} s, one every {np.median(np.diff(time)):.4g} s"
    return text + (f", from {start[0]:%Y-%m-%d %H:%M:%S}" if start else "")


def _crystal(crystal: Crystal, in_air: bool) -> list[str]:
    count = (
        f"{len(crystal.time)} row{'s' * (len(crystal.time) > 1)} in air"
        if in_air
        else _sampling(crystal.time, "samples", crystal.start)
    )
    lines = [_line("QCM", count)]
    if crystal.temperature is not None and np.isfinite(crystal.temperature).any():
        low, high = np.nanmin(crystal.temperature), np.nanmax(crystal.temperature)
        lines.append(_line("temperature", f"{low:.2f} to {high:.2f} °C"))
    kind = "f (Hz)" if crystal.absolute else "Δf (Hz)"
    lines.append(
        _line("overtones", f"{'n':>3s}{'first ' + kind:>18s}{'noise of f/n':>14s}{'noise of D':>14s}{'missing':>9s}")
    )
    for column, n in enumerate(crystal.overtones):
        frequency = crystal.frequency[:, column]
        known = frequency[np.isfinite(frequency)]
        first = f"{known[0]:.2f}" if len(known) else "none"
        row = f"{n:3d}{first:>18s}{_noise(crystal.time, frequency / n, in_air, 'Hz'):>14s}"
        missing = int(np.isnan(frequency).sum())
        if crystal.dissipation is None:
            row += f"{'no D':>14s}"
        else:
            dissipation = crystal.dissipation[:, column]
            missing += int(np.isnan(dissipation).sum())
            row += f"{_noise(crystal.time, 1e6 * dissipation, in_air, 'e-6'):>14s}"
        lines.append(_line("", f"{row}{missing:9d}"))
    return lines


def _noise(time: np.ndarray, values: np.ndarray, in_air: bool, unit: str) -> str:
    found = float("nan") if in_air else noise(time, values)
    return f"{found:.3g} {unit}" if np.isfinite(found) else "unknown"


def _potentiostat(recorded: Potentiostat) -> list[str]:
    lines = [_line("potentiostat", _sampling(recorded.time, "points", recorded.start))]
    for name, values, unit, factor in (
        ("current", recorded.current, "mA", 1e3),
        ("charge", recorded.charge, "mC", 1e3),
        ("potential", recorded.potential, "V", 1.0),
    ):
        if values is None or not np.isfinite(values).any():
            lines.append(_line(name, "not recorded"))
        else:
            missing = int(np.isnan(values).sum())
            low, high = factor * np.nanmin(values), factor * np.nanmax(values)
            lines.append(_line(name, f"{low:.4g} to {high:.4g} {unit}" + (f", {missing} missing" if missing else "")))
    return lines


def _next(files: Sequence[_File], options: argparse.Namespace, hints: Hints) -> list[str]:
    """What the files say together, and the command to go on with."""
    recordings = [file for file in files if file.contents.crystal is not None and not file.in_air]
    potentiostats = [file for file in files if file.contents.potentiostat is not None and file not in recordings]
    in_air = [file for file in files if file.in_air]
    if not recordings:
        return [f"Next: give the QCM's file with it: hmm-plating inspect QCM_FILE {shlex.join(f.path for f in files)}"]
    if max(len(recordings), len(potentiostats), len(in_air)) > 1:
        return ["Next: inspect the files of one experiment alone: one of the QCM, one of the potentiostat, one in air"]
    recording, together = recordings[0], []
    electrochemistry = potentiostats[0].path if potentiostats else None
    complete = electrochemistry is not None or recording.contents.potentiostat is not None
    if complete and not is_stored(recording.path):
        together = _together(recording.path, electrochemistry, in_air[0].path if in_air else None, hints)
    words = ["hmm-plating", "filter", recording.path]
    words += ["--electrochemistry", electrochemistry] if electrochemistry else []
    words += ["--air", in_air[0].path] if in_air else []
    for name in ("columns", "electrochemistry_columns"):
        if mapping := getattr(options, name):
            words += [f"--{name.replace('_', '-')}", ",".join(f"{key}={value}" for key, value in mapping.items())]
    words += ["--scan-rate", f"{options.scan_rate:g}"] if options.scan_rate else []
    words += ["--sensor", str(options.sensor)] if options.sensor else []
    command = shlex.join([*words, "--model", "models/zinc.py", "--output", "posterior.nc"])
    if not complete:
        command = command.replace(" --model", " --electrochemistry POTENTIOSTAT_FILE --model", 1)
        together.append("Without the current nothing tells how much metal there is: put the potentiostat's file in.")
    return [*together, "Next, with the model file of your metal:", f"  {command}"]


def _together(recording: str, electrochemistry: str | None, air: str | None, hints: Hints) -> list[str]:
    try:
        attributes = read(recording, electrochemistry, air, hints=hints).attrs
    except InputError as error:
        return ["Together:", _line("warning", str(error)), ""]
    said = [_line("assumed", text) for text in attributes["assumptions"].split("; ") if "clock" in text]
    said += [_line("warning", text) for text in attributes.get("warnings", "").split("; ") if "covers" in text]
    return ["Together:", *said, ""] if said else []
