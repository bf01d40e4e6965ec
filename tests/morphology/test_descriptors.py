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
    describe_surface,
    developed_interfacial_area_ratio,
    film,
    nuclei,
    porosity,
    roughness,
    solid_volume_fraction,
    specific_area,
    surface_area_ratio,
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


def test_porosity_is_the_liquid_below_the_topmost_metal():
    """A bubble of radius R under the surface of a film of height h: πR²/(width · h); none without overhangs."""
    height, radius, columns = 140e-9, 30e-9, 48
    y = (torch.arange(56, dtype=torch.float64) + 0.5)[:, None] * SPACING
    x = (torch.arange(columns, dtype=torch.float64) + 0.5) * SPACING
    bubble = torch.sqrt((x - 0.5 * columns * SPACING) ** 2 + (y - 70e-9) ** 2) - radius
    pierced = torch.sigmoid(4 * torch.minimum(bubble, height - y) / WIDTH)
    expected = math.pi * radius**2 / (columns * SPACING * height)
    assert float(porosity(pierced, SPACING)) == pytest.approx(expected, rel=0.03)  # chords end between columns
    base = 60e-9
    assert float(porosity(pierced, SPACING, base)) == pytest.approx(expected * height / (height + base), rel=0.03)
    volume = pierced.expand(5, -1, -1)
    assert float(porosity(volume, SPACING, dimensions=3)) == pytest.approx(expected, rel=0.03)
    hill = film(height + 20e-9 * torch.cos(2 * math.pi * x / (columns * SPACING)), 56, WIDTH, SPACING)
    assert float(porosity(hill, SPACING)) == pytest.approx(0, abs=1e-12)
    assert porosity(torch.zeros(2, 8, 8), SPACING).tolist() == [0, 0]


def test_area_of_a_sphere_and_of_a_disc():
    """4πR² and 2πR over the crystal's; per volume 3/R and 2/R; a flat film has the crystal's and 1/thickness."""
    cells, radius = 40, 60e-9
    place = (torch.arange(cells, dtype=torch.float64) - 19.3) * SPACING
    disc = torch.sigmoid(4 * (radius - torch.sqrt(place[:, None] ** 2 + place**2)) / WIDTH)
    width = cells * SPACING
    assert float(surface_area_ratio(disc, SPACING)) == pytest.approx(2 * math.pi * radius / width, rel=0.01)
    assert float(specific_area(disc, SPACING)) == pytest.approx(2 / radius, rel=0.03)  # π²/12 (ℓ/2R)² more volume
    distance = torch.sqrt(place[:, None, None] ** 2 + place[:, None] ** 2 + place**2)
    ball = torch.sigmoid(4 * (radius - distance) / WIDTH)
    found = float(surface_area_ratio(ball, SPACING, dimensions=3))
    assert found == pytest.approx(4 * math.pi * radius**2 / width**2, rel=0.02)  # π²/12 (ℓ/2R)² more over the levels
    flat = film(torch.full((8,), 80e-9, dtype=torch.float64), 40, WIDTH, SPACING)
    assert float(surface_area_ratio(flat, SPACING)) == pytest.approx(1, rel=1e-6)
    assert float(specific_area(flat, SPACING, 20e-9)) == pytest.approx(1 / 100e-9, rel=1e-3)
    assert float(specific_area(torch.zeros(8, 8), SPACING)) == 0


def test_area_of_a_sinusoid_is_its_developed_length():
    columns, waves = 256, 4
    x = (torch.arange(columns, dtype=torch.float64) + 0.5) * SPACING
    heights = 120e-9 + 30e-9 * torch.cos(2 * math.pi * waves * x / (columns * SPACING))
    surface = film(heights, 64, WIDTH, SPACING)
    expected = 1 + float(developed_interfacial_area_ratio(heights, SPACING))
    assert float(surface_area_ratio(surface, SPACING)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_all_descriptors_of_a_batch_at_once(dimensions):
    """Each field of the tuple is that of its own function, batched, and in three dimensions as in two."""
    noise = torch.randn(2, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    heights = 60e-9 + 15e-9 * noise.cumsum(-1).sub(noise.cumsum(-1).mean(-1, keepdim=True)).tanh()
    if dimensions == 3:
        heights = heights[:, None].expand(-1, 32, -1)
    surface = film(heights, 40, WIDTH, SPACING, dimensions)
    found = describe_surface(surface, SPACING, WIDTH, 10e-9, dimensions)
    assert all(value.shape == (2,) and bool(torch.isfinite(value).all()) for value in found)
    torch.testing.assert_close(found.root_mean_square_height, roughness(surface, SPACING, dimensions))
    torch.testing.assert_close(found.dendrite_height, dendrite_height(surface, SPACING, dimensions))
    torch.testing.assert_close(found.thickness, thickness(surface, SPACING, 10e-9, dimensions))
    area = specific_area(surface, SPACING, 10e-9, dimensions)
    torch.testing.assert_close(found.specific_area, area)
    assert dimensions - 1 <= float(found.box_dimension.min()) <= float(found.box_dimension.max()) < dimensions


@pytest.mark.parametrize("dimensions", [2, 3])
def test_descriptors_have_gradients(dimensions):
    x = torch.arange(8, dtype=torch.float64)
    heights = (
        10 + 2 * torch.sin(2 * math.pi * x / 8 + 0.3) + (0.7 * torch.cos(x[:5])[:, None] if dimensions == 3 else 0)
    )
    depth = film(heights, 20, 4.0, 1.0, dimensions).logit()

    def describe(logit):
        surface = torch.sigmoid(logit)
        return torch.stack(
            [
                describe(surface, 1.0, dimensions=dimensions)
                for describe in (
                    thickness, roughness, dendrite_height, solid_volume_fraction, porosity, surface_area_ratio,
                    specific_area,
                )
            ]
        )  # fmt: skip

    pierced = depth.clone()
    pierced[..., 4:6, 3] = -2.0  # a pore
    assert torch.autograd.gradcheck(describe, pierced.clamp(-6, 6).requires_grad_(), fast_mode=True)
