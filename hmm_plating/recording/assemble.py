"""What instrument files say, on one clock and against one reference: the one Dataset.

With a `first_part` the dataset of a growing recording only ever gains samples: all that is estimated comes from the
first part, and what is not decided yet, for want of a later sample, is left out. So the steps of a filter that follows
the files are those of one that is given the finished files.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording.baseline import before_current, column_median, first_second
from hmm_plating.recording.current import current_of, whole_curve
from hmm_plating.recording.dataset import check_area, validate
from hmm_plating.recording.first_part import NotYet, beginning, measured, until
from hmm_plating.recording.formats.contents import Contents, Crystal
from hmm_plating.recording.problems import unrecorded

FREQUENCY_TOLERANCE = 0.02  # f_n/n differs between overtones by 0.05 % (energy trapping), in liquid and air by 0.02 %
USUAL_FUNDAMENTAL = 5e6  # Hz
USUAL_AREA = 0.785e-4  # m²: the active area of a QSense crystal
SQUARE_CENTIMETRE = 1e-4  # m²


def assemble(
    file: Contents,
    source: Contents | None = None,
    air: Contents | None = None,
    *,
    area: float | None = None,
    fundamental_frequency: float | None = None,
    clock_offset: float | None = None,
    first_part: float | None = None,
) -> xr.Dataset:
    """A recording as described in `dataset`, from the contents of files; arguments as of `read`.

    Args:
        file, source, air: of the QCM, the potentiostat (default the part of `file`) and the crystal in air.
        first_part: seconds at the start of each file from which fundamental frequency, clocks, reference and, in
            `resample`, sampling and noise are estimated; the dataset then ends where the charge (and the potential,
            if it was recorded there) is known, and has the overtones that were measured there. Default the whole.

    Raises:
        NotYet: the recording ends before the first part does.
        InputError: see `read`.
    """
    if file.crystal is None:
        raise InputError(
            f"{file.name}: {file.format}, which holds no QCM's recording: it can be given with --electrochemistry"
        )
    own, potentiostat = source is None, source or file
    if first_part is None:
        early_file, early_potentiostat = file, potentiostat
    else:
        early_file, early_potentiostat = beginning(file, first_part), beginning(potentiostat, first_part)
        file = file._replace(crystal=measured(file.crystal, early_file.crystal))
        early_file = early_file._replace(crystal=measured(early_file.crystal, early_file.crystal))
    assert file.crystal is not None
    assert early_file.crystal is not None
    in_air = None if air is None else _in_air(air, file.crystal.overtones)
    fundamental, origin = _fundamental_frequency(early_file.crystal, in_air, fundamental_frequency)
    crystal, early = _absolute(file.crystal, fundamental), _absolute(early_file.crystal, fundamental)
    for name, checked in ((file.name, crystal), (air.name if air else "", in_air)):
        if checked is not None:
            _check_frequencies(name, checked, fundamental)
    assumptions = [f"fundamental frequency {origin}", *file.assumptions]
    warnings = list(file.warnings)
    attributes: dict[str, float | int | str] = {}
    missing = missing_values(crystal)
    if early.dissipation is None:
        assumptions.append("no dissipation was measured: all of it is missing")

    current = current_of(early_potentiostat, early, clock_offset, own=own)
    if source is not None:
        assumptions += [f"{source.name}: {assumption}" for assumption in source.assumptions]
        warnings += [f"{source.name}: {warning}" for warning in source.warnings]
    if area is None:
        stated = potentiostat.area or file.area
        area = stated or USUAL_AREA
        check_area(area)
        assumptions.append(
            f"electrode area {area / SQUARE_CENTIMETRE:.4g} cm², {'as the file states' if stated else 'not stated'}"
        )

    if current is None:
        reference = first_second(early.time, early.frequency, _dissipation(early))
    else:
        assumptions += current.assumptions
        attributes |= {"clock_offset": current.clock.offset, "clock_offset_uncertainty": current.clock.uncertainty}
        taken = early.time[:, None] - current.clock.offset - current.clock.sampling_delay
        curve = current.curve
        reference = before_current(taken, early.frequency, _dissipation(early), curve.time, curve.charge)
    assumptions.append(reference.description)
    if first_part is not None:
        attributes["first_part"] = float(first_part)
        assumptions.append(f"all estimated from the first {first_part:g} s")
        if current is not None:
            assert potentiostat.potentiostat is not None
            current = current._replace(curve=whole_curve(potentiostat, early_potentiostat))
            crystal = until(crystal, current.known_until())
        if not crystal.time[-1] > early.time[0] + first_part:
            raise NotYet(
                f"{file.name}: the recording is known up to {crystal.time[-1] - early.time[0]:g} s, no longer than its "
                f"first part of {first_part:g} s, from which all is estimated: take a shorter one (--first-part S)"
            )
    if current is not None:
        warnings += unrecorded(crystal.time, current.curve.time + current.clock.offset)

    dataset = xr.Dataset(
        {
            "frequency_shift": (("time", "overtone"), crystal.frequency - reference.frequency),
            "dissipation_shift": (("time", "overtone"), _dissipation(crystal) - reference.dissipation),
        },
        coords={"time": crystal.time, "overtone": crystal.overtones},
    )
    if file.crystal.absolute:
        dataset["reference_frequency"] = "overtone", reference.frequency
        dataset["reference_dissipation"] = "overtone", reference.dissipation
    if current is not None:
        dataset["sampling_delay"] = "overtone", current.clock.sampling_delay
        for name, values in current.on_clock(crystal.time, area).items():
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
    parts = [file, source] if source is not None else [file]
    dataset.attrs = {
        "fundamental_frequency": fundamental,
        "area": float(area),
        "instrument": " and ".join(instrument.get(part.format, part.format) for part in parts),
        "source": ", ".join(part.name for part in (file, source, air) if part is not None),
        "assumptions": "; ".join(assumptions),
        "missing_values": missing,
        **attributes,
    }
    if warnings:
        dataset.attrs["warnings"] = "; ".join(warnings)
    return validate(dataset)


def missing_values(crystal: Crystal) -> int:
    """How many frequencies and dissipations are missing where they could have been measured."""
    measured_ = (values for values in (crystal.frequency, crystal.dissipation) if values is not None)
    return sum(int(np.isnan(values).sum()) for values in measured_)


def _dissipation(crystal: Crystal) -> np.ndarray:
    return np.full(crystal.frequency.shape, np.nan) if crystal.dissipation is None else crystal.dissipation


def _absolute(crystal: Crystal, fundamental: float) -> Crystal:
    """Shifts on top of nominal frequencies, so that all recordings are treated alike."""
    if crystal.absolute:
        return crystal
    return crystal._replace(frequency=crystal.overtones * fundamental + crystal.frequency)


def _in_air(file: Contents, overtones: np.ndarray) -> Crystal:
    """Median of each channel in air, shapes (1, overtones), in the order of the recording's overtones."""
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
