"""Sharp-interface quantities to numerical ones."""

import dataclasses
import math

import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.transition import Interface, Parameters

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)


@pytest.mark.parametrize(
    ("width", "spacing"), [(0.0, 1e-9), (-1e-9, 1e-9), (4e-9, 0.0), (math.nan, 1e-9), (4e-9, math.inf)]
)
def test_lengths_must_be_positive(width, spacing):
    with pytest.raises(InputError, match="positive length"):
        Interface(width, spacing)


def test_front_needs_four_cells():
    Interface(4 * 0.3e-9, 0.3e-9)
    with pytest.raises(InputError, match="fewer than 4 pin the front"):
        Interface(3.9e-9, 1e-9)


def test_width_and_energy_of_the_classical_coefficients():
    """ℓ = sqrt(8κ/W) and γ = sqrt(2κW)/6 (Chen et al. 2015) invert the mapping."""
    interface, gamma = Interface(20e-9, 4e-9), 1.79
    kappa, well = interface.gradient_energy(gamma), interface.well_height(gamma)
    assert math.sqrt(8 * kappa / well) == pytest.approx(20e-9, rel=1e-14)
    assert math.sqrt(2 * kappa * well) / 6 == pytest.approx(gamma, rel=1e-14)


def test_parameters_take_the_metals_values_and_the_particles_own():
    j0 = torch.tensor([1.0, 2.0], dtype=torch.float64)
    parameters = Parameters.from_materials(Metal.zinc(), WATER, Interface(4e-9, 1e-9), exchange_current_density=j0)
    assert parameters.exchange_current_density is j0
    assert parameters.surface_energy == Metal.zinc().surface_energy
    assert parameters.kinetic_voltage == pytest.approx(WATER.thermal_voltage / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("exchange_current_density", 0.0),
        ("exchange_current_density", torch.tensor([1.0, math.nan])),
        ("anisotropy_strength", 1.0),
        ("current_efficiency", -0.5),
        ("noise_amplitude", -1.0),
        ("transfer_coefficient", 1.0),
        ("crystal_orientation", math.inf),
    ],
)
def test_values_out_of_range_are_named(field, value):
    parameters = Parameters.from_materials(Metal.zinc(), WATER, Interface(4e-9, 1e-9))
    with pytest.raises(InputError, match=f"Parameters.{field}"):
        dataclasses.replace(parameters, **{field: value})


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("temperature", 25.0, "K, not °C"),
        ("surface_energy", 990.0, "mJ/m²"),
        ("exchange_current_density", 1e9, "mA/cm²"),
    ],
)
def test_suspected_units_are_named(field, value, hint):
    parameters = Parameters.from_materials(Metal.zinc(), WATER, Interface(4e-9, 1e-9))
    with pytest.raises(InputError, match=hint):
        dataclasses.replace(parameters, **{field: value})
    with pytest.raises(InputError, match="16 nm"):
        Interface(16.0, 4.0)
