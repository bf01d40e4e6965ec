"""Fractions moved to where edges are felt: what must stay, symmetries, dimensions, and the derivative."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from surfaces import overhangs, profile

from hmm_plating.emission import felt_fraction
from hmm_plating.emission.curvature import free_rows


@given(st.floats(0, 1), st.integers(0, 4), st.integers(2, 9), st.sampled_from([2, 3]))
def test_flat_walls_stay_where_they_are(height, rows, width, dimensions):
    flat = (height + rows - torch.arange(8, dtype=torch.float64)).clamp(0, 1)[:, None].repeat(1, width)
    flat = flat if dimensions == 2 else flat.expand(3, 8, width)
    assert torch.equal(felt_fraction(flat, dimensions=dimensions), flat)


@given(st.integers(0, 1000))
def test_mirrors_shifts_and_extrusion(seed):
    """Sideways in both directions; a surface in two dimensions is one in three without an end."""
    fraction = overhangs(6, 9, seed)
    felt = felt_fraction(fraction)
    assert float(felt.min()) >= 0
    assert float(felt.max()) <= 1
    assert (felt_fraction(fraction.flip(-1)) - felt.flip(-1)).abs().max() < 1e-9
    assert (felt_fraction(fraction.roll(4, -1)) - felt.roll(4, -1)).abs().max() < 1e-12
    across = felt_fraction(fraction.expand(2, 6, 9), dimensions=3)
    along = felt_fraction(fraction.T[:, :, None].expand(9, 6, 3), dimensions=3)
    assert (across - felt).abs().max() < 1e-9
    assert (along[..., 0] - felt.T).abs().max() < 1e-9


def test_smooth_waves_stay_and_edges_rise():
    """A wave of 60 cells by less than 1e-3 of a cell; the corner of a block by a third of one."""
    wave = profile(lambda x: 3 * np.cos(2 * np.pi * x / 60), 60, 60, 0.3)
    assert (felt_fraction(wave) - wave).abs().max() < 1e-3
    block = torch.zeros(9, 16, dtype=torch.float64)
    block[:6, 4:12] = 1
    raised = felt_fraction(block) - block
    assert 0.1 < float(raised.max()) < 0.6
    corner = {tuple(cell) for cell in (raised > 0.05).nonzero().tolist()}
    assert corner
    assert all(min(abs(y - 5), abs(y - 6)) <= 1 and min(abs(x - 3.5), abs(x - 11.5)) <= 1.5 for y, x in corner)


def test_edges_get_their_room():
    """As many rows of liquid above an edge as it may fill, none above a bare crystal."""
    block = torch.zeros(7, 8, dtype=torch.float64)
    block[:5, 2:5] = 1
    assert [free_rows(block[:rows]) for rows in (5, 6, 7)] == [3, 2, 1]
    assert free_rows(0 * block) == 0
    tall = torch.nn.functional.pad(block, (0, 0, 0, 9))
    assert free_rows(tall) == 0
    assert float(felt_fraction(tall)[8:].abs().max()) == 0


@pytest.mark.parametrize("dimensions", [2, 3])
def test_derivative_is_the_central_difference(dimensions):
    fraction = overhangs(5, 6, 1, None if dimensions == 2 else 4).clamp(0.01, 0.99)
    direction = torch.randn(fraction.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def value(t):
        return (felt_fraction(fraction + t * direction, dimensions=dimensions) * weight).sum()

    weight = torch.randn(fraction.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaf = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value(leaf).backward()
    step = 1e-6
    expected = (value(step) - value(-step)) / (2 * step)
    torch.testing.assert_close(leaf.grad, expected, rtol=1e-6, atol=0)
