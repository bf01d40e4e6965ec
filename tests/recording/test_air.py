"""Viscosity by Kanazawa and Gordon."""

from __future__ import annotations

import numpy as np
import pytest

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator
from hmm_plating.recording import require_viscosity, viscosity_from_air


def test_water_at_20_celsius(quiet):
    """Kanazawa & Gordon, Anal. Chim. Acta 175 (1985) 99: 713.6, 412.0, 319.1, 269.7 Hz of Δf_n/n for n = 1, 3, 5, 7."""
    step = -np.array([412.0, 319.1, 269.7]) * quiet["overtone"].values
    water = quiet.assign(air_to_liquid_frequency_shift=("overtone", step))
    viscosity = viscosity_from_air(water, 1000.0, Resonator(5e6, 8.84e6))
    assert viscosity.value == pytest.approx(1e-3, rel=1e-3)
    np.testing.assert_allclose(viscosity.by_overtone, 1e-3, rtol=1e-3)
    assert viscosity.uncertainty < 1e-6


def test_zinc_electrolyte(zinc):
    """2 M ZnSO4 + PEG, ρ = 1322.8: 3.14 mPa s with the nominal 5 MHz; f0^−3 makes that 3.26 with the crystal's own."""
    nominal = viscosity_from_air(zinc, 1322.8, Resonator(5e6))
    own = viscosity_from_air(zinc, 1322.8, Resonator(zinc.attrs["fundamental_frequency"]))
    assert nominal.value == pytest.approx(3.14e-3, rel=0.02)
    assert own.value == pytest.approx(3.26e-3, rel=0.02)
    assert own.value / nominal.value == pytest.approx((5e6 / zinc.attrs["fundamental_frequency"]) ** 3, rel=1e-9)
    assert own.uncertainty < 0.03 * own.value


def test_bad_input(quiet):
    with pytest.raises(InputError, match="--air"):
        viscosity_from_air(quiet.drop_vars("air_to_liquid_frequency_shift"), 1000.0, Resonator())
    with pytest.raises(InputError, match="density"):
        viscosity_from_air(quiet, 0.0, Resonator())
    rising = quiet.assign(air_to_liquid_frequency_shift=("overtone", np.array([-2500.0, 10.0, -3800.0])))
    with pytest.raises(InputError, match=r"does not fall from air to liquid at overtones \[5\]"):
        viscosity_from_air(rising, 1000.0, Resonator())


def test_a_viscosity_in_another_unit_contradicts_the_damping(quiet):
    """D_n = 2 ΔΓ_n/(n f0), with ΔΓ_n/n of water from the same source as above."""
    damping = 2 * np.array([412.0, 319.1, 269.7]) / 5e6
    water, crystal = quiet.assign(reference_dissipation=("overtone", damping)), Resonator(5e6, 8.84e6)
    for viscosity in (1e-3, 0.3e-3, 20e-3):  # nobody's recording is refused for roughness
        require_viscosity(water, Electrolyte(1000.0, viscosity), crystal)
    with pytest.raises(InputError, match=r"D of 0\.004 in the liquid, .* 0\.00013, as of 0\.001 Pa s"):
        require_viscosity(water, Electrolyte(1000.0, 1.0), crystal)
    require_viscosity(water.drop_vars("reference_dissipation"), Electrolyte(1000.0, 1.0), crystal)
    unknown = water.assign(reference_dissipation=("overtone", np.full(3, np.nan)))
    require_viscosity(unknown, Electrolyte(1000.0, 1.0), crystal)
