"""Charge forth and back: the metal returns to the bare crystal, and every coulomb is on the books (Faraday's law)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.morphology import film, nuclei
from hmm_plating.transition import Interface, Parameters, add_metal, initial_state, potentiostatic_step, step

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
WIDTH, SPACING = 16e-9, 4e-9


def parameters(dimensions=2, **changes):
    return Parameters.from_materials(Metal.zinc(), WATER, Interface(WIDTH, SPACING, dimensions), **changes)


def caps(rows, columns, dimensions):
    """Nuclei on the bare crystal: random ones of a section, one hemisphere of a volume."""
    if dimensions == 2:
        generator = torch.Generator().manual_seed(1)
        uniform = 1 - torch.rand(1, 16, generator=generator, dtype=torch.float64)
        normal = torch.randn(1, 16, generator=generator, dtype=torch.float64)
        return nuclei(uniform, normal, 1e7, 12e-9, 0.3, (rows, columns), WIDTH, SPACING)
    x = (torch.arange(columns, dtype=torch.float64) + 0.5 - columns / 2) * SPACING
    y = (torch.arange(rows, dtype=torch.float64) + 0.5) * SPACING
    return torch.sigmoid(4 * (14e-9 - torch.sqrt(x[:, None, None] ** 2 + y[:, None] ** 2 + x**2)) / WIDTH)[None]


def rough_film(rows, columns, dimensions):
    """A compact film of 60 nm with waves of 6 nm."""
    phase = 2 * math.pi * torch.arange(columns, dtype=torch.float64) / columns
    height = 60e-9 + 4e-9 * torch.cos(phase + 0.3) + 2e-9 * torch.sin(2 * phase)
    if dimensions == 2:
        return film(height, rows, WIDTH, SPACING)[None]
    return film(height + 3e-9 * torch.cos(phase)[:, None], rows, WIDTH, SPACING)[None]


def metal(state, p):
    """Thickness [m], summed here and not taken from the package."""
    field = state.order_parameter.flatten(1).sum(1)
    rows = state.order_parameter.shape[-2]
    return state.base_thickness + field * SPACING * rows / state.order_parameter[0].numel()


def unbooked(before, after, charge, p):
    grown = p.charge_per_volume * (metal(after, p) - metal(before, p))
    deferred, side = after.deferred_charge - before.deferred_charge, after.side_charge - before.side_charge
    return charge - grown - deferred - side


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("amplitude", [0.0, 3.0])
def test_nuclei_plated_and_stripped_leave_the_bare_crystal(dimensions, amplitude):
    """60 nm from nuclei, the same charge back: less than 1 % of the metal is left (design, section 3.3)."""
    p = parameters(dimensions, noise_amplitude=amplitude)
    cells = (48, 96) if dimensions == 2 else (20, 48, 20)
    bare = initial_state(torch.zeros(1, *cells, dtype=torch.float64), dimensions)
    start = add_metal(bare, caps(48, cells[-1], dimensions), p)
    generator = torch.Generator().manual_seed(0)
    charge, parts = 60e-9 * p.charge_per_volume, 8
    state = start
    for sign in [-1] * parts + [1] * parts:
        noise = torch.randn(state.order_parameter.shape, generator=generator, dtype=torch.float64)
        state = step(state, sign * 10.0, charge / parts / 10.0, noise, p)
    assert float(metal(state, p)) < 0.01 * 60e-9
    assert float(unbooked(bare, state, 0.0, p)) == pytest.approx(0, abs=1e-10 * charge)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_film_plated_and_stripped_is_the_film_it_was(dimensions):
    """90 nm on a film and back, the window following: its metal to round-off; then the film itself, to the crystal."""
    p = parameters(dimensions)
    surface = rough_film(40, 24 if dimensions == 3 else 48, dimensions)
    start = state = initial_state(surface, dimensions)
    for current in (-10.0,) * 6 + (10.0,) * 6:
        state = step(state, current, 15e-9 * p.charge_per_volume / 10.0, 0 * surface, p)
    assert float(metal(state, p)) == pytest.approx(float(metal(start, p)), rel=1e-10)
    assert float(state.side_charge) == 0
    thickness = float(metal(start, p))
    for _ in range(6):
        state = step(state, 10.0, thickness / 6 * p.charge_per_volume / 10.0, 0 * surface, p)
    assert float(metal(state, p)) < 0.01 * thickness
    books = unbooked(start, state, -thickness * p.charge_per_volume, p)
    assert float(books) == pytest.approx(0, abs=1e-10 * thickness * p.charge_per_volume)


SEGMENT = st.tuples(st.sampled_from(["plate", "strip", "rest", "hold"]), st.floats(0.05, 1), st.floats(0.2, 3))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(SEGMENT, min_size=2, max_size=6),
    st.integers(0, 100),
    st.floats(0.3, 1.0),
    st.sampled_from([0.0, 3.0]),
    st.booleans(),
)
def test_books_close_over_pulses_rests_and_held_potentials(segments, seed, efficiency, amplitude, bare):
    """Any order, losses included: to 1e-10 of the charge that flowed. A held potential's charge is its metal's."""
    p = parameters(noise_amplitude=amplitude, current_efficiency=efficiency)
    surface = caps(48, 64, 2) if bare else rough_film(48, 64, 2)
    state = initial_state(0 * surface if bare else surface)
    start, charge, flowed, cathodic = state, 0.0, p.charge_per_volume * 1e-9, 0.0
    if bare:
        state = add_metal(state, surface, p)
    generator = torch.Generator().manual_seed(seed)
    for kind, strength, duration in segments:
        noise = torch.randn(surface.shape, generator=generator, dtype=torch.float64)
        if kind == "hold":
            before = state
            state = potentiostatic_step(state, 0.05 * (2 * strength - 1), duration, noise, p)
            passed = p.charge_per_volume * float(metal(state, p) - metal(before, p))
            assert torch.equal(state.side_charge, before.side_charge)
        else:
            current = {"plate": -30.0, "strip": 30.0, "rest": 0.0}[kind] * strength
            state = step(state, current, duration, noise, p)
            passed = -current * duration
            cathodic += max(passed, 0.0)
        charge, flowed = charge + passed, flowed + abs(passed)
    assert float(unbooked(start, state, charge, p).abs().max()) < 1e-10 * flowed
    # losses never count negative, and no more than the cathodic charge's share; stripping of bare crystal is anodic
    assert float(state.side_charge) <= (1 - efficiency) * cathodic + 1e-10 * flowed
    assert float(metal(state, p)) >= 0
