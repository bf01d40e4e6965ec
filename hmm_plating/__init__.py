"""The metal surface under an EQCM-D recording: phase field, lattice Boltzmann and a hidden Markov model in Pyro."""

import os

# Before torch computes: MKL's rounding otherwise depends on where memory lies, and a resumed run would differ in the
# last digits from an uninterrupted one. Its mode that is the same on all processors takes twice as long.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import torch

from hmm_plating import emission, inference, morphology, recording, report, transition
from hmm_plating.errors import InputError
from hmm_plating.filter_recording import filter_recording
from hmm_plating.follow import follow
from hmm_plating.forecast_recording import forecast_recording
from hmm_plating.grid import Grid
from hmm_plating.grow_surface import grow_surface
from hmm_plating.instrument import Drive, InstrumentResponse, LinearTerm, clock_term
from hmm_plating.materials import Electrolyte, Metal, Resonator
from hmm_plating.model import PlatingModel
from hmm_plating.run_store import open_run
from hmm_plating.simulate_recording import Protocol, simulate_recording
from hmm_plating.static_surface import StaticSurface
from hmm_plating.transition import Transport
from hmm_plating.wandering import Wandering

# glibc returns to the system what is free beyond twice the largest block that it has seen freed (mallopt(3)); arrays of
# many particles or surfaces would be faulted in anew at every step, which costs as much as the arithmetic on them.
torch.empty(2**24, dtype=torch.uint8)

__all__ = [
    "Drive",
    "Electrolyte",
    "Grid",
    "InputError",
    "InstrumentResponse",
    "LinearTerm",
    "Metal",
    "PlatingModel",
    "Protocol",
    "Resonator",
    "StaticSurface",
    "Transport",
    "Wandering",
    "clock_term",
    "emission",
    "filter_recording",
    "follow",
    "forecast_recording",
    "grow_surface",
    "inference",
    "morphology",
    "open_run",
    "recording",
    "report",
    "simulate_recording",
    "transition",
]
