"""Instrument files to one validated `xarray.Dataset` and back, and to the steps of a filter."""

from hmm_plating.recording.air import Viscosity, require_viscosity, viscosity_from_air
from hmm_plating.recording.clock import Clock, estimate_clock_offset
from hmm_plating.recording.dataset import require_electrochemistry, validate
from hmm_plating.recording.formats import Hints
from hmm_plating.recording.growing_recording import GrowingRecording
from hmm_plating.recording.read import read
from hmm_plating.recording.resample import first_steps, resample
from hmm_plating.recording.segments import Segment, segments
from hmm_plating.recording.write import Files, write

__all__ = [
    "Clock",
    "Files",
    "GrowingRecording",
    "Hints",
    "Segment",
    "Viscosity",
    "estimate_clock_offset",
    "first_steps",
    "read",
    "require_electrochemistry",
    "require_viscosity",
    "resample",
    "segments",
    "validate",
    "viscosity_from_air",
    "write",
]
