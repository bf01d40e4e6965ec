"""Zinc on gold from a sulfate bath, plated and stripped on a 5 MHz crystal: copy this file and edit it."""

import math

import pyro.distributions as dist

import hmm_plating as hp

DENSITY = 1322.8  # kg/m³, 2 mol/l ZnSO4 with PEG
VISCOSITY = 3.14e-3  # Pa s, used where the recording does not tell

GRID = hp.Grid(width=512e-9, height=256e-9, spacing=4e-9, interface_width=16e-9, coarsening=2)

# of Zn²⁺; sulfate carries about half of the current
TRANSPORT = hp.Transport(
    concentration=2000.0,  # mol/m³
    # 7.0e-10 at infinite dilution (CRC Handbook), times the ratio of water's viscosity to this bath's
    diffusivity=2.0e-10,
    layer_thickness=150e-6,  # an assumption: natural convection at an upright electrode leaves 100 to 300 µm
    conductivity=5.0,  # S/m, an estimate: zinc sulfate has its highest, about 5, at this concentration
    resolved=False,  # within the box c̃ varies by less than 0.1 % at 10 A/m²
)

SURFACE = {
    # islands 100 to 600 nm apart carry enough electrolyte along to explain Δf and ΔD of such films
    "nucleation_density": hp.Wandering(dist.LogNormal(math.log(1 / 240e-9**2), 0.8), correlation_time=3000.0),
    "nucleation_regularity": 6.0,  # a growing island keeps others away: distances vary by 0.19 of their mean
    "nucleus_radius": 9e-9,  # as small as the grid resolves
    "nucleus_radius_spread": 0.1,
    # Δf follows Sauerbrey's law for the first 2 to 3 s of plating at 1 mA/cm², then falls twice as fast
    "wetting_charge": hp.Wandering(dist.LogNormal(math.log(25.0), 0.3), correlation_time=3000.0),
    # stripping at the plating current runs out of islands after 44 to 47 of 60 s; the rest goes into side products
    "current_efficiency": hp.Wandering(dist.Normal(0.79, 0.04), correlation_time=60.0),
    "noise_amplitude": 37.0,
}


def plating_model(recording):
    """The model of one recording."""
    return hp.PlatingModel.for_recording(
        recording,
        metal=hp.Metal.zinc(),
        density=DENSITY,
        viscosity=VISCOSITY,
        grid=GRID,
        parameters=SURFACE,
        transport=TRANSPORT,
        instrument=INSTRUMENT,
    )


# Coefficients are per unit of the regressor: Hz and 1 per the surface's own shift, per C/m², A/m², V or 1.
INSTRUMENT = hp.InstrumentResponse(
    terms=(
        hp.LinearTerm("sensitivity", "frequency", 0.3, 4e5, lambda surface, drive: surface.frequency, mean=1.2),
        hp.LinearTerm(
            "dispersion", "frequency", 0.1, 2e4, lambda surface, drive: surface.frequency, common=0.0, smooth=1.0
        ),
        # one box stands for the many that the crystal feels: what its surface changes by is right within some percent;
        # a surface that has grown or dissolved by 1000 Hz is another one
        hp.LinearTerm(
            "box", "frequency", 0.06, 20.0, lambda s, d: s.frequency, 0.0, 0.5, 1.0, 0.01, accumulated=True, memory=1e3
        ),
        # more mass than the islands and the liquid between them: about 0.8 Hz per C/m² on two recordings' platings
        hp.LinearTerm("charge", "frequency", 0.4, 4e5, lambda surface, drive: drive.charge_density, mean=0.8),
        # what a cycle leaves behind in proportion to all charge, or takes along as gas
        hp.LinearTerm("passed charge", "frequency", 0.05, 4e5, lambda surface, drive: drive.passed_charge),
        hp.LinearTerm("side layer", "frequency", 0.3, 4e5, lambda surface, drive: surface.side_layer),
        hp.LinearTerm("fast current", "frequency", 1.0, 1e5, lambda surface, drive: drive.lagged_current[0]),
        hp.LinearTerm("slow current", "frequency", 2.0, 1e5, lambda surface, drive: drive.lagged_current[1]),
        hp.LinearTerm("potential", "frequency", 30.0, 1e5, lambda surface, drive: drive.potential),
        hp.LinearTerm("baseline", "frequency", 30.0, 2000.0, lambda surface, drive: 1.0),
        hp.LinearTerm(
            "sensitivity", "dissipation", 0.5, 1e4, lambda surface, drive: surface.dissipation, 1.0, independent=1e-3
        ),
        # how islands damp depends on the gaps between them, which differ from box to box: each overtone errs by itself
        hp.LinearTerm("box", "dissipation", 0.08, 60.0, lambda s, d: s.dissipation, 0.0, 0.0, 0.5, independent=1.0),
        hp.LinearTerm("fast current", "dissipation", 2e-7, 1e5, lambda s, d: d.lagged_current[0], independent=1e-2),
        hp.LinearTerm("slow current", "dissipation", 2e-7, 1e5, lambda s, d: d.lagged_current[1], independent=1e-2),
        hp.LinearTerm("potential", "dissipation", 1e-6, 1e5, lambda s, d: d.potential, independent=1e-2),
        hp.LinearTerm("baseline", "dissipation", 0.6e-6, 100.0, lambda s, d: 1.0, independent=0.3),
    ),
    side_mass_deviation=1e-5,
    side_mass_rate_deviation=2e-8,
    side_mass_rate_time=6.0,
    side_mass_memory=150.0,
    lag_times=(2.0, 8.0),
)
