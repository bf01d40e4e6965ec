"""Instrument files to the one Dataset: `read` opens them, `assemble` puts what they say together."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording.assemble import assemble
from hmm_plating.recording.dataset import check_area
from hmm_plating.recording.formats import Hints, read_contents
from hmm_plating.recording.store import is_stored, load


def read(
    qcmd: str | Path,
    electrochemistry: str | Path | None = None,
    air: str | Path | None = None,
    *,
    area: float | None = None,
    fundamental_frequency: float | None = None,
    clock_offset: float | None = None,
    hints: Hints | None = None,
    first_part: float | None = None,
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
        first_part: seconds at the start of each file from which all of this, and the noise, is estimated; see
            `assemble`.

    Raises:
        InputError: a file that cannot be read, a column that is missing, text where a number should be, time that does
            not increase, values of the wrong unit, clocks that do not overlap.
    """
    if area is not None:
        check_area(area)
    if is_stored(qcmd):
        return _stored(qcmd, electrochemistry, air, area, fundamental_frequency, clock_offset, first_part)
    hints = hints or Hints()
    file = read_contents(qcmd, hints, "crystal")
    source = in_air = None
    if electrochemistry is not None:
        source = read_contents(electrochemistry, hints._replace(columns=hints.electrochemistry_columns), "potentiostat")
    if air is not None:
        in_air = read_contents(air, hints._replace(columns=None), "air")
    return assemble(
        file,
        source,
        in_air,
        area=area,
        fundamental_frequency=fundamental_frequency,
        clock_offset=clock_offset,
        first_part=first_part,
    )


def _stored(qcmd: str | Path, *others: object) -> xr.Dataset:
    """A recording that `write` stored, which nothing else can be added to."""
    if any(other is not None for other in others):
        raise InputError(
            f"{qcmd} is a whole recording already: other files, an area, a fundamental frequency, a clock offset or a "
            "first part cannot be given with it"
        )
    return load(qcmd)
