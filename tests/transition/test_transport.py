"""Closed forms of the diffusion layer, and units caught by their magnitude."""

import math

import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.transition import Transport


def test_sand_time_of_the_design():
    """D = 3.197e-10 m²/s, c0 = 1e3 mol/m³, J = 100 A/m², t₊ = 0, z = 1: 234 s; doubling 1 − t₊ quarters it."""
    assert Transport(1e3, 3.197e-10, 1e-4).sand_time(100.0, 1) == pytest.approx(234, abs=0.5)
    half = Transport(1e3, 3.197e-10, 1e-4, transference_number=0.5)
    assert half.sand_time(100.0, 1) == pytest.approx(4 * Transport(1e3, 3.197e-10, 1e-4).sand_time(100.0, 1))


def test_limiting_current_leaves_no_cation_at_the_surface():
    """A linear profile from c0 to 0: 1 mol/l, 1e-9 m²/s, 100 µm, z = 2 carry 1930 A/m²."""
    assert Transport(1e3, 1e-9, 1e-4).limiting_current_density(2) == pytest.approx(2 * 96485.33 * 1e-9 * 1e3 / 1e-4)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("concentration", 2e6, "1 mol/l is 1000"),
        ("concentration", -1.0, "positive"),
        ("diffusivity", 1e-5, "cm²/s"),
        ("layer_thickness", 100.0, "100 µm"),
        ("conductivity", 1e4, "mS/cm"),
        ("conductivity", math.nan, "positive"),
        ("transference_number", 1.0, r"\[0, 1\)"),
    ],
)
def test_suspected_units_are_named(field, value, message):
    values = dict(concentration=1e3, diffusivity=1e-9, layer_thickness=1e-4, conductivity=5.0)
    with pytest.raises(InputError, match=message):
        Transport(**{**values, field: value})


def test_one_value_per_particle():
    """Tensors go through the closed forms, and every entry is checked."""
    transport = Transport(1e3, torch.tensor([1e-9, 2e-9]), 1e-4, transference_number=torch.tensor([0.0, 0.5]))
    ratio = transport.limiting_current_density(2) / Transport(1e3, 1e-9, 1e-4).limiting_current_density(2)
    torch.testing.assert_close(ratio, torch.tensor([1.0, 4.0]))
    with pytest.raises(InputError, match="cm²/s"):
        Transport(1e3, torch.tensor([1e-9, 1e-5]), 1e-4)
    with pytest.raises(InputError, match="positive"):
        Transport(1e3, torch.tensor([1e-9, math.nan]), 1e-4)
    with pytest.raises(InputError, match=r"\[0, 1\)"):
        Transport(1e3, 1e-9, 1e-4, transference_number=torch.tensor([0.3, 1.0]))
