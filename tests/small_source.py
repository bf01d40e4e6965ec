"""A source of trajectories as small as can be."""

import hmm_plating as hp
from hmm_plating.emulator.trajectories import Ranges, Source

RANGES = Ranges(
    duration=(2.0, 4.0),
    current_density=(5.0, 20.0),
    exchange_current_density=(0.1, 1.0),
    surface_energy=(0.5, 1.5),
    noise_amplitude=(0.0, 60.0),
    nucleus_spacing=(60e-9, 100e-9),
)


def small_source(frames: int = 6, depth: float | None = None) -> Source:
    grid = hp.Grid(width=128e-9, height=128e-9, spacing=4e-9, interface_width=16e-9, depth=depth)
    return Source(hp.Metal.zinc(), hp.Electrolyte(1322.8, 3.14e-3), grid, RANGES, frames)
