"""Near the limiting current: the reaction is stiff, bumps grow, films branch."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from hmm_plating.errors import DepletionError
from hmm_plating.materials import FARADAY_CONSTANT, Electrolyte, Metal
from hmm_plating.morphology import film, roughness, thickness
from hmm_plating.transition import Interface, Parameters, Transport, initial_state, step
from hmm_plating.transition.diffusion_layer import node_widths, relaxed_profile
from hmm_plating.transition.kernels.box import LEAST_CONCENTRATION

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
INTERFACE = Interface(20e-9, 5e-9)
SPACING = INTERFACE.spacing
TRANSPORT = Transport(concentration=100.0, diffusivity=5e-10, layer_thickness=1e-6)
IONS = 2 * FARADAY_CONSTANT * TRANSPORT.concentration * TRANSPORT.diffusivity  # zFc0D


def steady(height, rows, gradient, noise_amplitude=0.0, **changes):
    """Zinc at heights (..., x) under a steady gradient of c̃ [1/m], and the current density that belongs to it."""
    surface = film(height, rows, INTERFACE.width, SPACING)
    top = 1 - gradient * TRANSPORT.layer_thickness
    y = (torch.arange(rows, dtype=torch.float64)[:, None] + 0.5) * SPACING
    concentration = top - gradient * (rows * SPACING - torch.maximum(y, height[..., None, :]))
    profile = relaxed_profile(gradient * TRANSPORT.diffusivity * TRANSPORT.concentration, TRANSPORT)
    state = initial_state(surface)
    state = state._replace(
        concentration=concentration,
        potential=torch.zeros_like(surface),
        diffusion_layer=profile.expand(*surface.shape[:-2], -1),
    )
    p = Parameters.from_materials(Metal.zinc(), WATER, INTERFACE, noise_amplitude=noise_amplitude, transport=TRANSPORT)
    return state, dataclasses.replace(p, **changes), -IONS * gradient


@pytest.mark.slow
@pytest.mark.parametrize(("length", "tolerance"), [(200e-9, 0.02), (100e-9, 0.12)])
def test_bumps_grow_at_the_linear_rate_of_a_depleted_front(length, tolerance):
    """ω/v = (1/Λ − α d0 k²)/(1 + tanh(kH)/(kΛ)), Λ = c̃/|∇c̃| at the surface (Mullins and Sekerka, J. Appl. Phys. 35
    (1964) 444, with kinetics), at 0.87 and 0.93 of the limiting current; what is left is the interface's width, ℓ/Λ.
    """
    columns, rows, front = 64, 104, 200e-9
    modes = np.arange(1, 6)
    k = modes * 2 * np.pi / (columns * SPACING)
    phase = torch.tensor(modes)[:, None] * torch.arange(columns) * (2 * torch.pi / columns)
    waves = torch.cos(phase.double())
    gradient = 1 / (TRANSPORT.layer_thickness + rows * SPACING - front + length)
    state, p, current = steady(front + 0.4 * SPACING * waves, rows, gradient)
    grown, amplitudes = 2 * SPACING, []
    for _ in range(3):
        state = step(state, current, grown * p.charge_per_volume / -current, 0 * state.order_parameter, p)
        amplitudes.append(((state.order_parameter.sum(-2) * SPACING) * waves).mean(-1).numpy())
    expected = np.zeros(len(k))
    for risen in grown * (1 + 2 * (np.arange(100) + 0.5) / 100):
        inverse, gap = 1 / (length + risen), rows * SPACING - front - risen
        bending = float(p.transfer_coefficient * p.capillary_length) * k**2
        expected += (inverse - bending) / (1 + inverse / k * np.tanh(k * gap)) * 2 * grown / 100
    found = np.log(amplitudes[2] / amplitudes[0])
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def roughening(share):
    """How much rougher random waves are after 120 nm of growth at a share of the limiting one; least c̃ of liquid."""
    columns, rows, generator = 64, 88, torch.Generator().manual_seed(1)
    spectrum = torch.fft.rfft(torch.randn(columns, generator=generator, dtype=torch.float64))
    spectrum[0], spectrum[4:] = 0, 0
    waves = torch.fft.irfft(spectrum, columns)
    height, beyond = 100e-9 + 5e-9 * waves / waves.std(), TRANSPORT.layer_thickness + rows * SPACING
    state, p, _ = steady(height, rows, share / (beyond - 100e-9), noise_amplitude=1.0, anisotropy_strength=0.05)
    start, least = float(roughness(state.order_parameter, SPACING)), 1.0
    for _ in range(24):
        current = share * IONS / (beyond - float(thickness(state.order_parameter, SPACING)))
        noise = torch.randn(state.order_parameter.shape, generator=generator, dtype=torch.float64)
        state = step(state, -current, 5e-9 * p.charge_per_volume / current, noise, p)
        least = min(least, float(state.concentration[state.order_parameter < 0.5].min()))
    return float(roughness(state.order_parameter, SPACING)) / start, least


@pytest.mark.slow
def test_a_film_stays_compact_below_the_limiting_current_and_parts_near_it():
    """Its fjords keep their last ions: what repairs the profile of closing walls takes none from them."""
    compact, _ = roughening(0.3)
    parted, least = roughening(0.97)
    assert compact < 1.2
    assert parted > 2.5
    assert least > 0


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_more_than_the_limiting_current_is_an_error_before_the_concentration_is_negative(backend):
    """The top of the box, at 0.82 of the current that would empty it, keeps its ions: the surface runs out of them."""
    rows, generator = 88, torch.Generator().manual_seed(2)
    height, beyond = 100e-9 + 4e-9 * torch.randn(8, generator=generator).double(), 1e-6 + rows * SPACING
    state, p, current = steady(height, rows, 0.9 / (beyond - 100e-9))
    least = [1.0]

    def drive(state):
        for _ in range(200):
            state = step(state, 1.1 / 0.9 * current, 2e-5, 0 * state.order_parameter, p, backend)
            least.append(float(state.concentration[state.order_parameter < 0.5].min()))

    with pytest.raises(DepletionError, match="Sand's time") as error:
        drive(state)
    drawn, limit = (float(value) for value in re.findall(r"([\d.]+) A/m²", str(error.value)))
    assert drawn == pytest.approx(1.1 * limit, rel=0.02)
    assert LEAST_CONCENTRATION < least[-1] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_want_in_a_part_of_the_surface_is_an_error_as_well(backend):
    """Half the surface has −0.1, so that the mean is still ample; diffusion fills up 7 nm within the step."""
    state, p, current = steady(torch.full((32,), 100e-9, dtype=torch.float64), 40, 0.5 / 1.1e-6)
    wanting = state.concentration.clone()
    wanting[:, :16] = -0.1
    with pytest.raises(DepletionError, match="Sand's time"):
        step(state._replace(concentration=wanting), 0.1 * current, 1e-7, 0 * wanting, p, backend)


@pytest.mark.slow
def test_books_close_up_to_sands_time():
    """∫(c̃ + (c_s/c0) ξ) of layer, box and metal, the bulk out of reach, to 1e-10; c̃ at the surface falls to a tenth."""
    transport = Transport(500.0, 5e-10, 1e-3)
    p = Parameters.from_materials(Metal.zinc(), WATER, INTERFACE, noise_amplitude=1.0, transport=transport)
    generator = torch.Generator().manual_seed(3)
    surface = film(100e-9 + 8e-9 * torch.randn(32, generator=generator).double(), 40, INTERFACE.width, SPACING)
    state, width, sand = initial_state(surface), node_widths(transport), transport.sand_time(1e5, 2)
    density = p.charge_per_volume / (2 * FARADAY_CONSTANT) / transport.concentration
    for _ in range(36):
        noise = torch.randn(surface.shape, generator=generator, dtype=torch.float64)
        before, state = state, step(state, -1e5, sand / 40, noise, p)
        inside = torch.ones_like(surface) if before.concentration.shape[-1] == 0 else before.concentration
        change = ((state.diffusion_layer - before.diffusion_layer) * width).sum()
        change += thickness(state.concentration - inside, SPACING)
        metal = thickness(state.order_parameter - before.order_parameter, SPACING)
        assert float(metal) == pytest.approx(1e5 * sand / 40 / p.charge_per_volume, rel=1e-10)
        assert float(change) == pytest.approx(float(-density * metal), rel=1e-8)
    surface = (state.order_parameter - 0.5).abs() < 0.2
    assert 0 < float(state.concentration[surface].mean()) < 0.15
