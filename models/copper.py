"""Copper on gold from an acid sulfate bath, a compact film on a 5 MHz crystal: copy this file and edit it.

Not fitted to a recording: the numbers are estimates, each with its reason.
"""

import math

import pyro.distributions as dist

import hmm_plating as hp

# 0.5 mol/l CuSO4 in 1 mol/l H2SO4 at 25 °C, estimated from the binary solutions; measured tables of mixtures:
# Hotlos and Jaskula, Hydrometallurgy 21 (1988) 1
DENSITY = 1135.0  # kg/m³
VISCOSITY = 1.35e-3  # Pa s, used where the recording does not tell

GRID = hp.Grid(width=384e-9, height=192e-9, spacing=4e-9, interface_width=16e-9, coarsening=2)

# of Cu²⁺; the acid carries the current
TRANSPORT = hp.Transport(
    concentration=500.0,  # mol/m³
    # 7.1e-10 at infinite dilution (CRC Handbook), times the ratio of water's viscosity to this bath's
    diffusivity=4.7e-10,
    layer_thickness=150e-6,  # an assumption: natural convection at an upright electrode leaves 100 to 300 µm
    conductivity=30.0,  # S/m, an estimate: 1 mol/l H2SO4 has about 40, copper sulfate lowers it
    resolved=False,  # within the box c̃ varies by less than 1 % below 100 A/m²
)

SURFACE = {
    # an assumption: so dense that most islands meet at a mean thickness near 0.4 of their spacing, some 15 nm
    "nucleation_density": hp.Wandering(dist.LogNormal(math.log(1 / 40e-9**2), 0.7), correlation_time=300.0),
    "nucleus_radius": 9e-9,
    "nucleus_radius_spread": 0.1,
    # a monolayer by underpotential deposition on Au(111) is 1.39e19 atoms/m² at two electrons each, 4.4 C/m²; the
    # electrode is polycrystalline and somewhat rough
    "wetting_charge": hp.Wandering(dist.LogNormal(math.log(5.0), 0.3), correlation_time=300.0),
    # little else is reduced; oxygen and the step over Cu⁺ cost some percent
    "current_efficiency": hp.Wandering(dist.Uniform(0.92, 1.0), correlation_time=300.0),
    "noise_amplitude": 10.0,
}


def plating_model(recording):
    """The model of one recording."""
    return hp.PlatingModel.for_recording(
        recording,
        metal=hp.Metal.copper(),
        density=DENSITY,
        viscosity=VISCOSITY,
        grid=GRID,
        parameters=SURFACE,
        instrument=INSTRUMENT,
        transport=TRANSPORT,
    )


# The electrolyte is thin and nothing but copper stays on the electrode: fewer and smaller terms than for zinc.
INSTRUMENT = hp.InstrumentResponse(
    terms=(
        hp.LinearTerm("sensitivity", "frequency", 0.1, 4e5, lambda surface, drive: surface.frequency, 1.0, smooth=0.03),
        # one box stands for the many that the crystal feels, see zinc.py
        hp.LinearTerm("box", "frequency", 0.08, 20.0, lambda s, d: s.frequency, 0.0, 0.5, 1.0, 0.01, accumulated=True),
        # the wetting layer is copper too, other side charge leaves nothing: 0 to 1 of copper's mass per charge
        hp.LinearTerm("side layer", "frequency", 0.3, 4e5, lambda surface, drive: surface.side_layer, mean=0.7),
        hp.LinearTerm("current", "frequency", 1.0, 1e5, lambda surface, drive: drive.lagged_current[0]),
        hp.LinearTerm("potential", "frequency", 10.0, 1e5, lambda surface, drive: drive.potential),
        hp.LinearTerm("baseline", "frequency", 10.0, 6000.0, lambda surface, drive: 1.0),
        hp.LinearTerm(
            "sensitivity", "dissipation", 0.3, 1e4, lambda surface, drive: surface.dissipation, 1.0, independent=1e-2
        ),
        hp.LinearTerm("box", "dissipation", 0.08, 60.0, lambda s, d: s.dissipation, 0.0, 0.0, 0.5, independent=1.0),
        hp.LinearTerm("current", "dissipation", 1e-7, 1e5, lambda s, d: d.lagged_current[0], independent=1e-2),
        hp.LinearTerm("baseline", "dissipation", 5e-7, 1000.0, lambda s, d: 1.0, independent=1e-2),
    ),
    side_mass_deviation=1e-6,
    side_mass_rate_deviation=1e-8,
    side_mass_rate_time=30.0,
    side_mass_memory=150.0,
    lag_times=(4.0,),
)
