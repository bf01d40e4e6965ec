"""The surrogate's exact limits, its derivative, and files and uses that it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_surrogate import COLUMNS, ROWS, SPACING, small_surrogate
from torch import Tensor

from hmm_plating import Electrolyte, Metal, Resonator, emission
from hmm_plating.emulator import EmissionSurrogate, save_weights
from hmm_plating.emulator.emission_surrogate import DEGREE, chebyshev
from hmm_plating.errors import InputError

WATER = Electrolyte(997.05, 0.89e-3)
QUARTZ = Resonator()
OVERTONES = (3, 7, 11)


def rough(seed: int, batch: tuple[int, ...] = ()) -> Tensor:
    """Surfaces without overhangs, liquid in the top row."""
    generator = torch.Generator().manual_seed(seed)
    modes = torch.randn(*batch, COLUMNS, generator=generator, dtype=torch.float64)
    height = 5 + (modes + modes.roll(1, -1) + modes.roll(2, -1)).clamp(-4, 5)
    return (height[..., None, :] - torch.arange(ROWS, dtype=torch.float64)[:, None]).clamp(0, 1)


def load(surrogate: EmissionSurrogate, surface: Tensor, metal: Metal | None = None) -> Tensor:
    return surrogate.load_impedance(surface, SPACING, OVERTONES, WATER, QUARTZ, metal)


@settings(max_examples=20)
@given(st.floats(0, ROWS - 1))
def test_a_flat_wall_has_its_own_load(height: float) -> None:
    """√(iωρη), wherever the wall stands in its cell, to the last digit: the first guess vanishes."""
    surface = (height - torch.arange(ROWS, dtype=torch.float64)).clamp(0, 1)[:, None].expand(ROWS, COLUMNS)
    assert torch.equal(load(small_surrogate(), surface), emission.kanazawa_gordon(OVERTONES, WATER, QUARTZ))


def test_a_bare_crystal_is_always_trusted() -> None:
    never = small_surrogate(trusted=False)
    surfaces = torch.stack([torch.zeros(ROWS, COLUMNS, dtype=torch.float64), rough(1)])
    assert never.guess(surfaces, SPACING, OVERTONES, WATER, QUARTZ).trusted.tolist() == [True, False]


@settings(max_examples=20)
@given(st.integers(0, 100), st.integers(1, COLUMNS - 1))
def test_shifts_and_mirror_images_change_nothing(seed: int, shift: int) -> None:
    """To the rounding of single precision, of the excess."""
    surrogate, surface = small_surrogate(), rough(seed)
    flat = emission.kanazawa_gordon(OVERTONES, WATER, QUARTZ)
    excess = load(surrogate, surface) - flat
    for same in (surface.roll(shift, -1), surface.flip(-1), surface.flip(-1).roll(shift, -1)):
        torch.testing.assert_close(load(surrogate, same) - flat, excess, rtol=1e-5, atol=0)


def test_without_training_it_is_the_first_guess() -> None:
    """Urbakh and Daikhin, here as sums over modes by hand."""
    surrogate = small_surrogate(wrong=0.0)
    surface = rough(3)
    height = surface.sum(0) * SPACING
    mode = (torch.arange(COLUMNS)[:, None] * torch.arange(COLUMNS)).double()
    amplitude = (height * torch.exp(-2j * torch.pi * mode / COLUMNS)).mean(-1)
    order = torch.minimum(torch.arange(COLUMNS), COLUMNS - torch.arange(COLUMNS))
    q = 2 * torch.pi * order.double() / (COLUMNS * SPACING)
    for index, overtone in enumerate(OVERTONES):
        omega = QUARTZ.angular_frequency(overtone)
        k = (1 + 1j) / WATER.penetration_depth(omega)
        excess = (k * amplitude.abs() ** 2 * (torch.sqrt(k**2 + q**2) - k + q))[1:].sum()
        expected = (1j * omega * WATER.density * WATER.viscosity) ** 0.5 * (1 + excess)
        torch.testing.assert_close(load(surrogate, surface)[index], expected, rtol=1e-9, atol=0)


def test_batches_and_the_inertia_of_the_metal() -> None:
    surrogate, surfaces, zinc = small_surrogate(), rough(1, (2, 3)), Metal.zinc()
    loads = load(surrogate, surfaces)
    assert loads.shape == (2, 3, 3)
    torch.testing.assert_close(loads[1, 2], load(surrogate, surfaces[1, 2]), rtol=1e-6, atol=0)
    thickness = surfaces.sum((-2, -1)) * SPACING / COLUMNS
    inertia = emission.sauerbrey(zinc.density * thickness, OVERTONES, QUARTZ)
    torch.testing.assert_close(load(surrogate, surfaces, zinc) - loads, inertia, rtol=1e-9, atol=1e-9)


def test_derivative() -> None:
    """Against central differences, with the networks in double precision."""
    made = small_surrogate()
    surrogate = dataclasses.replace(made, networks=tuple(network.double() for network in made.networks))
    surface = rough(2).requires_grad_()
    scale = emission.kanazawa_gordon(OVERTONES, WATER, QUARTZ)
    assert torch.autograd.gradcheck(lambda s: load(surrogate, s) / scale, (surface,), eps=1e-5, atol=1e-7)


def test_polynomials_are_chebyshevs() -> None:
    depth = torch.logspace(0, 1, 7, dtype=torch.float64)
    angle = torch.arccos(torch.linspace(-1, 1, 7, dtype=torch.float64))
    expected = torch.cos(torch.arange(DEGREE + 1) * angle[:, None])
    torch.testing.assert_close(chebyshev(depth, (1.0, 10.0)), expected, rtol=0, atol=1e-12)


def test_files_come_back(tmp_path: Path) -> None:
    surrogate = small_surrogate()
    surrogate.save(tmp_path / "w.safetensors")
    again = EmissionSurrogate.load(tmp_path / "w.safetensors")
    assert again.card == surrogate.card
    assert all(torch.equal(a, b) for a, b in zip(again.trust, surrogate.trust, strict=True))
    assert torch.equal(load(again, rough(4)), load(surrogate, rough(4)))


def test_a_card_of_another_network(tmp_path: Path) -> None:
    path, surrogate = tmp_path / "w.safetensors", small_surrogate()
    dataclasses.replace(surrogate, card=dataclasses.replace(surrogate.card, architecture={"rows": 3})).save(path)
    with pytest.raises(InputError, match=r"describes no emission network.*columns"):
        EmissionSurrogate.load(path)
    wider = {**surrogate.card.architecture, "channels": 9}
    dataclasses.replace(surrogate, card=dataclasses.replace(surrogate.card, architecture=wider)).save(path)
    with pytest.raises(InputError, match="another network than their card says"):
        EmissionSurrogate.load(path)


def test_weights_of_the_transition(tmp_path: Path) -> None:
    card = dataclasses.replace(small_surrogate().card, kind="transition")
    save_weights(tmp_path / "w.safetensors", {"a": torch.zeros(2)}, card)
    with pytest.raises(InputError, match="belong to the transition, not to the emission"):
        EmissionSurrogate.load(tmp_path / "w.safetensors")


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    small_surrogate().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        EmissionSurrogate.load(path)


def test_another_grid_or_liquid() -> None:
    surrogate, surface = small_surrogate(), rough(0)
    with pytest.raises(InputError, match="cells of 8e-09 m, not of 4e-09 m"):
        surrogate.load_impedance(surface, 4e-9, OVERTONES, WATER, QUARTZ)
    with pytest.raises(InputError, match=r"boxes of 12 × 16 cells.*not of 12 × 15"):
        surrogate.load_impedance(surface[:, :-1], SPACING, OVERTONES, WATER, QUARTZ)
    with pytest.raises(InputError, match=r"penetration_depth = .* lies outside 5e-08 to 4e-07"):
        surrogate.load_impedance(surface, SPACING, OVERTONES, Electrolyte(1000, 50e-3), QUARTZ)
