"""Reader of three workbooks: a QCM-D export, a potentiostat export and the crystal's values in air.

    QCM-D           time [s], f3, D3, f5, D5, …      absolute frequency [Hz], dissipation [1e-6]
    potentiostat    time/s, (Q-Qo)/mC, <Ewe/V>, I/mA (names of BioLogic's EC-Lab)
    air             f3_1 (Hz), D3_1 (ppm), …         one row or several, of which the median is taken

Row 1 of the first sheet holds the headers; blanks and case in them do not matter, units do. The two instruments run on
their own clocks, see `clock`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording.baseline import before_current, column_median, first_second
from hmm_plating.recording.clock import Clock, estimate_clock_offset, require_overlap
from hmm_plating.recording.dataset import check_area, validate
from hmm_plating.recording.table import FIRST_DATA_ROW, Table, find_column, matching_columns, numbers, read_table, times

TIME = r"time(/s|\[s\]|\(s\))?"
FREQUENCY = r"f(\d+)(_\d+)?([\[(]hz[\])])?"
DISSIPATION = r"d(\d+)(_\d+)?([\[(](ppm|1e-6)[\])])?"
POTENTIOSTAT = {
    "time/s": TIME,
    "(Q-Qo)/mC": r"\(q-qo\)/mc",
    "<Ewe/V>": r"<?ewe>?/v>?",
    "I/mA": r"<?i>?/ma",
}
DISSIPATION_UNIT = 1e-6
FREQUENCY_TOLERANCE = 0.02  # f_n/n differs between overtones by 0.05 % (energy trapping), in liquid and air by 0.02 %


class Channels(NamedTuple):
    """Frequencies [Hz] and dissipations [1], each (samples, overtones), of a QCM-D file."""

    overtones: np.ndarray
    frequency: np.ndarray
    dissipation: np.ndarray


class Electrochemistry(NamedTuple):
    """A potentiostat's recording on its own clock, shape (points,): [s], [C] since its start, [V]."""

    time: np.ndarray
    charge: np.ndarray
    potential: np.ndarray


def read(
    qcmd: str | Path,
    electrochemistry: str | Path | None = None,
    air: str | Path | None = None,
    *,
    area: float,
    fundamental_frequency: float | None = None,
    clock_offset: float | None = None,
) -> xr.Dataset:
    """A recording as described in `dataset`, at the QCM's own samples.

    Shifts refer to the crystal in liquid before the current: the median of the last 10 s, even if that is one sample
    (the first seconds of current are too nonlinear, double layer and oxide, to average over), or, where the QCM
    started after the current, the line of Δf_n against charge over its first 2 s, continued to no charge. Without
    electrochemistry the reference is the median of the first second. The charge is interpolated onto the QCM's clock
    and the current taken from it, so that it adds up; no current is assumed where the potentiostat does not record.

    Args:
        qcmd, electrochemistry, air: paths of .xlsx files.
        area: of the electrode [m²].
        fundamental_frequency: f0 [Hz]; default the median over overtones of f_n/n in air, else in liquid.
        clock_offset: to add to the potentiostat's time [s]; default estimated where plating turns into stripping, 0
            where it never does.

    Raises:
        InputError: a file that cannot be read, a column that is missing, text where a number should be, time that does
            not increase, values of the wrong unit, clocks that do not overlap.
    """
    check_area(area)
    table = read_table(qcmd)
    time = times(table, find_column(table, TIME, "time"))
    channels = _channels(table)
    missing_values = int(np.isnan(channels.frequency).sum() + np.isnan(channels.dissipation).sum())
    in_air = None if air is None else _in_air(air, channels.overtones)
    fundamental, origin = _fundamental_frequency(channels, in_air, fundamental_frequency)
    for name, source in ((table.name, channels), (Path(air).name if air else "", in_air)):
        if source is not None:
            _check_frequencies(name, source, fundamental)
    assumptions = [f"fundamental frequency {origin}"]
    used = {index for pattern in (TIME, FREQUENCY, DISSIPATION) for index in matching_columns(table, pattern)}
    if unused := [header for index, header in enumerate(table.headers) if header and index not in used]:
        assumptions.append(f"columns not used: {', '.join(map(repr, unused))}")
    attributes: dict[str, float | int | str] = {}

    potentiostat = clock = None
    if electrochemistry is not None:
        potentiostat = _electrochemistry(electrochemistry)
        clock, description = _clock(time, channels, potentiostat, clock_offset)
        assumptions.append(description)
        attributes |= {"clock_offset": clock.offset, "clock_offset_uncertainty": clock.uncertainty}
    if potentiostat is None or clock is None:
        reference = first_second(time, channels.frequency, channels.dissipation)
    else:
        taken = time[:, None] - clock.offset - clock.sampling_delay
        reference = before_current(
            taken, channels.frequency, channels.dissipation, potentiostat.time, potentiostat.charge
        )
    assumptions.append(reference.description)

    dataset = xr.Dataset(
        {
            "frequency_shift": (("time", "overtone"), channels.frequency - reference.frequency),
            "dissipation_shift": (("time", "overtone"), channels.dissipation - reference.dissipation),
            "reference_frequency": ("overtone", reference.frequency),
            "reference_dissipation": ("overtone", reference.dissipation),
        },
        coords={"time": time, "overtone": channels.overtones},
    )
    if potentiostat is not None and clock is not None:
        dataset["sampling_delay"] = "overtone", clock.sampling_delay
        for name, values in _on_clock(time, potentiostat, clock.offset, area).items():
            dataset[name] = "time", values
    if in_air is not None:
        dataset["air_to_liquid_frequency_shift"] = "overtone", reference.frequency - in_air.frequency[0]
        dataset["air_to_liquid_dissipation_shift"] = "overtone", reference.dissipation - in_air.dissipation[0]
    files = [Path(path).name for path in (qcmd, electrochemistry, air) if path is not None]
    dataset.attrs = {
        "fundamental_frequency": fundamental,
        "area": float(area),
        "instrument": "QCM-D" if potentiostat is None else "QCM-D and potentiostat (EC-Lab columns)",
        "source": ", ".join(files),
        "assumptions": "; ".join(assumptions),
        "missing_values": missing_values,
        **attributes,
    }
    return validate(dataset)


def _by_overtone(table: Table, pattern: str, letter: str) -> dict[int, int]:
    """Overtone to column; InputError where two columns claim the same overtone."""
    columns: dict[int, int] = {}
    for index, match in matching_columns(table, pattern).items():
        overtone = int(match.group(1))
        if overtone in columns:
            names = f"{table.headers[columns[overtone]]!r} and {table.headers[index]!r}"
            raise InputError(f"{table.name}: columns {names} both look like {letter}{overtone}; keep one sensor's")
        columns[overtone] = index
    return columns


def _channels(table: Table) -> Channels:
    """Frequency and dissipation columns, overtones ascending; dissipation as a plain number."""
    frequency, dissipation = _by_overtone(table, FREQUENCY, "f"), _by_overtone(table, DISSIPATION, "D")
    if not frequency:
        find_column(table, FREQUENCY, "f3")  # raises and lists what there is
    for present, partner, letter in ((frequency, dissipation, "D"), (dissipation, frequency, "f")):
        for overtone in sorted(present.keys() - partner.keys()):
            find_column(table, re.escape(f"{letter}{overtone}".lower()), f"{letter}{overtone}")
    overtones = np.array(sorted(frequency))
    if np.any(overtones % 2 == 0):
        raise InputError(f"{table.name}: overtones must be odd, found columns for {overtones.tolist()}")
    return Channels(
        overtones,
        np.stack([numbers(table, frequency[n]) for n in overtones], axis=1),
        DISSIPATION_UNIT * np.stack([numbers(table, dissipation[n]) for n in overtones], axis=1),
    )


def _in_air(path: str | Path, overtones: np.ndarray) -> Channels:
    """Median of each channel in air, shape (1, overtones), in the order of the recording's overtones."""
    table = read_table(path)
    found = _channels(table)
    absent = sorted(set(overtones.tolist()) - set(found.overtones.tolist()))
    if absent:
        raise InputError(
            f"{table.name}: no columns for overtones {absent} of the recording; found {found.overtones.tolist()}"
        )
    order = np.searchsorted(found.overtones, overtones)
    return Channels(
        overtones, column_median(found.frequency[:, order])[None], column_median(found.dissipation[:, order])[None]
    )


def _fundamental_frequency(channels: Channels, in_air: Channels | None, given: float | None) -> tuple[float, str]:
    if given is not None:
        if not 1e5 <= given <= 1e9:
            raise InputError(f"fundamental_frequency must be in Hz, 1e5 to 1e9, got {given!r}")
        return float(given), "as given"
    source, origin = (channels, "in liquid") if in_air is None else (in_air, "in air")
    normalised = column_median(source.frequency / source.overtones)
    if not np.any(np.isfinite(normalised)):
        raise InputError(f"fundamental frequency: every frequency {origin} is missing; give it in Hz")
    return float(np.nanmedian(normalised)), f"from the median of f_n/n {origin}"


def _check_frequencies(name: str, channels: Channels, fundamental: float) -> None:
    """InputError unless the values are absolute frequencies [Hz] and dissipations in 1e-6."""
    if not 1e5 <= fundamental <= 1e9:
        raise InputError(
            f"{name}: f_n/n is {fundamental:g}, which is no crystal's fundamental in Hz: are these shifts, or MHz? "
            "Absolute frequencies in Hz are needed"
        )
    for column, overtone in enumerate(channels.overtones):
        frequency = channels.frequency[:, column]
        wrong = np.flatnonzero(np.abs(frequency / (overtone * fundamental) - 1) > FREQUENCY_TOLERANCE)
        if len(wrong):
            raise InputError(
                f"{name}: f{overtone} = {frequency[wrong[0]]:.10g}, row {wrong[0] + FIRST_DATA_ROW}, is not within "
                f"{100 * FREQUENCY_TOLERANCE:g} % of {overtone} × {fundamental:g} Hz: "
                "an absolute frequency in Hz is needed"
            )
    largest = np.nanmax(np.abs(channels.dissipation), initial=0.0)
    if 0 < largest < 1e-8:
        raise InputError(
            f"{name}: the largest D is {largest / DISSIPATION_UNIT:g}, in units of 1e-6: it looks like a plain number; "
            "D in 1e-6 (ppm) is needed"
        )


def _electrochemistry(path: str | Path) -> Electrochemistry:
    table = read_table(path)
    columns = {name: find_column(table, pattern, name) for name, pattern in POTENTIOSTAT.items()}
    time = times(table, columns["time/s"])
    charge, potential, current = (numbers(table, columns[name]) for name in ("(Q-Qo)/mC", "<Ewe/V>", "I/mA"))
    for name, values in (("(Q-Qo)/mC", charge), ("I/mA", current)):
        if np.isfinite(values).sum() < 2:
            raise InputError(f"{table.name}: column {table.headers[columns[name]]!r} has fewer than two numbers")
    _check_charge(table.name, time, charge, current)
    first = int(np.flatnonzero(np.isfinite(charge) & np.isfinite(current))[0])
    sampling = float(np.median(np.diff(time)))
    lead = charge[first] / current[first] if current[first] != 0 else math.inf
    if 0 <= lead <= 2 * sampling:  # the first point was written a little after the current had started
        time, charge, potential = (
            np.insert(time, 0, time[first] - lead - 1e-9),
            np.insert(charge, 0, 0.0),
            np.insert(potential, 0, np.nan),
        )
    else:  # counted from an earlier technique
        charge = charge - charge[first]
    return Electrochemistry(time, 1e-3 * charge, potential)


def _check_charge(name: str, time: np.ndarray, charge: np.ndarray, current: np.ndarray) -> None:
    """InputError where dQ/dt is not the current: a wrong unit or sign of one of them."""
    strong = np.abs(current[1:]) > 0.1 * np.nanmax(np.abs(current))
    ratio = np.diff(charge)[strong] / (current[1:] * np.diff(time))[strong]
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) and not 0.8 < np.median(ratio) < 1.25:
        raise InputError(
            f"{name}: the charge grows by {np.median(ratio):.3g} times the current: "
            "one of the columns (Q-Qo)/mC and I/mA has another unit or sign than its header says"
        )


def _clock(
    time: np.ndarray, channels: Channels, potentiostat: Electrochemistry, given: float | None
) -> tuple[Clock, str]:
    """Estimated clock, or the given offset with estimated delays of the overtones."""
    guess = 0.0 if given is None else float(given)
    if not math.isfinite(guess):
        raise InputError(f"clock offset must be a finite number of seconds, got {given!r}")
    require_overlap(time, potentiostat.time, guess)
    shift = (channels.frequency - column_median(channels.frequency)) / channels.overtones
    known = np.isfinite(potentiostat.charge)
    clock = estimate_clock_offset(time, shift, potentiostat.time[known], potentiostat.charge[known], guess)
    if clock is None:
        unknown = np.full(len(channels.overtones), np.nan)
        how = "assumed, for lack of a current reversal to estimate it from" if given is None else "given"
        return Clock(guess, math.nan, np.zeros_like(unknown), unknown, 0), f"clock offset {guess:g} s {how}"
    if given is not None:
        return clock._replace(offset=guess, uncertainty=0.0), f"clock offset {guess:g} s given"
    found = f"{clock.offset:.3f} ± {clock.uncertainty:.3f} s from {clock.reversals} reversals of the current"
    return clock, f"clock offset {found}"


def _on_clock(time: np.ndarray, potentiostat: Electrochemistry, offset: float, area: float) -> dict[str, np.ndarray]:
    """Charge and current density and potential at the QCM's samples; no current outside the potentiostat's record."""
    clock_time = potentiostat.time + offset
    known = np.isfinite(potentiostat.charge)
    sampling = float(np.median(np.diff(time))) if len(time) > 1 else 1.0
    extended = np.concatenate([[time[0] - sampling], time])
    charge = np.interp(extended, clock_time[known], potentiostat.charge[known]) / area
    measured = np.isfinite(potentiostat.potential)
    potential = (
        np.interp(time, clock_time[measured], potentiostat.potential[measured], left=np.nan, right=np.nan)
        if np.any(measured)
        else np.full(len(time), np.nan)
    )
    return {
        "current_density": np.diff(charge) / np.diff(extended),
        "potential": potential,
        "charge_density": charge[1:],
    }
