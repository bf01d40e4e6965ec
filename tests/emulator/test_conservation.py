"""Charge is kept by an even displacement."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmm_plating.emulator.conservation import conserving_shift


def rough(seed: int, rows: int = 24, columns: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    height = rows / 2 + torch.randn(1, 1, columns, generator=generator, dtype=torch.float64)
    return height - torch.arange(rows, dtype=torch.float64)[:, None] - 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-9, 1 - 1e-9), st.floats(4, 8))
def test_the_metal_is_what_was_wanted_to_round_off(seed: int, part: float, width: float) -> None:
    distance = rough(seed)
    metal = torch.tensor([part * distance.numel()], dtype=torch.float64)
    shift = conserving_shift(distance, metal, width)
    found = torch.sigmoid(4 / width * (distance + shift)).sum()
    assert abs(float(found) - float(metal)) <= 1e-12 * distance.numel()


def test_a_flat_front_moves_by_the_metal_per_column() -> None:
    distance = rough(0) * 0 + 12 - torch.arange(24, dtype=torch.float64)[:, None] - 0.5
    before = torch.sigmoid(distance).sum((1, 2))
    shift = conserving_shift(distance, before + 16 * 1.75, 4.0)
    torch.testing.assert_close(shift, torch.tensor([1.75], dtype=torch.float64), rtol=0, atol=1e-4)


def test_gradients() -> None:
    distance = rough(3, 8, 4).requires_grad_()
    metal = torch.tensor([13.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d, m: conserving_shift(d, m, 4.0), (distance, metal))


def test_particles_do_not_know_of_each_other() -> None:
    both = torch.cat([rough(1), rough(2) - 6])
    metal = torch.tensor([150.0, 3.0], dtype=torch.float64)
    alone = [conserving_shift(both[k : k + 1], metal[k : k + 1], 4.0) for k in range(2)]
    torch.testing.assert_close(conserving_shift(both, metal, 4.0), torch.cat(alone), rtol=0, atol=1e-13)


def test_a_surface_that_has_its_metal_stays() -> None:
    """A root that is met exactly is not left again."""
    for seed in range(20):
        distance = rough(seed)
        metal = torch.sigmoid(distance).sum((1, 2))
        with torch.no_grad():
            assert float(conserving_shift(distance, metal, 4.0)) == 0
