"""A model file whose grid and response are as small as they can be: for the tests of what runs a model."""

import math

import pyro.distributions as dist

import hmm_plating as hp

GRID = hp.Grid(width=128e-9, height=96e-9, spacing=4e-9, interface_width=16e-9, coarsening=2)

SURFACE = {
    "nucleation_density": hp.Wandering(dist.LogNormal(math.log(1 / 90e-9**2), 0.3), correlation_time=300.0),
    "nucleus_radius": 9e-9,
    "current_efficiency": hp.Wandering(dist.Uniform(0.8, 1.0), correlation_time=200.0),
}

INSTRUMENT = hp.InstrumentResponse(
    terms=(
        hp.LinearTerm("sensitivity", "frequency", 0.3, 4e5, lambda surface, drive: surface.frequency, mean=1.0),
        hp.LinearTerm(
            "box", "frequency", 0.1, 20.0, lambda s, d: s.frequency, common=0.5, smooth=1.0, accumulated=True
        ),
        hp.LinearTerm("current", "frequency", 3.0, 1e5, lambda surface, drive: drive.lagged_current[0]),
        hp.LinearTerm("baseline", "frequency", 30.0, 6000.0, lambda surface, drive: 1.0),
        hp.LinearTerm(
            "sensitivity", "dissipation", 0.5, 1e4, lambda surface, drive: surface.dissipation, 1.0, independent=1e-2
        ),
        hp.LinearTerm("baseline", "dissipation", 1e-6, 100.0, lambda surface, drive: 1.0, independent=1e-2),
    ),
    side_mass_deviation=1e-5,
    side_mass_rate_deviation=5e-8,
    side_mass_rate_time=6.0,
    lag_times=(4.0,),
)


def plating_model(recording):
    return hp.PlatingModel(
        metal=hp.Metal.zinc(),
        electrolyte=hp.Electrolyte(1322.8, 3.14e-3),
        resonator=hp.Resonator(recording.attrs["fundamental_frequency"]),
        overtones=tuple(int(n) for n in recording["overtone"].values),
        grid=GRID,
        parameters=SURFACE,
        instrument=INSTRUMENT,
        frequency_noise=tuple(recording["frequency_shift_noise"].values),
        dissipation_noise=tuple(recording["dissipation_shift_noise"].values),
    )
