"""Descriptors against surfaces whose values are known in closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hmm_plating.errors import InputError
from hmm_plating.morphology import (
    coverage,
    dendrite_height,
    film,
    nuclei,
    roughness,
    solid_volume_fraction,
    surface_height,
    thickness,
)

WIDTH, SPACING = 16e-9, 4e-9


@given(st.floats(40e-9, 160e-9))
def test_flat_film(height):
    """A tanh front sampled anywhere in its cell: height to round-off, thickness to the tail's quadrature error."""
    surface = film(torch.full((3, 8), height, dtype=torch.float64), 60, WIDTH, SPACING)
    torch.testing.assert_close(surface_height(surface, SPACING), torch.full((3, 8), height).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(thickness(surface, SPACING), torch.full((3,), height).double(), rtol=1e-3, atol=0)
    assert float(roughness(surface, SPACING).max()) < 1e-15
    assert float(solid_volume_fraction(surface, SPACING).min()) > 0.998
    assert coverage(surface).tolist() == [1.0] * 3


def test_sinusoid():
    """Sq = a/√2, Sp = a, mean height and solid fraction h/(h + a) of h + a cos(qx)."""
    mean, amplitude, columns = 100e-9, 20e-9, 256
    x = torch.arange(columns, dtype=torch.float64) + 0.5
    surface = film(mean + amplitude * torch.cos(2 * math.pi * x / columns), 64, WIDTH, SPACING)
    base = 12e-9
    assert float(roughness(surface, SPACING)) == pytest.approx(amplitude / math.sqrt(2), rel=5e-3)
    assert float(dendrite_height(surface, SPACING)) == pytest.approx(amplitude, rel=5e-3)
    assert float(thickness(surface, SPACING, base)) == pytest.approx(mean + base, rel=5e-3)
    expected = (mean + base) / (mean + base + amplitude)
    assert float(solid_volume_fraction(surface, SPACING, base)) == pytest.approx(expected, rel=5e-3)


def test_half_disc_on_the_crystal():
    """Radius R in width L: coverage 2R/L, solid fraction πR/(2L), height R."""
    radius, columns = 80e-9, 60
    one = torch.ones(1, dtype=torch.float64)
    surface = nuclei(
        torch.stack([torch.exp(-0.5 * one), torch.exp(-5 * one)], -1),  # sites at 0.5 and 5.5 mean gaps: one in the box
        torch.zeros(1, 2, dtype=torch.float64),
        1 / (columns * SPACING),
        radius,
        0.0,
        (48, columns),
        WIDTH,
        SPACING,
    )
    width = columns * SPACING
    assert float(surface_height(surface, SPACING).max()) == pytest.approx(radius, rel=0.01)
    assert float(coverage(surface)) == pytest.approx(2 * radius / width, abs=SPACING / width)
    # the diffuse disc holds π²/12 (ℓ/2R)² more than the sharp one
    excess = 1 + math.pi**2 / 12 * (WIDTH / (2 * radius)) ** 2
    assert float(thickness(surface, SPACING)) == pytest.approx(excess * math.pi * radius**2 / (2 * width), rel=5e-3)


def test_bare_crystal_is_flat():
    bare = torch.zeros(2, 10, 10, dtype=torch.float64)
    assert surface_height(bare, SPACING).abs().max() == 0
    assert coverage(bare).tolist() == [0, 0]
    assert coverage(bare, torch.tensor([0.0, 1e-9])).tolist() == [0, 1]
    assert solid_volume_fraction(bare, SPACING).tolist() == [1, 1]
    assert float(solid_volume_fraction(bare, SPACING, torch.tensor([5e-9, 0.0]))[0]) == 1


def test_overhang_counts_the_topmost_metal():
    """A void under the surface lowers the thickness, not the height."""
    surface = film(torch.full((8,), 100e-9, dtype=torch.float64), 48, WIDTH, SPACING)
    pierced = surface.clone()
    pierced[5:10, 2:4] = 0
    torch.testing.assert_close(surface_height(pierced, SPACING), surface_height(surface, SPACING))
    assert thickness(pierced, SPACING) < thickness(surface, SPACING)
    full = torch.ones(1, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(surface_height(full, SPACING), torch.full((1, 4), 6 * SPACING, dtype=torch.float64))


@given(
    st.lists(st.floats(20e-9, 110e-9), min_size=6, max_size=12),
    st.integers(1, 4),
    st.sampled_from([0.0, 30e-9]),
    st.booleans(),
)
def test_a_section_extruded_has_the_values_of_the_section(heights, depth, base, metal):
    """Every column, and every number, in three dimensions as in two; also on a bare crystal."""
    profile = torch.tensor(heights, dtype=torch.float64)
    section = film(profile, 36, WIDTH, SPACING) * float(metal)
    volume = film(profile.expand(depth, -1), 36, WIDTH, SPACING, dimensions=3) * float(metal)
    torch.testing.assert_close(volume, section.expand(depth, -1, -1), rtol=1e-12, atol=0)
    found = surface_height(volume, SPACING, base, dimensions=3)
    torch.testing.assert_close(found, surface_height(section, SPACING, base).expand(depth, -1))
    batch = torch.stack([volume, 0 * volume])
    on_base = torch.tensor([base, 0.0], dtype=torch.float64)
    for describe, bases in (
        (thickness, (on_base,)),
        (solid_volume_fraction, (on_base,)),
        (roughness, ()),
        (dendrite_height, ()),
    ):
        expected = describe(torch.stack([section, 0 * section]), SPACING, *bases)
        found = describe(batch, SPACING, *bases, dimensions=3)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-20)
    found = coverage(batch, on_base, dimensions=3)
    assert found.tolist() == coverage(torch.stack([section, 0 * section]), on_base).tolist()


def test_an_egg_crate():
    """Sq = a/2 and Sp = a of h + a cos(qx) cos(qz); its slope is that of both directions."""
    mean, amplitude, cells = 100e-9, 20e-9, 96
    phase = 2 * math.pi * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    height = mean + amplitude * torch.cos(phase) * torch.cos(phase)[:, None]
    surface = film(height, 48, WIDTH, SPACING, dimensions=3)
    torch.testing.assert_close(surface_height(surface, SPACING, dimensions=3), height, rtol=0, atol=1e-11)
    assert float(roughness(surface, SPACING, dimensions=3)) == pytest.approx(amplitude / 2, rel=5e-3)
    assert float(dendrite_height(surface, SPACING, dimensions=3)) == pytest.approx(amplitude, rel=5e-3)
    assert float(thickness(surface, SPACING, dimensions=3)) == pytest.approx(mean, rel=5e-3)
    torch.testing.assert_close(surface, surface.transpose(-3, -1), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("shape", "dimensions"), [((4, 8), 3), ((8,), 2), ((2, 4, 8), 4)])
def test_too_few_dimensions_are_refused(shape, dimensions):
    field = torch.zeros(shape, dtype=torch.float64)
    for describe in (thickness, surface_height, roughness, dendrite_height, solid_volume_fraction):
        with pytest.raises(InputError, match="dimensions"):
            describe(field, SPACING, dimensions=dimensions)
    with pytest.raises(InputError, match="dimensions"):
        coverage(field, dimensions=dimensions)
    with pytest.raises(InputError, match="dimensions"):
        film(torch.zeros(8, dtype=torch.float64), 4, WIDTH, SPACING, dimensions=3)
