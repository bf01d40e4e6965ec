"""What a short recording drawn by the small model consists of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import xarray as xr

from hmm_plating import Protocol

PROTOCOL = Protocol(
    cycles=1, current_density=20.0, plating_time=10.0, stripping_time=8.0, sampling=1.0, overtones=(3, 7, 11)
)


class Simulated(NamedTuple):
    """A recording, the truth, and the folder with the recording's files."""

    recording: xr.Dataset
    truth: xr.Dataset
    folder: Path
