"""ISO 25178-2 parameters against closed forms, Gaussian fields of known correlation, and their symmetries."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ellipe

from hmm_plating.errors import InputError
from hmm_plating.morphology import (
    arithmetical_mean_height,
    autocorrelation,
    autocorrelation_length,
    correlation_length,
    developed_interfacial_area_ratio,
    gaussian_heights,
    kurtosis,
    maximum_peak_height,
    root_mean_square_height,
    skewness,
)

SPACING = 2e-9
OF_HEIGHTS = (arithmetical_mean_height, root_mean_square_height, maximum_peak_height, skewness, kurtosis)
OF_LENGTHS = (developed_interfacial_area_ratio, autocorrelation_length, correlation_length)


def white(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def everything(height, spacing=SPACING, dimensions=2):
    values = [one(height, dimensions) for one in OF_HEIGHTS]
    return torch.stack([*values, *(one(height, spacing, dimensions) for one in OF_LENGTHS)], -1)


def test_sinusoid():
    """Sa = 2a/π, Sq = a/√2, Ssk = 0, Sku = 3/2, Sp = a; 1 + Sdr = (2/π) E(−a²q²); cos(qr) falls to 0.2 and 1/e."""
    amplitude, columns, waves = 20e-9, 1024, 4
    q = 2 * math.pi * waves / (columns * SPACING)
    height = 70e-9 + amplitude * torch.cos(q * SPACING * (torch.arange(columns, dtype=torch.float64) + 0.5))
    assert float(arithmetical_mean_height(height)) == pytest.approx(2 * amplitude / math.pi, rel=1e-4)
    assert float(root_mean_square_height(height)) == pytest.approx(amplitude / math.sqrt(2), rel=1e-12)
    assert float(skewness(height)) == pytest.approx(0, abs=1e-12)
    assert float(kurtosis(height)) == pytest.approx(1.5, rel=1e-12)
    assert float(maximum_peak_height(height)) == pytest.approx(amplitude, rel=1e-4)
    stretched = 2 / math.pi * ellipe(-((amplitude * q) ** 2)) - 1
    assert float(developed_interfacial_area_ratio(height, SPACING)) == pytest.approx(stretched, rel=1e-4)
    assert float(autocorrelation_length(height, SPACING)) == pytest.approx(math.acos(0.2) / q, rel=1e-4)
    assert float(correlation_length(height, SPACING)) == pytest.approx(math.acos(math.exp(-1)) / q, rel=1e-4)


def test_egg_crate():
    """a cos(qx) cos(qz): Sa = a(2/π)², Sq = a/2, Sku = 9/4; C along the diagonal is cos²(qr/√2), the first to fall."""
    amplitude, cells = 20e-9, 128
    wave = torch.cos(2 * math.pi * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells)
    height = amplitude * wave * wave[:, None]
    q = 2 * math.pi / (cells * SPACING)
    assert float(arithmetical_mean_height(height, 3)) == pytest.approx(amplitude * (2 / math.pi) ** 2, rel=1e-3)
    assert float(root_mean_square_height(height, 3)) == pytest.approx(amplitude / 2, rel=1e-12)
    assert float(kurtosis(height, 3)) == pytest.approx(2.25, rel=1e-12)
    diagonal = math.sqrt(2) * math.acos(math.sqrt(0.2)) / q
    along_axis = math.acos(0.2) / q
    found = float(autocorrelation_length(height, SPACING, 3))
    assert found == pytest.approx(min(diagonal, along_axis), rel=2e-3)


def test_a_plane_of_triangles_has_their_area():
    """Ridges of slope ±s: 1 + Sdr = √(1 + s²); pyramids of slopes s along x and t along z: √(1 + s² + t²)."""
    ridge = torch.tensor([0.0, 1.0, 2.0, 1.0], dtype=torch.float64).repeat(3)
    height, across = 0.7 * SPACING * ridge, 1.3 * SPACING * ridge
    expected = math.sqrt(1 + 0.7**2)
    assert float(1 + developed_interfacial_area_ratio(height, SPACING)) == pytest.approx(expected, rel=1e-12)
    pyramids = height + across[:, None]
    expected = math.sqrt(1 + 0.7**2 + 1.3**2)
    assert float(1 + developed_interfacial_area_ratio(pyramids, SPACING, 3)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("hurst", [0.5, 1.0])
def test_gaussian_heights_have_gaussian_moments_and_their_correlation(hurst):
    """Sa = Sq √(2/π), Ssk 0, Sku 3; C(r) = exp(−(r/L)^2H), so Sal = L (ln 5)^(1/2H) and the 1/e length L."""
    length, deviation = 20 * SPACING, 8e-9
    height = gaussian_heights(white(8, 2**16), 1e-7, deviation, length, SPACING, hurst)
    error = 4 / math.sqrt(8 * 2**16 / (2 * 20))  # four standard errors over the independent patches
    assert float(arithmetical_mean_height(height).mean()) == pytest.approx(deviation * (2 / math.pi) ** 0.5, rel=error)
    assert float(root_mean_square_height(height).square().mean()) == pytest.approx(deviation**2, rel=1.5 * error)
    assert float(skewness(height).mean()) == pytest.approx(0, abs=3 * error)
    assert float(kurtosis(height).mean()) == pytest.approx(3, abs=5 * error)
    mean = autocorrelation(height).mean(0)
    r = torch.arange(60, dtype=torch.float64) * SPACING
    torch.testing.assert_close(mean[:60], torch.exp(-((r / length) ** (2 * hurst))), rtol=0, atol=error)
    assert float(correlation_length(height, SPACING).mean()) == pytest.approx(length, rel=2 * error)
    fall = length * math.log(5) ** (0.5 / hurst)
    assert float(autocorrelation_length(height, SPACING).mean()) == pytest.approx(fall, rel=3 * error)


def test_gaussian_heights_in_three_dimensions():
    """As isotropic as their correlation; Sdr is ½⟨|∇h|²⟩ of gentle slopes, whose differences have 2 Sq² (1 − C)."""
    length, deviation, spacing = 20e-9, 0.2e-9, 4e-9
    height = gaussian_heights(white(12, 128, 128), 0.0, deviation, length, spacing, dimensions=3)
    correlation = autocorrelation(height, 3).mean(0)
    expected = torch.exp(-((torch.arange(25, dtype=torch.float64) * spacing / length) ** 2))
    torch.testing.assert_close(correlation[0, :25], expected, rtol=0, atol=0.04)
    torch.testing.assert_close(correlation[:25, 0], expected, rtol=0, atol=0.04)
    found = float(developed_interfacial_area_ratio(height, spacing, 3).mean())
    assert found == pytest.approx(2 * (deviation / spacing) ** 2 * (1 - float(expected[1])), rel=0.03)
    assert float(correlation_length(height, spacing, 3).mean()) == pytest.approx(length, rel=0.05)


@settings(max_examples=40)
@given(st.integers(0, 2**20), st.integers(2, 3), st.floats(0.2, 5.0), st.floats(-3e-7, 3e-7))
def test_scale_shift_and_mirror(seed, dimensions, scale, offset):
    """Lengths scale with the unit, ratios do not; neither moves with the datum, a mirror or a translation."""
    height = 1e-8 * white(*(14, 17)[3 - dimensions :], seed=seed)
    values = everything(height, SPACING, dimensions)
    powers = torch.tensor([1, 1, 1, 0, 0, 0, 1, 1])
    scaled = everything(scale * height, scale * SPACING, dimensions)
    torch.testing.assert_close(
        scaled, values * torch.tensor(scale, dtype=torch.float64) ** powers, rtol=1e-9, atol=1e-20
    )
    for moved in (height + offset, height.flip(-1), height.roll(5, -1), height.flip(tuple(range(1 - dimensions, 0)))):
        found = everything(moved, SPACING, dimensions)
        torch.testing.assert_close(found, values, rtol=1e-5, atol=1e-20)
    inverted = everything(-height, SPACING, dimensions)
    torch.testing.assert_close(inverted[..., [0, 1, 4, 5, 6, 7]], values[..., [0, 1, 4, 5, 6, 7]])
    torch.testing.assert_close(inverted[..., 3], -values[..., 3])


def test_an_extruded_section_has_the_values_of_the_section():
    height = 1e-8 * white(3, 16)
    volume = height[:, None, :].expand(-1, 16, -1)
    for one in OF_HEIGHTS:
        torch.testing.assert_close(one(volume, 3), one(height))
    found = developed_interfacial_area_ratio(volume, SPACING, 3)
    torch.testing.assert_close(found, developed_interfacial_area_ratio(height, SPACING))


def test_a_flat_surface_has_no_roughness():
    flat = torch.full((2, 12), 1.1e-7, dtype=torch.float64, requires_grad=True)
    values = everything(flat)
    torch.testing.assert_close(values[:, :6], torch.zeros(2, 6, dtype=torch.float64), rtol=0, atol=1e-20)
    assert bool(((values[:, 6:] > 0) & (values[:, 6:] <= SPACING)).all())
    values.sum().backward()
    assert bool(torch.isfinite(flat.grad).all())


@pytest.mark.parametrize("dimensions", [2, 3])
def test_gradients(dimensions):
    height = 1.0 + 0.3 * white(2, *(9, 8)[3 - dimensions :], seed=3)
    assert torch.autograd.gradcheck(lambda h: everything(h, 0.7, dimensions), height.requires_grad_())


def test_what_cannot_be_described_is_refused():
    with pytest.raises(InputError, match="dimensions"):
        skewness(torch.zeros(8), 4)
    with pytest.raises(InputError, match="dimensions"):
        kurtosis(torch.zeros(8), 3)
    with pytest.raises(InputError, match="two heights"):
        correlation_length(torch.zeros(8, 1), SPACING)
