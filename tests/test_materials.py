"""Materials: Faraday's and Stokes' numbers from the literature, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hmm_plating import Electrolyte, InputError, Metal, Resonator


# Thickness that 1 mAh/cm² deposits: capacity per volume of each metal from its molar mass, density and valence.
@pytest.mark.parametrize(
    ("metal", "thickness"),
    [(Metal.lithium(), 4.850e-6), (Metal.copper(), 1.323e-6), (Metal.zinc(), 1.708e-6), (Metal.silver(), 3.837e-6)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_milliampere_hour_deposits_the_known_thickness(metal: Metal, thickness: float) -> None:
    assert 3.6 / 1e-4 / metal.charge_per_volume == pytest.approx(thickness, rel=5e-4)


def test_penetration_depth_of_water() -> None:
    """250 nm at 5 MHz in water of 20 °C (Kanazawa and Gordon, Anal. Chem. 57 (1985) 1770: about 2500 Å)."""
    water = Electrolyte(density=998.2, viscosity=1.002e-3)
    depth = water.penetration_depth(Resonator().angular_frequency(1))
    assert depth == pytest.approx(252e-9, rel=5e-3)
    assert water.penetration_depth(Resonator().angular_frequency(9)) == pytest.approx(depth / 3)


def test_thermal_voltage_at_room_temperature() -> None:
    assert Electrolyte(997.05, 0.89e-3).thermal_voltage == pytest.approx(25.693e-3, rel=1e-4)


def test_angular_frequency_counts_the_overtone_itself() -> None:
    assert Resonator(4.94e6).angular_frequency(11) == pytest.approx(2 * math.pi * 11 * 4.94e6)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "7140", None])
@pytest.mark.parametrize("field", ["density", "molar_mass", "valence", "surface_energy", "exchange_current_density"])
def test_a_metal_needs_positive_numbers(field: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"Metal\.{field} must be a positive number"):
        replace(Metal.zinc(), **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("transfer_coefficient", 0.0),
        ("transfer_coefficient", 1.0),
        ("anisotropy_strength", -0.1),
        ("anisotropy_strength", 1.0),
        ("anisotropy_fold", 0),
    ],
)
def test_a_metal_refuses_coefficients_outside_their_range(field: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"Metal\.{field}"):
        replace(Metal.zinc(), **{field: value})


@pytest.mark.parametrize(("density", "viscosity", "unit"), [(0.997, 0.89e-3, "g/cm³"), (997.05, 1e4, "mPa s")])
def test_an_electrolyte_in_other_units_is_refused(density: float, viscosity: float, unit: str) -> None:
    with pytest.raises(InputError, match=unit):
        Electrolyte(density, viscosity)


@pytest.mark.parametrize("arguments", [(0.0, 8.84e6), (5e6, -1.0), (math.nan, 8.84e6)])
def test_a_resonator_needs_positive_numbers(arguments: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=r"Resonator\."):
        Resonator(*arguments)
