"""A recording that instruments are writing: the steps of a filter that are complete so far."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from hmm_plating.recording.assemble import assemble, missing_values
from hmm_plating.recording.dataset import check_area
from hmm_plating.recording.first_part import NotYet, beginning, measured
from hmm_plating.recording.formats import Hints, read_contents
from hmm_plating.recording.formats.contents import NO_HINTS, Contents
from hmm_plating.recording.growing import Finished, GrowingText, is_text
from hmm_plating.recording.latest import latest
from hmm_plating.recording.resample import first_steps, resample

OVERLAP = 2  # steps that are made again, to see that the latest samples decide them
REACH = 4  # steps before these that still matter: a gap that is bridged, both leads, the charge before
FIRST_PART = 60.0  # s, from which all is estimated by default


class Growth(NamedTuple):
    """What a source tells of a recording at some moment.

    Attributes:
        recording: its complete steps so far, as `resample` of the whole would give them; None before there are any.
        newest: time of its newest sample [s]; NaN before the first.
        notes: what happened since the last time, for people.
        waiting: why there is no recording yet.
    """

    recording: xr.Dataset | None
    newest: float
    notes: tuple[str, ...] = ()
    waiting: str = ""


class GrowingRecording:
    """Source for `hmm_plating.follow`: files as of `recording.read`, of which the text ones may grow."""

    def __init__(
        self,
        qcmd: str | Path,
        electrochemistry: str | Path | None = None,
        air: str | Path | None = None,
        *,
        interval: float = 2.0,
        first_part: float = FIRST_PART,
        area: float | None = None,
        fundamental_frequency: float | None = None,
        clock_offset: float | None = None,
        hints: Hints = NO_HINTS,
    ) -> None:
        """Arguments as of `recording.read` and `resample`; InputError where a file is missing or cannot be followed."""
        if area is not None:
            check_area(area)
        own = hints._replace(columns=hints.electrochemistry_columns)
        self._interval = interval
        self._qcmd = GrowingText(qcmd, hints, "crystal")
        self._electrochemistry: GrowingText | Finished | None = None
        if electrochemistry is not None:
            kind = GrowingText if is_text(electrochemistry) else Finished
            self._electrochemistry = kind(electrochemistry, own, "potentiostat")
        self._air = None if air is None else read_contents(air, hints._replace(columns=None), "air")
        self._first_part = first_part
        self._stated = {
            "area": area,
            "fundamental_frequency": fundamental_frequency,
            "clock_offset": clock_offset,
            "first_part": first_part,
        }
        self._growth = Growth(None, math.nan)
        self._waiting = self._said = ""

    def read(self) -> Growth:
        """The complete steps so far. Raises InputError, see `GrowingText.read` and `recording.read`."""
        files = [file for file in (self._qcmd, self._electrochemistry) if file is not None]
        grown = any([file.read() for file in files])
        notes = [note for file in files for note in file.notes]
        for file in files:
            file.notes.clear()
        crystal = None if self._qcmd.contents is None else self._qcmd.contents.crystal
        newest = math.nan if crystal is None else float(crystal.time[-1])
        if grown or self._growth.recording is None:
            self._growth = Growth(self._steps(files), newest)
            if self._growth.recording is None and (kind := re.sub(r"[\d.]+", "", self._waiting)) != self._said:
                notes.append(f"waiting for more: {self._waiting}")  # once, and not again whenever its numbers change
                self._said = kind
        return self._growth._replace(newest=newest, notes=tuple(notes), waiting=self._waiting)

    def _steps(self, files: list[GrowingText | Finished]) -> xr.Dataset | None:
        """None, and the reason in `_waiting`, as long as the first part is not complete."""
        try:
            for file in files:
                if error := file.error():
                    raise NotYet(str(error))
            assert self._qcmd.contents is not None
            electrochemistry = None if self._electrochemistry is None else self._electrochemistry.contents
            if (known := self._growth.recording) is not None:
                grown = self._grown(known, self._qcmd.contents, electrochemistry)
                if grown is not None:
                    return grown
            steps = resample(assemble(self._qcmd.contents, electrochemistry, self._air, **self._stated), self._interval)
            first_steps(steps)
        except NotYet as error:
            self._waiting = str(error)
            return None
        return steps

    def _grown(self, known: xr.Dataset, qcmd: Contents, electrochemistry: Contents | None) -> xr.Dataset | None:
        """The known steps and the new ones, of the latest samples alone; None where these do not give the last known
        steps again, digit by digit."""
        count, interval, first_part = known.sizes["time"], self._interval, self._first_part
        if count < OVERLAP:
            return None
        # of all samples, those after the last step too
        missing = {"missing_values": missing_values(measured(qcmd.crystal, beginning(qcmd, first_part).crystal))}
        end = float(known["time"][-1]) + interval / 2
        delay = float(np.abs(known["sampling_delay"].values).max()) if "sampling_delay" in known else 0.0
        if qcmd.crystal is not None and qcmd.crystal.time[-1] + delay < end + interval:
            return known.assign_attrs(missing)  # the next step is not over
        since = end - (OVERLAP + REACH) * interval - 2 * delay
        offset = float(known.attrs.get("clock_offset", 0.0))
        source = None if electrochemistry is None else latest(electrochemistry, first_part, since, offset)
        part = assemble(latest(qcmd, first_part, since, offset), source, self._air, **self._stated)
        steps = resample(part, interval, first=count - OVERLAP)
        moving = [name for name, variable in known.variables.items() if "time" in variable.dims]
        again = steps[moving].isel(time=slice(0, OVERLAP))
        if not again.equals(known[moving].isel(time=slice(count - OVERLAP, None))):
            return None
        if steps.sizes["time"] == OVERLAP:
            return known.assign_attrs(missing)
        joined = xr.concat([known[moving], steps[moving].isel(time=slice(OVERLAP, None))], "time")
        fixed = known.drop_dims("time").assign_attrs(steps.attrs | missing)
        return fixed.merge(joined, compat="override", join="override")[list(known.data_vars)]
