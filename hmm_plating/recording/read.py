"""Instrument files to the one Dataset: what each says (`formats`) on one clock, against one reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording.baseline import before_current, column_median, first_second
from hmm_plating.recording.charge import Charge, charge_curve
from hmm_plating.recording.clock import Clock, estimate_clock_offset, require_overlap
from hmm_plating.recording.dataset import check_area, validate
from hmm_plating.recording.formats import Contents, Crystal, Hints, read_contents
from hmm_plating.recording.problems import unrecorded
from hmm_plating.recording.start_times import offset_from_starts
from hmm_plating.recording.store import is_stored, load

FREQUENCY_TOLERANCE = 0.02  # f_n/n differs between overtones by 0.05 % (energy trapping), in liquid and air by 0.02 %
USUAL_FUNDAMENTAL = 5e6  # Hz
USUAL_AREA = 0.785e-4  # m²: the active area of a QSense crystal
SQUARE_CENTIMETRE = 1e-4  # m²


def read(
    qcmd: str | Path,
    electrochemistry: str | Path | None = None,
    air: str | Path | None = None,
    *,
    area: float | None = None,
    fundamental_frequency: float | None = None,
    clock_offset: float | None = None,
    hints: Hints | None = None,
) -> xr.Dataset:
    """A recording as described in `dataset`, at the QCM's own samples.

    Shifts refer to the crystal in liquid before the current: the median of the last 10 s, even if that is one sample
    (the first seconds of current are too nonlinear, double layer and oxide, to average over), or, where the QCM
    started after the current, the line of Δf_n against charge over its first 2 s, continued to no charge. Without
    electrochemistry the reference is the median of the first second. The charge is interpolated onto the QCM's clock
    and the current taken from it, so that it adds up; no current is assumed where the potentiostat does not record.
    What was assumed on the way is in the attribute `assumptions`, what may be wrong with the files in `warnings`.

    Args:
        qcmd: file of a QCM, in any of the known formats (docs/formats.md), or a recording that `write` stored.
        electrochemistry: file of a potentiostat; default the one in `qcmd`, where that holds both.
        air: file of the crystal in air, in any format with absolute frequencies.
        area: of the electrode [m²]; default the file's own, else 0.785 cm².
        fundamental_frequency: f0 [Hz]; default the median over overtones of f_n/n in air, else in liquid, else 5 MHz.
        clock_offset: to add to the potentiostat's time [s]; default from the times at which the files say that they
            start, and from where plating turns into stripping; 0 where neither tells.
        hints: what a file does not say itself.

    Raises:
        InputError: a file that cannot be read, a column that is missing, text where a number should be, time that does
            not increase, values of the wrong unit, clocks that do not overlap.
    """
    if area is not None:
        check_area(area)
    if is_stored(qcmd):
        return _stored(qcmd, electrochemistry, air, area, fundamental_frequency, clock_offset)
    hints = hints or Hints()
    file = read_contents(qcmd, hints, "crystal")
    if file.crystal is None:
        raise InputError(
            f"{file.name}: {file.format}, which holds no QCM's recording: it can be given with --electrochemistry"
        )
    crystal = file.crystal
    in_air = None if air is None else _in_air(air, crystal.overtones, hints)
    fundamental, origin = _fundamental_frequency(crystal, in_air, fundamental_frequency)
    crystal = _absolute(crystal, fundamental)
    for name, checked in ((file.name, crystal), (Path(air).name if air else "", in_air)):
        if checked is not None:
            _check_frequencies(name, checked, fundamental)
    assumptions = [f"fundamental frequency {origin}", *file.assumptions]
    warnings = list(file.warnings)
    attributes: dict[str, float | int | str] = {}
    missing_values = int(np.isnan(crystal.frequency).sum())
    if crystal.dissipation is None:
        assumptions.append("no dissipation was measured: all of it is missing")
    else:
        missing_values += int(np.isnan(crystal.dissipation).sum())

    source = file
    if electrochemistry is not None:
        own_hints = hints._replace(columns=hints.electrochemistry_columns)
        source = read_contents(electrochemistry, own_hints, "potentiostat")
    current = _current(source, crystal, clock_offset, own=electrochemistry is None)
    if electrochemistry is not None:
        assumptions += [f"{source.name}: {assumption}" for assumption in source.assumptions]
        warnings += [f"{source.name}: {warning}" for warning in source.warnings]
    if area is None:
        stated = source.area or file.area
        area = stated or USUAL_AREA
        check_area(area)
        assumptions.append(
            f"electrode area {area / SQUARE_CENTIMETRE:.4g} cm², {'as the file states' if stated else 'not stated'}"
        )

    dissipation = crystal.dissipation
    if dissipation is None:
        dissipation = np.full(crystal.frequency.shape, np.nan)
    if current is None:
        reference = first_second(crystal.time, crystal.frequency, dissipation)
    else:
        assumptions += current.assumptions
        warnings += current.warnings
        attributes |= {"clock_offset": current.clock.offset, "clock_offset_uncertainty": current.clock.uncertainty}
        taken = crystal.time[:, None] - current.clock.offset - current.clock.sampling_delay
        reference = before_current(taken, crystal.frequency, dissipation, current.curve.time, current.curve.charge)
    assumptions.append(reference.description)

    dataset = xr.Dataset(
        {
            "frequency_shift": (("time", "overtone"), crystal.frequency - reference.frequency),
            "dissipation_shift": (("time", "overtone"), dissipation - reference.dissipation),
        },
        coords={"time": crystal.time, "overtone": crystal.overtones},
    )
    if file.crystal.absolute:
        dataset["reference_frequency"] = "overtone", reference.frequency
        dataset["reference_dissipation"] = "overtone", reference.dissipation
    if current is not None:
        dataset["sampling_delay"] = "overtone", current.clock.sampling_delay
        for name, values in _on_clock(crystal.time, current.curve, current.clock.offset, area).items():
            dataset[name] = "time", values
    elif crystal.sampling_delay is not None:
        dataset["sampling_delay"] = "overtone", crystal.sampling_delay
    if in_air is not None:
        if not file.crystal.absolute:
            raise InputError(f"{file.name}: only shifts, so a file of the crystal in air tells nothing: leave it out")
        assert in_air.dissipation is not None
        dataset["air_to_liquid_frequency_shift"] = "overtone", reference.frequency - in_air.frequency[0]
        dataset["air_to_liquid_dissipation_shift"] = "overtone", reference.dissipation - in_air.dissipation[0]
    instrument = {"table of time, f3, D3, …": "QCM-D", "table of EC-Lab's columns": "potentiostat (EC-Lab columns)"}
    parts = [file, source] if current is not None and electrochemistry is not None else [file]
    dataset.attrs = {
        "fundamental_frequency": fundamental,
        "area": float(area),
        "instrument": " and ".join(instrument.get(part.format, part.format) for part in parts),
        "source": ", ".join(Path(path).name for path in (qcmd, electrochemistry, air) if path is not None),
        "assumptions": "; ".join(assumptions),
        "missing_values": missing_values,
        **attributes,
    }
    if warnings:
        dataset.attrs["warnings"] = "; ".join(warnings)
    return validate(dataset)


def _stored(qcmd: str | Path, *others: object) -> xr.Dataset:
    """A recording that `write` stored, which nothing else can be added to."""
    if any(other is not None for other in others):
        raise InputError(
            f"{qcmd} is a whole recording already: other files, an area, a fundamental frequency or a clock offset "
            "cannot be given with it"
        )
    return load(qcmd)


class _Current(NamedTuple):
    """The charge curve, how the clocks relate, and what was assumed."""

    curve: Charge
    clock: Clock
    assumptions: list[str]
    warnings: list[str]


def _current(source: Contents, crystal: Crystal, clock_offset: float | None, *, own: bool) -> _Current | None:
    """The potentiostat's part of a file against the crystal's clock; None where the crystal's own file has none."""
    if source.potentiostat is None:
        if own:
            return None
        raise InputError(f"{source.name}: {source.format}, which holds no potentiostat's recording")
    curve = charge_curve(source.name, source.potentiostat)
    if clock_offset is not None and not math.isfinite(float(clock_offset)):
        raise InputError(f"clock offset must be a finite number of seconds, got {clock_offset!r}")
    unknown = np.full(len(crystal.overtones), np.nan)
    known = crystal.sampling_delay if crystal.sampling_delay is not None else np.zeros(len(unknown))
    if own and clock_offset is None:
        require_overlap(crystal.time, curve.time, 0.0)
        clock, said = Clock(0.0, math.nan, known, unknown, 0), ["one clock for both parts of the file"]
    else:
        clock, said = _clock(crystal, source, curve, clock_offset)
        if crystal.sampling_delay is not None:  # the file's own stamps are better than what kinks tell
            clock = clock._replace(sampling_delay=known, sampling_delay_uncertainty=unknown)
    warnings = unrecorded(crystal.time, curve.time + clock.offset)
    return _Current(curve, clock, [*curve.assumptions, *said], warnings)


def _clock(crystal: Crystal, source: Contents, curve: Charge, given: float | None) -> tuple[Clock, list[str]]:
    """Estimated clock, or the given offset with estimated delays of the overtones."""
    said: list[str] = []
    start = None
    if given is None and source.potentiostat is not None:
        start = offset_from_starts(crystal, source.potentiostat)
        if start is not None:
            said.append(start.description)
    guess = float(given) if given is not None else start.offset if start is not None else 0.0
    require_overlap(crystal.time, curve.time, guess)
    shift = (crystal.frequency - column_median(crystal.frequency)) / crystal.overtones
    known = np.isfinite(curve.charge)
    try:
        clock = estimate_clock_offset(crystal.time, shift, curve.time[known], curve.charge[known], guess)
    except InputError:
        if start is None:
            raise
        clock = None  # Δf does not follow the charge: the files' own times are all there is
    if clock is None:
        unknown = np.full(len(crystal.overtones), np.nan)
        how = "assumed, for lack of a current reversal to estimate it from"
        how = "given" if given is not None else how if start is None else "from the files' own times"
        said.append(f"clock offset {guess:g} s {how}")
        return Clock(guess, math.nan, np.zeros_like(unknown), unknown, 0), said
    if given is not None:
        return clock._replace(offset=guess, uncertainty=0.0), [f"clock offset {guess:g} s given"]
    found = f"{clock.offset:.3f} ± {clock.uncertainty:.3f} s from {clock.reversals} reversals of the current"
    return clock, [*said, f"clock offset {found}"]


def _absolute(crystal: Crystal, fundamental: float) -> Crystal:
    """Shifts on top of nominal frequencies, so that all recordings are treated alike."""
    if crystal.absolute:
        return crystal
    return crystal._replace(frequency=crystal.overtones * fundamental + crystal.frequency)


def _in_air(path: str | Path, overtones: np.ndarray, hints: Hints) -> Crystal:
    """Median of each channel in air, shapes (1, overtones), in the order of the recording's overtones."""
    file = read_contents(path, hints._replace(columns=None), "air")
    if file.crystal is None or not file.crystal.absolute:
        raise InputError(f"{file.name}: {file.format}, which holds no absolute frequencies of the crystal in air")
    found = file.crystal
    absent = sorted(set(overtones.tolist()) - set(found.overtones.tolist()))
    if absent:
        raise InputError(
            f"{file.name}: no columns for overtones {absent} of the recording; found {found.overtones.tolist()}"
        )
    order = np.searchsorted(found.overtones, overtones)
    dissipation = (
        np.full(len(order), np.nan) if found.dissipation is None else column_median(found.dissipation[:, order])
    )
    return Crystal(
        found.time[:1], overtones, column_median(found.frequency[:, order])[None], dissipation[None], True, found.rows
    )


def _fundamental_frequency(crystal: Crystal, in_air: Crystal | None, given: float | None) -> tuple[float, str]:
    if given is not None:
        if not 1e5 <= given <= 1e9:
            raise InputError(f"fundamental_frequency must be in Hz, 1e5 to 1e9, got {given!r}")
        return float(given), "as given"
    if not crystal.absolute:
        return USUAL_FUNDAMENTAL, "assumed to be 5 MHz, for the file has shifts only; --fundamental-frequency states it"
    source, origin = (crystal, "in liquid") if in_air is None else (in_air, "in air")
    normalised = column_median(source.frequency / source.overtones)
    if not np.any(np.isfinite(normalised)):
        raise InputError(f"fundamental frequency: every frequency {origin} is missing; give it in Hz")
    return float(np.nanmedian(normalised)), f"from the median of f_n/n {origin}"


def _check_frequencies(name: str, crystal: Crystal, fundamental: float) -> None:
    """InputError unless the values are absolute frequencies [Hz] and plain dissipations."""
    if not 1e5 <= fundamental <= 1e9:
        raise InputError(
            f"{name}: f_n/n is {fundamental:g}, which is no crystal's fundamental in Hz: are these shifts, or MHz? "
            "Absolute frequencies in Hz are needed"
        )
    for column, overtone in enumerate(crystal.overtones):
        frequency = crystal.frequency[:, column]
        wrong = np.flatnonzero(np.abs(frequency / (overtone * fundamental) - 1) > FREQUENCY_TOLERANCE)
        if len(wrong):
            place = f"row {crystal.rows[wrong[0]]}" if crystal.rows is not None else f"sample {wrong[0]}"
            raise InputError(
                f"{name}: f{overtone} = {frequency[wrong[0]]:.10g}, {place}, is not within "
                f"{100 * FREQUENCY_TOLERANCE:g} % of {overtone} × {fundamental:g} Hz: "
                "an absolute frequency in Hz is needed"
            )
    if crystal.dissipation is None:
        return
    largest = np.nanmax(np.abs(crystal.dissipation), initial=0.0)
    if 0 < largest < 1e-8:
        raise InputError(
            f"{name}: the largest D is {largest / 1e-6:g}, in units of 1e-6: it looks like a plain number; "
            "D in 1e-6 (ppm) is needed"
        )


def _on_clock(time: np.ndarray, curve: Charge, offset: float, area: float) -> dict[str, np.ndarray]:
    """Charge and current density and potential at the QCM's samples; no current outside the potentiostat's record."""
    clock_time = curve.time + offset
    known = np.isfinite(curve.charge)
    sampling = float(np.median(np.diff(time))) if len(time) > 1 else 1.0
    extended = np.concatenate([[time[0] - sampling], time])
    charge = np.interp(extended, clock_time[known], curve.charge[known]) / area
    measured = np.isfinite(curve.potential)
    potential = (
        np.interp(time, clock_time[measured], curve.potential[measured], left=np.nan, right=np.nan)
        if np.any(measured)
        else np.full(len(time), np.nan)
    )
    return {
        "current_density": np.diff(charge) / np.diff(extended),
        "potential": potential,
        "charge_density": charge[1:],
    }
