"""Cell fractions from a diffuse profile: exact areas and volumes of planes, circles, spheres and thin layers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from hmm_plating.emission import egg_crate, solid_fraction, spheres
from hmm_plating.emission.geometry import cell_cut
from hmm_plating.errors import InputError

SPACING, WIDTH = 5e-9, 20e-9  # four cells across the interface


def diffuse(distance):
    """ξ = ½[1 + tanh(2d/ℓ)] of a depth d [m] in the metal: ½[1 − tanh(x sqrt(W/2κ))] with ℓ = sqrt(8κ/W)."""
    return 0.5 * (1 + torch.tanh(2 * distance / WIDTH))


def grid(rows, columns):
    y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
    return y.double() * SPACING, x.double() * SPACING


@pytest.mark.parametrize("height", [0.3, 4.0, 7.5, 9.73])
def test_flat_wall_has_its_fraction(height):
    y, _ = grid(16, 6)
    fraction = solid_fraction(diffuse(height * SPACING - y), WIDTH, SPACING)
    expected = (height - torch.arange(16, dtype=torch.float64)).clamp(0, 1)[:, None].expand(16, 6)
    torch.testing.assert_close(fraction, expected, atol=1e-9, rtol=0)


@given(st.floats(-1, 1), st.floats(-2, 2), st.floats(-2, 2))
def test_cell_cut_is_the_area_by_counting(value, slope_x, slope_y):
    points = (np.arange(400) + 0.5) / 400 - 0.5
    counted = (value + slope_x * points[None] + slope_y * points[:, None] > 0).mean()
    if abs(slope_x) + abs(slope_y) > 1e-3:
        area = float(cell_cut(*(torch.tensor(v, dtype=torch.float64) for v in (value, slope_x, slope_y))))
        assert area == pytest.approx(counted, abs=3 / 400)


CORNERS = np.array(np.meshgrid(*[[-0.5, 0.5]] * 3)).reshape(3, -1).T
EDGES = np.array([(a, b) for a in range(8) for b in range(a) if np.sum(CORNERS[a] != CORNERS[b]) == 1]).T


def polytope(value, slopes):
    """Volume of the cube's part where value + slopes·x > 0: hull of its corners inside and of the edges' cuts."""
    height = value + CORNERS @ slopes
    a, b = EDGES[:, height[EDGES[0]] * height[EDGES[1]] < 0]
    share = (height[a] / (height[a] - height[b]))[:, None]
    points = np.concatenate([CORNERS[height > 0], CORNERS[a] + share * (CORNERS[b] - CORNERS[a])])
    return ConvexHull(points).volume


@pytest.mark.parametrize("scale", [(1, 1, 1), (1, 1, 0.01), (1, 0.01, 0.01), (1e-4, 1, 1e-2)])
def test_cell_cut_is_the_volume_of_the_polytope(scale):
    """Planes of all directions and places, those nearly along an axis among them."""
    generator = np.random.default_rng(0)
    for _ in range(40):
        slopes = generator.normal(size=3) * scale
        value = generator.uniform(-0.49, 0.49) * np.abs(slopes).sum()
        volume = float(cell_cut(*(torch.tensor([v]) for v in (value, *slopes))))
        assert volume == pytest.approx(polytope(value, slopes), abs=1e-9)


def test_cell_cut_of_a_plane_along_an_axis():
    """The limits that divide by no direction: planes level in one direction or two."""
    value = torch.tensor([-0.6, -0.3, 0.0, 0.2, 0.7], dtype=torch.float64)
    none, one = torch.zeros_like(value), torch.ones_like(value)
    torch.testing.assert_close(cell_cut(value, none, one, none), (0.5 + value).clamp(0, 1), atol=1e-12, rtol=0)
    torch.testing.assert_close(cell_cut(value, one, none, one), cell_cut(value, one, one), atol=1e-12, rtol=0)


def test_cell_cut_has_its_own_derivatives():
    parts = [torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) / 2 for s in range(4)]
    assert torch.autograd.gradcheck(cell_cut, [part.requires_grad_() for part in parts], eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("radius", [8.0, 14.3])
def test_disc_has_its_area(radius):
    """Second order in Δx/R: planes replace arcs, R + O(1/(24 R)) cells."""
    y, x = grid(40, 40)
    depth = radius * SPACING - torch.hypot(y - 20.2 * SPACING, x - 19.6 * SPACING)
    area = float(solid_fraction(diffuse(depth), WIDTH, SPACING).sum())
    assert area == pytest.approx(math.pi * radius**2, rel=0.5 / radius**2)


@pytest.mark.parametrize("radius", [6.0, 10.3])
def test_sphere_has_its_volume_and_its_cells(radius):
    """Planes replace caps: the volume is short by less than Δx/R squared, as are cells cut exactly."""
    count = 2 * math.ceil(radius) + 10
    z, y, x = (c.double() for c in torch.meshgrid(*[torch.arange(count) + 0.5] * 3, indexing="ij"))
    centre = (count / 2 + 0.3, count / 2 - 0.2, count / 2 + 0.1)
    depth = radius - torch.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
    fraction = solid_fraction(diffuse(depth * SPACING), WIDTH, SPACING, dimensions=3)
    assert float(fraction.sum()) == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.6 / radius**2)
    exact = spheres(
        centre[2] * SPACING, centre[0] * SPACING, centre[1] * SPACING, radius * SPACING, (count,) * 3, SPACING
    )
    assert float((fraction - exact).abs().max()) < 0.6 / radius


def test_egg_crate_has_its_volume_and_its_cells():
    """Six cells of amplitude, sixty of period, the wall anywhere in its cell."""
    cells, amplitude, mean = 60, 6.0, 9.3
    z, y, x = (c.double() for c in torch.meshgrid(*(torch.arange(n) + 0.5 for n in (cells, 17, cells)), indexing="ij"))
    q = 2 * math.pi / cells
    height = mean + amplitude * torch.cos(q * x) * torch.cos(q * z)
    slope = (
        amplitude
        * q
        * torch.sqrt((torch.sin(q * x) * torch.cos(q * z)) ** 2 + (torch.cos(q * x) * torch.sin(q * z)) ** 2)
    )
    field = diffuse((height - y) / torch.sqrt(1 + slope**2) * SPACING)
    fraction = solid_fraction(field, WIDTH, SPACING, dimensions=3)
    assert float(fraction.sum()) == pytest.approx(mean * cells**2, rel=1e-3)
    lengths = (amplitude * SPACING, cells * SPACING, mean * SPACING)
    exact = egg_crate(*lengths, (cells, 17, cells), SPACING)
    assert float((fraction - exact).abs().max()) < 0.05


def wavy(rows=10, columns=12, depth=4, seed=0):
    """Rough diffuse field (z, y, x)."""
    generator = torch.Generator().manual_seed(seed)
    height = 4 + torch.rand(depth, 1, columns, generator=generator, dtype=torch.float64)
    y = torch.arange(rows, dtype=torch.float64)[:, None] + 0.5
    return diffuse((height - y) * SPACING)


def test_extruded_field_is_the_section():
    section = wavy()[0]
    flat = solid_fraction(section, WIDTH, SPACING)
    extruded = solid_fraction(section.expand(5, *section.shape), WIDTH, SPACING, dimensions=3)
    torch.testing.assert_close(extruded, flat.expand_as(extruded), atol=1e-14, rtol=0)
    # grooves along the shear: x and z change places
    turned = solid_fraction(section.T[:, :, None].expand(-1, -1, 3), WIDTH, SPACING, dimensions=3)
    torch.testing.assert_close(turned[..., 0], flat.T, atol=1e-14, rtol=0)


def test_members_of_a_batch_of_volumes_do_not_touch():
    batch = torch.stack([wavy(seed=s) for s in range(6)]).reshape(2, 3, 4, 10, 12)
    together = solid_fraction(batch, WIDTH, SPACING, dimensions=3)
    assert together.shape == batch.shape
    assert bool((together[1, 2] == solid_fraction(batch[1, 2], WIDTH, SPACING, dimensions=3)).all())
    # without a word on dimensions (z, y, x) is a batch of sections
    sections = solid_fraction(batch[0, 0], WIDTH, SPACING)
    assert bool((sections[1] == solid_fraction(batch[0, 0, 1], WIDTH, SPACING)).all())
    assert float((sections - together[0, 0]).abs().max()) > 1e-3


def test_oblique_strip_has_its_area_and_no_stairs():
    y, x = grid(30, 40)
    # periodic in x: one rise and fall of slope ½, flanks far from the apex
    height = 14 * SPACING - (x - 20 * SPACING).abs() / 2
    fraction = solid_fraction(diffuse((height - y) / math.sqrt(1.25)), WIDTH, SPACING)
    filled = fraction.sum(0)
    torch.testing.assert_close(filled[24:36], (height / SPACING)[0, 24:36], atol=1e-6, rtol=0)


@pytest.mark.parametrize("peak", [0.3, 0.5, 0.55, 0.8])
def test_small_features_stay_bounded(peak):
    """A grain smaller than the interface never reaches ξ = 1: fractions stay in [0, 1], its size that of ξ > ½."""
    y, x = grid(24, 24)
    grain = peak * torch.exp(-((y - 12 * SPACING) ** 2 + (x - 12 * SPACING) ** 2) / (2 * (1.5 * SPACING) ** 2))
    grain.requires_grad_()
    fraction = solid_fraction(grain, WIDTH, SPACING)
    values = fraction.detach()
    assert 0 <= float(values.min()) <= float(values.max()) <= 1
    above = float((grain > 0.5).sum())
    assert abs(float(values.sum()) - above) < 4 + above / 2
    fraction.sum().backward()
    assert bool(torch.isfinite(grain.grad).all())


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_uniform_fields_have_finite_gradients(fill):
    field = torch.full((2, 5, 6), fill, dtype=torch.float64, requires_grad=True)
    fraction = solid_fraction(field, WIDTH, SPACING)
    assert bool((fraction == fill).all())
    fraction.sum().backward()
    assert bool(torch.isfinite(field.grad).all())


def test_gradient_against_differences():
    y, x = grid(8, 8)
    field = diffuse(4.2 * SPACING + 0.6 * SPACING * torch.sin(2 * math.pi * x / (8 * SPACING)) - y).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: solid_fraction(f, WIDTH, SPACING), (field,), eps=1e-7, atol=1e-4)
    volume = wavy(8, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f: solid_fraction(f, WIDTH, SPACING, dimensions=3), (volume,), eps=1e-7, atol=1e-4
    )


def test_unusable_input_is_named():
    with pytest.raises(InputError, match="interface_width"):
        solid_fraction(torch.zeros(3, 3), 0.0, SPACING)
    with pytest.raises(InputError, match="NaN"):
        solid_fraction(torch.full((3, 3), float("nan")), WIDTH, SPACING)
    with pytest.raises(InputError, match="y, x"):
        solid_fraction(torch.zeros(3), WIDTH, SPACING)
    with pytest.raises(InputError, match="z, y, x"):
        solid_fraction(torch.zeros(3, 3), WIDTH, SPACING, dimensions=3)
    with pytest.raises(InputError, match="dimensions"):
        solid_fraction(torch.zeros(3, 3), WIDTH, SPACING, dimensions=1)
