"""What the potentiostat says of a QCM's recording: its charge curve on the crystal's clock."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.baseline import column_median
from hmm_plating.recording.charge import Charge, charge_curve
from hmm_plating.recording.clock import Clock, estimate_clock_offset, require_overlap
from hmm_plating.recording.formats.contents import Contents, Crystal
from hmm_plating.recording.start_times import offset_from_starts


class Current(NamedTuple):
    """The charge curve, how the clocks relate, and what was assumed."""

    curve: Charge
    clock: Clock
    assumptions: list[str]

    def known_until(self) -> float:
        """Last time at which charge and, where it was recorded at all, potential are known, on the QCM's clock [s]."""
        known = np.isfinite(self.curve.charge)
        last = self.curve.time[known][-1]
        if (measured := np.isfinite(self.curve.potential)).any():
            last = min(last, self.curve.time[measured][-1])
        return float(last + self.clock.offset)

    def on_clock(self, crystal_time: np.ndarray, area: float) -> dict[str, np.ndarray]:
        """Charge and current density and potential at the QCM's samples; no current outside this record."""
        curve, time = self.curve, crystal_time
        clock_time = curve.time + self.clock.offset
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


def current_of(source: Contents, crystal: Crystal, clock_offset: float | None, *, own: bool) -> Current | None:
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
    return Current(curve, clock, [*curve.assumptions, *said])


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


def whole_curve(contents: Contents, early: Contents) -> Charge:
    """The charge curve of the whole file, as its first part tells to take it."""
    assert contents.potentiostat is not None
    assert early.potentiostat is not None
    sampling = float(np.median(np.diff(early.potentiostat.time)))
    curve = charge_curve(contents.name, contents.potentiostat, sampling)
    potential = early.potentiostat.potential
    if potential is None or not np.isfinite(potential).any():
        curve = curve._replace(potential=np.full(len(curve.time), np.nan))
    return curve
