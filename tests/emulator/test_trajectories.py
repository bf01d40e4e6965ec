"""Training data: charge, ranges and seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_source import RANGES, small_source

from hmm_plating.emulator.trajectories import THINNEST_FILM, Ranges, card_ranges, simulate_trajectories
from hmm_plating.errors import InputError


@pytest.mark.parametrize("depth", [None, 64e-9])
def test_the_metal_follows_the_current(depth: float | None) -> None:
    """Faraday's law, frame by frame, on the fields that are kept."""
    source = small_source(4 if depth else 10, depth)
    found = simulate_trajectories(source, 4, 3)
    columns = found.start[0].numel() // source.grid.shape[-2]
    heights = found.metal / columns * source.grid.spacing
    charge = float(found.parameters.charge_per_volume)
    torch.testing.assert_close(heights.diff(dim=0), -found.current * found.duration / charge, rtol=0, atol=1e-18)
    kept = torch.sigmoid(found.distance.double()).flatten(2).sum(-1)
    torch.testing.assert_close(kept, found.metal, rtol=2e-3, atol=0)


def test_plating_then_stripping_within_the_ranges() -> None:
    source = small_source(20)
    found = simulate_trajectories(source, 12, 5)
    assert RANGES.duration[0] <= found.duration <= RANGES.duration[1]
    assert float(found.current.abs().max()) <= RANGES.current_density[1] * (1 + 1e-9)
    strips, plates = found.current > 0, found.current < 0
    assert bool((strips.int().argmax(0) > (plates * torch.arange(20)[:, None]).amax(0)).all())
    assert 0.02 < float((found.current == 0).double().mean()) < 0.25
    left = found.metal[-1] / found.metal.amax(0)
    assert float(left.min()) >= RANGES.remaining[0] * (1 - 1e-9)
    film = found.metal[-1, 9:] / source.grid.shape[-1] * source.grid.spacing
    assert float(film.min()) >= THINNEST_FILM * source.grid.interface_width * (1 - 1e-6)
    energy = torch.as_tensor(found.parameters.surface_energy)
    assert RANGES.surface_energy[0] <= float(energy.min()) < float(energy.max()) <= RANGES.surface_energy[1]


def test_a_seed_is_a_batch() -> None:
    first, again, other = (simulate_trajectories(small_source(2), 3, seed) for seed in (1, 1, 2))
    assert torch.equal(first.distance, again.distance)
    assert torch.equal(first.noise, again.noise)
    assert not torch.equal(first.distance[0], other.distance[0])


def test_some_of_a_batch() -> None:
    whole = simulate_trajectories(small_source(2), 3, 1)
    part = whole.part(slice(1, 3))
    assert torch.equal(part.distance, whole.distance[:, 1:])
    assert torch.equal(part.coefficients.capillary_length, whole.coefficients.capillary_length[1:])
    assert part.coefficients.width == whole.coefficients.width


def test_the_card_has_the_ranges() -> None:
    ranges = card_ranges(small_source())
    assert ranges["exchange_current_density"] == (0.1, 1.0)
    assert ranges["interface_width"] == (16e-9, 16e-9)


def test_ranges_that_are_none() -> None:
    with pytest.raises(InputError, match="duration must be a lowest and a highest"):
        replace(RANGES, duration=(4.0, 2.0))
    with pytest.raises(InputError, match="surface_energy must be"):
        Ranges((1, 2), (1, 2), (1, 2), (0.0, 2), (0, 1))
