"""Lithium on copper from 1 mol/l LiPF6 in carbonates, a mossy deposit on a 5 MHz crystal: copy this file and edit it.

Not fitted to a recording: the numbers are estimates, each with its reason. Lithium has less than half the density of
the electrolyte, so that most of the shift is liquid that the deposit carries along.
"""

import math

import pyro.distributions as dist

import hmm_plating as hp

# typical of 1 mol/l LiPF6 in EC/DMC at 25 °C; with a recording of the crystal in air the viscosity is measured
DENSITY = 1300.0  # kg/m³
VISCOSITY = 3.5e-3  # Pa s, used where the recording does not tell

# 600 C/m² (1 mA/cm² for 60 s) are 81 nm of dense lithium and several times that of moss: a higher box than for zinc
GRID = hp.Grid(width=1.024e-6, height=0.64e-6, spacing=8e-9, interface_width=32e-9, coarsening=2)

# of 1 mol/l LiPF6 in PC/EC/DMC at 25 °C (Valøen and Reimers, J. Electrochem. Soc. 152 (2005) A882)
TRANSPORT = hp.Transport(
    concentration=1000.0,  # mol/m³
    diffusivity=3.2e-10,  # m²/s
    layer_thickness=200e-6,  # an assumption: a cell without flow, natural convection leaves 100 to 300 µm
    conductivity=1.0,  # S/m
    transference_number=0.38,
    resolved=False,  # within the box c̃ varies by less than 1 % below 100 A/m²
)

SURFACE = {
    # nuclei get smaller and denser with overpotential (Pei et al., Nano Lett. 17 (2017) 1132): a wide prior
    "nucleation_density": hp.Wandering(dist.LogNormal(math.log(1 / 300e-9**2), 1.0), correlation_time=300.0),
    "nucleus_radius": 20e-9,
    "nucleus_radius_spread": 0.2,
    # charge that forms the interphase on the bare electrode before lithium appears: an order of magnitude
    "wetting_charge": hp.Wandering(dist.LogNormal(math.log(30.0), 0.8), correlation_time=300.0),
    # the rest of the current reduces electrolyte; Coulombic efficiencies in carbonates are 80 to 95 %
    "current_efficiency": hp.Wandering(dist.Uniform(0.7, 1.0), correlation_time=300.0),
    # moss: growth far more uneven than thermal noise makes it
    "noise_amplitude": 100.0,
}


def plating_model(recording):
    """The model of one recording."""
    return hp.PlatingModel.for_recording(
        recording,
        metal=hp.Metal.lithium(),
        density=DENSITY,
        viscosity=VISCOSITY,
        grid=GRID,
        parameters=SURFACE,
        instrument=INSTRUMENT,
        transport=TRANSPORT,
    )


INSTRUMENT = hp.InstrumentResponse(
    terms=(
        hp.LinearTerm("sensitivity", "frequency", 0.3, 4e5, lambda surface, drive: surface.frequency, 1.0, smooth=0.03),
        # one box stands for the many that the crystal feels, see zinc.py
        hp.LinearTerm("box", "frequency", 0.08, 20.0, lambda s, d: s.frequency, 0.0, 0.5, 1.0, 0.01, accumulated=True),
        # interphase: 20 to 80 g per mole of electrons (Li2CO3 37, alkyl carbonates 80), lithium 7
        hp.LinearTerm("side layer", "frequency", 2.5, 4e5, lambda surface, drive: surface.side_layer, mean=6.0),
        hp.LinearTerm("fast current", "frequency", 3.0, 1e5, lambda surface, drive: drive.lagged_current[0]),
        hp.LinearTerm("slow current", "frequency", 3.0, 1e5, lambda surface, drive: drive.lagged_current[1]),
        hp.LinearTerm("potential", "frequency", 10.0, 1e5, lambda surface, drive: drive.potential),
        hp.LinearTerm("baseline", "frequency", 30.0, 6000.0, lambda surface, drive: 1.0),
        hp.LinearTerm(
            "sensitivity", "dissipation", 0.5, 1e4, lambda surface, drive: surface.dissipation, 1.0, independent=1e-2
        ),
        hp.LinearTerm("box", "dissipation", 0.08, 60.0, lambda s, d: s.dissipation, 0.0, 0.0, 0.5, independent=1.0),
        hp.LinearTerm("fast current", "dissipation", 2e-7, 1e5, lambda s, d: d.lagged_current[0], independent=1e-2),
        hp.LinearTerm("slow current", "dissipation", 2e-7, 1e5, lambda s, d: d.lagged_current[1], independent=1e-2),
        hp.LinearTerm("baseline", "dissipation", 1e-6, 300.0, lambda s, d: 1.0, independent=1e-2),
    ),
    side_mass_deviation=1e-5,
    side_mass_rate_deviation=5e-8,
    side_mass_rate_time=20.0,
    side_mass_memory=150.0,
    lag_times=(2.0, 8.0),
)
