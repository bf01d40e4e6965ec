"""Cell fractions from a diffuse profile: exact areas of planes, circles and thin layers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hmm_plating.emission import solid_fraction
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


@pytest.mark.parametrize("radius", [8.0, 14.3])
def test_disc_has_its_area(radius):
    """Second order in Δx/R: planes replace arcs, R + O(1/(24 R)) cells."""
    y, x = grid(40, 40)
    depth = radius * SPACING - torch.hypot(y - 20.2 * SPACING, x - 19.6 * SPACING)
    area = float(solid_fraction(diffuse(depth), WIDTH, SPACING).sum())
    assert area == pytest.approx(math.pi * radius**2, rel=0.5 / radius**2)


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


def test_unusable_input_is_named():
    with pytest.raises(InputError, match="interface_width"):
        solid_fraction(torch.zeros(3, 3), 0.0, SPACING)
    with pytest.raises(InputError, match="NaN"):
        solid_fraction(torch.full((3, 3), float("nan")), WIDTH, SPACING)
    with pytest.raises(InputError, match="y, x"):
        solid_fraction(torch.zeros(3), WIDTH, SPACING)
