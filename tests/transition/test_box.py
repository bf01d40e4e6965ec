"""Concentration and potential inside the box: profiles, books, stability of the front, and the kernels' two forms."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from hmm_plating.errors import DepletionError
from hmm_plating.materials import FARADAY_CONSTANT, Electrolyte, Metal
from hmm_plating.morphology import film, thickness
from hmm_plating.transition import Interface, Parameters, Transport, initial_state, potentiostatic_step, step
from hmm_plating.transition.diffusion_layer import node_widths
from hmm_plating.transition.growth import grow

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
INTERFACE = Interface(20e-9, 5e-9)


def rough(dimensions, rows=32, columns=16):
    x = torch.arange(columns, dtype=torch.float64)
    phase = 2 * torch.pi * x / columns + torch.tensor([[0.3], [1.0]])
    height = 57.7e-9 + 12e-9 * torch.cos(phase) + 3e-9 * torch.sin(2 * phase)
    surface = film(height, rows, INTERFACE.width, INTERFACE.spacing)
    if dimensions == 2:
        return surface
    return torch.stack([surface, surface.roll(1, -1), surface.roll(3, -1)], 1)


SCALES = torch.tensor([100.0, 5e-10, 0.5, 0.3, 30.0, 0.99, 0.5, 3000.0, 1.0], dtype=torch.float64)
DEPLETED = torch.tensor([28.5, *SCALES[1:]], dtype=torch.float64)  # c̃ falls to 0.1: a stiff reaction


def objective(values, dimensions, backend):
    """Of all fields after two strong steps; concentration, diffusivity, conductivity, share, kinetics, current, ξ."""
    bulk, diffusivity, conductivity, share, exchange, energy, alpha, current, along = values
    transport = Transport(bulk, diffusivity, 1e-6, conductivity, share)
    interface = dataclasses.replace(INTERFACE, dimensions=dimensions)
    p = Parameters.from_materials(
        Metal.zinc(), WATER, interface, exchange_current_density=exchange, noise_amplitude=1.0, transport=transport
    )
    p = dataclasses.replace(p, surface_energy=energy, transfer_coefficient=alpha)
    surface = rough(dimensions)
    generator = torch.Generator().manual_seed(2)
    noise, weight = (torch.randn(surface.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    state = initial_state(surface + along * weight * surface * (1 - surface), dimensions)
    for _ in range(2):
        state = step(state, -current, 0.02, noise * (1 + along), p, backend)
    fields = state.order_parameter + state.concentration + state.potential
    return (weight * fields).sum() + 10 * state.overpotential.sum(), state


@pytest.mark.slow
@pytest.mark.parametrize("scales", [SCALES, DEPLETED], ids=["ample", "depleted"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_kernels_agree_with_the_reference(dimensions, scales):
    """Fields and gradients; the kernels' potential is solved to a residual of 1e-11, whatever it is."""
    values = scales.clone()
    values[8] = 0
    values.requires_grad_()
    (kernel, after), (reference, expected) = (objective(values, dimensions, backend) for backend in ("numba", "torch"))
    for name in ("order_parameter", "concentration", "potential", "overpotential", "diffusion_layer"):
        accepted = 2e-8 if name == "potential" else 1e-9
        torch.testing.assert_close(getattr(after, name), getattr(expected, name), rtol=0, atol=accepted)
    gradients = [torch.autograd.grad(value, values)[0] * scales for value in (kernel, reference)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-8 * float(gradients[1].abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize(("scales", "offset_share"), [(SCALES, 1e-3), (DEPLETED, 5e-5)], ids=["ample", "depleted"])
def test_gradient_against_central_differences(scales, offset_share):
    """Within an offset neither the number of sub-steps nor that of pieces of the layer's step may jump."""
    values = scales.clone()
    values[8] = 0
    values.requires_grad_()
    gradient = torch.autograd.grad(objective(values, 2, "numba")[0], values)[0] * scales
    for k in range(len(scales)):
        offset, difference = torch.zeros_like(values), 0.0
        offset[k] = offset_share * scales[k] if k != 8 else 1e-5
        for distance, weight in ((1, 2 / 3), (2, -1 / 12)):  # fourth order: the solves' 1e-8 counts least
            with torch.no_grad():
                ahead, behind = (objective(values + sign * distance * offset, 2, "numba")[0] for sign in (1, -1))
            difference += weight * float((ahead - behind) * scales[k] / offset[k])
        assert float(gradient[k]) == pytest.approx(difference, abs=1e-6 * float(gradient.abs().max()))


def parameters(transport, **changes):
    p = Parameters.from_materials(Metal.zinc(), WATER, INTERFACE, transport=transport)
    return dataclasses.replace(p, **changes)


def flat(height=80e-9, rows=60, columns=4):
    return film(torch.full((columns,), height, dtype=torch.float64), rows, INTERFACE.width, INTERFACE.spacing)


@pytest.mark.slow
def test_profiles_above_a_flat_film():
    """Straight lines: dc̃/dy = (1 − t₊)j/(zFDc0), dφ/dy = j/σ (Ohm), from the box top to the surface."""
    transport = Transport(200.0, 4e-10, 1e-5, conductivity=2.0, transference_number=0.4)
    p, surface = parameters(transport, exchange_current_density=100.0), flat()
    after = step(initial_state(surface), -2000.0, 0.05, 0 * surface, p)
    y = (torch.arange(60, dtype=torch.float64) + 0.5) * INTERFACE.spacing
    liquid = y > 80e-9 + 40e-9 + float(thickness(after.order_parameter - surface, INTERFACE.spacing))
    below_top = 300e-9 - y[liquid]
    fall = 0.6 * 2000.0 / (2 * FARADAY_CONSTANT * 4e-10 * 200.0) * (below_top - below_top[-1])
    concentration = after.concentration[liquid, 0]
    torch.testing.assert_close(concentration[-1] - concentration, fall, rtol=3e-3, atol=1e-6)
    potential = -2000.0 / 2.0 * below_top / p.kinetic_voltage
    torch.testing.assert_close(after.potential[liquid, 0], potential, rtol=2e-3, atol=0)


@pytest.mark.slow
def test_ions_are_conserved():
    """Layer, box and metal together lose nothing while the bulk is out of reach: ∫(c̃ + (1 − t₊)(c_s/c0)ξ), 1e-10."""
    transport = Transport(500.0, 5e-10, 1e-3, transference_number=0.2)
    p, surface = parameters(transport, current_efficiency=0.8), rough(2)
    state = initial_state(surface)
    width, spacing = node_widths(transport), INTERFACE.spacing
    density = 0.8 * p.charge_per_volume / (2 * FARADAY_CONSTANT) / 500.0
    box = torch.ones_like(surface)
    for current in (-300.0, -100.0, 0.0, 200.0):
        before, state = state, step(state, current, 0.05, 0 * surface, p)
        inside = box if before.concentration.shape[-1] == 0 else before.concentration
        change = ((state.diffusion_layer - before.diffusion_layer) * width).sum(-1)
        change += thickness(state.concentration - inside, spacing)
        consumed = density * thickness(state.order_parameter - before.order_parameter, spacing)
        torch.testing.assert_close(change, -consumed, rtol=0, atol=1e-10 * float(consumed.abs().max() + 1e-6))
        assert float(state.overpotential.abs().max()) < 1


@pytest.mark.slow
def test_growth_rates_of_a_front_in_a_concentration_gradient():
    """ω(k) = (B'G − Mγk²)/(1 + B'c_s/(D k coth kH)), and where it changes sign (the design's row; Mullins and Sekerka,
    J. Appl. Phys. 35 (1964) 444, with kinetics): k_c within 5 %.
    """
    columns, rows, front, diffusivity, bulk = 128, 104, 40, 5e-10, 100.0
    spacing = INTERFACE.spacing
    first, gap = 2 * math.pi / (columns * spacing), (rows - front) * spacing
    ratio = Metal.zinc().charge_per_volume / (2 * FARADAY_CONSTANT) / bulk
    feedback = 0.3 * first  # B'c_s/D
    plating = feedback * diffusivity / ratio  # B' c0 [m/s]
    surface_concentration = 1 / (1 + feedback * gap)
    gradient = feedback * surface_concentration
    y = math.log(1e-4)  # anodic part 1e-4 of the cathodic one
    critical = 2.6 * first
    exchange = plating * math.exp(0.5 * y) * Metal.zinc().charge_per_volume
    stiffness = plating * gradient / critical**2  # M γ [m³/s]
    slope = 0.5 * plating * surface_concentration + 0.5 * plating * math.exp(y)
    transport = Transport(bulk, diffusivity, 1e-4)
    p = parameters(transport, exchange_current_density=exchange)
    p = dataclasses.replace(p, surface_energy=stiffness / slope * p.charge_per_volume * p.kinetic_voltage)
    modes = np.arange(1, 5)
    x = torch.arange(columns, dtype=torch.float64) * spacing
    amplitude = 0.4 * spacing
    waves = amplitude * torch.cos(torch.tensor(modes[:, None]) * first * x)
    state = initial_state(film(front * spacing + waves, rows, INTERFACE.width, spacing))
    eta = torch.full((4,), y * p.kinetic_voltage, dtype=torch.float64)
    speed = plating * surface_concentration
    amplitudes, heights = [], []
    for _ in range(3):
        duration = 2 * spacing / speed
        state, _ = grow(state, 0 * eta, eta, duration, 0 * state.order_parameter, p)
        height = state.order_parameter.sum(-2) * spacing
        amplitudes.append([2 * float((height[k] * waves[k]).mean()) / amplitude for k in range(4)])
        heights.append(float(height.mean()))
    growth = np.log(np.array(amplitudes[2]) / np.array(amplitudes[0])) / (2 * duration)
    gap = rows * spacing - heights[1]
    surface_concentration = 1 / (1 + feedback * gap)
    k = modes * first
    expected = (plating * feedback * surface_concentration - stiffness * k**2) / (1 + feedback / k * np.tanh(k * gap))
    np.testing.assert_allclose(growth, expected, rtol=0, atol=0.08 * np.abs(expected).max())
    found = np.interp(0, -growth[1:3], k[1:3] ** 2) ** 0.5
    wanted = np.interp(0, -expected[1:3], k[1:3] ** 2) ** 0.5
    assert found == pytest.approx(wanted, rel=0.05)


@pytest.mark.slow
def test_depletion_inside_the_box_is_an_error_that_names_sands_time():
    transport = Transport(10.0, 1e-11, 2e-7)
    surface = flat()
    with pytest.raises(DepletionError, match="Sand's time"):
        step(initial_state(surface), -300.0, 0.2, 0 * surface, parameters(transport))


@pytest.mark.slow
def test_unresolved_box_is_the_limit_of_slow_growth():
    transport = Transport(2000.0, 1e-9, 1e-5, conductivity=5.0)
    surface = rough(2)
    results = [
        step(initial_state(surface), -10.0, 2.0, 0 * surface, parameters(dataclasses.replace(transport, resolved=r)))
        for r in (True, False)
    ]
    torch.testing.assert_close(results[0].order_parameter, results[1].order_parameter, rtol=0, atol=1e-4)
    torch.testing.assert_close(results[0].overpotential, results[1].overpotential, rtol=1e-3, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("overpotential", [-0.05, -0.2])
def test_a_given_overpotential_with_the_box_resolved(overpotential):
    """The current of a mixed control: kinetics and diffusion through layer and box in series."""
    transport = Transport(100.0, 1e-9, 2e-6)
    p, surface = parameters(transport, exchange_current_density=50.0), flat()
    state = initial_state(surface)
    for _ in range(4):
        state = potentiostatic_step(state, overpotential, 0.02, 0 * surface, p)
    after = potentiostatic_step(state, overpotential, 0.002, 0 * surface, p)
    current = float(thickness(after.order_parameter - state.order_parameter, INTERFACE.spacing)[()].mean())
    current *= p.charge_per_volume / 0.002
    height = float(thickness(after.order_parameter, INTERFACE.spacing))
    limit = 2 * FARADAY_CONSTANT * 1e-9 * 100.0 / (2e-6 + 300e-9 - height)
    y = overpotential / p.kinetic_voltage
    plating, stripping = 50 * math.exp(-0.5 * y), 50 * math.exp(0.5 * y)
    assert current == pytest.approx((plating - stripping) / (1 + plating / limit), rel=0.02)
