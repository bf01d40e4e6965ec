"""The window follows the deposit and conserves metal."""

import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.morphology import coverage, film, surface_height, thickness
from hmm_plating.transition import Interface, Parameters, State, initial_state, step
from hmm_plating.transition.moving_window import shift_window

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
INTERFACE = Interface(16e-9, 4e-9)
ROWS = 40


def rough(columns=32, mean=80e-9, amplitude=10e-9):
    x = torch.arange(columns, dtype=torch.float64)
    height = mean + amplitude * torch.cos(2 * torch.pi * x / columns)
    return film(torch.stack([height, height - 20e-9]), ROWS, INTERFACE.width, INTERFACE.spacing)


def metal_thickness(state: State):
    return thickness(state.order_parameter, INTERFACE.spacing, state.base_thickness)


@pytest.mark.parametrize(
    ("backend", "plated"), [("numba", 300e-9), pytest.param("torch", 60e-9, marks=pytest.mark.slow)]
)
def test_plating_beyond_the_box_and_back(backend, plated):
    """From 80 nm in a box of 160 nm: metal to round-off, rough surface kept, bare crystal at the end."""
    p = Parameters.from_materials(Metal.zinc(), WATER, INTERFACE)
    state = start = initial_state(rough(columns=16))
    still = torch.zeros_like(state.order_parameter)
    charge = plated * p.charge_per_volume
    for _ in range(6):
        state = step(state, -charge / 600, 100.0, still, p, backend)
    assert bool((state.base_thickness[0] > plated - 40e-9).all())
    torch.testing.assert_close(metal_thickness(state) - metal_thickness(start), torch.full((2,), plated).double())
    assert float(coverage(state.order_parameter, state.base_thickness).min()) == 1
    height = surface_height(state.order_parameter, INTERFACE.spacing, state.base_thickness)
    torch.testing.assert_close(height.mean(-1), metal_thickness(state), rtol=0.01, atol=0)
    assert float(height.amax() - height.amin()) > 5e-9
    for _ in range(6):
        state = step(state, charge / 600, 100.0, still, p, backend)
    torch.testing.assert_close(metal_thickness(state), metal_thickness(start), rtol=1e-10, atol=0)
    assert float(state.side_charge.abs().max()) == 0
    for _ in range(3):
        state = step(state, 40e-9 * p.charge_per_volume / 100, 100.0, still, p, backend)
    assert float(metal_thickness(state).abs().max()) == 0


def test_shift_conserves_metal_and_moves_rows_only():
    field = rough(mean=130e-9)
    base = torch.tensor([3.0, 0.0], dtype=torch.float64)
    shifted, new_base, rise = shift_window(field, base, 4, INTERFACE.spacing)
    assert bool((rise != 0).any())
    before = base + field.sum((-2, -1)) / field.shape[-1]
    after = new_base + shifted.sum((-2, -1)) / field.shape[-1]
    torch.testing.assert_close(after, before, rtol=1e-14, atol=0)
    rows = round(float(new_base[0]) - 3)
    assert rows > 10
    torch.testing.assert_close(shifted[0, : ROWS - rows], field[0, rows:], rtol=0, atol=0)


def test_metal_comes_back_above_the_rigid_base():
    field = rough(mean=14e-9, amplitude=4e-9)[:1]
    base = torch.tensor([7.5], dtype=torch.float64)
    shifted, new_base, rise = shift_window(field, base, 4, INTERFACE.spacing)
    assert bool((rise != 0).any())
    torch.testing.assert_close(
        new_base + shifted.sum((-2, -1)) / 32, base + field.sum((-2, -1)) / 32, rtol=1e-14, atol=0
    )
    assert float(shifted[0, :3].min()) > 0.9


def test_box_too_low_names_the_height():
    """Pillars over a bare crystal leave no solid row: the box cannot follow."""
    p = Parameters.from_materials(Metal.zinc(), WATER, INTERFACE)
    field = torch.zeros(ROWS, 64, dtype=torch.float64)
    x = torch.arange(64, dtype=torch.float64)
    field[:30] = torch.sigmoid(16 - (x - 31.5).abs())
    with pytest.raises(InputError, match=r"box too low for this deposit.*at least .* m high"):
        step(initial_state(field), -20.0, 60.0, 0 * field, p)
