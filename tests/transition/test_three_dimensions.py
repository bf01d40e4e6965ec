"""The default form in three dimensions: against two, against the torch form, and against the sharp interface."""

import dataclasses
import math

import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.morphology import film
from hmm_plating.transition import Interface, Parameters, initial_state, potentiostatic_step, reference, step
from hmm_plating.transition.coefficients import coefficients

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
FLAT, DEEP = Interface(16e-9, 4e-9), Interface(16e-9, 4e-9, dimensions=3)


def parameters(interface, metal=None, **changes):
    return Parameters.from_materials(metal or Metal.zinc(), WATER, interface, **changes)


def bumps(depth, rows, columns):
    z, x = torch.arange(depth, dtype=torch.float64)[:, None], torch.arange(columns, dtype=torch.float64)
    height = 50e-9 + 10e-9 * torch.cos(2 * torch.pi * x / columns + 0.3) * torch.sin(2 * torch.pi * z / depth + 0.5)
    angle = 2 * torch.pi * x / columns
    height = height + 1e-9 * (torch.cos(angle) + torch.cos(2 * angle))  # no two cells tie for the greatest stiffness
    return film(height, rows, FLAT.width, FLAT.spacing)


def test_a_section_extruded_stays_the_section():
    section = film(50e-9 + 12e-9 * torch.sin(torch.arange(20) * torch.pi / 10).double(), 30, FLAT.width, FLAT.spacing)
    volume = section.expand(3, 5, 30, 20)
    current = torch.tensor([-10.0, 0.0, 8.0], dtype=torch.float64)
    deep = step(initial_state(volume, 3), current, 4.0, 0 * volume, parameters(DEEP))
    flat = step(initial_state(section.expand(3, -1, -1)), current, 4.0, 0 * volume[:, 0], parameters(FLAT))
    # sub-steps are shorter in three dimensions
    torch.testing.assert_close(deep.order_parameter[:, 2], flat.order_parameter, rtol=0, atol=3e-3)
    torch.testing.assert_close(deep.order_parameter[:, 2], deep.order_parameter[:, 4], rtol=0, atol=1e-13)
    volume = volume[:1] ** torch.linspace(0.8, 1.2, 20)  # no profile of equilibrium
    found = []
    for p in (DEEP, FLAT):
        fields = volume if p is DEEP else volume[:, 0]
        c = coefficients(parameters(p), torch.Size([1]), 1.0, fields)
        weight, curvature, *_ = reference.geometry(fields, c)
        found.append((weight, reference.profile_force(fields, 4.0, p.dimensions), curvature))
    *deep_fields, deep_curvature = (value[:, 3] for value in found[0])
    *flat_fields, flat_curvature = found[1]
    torch.testing.assert_close(deep_fields, flat_fields, rtol=0, atol=1e-13)
    # κ of three dimensions has a mixed fourth difference of the distance as well, and wider limits
    distance = torch.logit(section[None] ** torch.linspace(0.8, 1.2, 20))
    mixed = torch.cat([distance[:, :1], distance, distance[:, -1:]], 1).diff(n=2, dim=1)
    mixed = mixed.roll(1, -1) + mixed.roll(-1, -1) - 2 * mixed
    inside = (flat_fields[0] > 0) & (flat_curvature.abs() < 0.5) & ((flat_curvature - mixed / 6).abs() < 1)
    assert int(inside.sum()) > 200
    torch.testing.assert_close(deep_curvature[inside], (flat_curvature - mixed / 6)[inside], rtol=0, atol=1e-10)


@pytest.mark.parametrize("waves", [(0, 8), (8, 8), (6, 6), (4, 4), (2, 2)])
@pytest.mark.parametrize("overpotential", [0.0, -0.1])
def test_no_wave_grows_on_the_grid_alone(waves, overpotential):
    """Waves on a flat film decay, at rest and at strong drive.

    With the curvature's plain stencil the diagonal checkerboard grew 770-fold while the front passed two cells.
    """
    p = parameters(DEEP, Metal.lithium())
    x = torch.arange(16, dtype=torch.float64) * math.pi / 8
    wave = torch.cos(waves[0] * x + 0.4)[:, None] * torch.cos(waves[1] * x + 0.4)
    height = (12 + 1e-4 * wave) * DEEP.spacing
    y = (torch.arange(32, dtype=torch.float64)[:, None] + 0.5) * DEEP.spacing
    state = initial_state(torch.sigmoid(4 * (height[:, None, :] - y) / DEEP.width), 3)
    kinetic = 30.0 / p.charge_per_volume  # m/s
    rate = kinetic * p.capillary_length * (waves[0] ** 2 + waves[1] ** 2) * (math.pi / 8 / DEEP.spacing) ** 2
    duration = 0.5 / rate
    if overpotential:
        duration = 2 * DEEP.spacing / (2 * kinetic * math.sinh(0.05 / p.kinetic_voltage))
    after = potentiostatic_step(state, overpotential, duration, 0 * state.order_parameter, p)
    before, left = ((s.order_parameter.sum(-2) * wave).sum() for s in (state, after))
    # the grid's own dispersion makes it slower than the capillary law's e^−½ at rest
    assert abs(float(left / before)) < (0.7 if overpotential else 0.9)


@pytest.mark.slow
@pytest.mark.parametrize(("current", "strength"), [(-10.0, 0.03), (0.0, 0.0), (10.0, 0.03)])
def test_kernel_agrees_with_the_reference_and_conserves_charge(current, strength):
    surface = bumps(8, 30, 12)[None].requires_grad_()
    noise = torch.randn(surface.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise.requires_grad_()
    cubic = dataclasses.replace(Metal.zinc(), anisotropy_fold=4)
    p = parameters(DEEP, cubic, noise_amplitude=3.0, anisotropy_strength=strength, crystal_orientation=0.2)
    results = []
    for backend in ("numba", "torch"):
        after = step(initial_state(surface, 3), current, 2.0, noise, p, backend)
        objective = (after.order_parameter * torch.linspace(-1, 1, noise.numel()).reshape(noise.shape)).sum()
        results.append((after.order_parameter, *torch.autograd.grad(objective, (surface, noise))))
    for kernel, wanted in zip(*results, strict=True):
        # round-off times dψ/dξ, up to 1e6 in the tails of the profile
        torch.testing.assert_close(kernel, wanted, rtol=0, atol=1e-10 * float(wanted.detach().abs().max()))
    grown = (results[0][0] - surface).sum().item() * DEEP.spacing / (8 * 12) * p.charge_per_volume
    assert grown == pytest.approx(-2.0 * current, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("cells", [10, pytest.param(16, marks=pytest.mark.slow)])
def test_sphere_is_stationary_at_the_gibbs_thomson_potential(cells):
    """η = 2γ/(R nFc_s): a sphere has two principal curvatures; it shrinks 3 % below the drive and grows above."""
    p, n = parameters(DEEP, Metal.lithium()), 2 * cells + 20
    x = (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) * DEEP.spacing
    radius = cells * DEEP.spacing
    r = torch.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    grain = torch.sigmoid(4 * (radius - r) / DEEP.width).expand(3, n, n, n)
    factor = torch.tensor([0.97, 1.0, 1.03], dtype=torch.float64)
    eta = -2 * p.surface_energy / (radius * p.charge_per_volume)
    after = potentiostatic_step(initial_state(grain, 3), eta * factor, 1.0, 0 * grain, p)
    growth = (after.order_parameter - grain).sum((-3, -2, -1))
    assert growth[0] < 0 < growth[2]


def test_noise_has_the_thermal_strength():
    """A front's mean square displacement is 2 k_B T M t/area, area one column's."""
    p = parameters(DEEP, noise_amplitude=0.1)
    surface = film(torch.full((48, 48), 60e-9, dtype=torch.float64), 30, DEEP.width, DEEP.spacing)
    noise = torch.randn(surface.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    after = potentiostatic_step(initial_state(surface, 3), 0.0, 0.5, noise, p)
    weight = 4 / DEEP.width * surface * (1 - surface)
    displacement = (weight * (after.order_parameter - surface)).sum(-2) / weight.square().sum(-2)
    mobility = 0.3 / (p.kinetic_voltage * p.charge_per_volume**2)
    thermal = 2 * 1.380649e-23 * p.temperature * mobility * 0.5 / DEEP.spacing**2
    # 2304 columns: 3 % Monte-Carlo error
    assert float(displacement.square().mean()) == pytest.approx(0.01 * thermal, rel=0.12)


def test_window_follows_a_deposit_in_three_dimensions():
    surface = bumps(6, 40, 8)
    p, state = parameters(DEEP), initial_state(surface, 3)
    for _ in range(4):
        state = step(state, -100e-9 * p.charge_per_volume / 400, 100.0, 0 * surface, p)
    assert float(state.base_thickness) > 50e-9
    plated = state.base_thickness + (state.order_parameter - surface).sum() * DEEP.spacing / 48
    assert float(plated) == pytest.approx(100e-9, rel=1e-9)


def test_bad_input_is_named():
    surface = bumps(4, 30, 8)
    with pytest.raises(InputError, match=r"\(\.\.\., z, y, x\)"):
        initial_state(surface[0], 3)
    with pytest.raises(InputError, match="dimensions"):
        Interface(16e-9, 4e-9, dimensions=4)
    assert math.isfinite(float(step(initial_state(surface, 3), -1.0, 1.0, 0 * surface, parameters(DEEP)).overpotential))
