"""Kinetics and diffusion together: equilibrium, Tafel's law, and depletion through the layer above a box of 1 µm."""

import dataclasses
import math

import pytest
import torch

from hmm_plating.errors import DepletionError
from hmm_plating.materials import FARADAY_CONSTANT, Electrolyte, Metal
from hmm_plating.morphology import film, thickness
from hmm_plating.transition import Interface, Parameters, Transport, initial_state, potentiostatic_step, step
from hmm_plating.transition.diffusion_layer import node_widths

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
INTERFACE = Interface(100e-9, 25e-9)
LITHIUM_SALT = Transport(concentration=1e3, diffusivity=3.197e-10, layer_thickness=2e-3)  # deep: 2 mm

UNRESOLVED = dataclasses.replace(LITHIUM_SALT, resolved=False)


def flat(rows=40):
    return film(torch.full((4,), 300e-9, dtype=torch.float64), rows, INTERFACE.width, INTERFACE.spacing)


def parameters(transport=LITHIUM_SALT, metal=None, **changes):
    return Parameters.from_materials(metal or Metal.lithium(), WATER, INTERFACE, transport=transport, **changes)


@pytest.mark.slow
def test_surface_is_depleted_at_sands_time_above_a_box_of_a_micrometre():
    """The design's row: 100 A/m² of lithium, 234 s (Sand 1901); c̃ falls as 1 − sqrt(t/t_S) and η by Nernst's law."""
    p, state = parameters(exchange_current_density=1e4), initial_state(flat())
    times, surface, overpotential = [], [], []
    for k in range(116):
        state = step(state, -100.0, 2.0, 0 * state.order_parameter, p)
        times.append(2.0 * (k + 1))
        surface.append(float(state.diffusion_layer[0]))
        overpotential.append(float(state.overpotential))
    with pytest.raises(DepletionError, match="Sand's time") as error:
        step(state, -100.0, 10.0, 0 * state.order_parameter, p)
    sand = LITHIUM_SALT.sand_time(100.0, 1)
    assert times[-1] + error.value.time == pytest.approx(sand, rel=0.02)
    for time, concentration, eta in list(zip(times, surface, overpotential, strict=True))[4::10]:
        assert concentration == pytest.approx(1 - math.sqrt(time / sand), abs=0.01)
        # j0 = 1e4 A/m² needs 0.13 mV at c̃ = 1, the rest is (RT/F) ln c̃
        kinetic = -2 * p.kinetic_voltage * math.asinh(100 / (2 * 1e4 * math.sqrt(concentration)))
        assert eta == pytest.approx(p.kinetic_voltage * math.log(concentration) + kinetic, rel=0.02)


@pytest.mark.slow
def test_one_long_step_ends_where_many_short_ones_do():
    p, state = parameters(), initial_state(flat(rows=120))
    long = step(state, -100.0, 150.0, 0 * state.order_parameter, p)
    for _ in range(50):
        state = step(state, -100.0, 3.0, 0 * state.order_parameter, p)
    assert float(long.diffusion_layer[0]) == pytest.approx(float(state.diffusion_layer[0]), abs=1e-3)
    assert float(long.overpotential) == pytest.approx(float(state.overpotential), rel=2e-3)


def test_no_current_flows_at_the_nernst_potential():
    """c̃ e^{−αy} = e^{(1−α)y} at y = ln c̃: zero net current, whatever α."""
    for alpha in (0.5, 0.3):
        p = parameters(UNRESOLVED, Metal("lithium", 534.0, 6.941e-3, 1, 0.525, 30.0, transfer_coefficient=alpha))
        depleted = step(initial_state(flat()), -100.0, 50.0, 0 * flat(), p)
        rested = step(depleted, 0.0, 1e-3, 0 * flat(), p)
        equilibrium = p.kinetic_voltage * math.log(float(rested.diffusion_layer[0]))
        assert float(rested.overpotential) == pytest.approx(equilibrium, abs=1e-6)
        held = potentiostatic_step(rested, equilibrium, 0.1, 0 * flat(), p)
        grown = float(thickness(held.order_parameter - rested.order_parameter, INTERFACE.spacing))
        # against what the exchange current density deposits in that time; the layer goes on relaxing
        assert abs(grown) < 0.03 * 30.0 * 0.1 / p.charge_per_volume


@pytest.mark.parametrize("alpha", [0.5, 0.3])
def test_tafel_slope(alpha):
    """A decade of current costs (RT/αzF) ln 10, within 2 % from 10 to 1000 times the exchange current density."""
    p = parameters(None, Metal("zinc", 7140.0, 65.38e-3, 2, 0.99, 0.3, transfer_coefficient=alpha))
    state, etas = initial_state(flat()), []
    for current in (-30.0, -300.0):
        etas.append(float(step(state, current, 1.0, 0 * state.order_parameter, p).overpotential))
    assert etas[0] - etas[1] == pytest.approx(p.kinetic_voltage / alpha * math.log(10), rel=0.02)


def test_a_strong_potential_draws_the_limiting_current():
    """Far into the plateau the current is zFDc0/δ, whatever the kinetics (Newman and Thomas-Alyea, ch. 17)."""
    transport = Transport(100.0, 1e-9, layer_thickness=20e-6, transference_number=0.3, resolved=False)
    p, state = parameters(transport), initial_state(flat())
    for eta in (-0.1, -0.2, -0.3, -0.4):
        state = potentiostatic_step(state, eta, 0.5, 0 * state.order_parameter, p)
    after = potentiostatic_step(state, -0.4, 0.5, 0 * state.order_parameter, p)
    grown = thickness(after.order_parameter, INTERFACE.spacing, after.base_thickness)
    grown -= thickness(state.order_parameter, INTERFACE.spacing, state.base_thickness)
    current = float(grown) * p.charge_per_volume / 0.5
    # the limiting current at c̃ = 0 less what still arrives at the surface
    surface = float(after.diffusion_layer[0])
    assert surface < 0.05
    assert current == pytest.approx(transport.limiting_current_density(1) * (1 - surface), rel=0.02)


def test_ions_of_layer_and_metal_are_conserved():
    """What left the layer is metal, but for what came in from the bulk: none within seconds of 2 mm. The box as a whole
    is in test_box.
    """
    p, state = parameters(UNRESOLVED), initial_state(flat())
    for current in (-80.0, -40.0, 0.0, 60.0):
        before, state = state, step(state, current, 1.0, 0 * state.order_parameter, p)
        lost = ((before.diffusion_layer - state.diffusion_layer) * node_widths(LITHIUM_SALT)).sum(-1) * 1e3
        grown = thickness(state.order_parameter - before.order_parameter, INTERFACE.spacing) * p.charge_per_volume
        assert float(lost) * FARADAY_CONSTANT == pytest.approx(float(grown), rel=1e-10, abs=1e-8)


@pytest.mark.slow
def test_gradient_reaches_the_diffusion_layer():
    values = torch.tensor([1e3, 3.197e-10, 50e-6, 0.2], dtype=torch.float64, requires_grad=True)

    def overpotential(values):
        c0, diffusivity, depth, share = values
        p = parameters(Transport(c0, diffusivity, depth, transference_number=share, resolved=False))
        state = initial_state(flat())
        for _ in range(3):
            state = step(state, -100.0, 2.0, 0 * state.order_parameter, p)
        return state.overpotential + state.diffusion_layer[1]

    (gradient,) = torch.autograd.grad(overpotential(values), values)
    for k in range(4):
        offset = torch.zeros_like(values)
        offset[k] = 1e-5 * float(values[k].detach())
        with torch.no_grad():
            difference = (overpotential(values + offset) - overpotential(values - offset)) / (2 * offset[k])
        assert float(gradient[k]) == pytest.approx(float(difference), rel=1e-6)
