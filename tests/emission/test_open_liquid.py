"""The liquid above the highest metal, where a solve ends: against boxes that contain it, and forward differences."""

import pytest
import torch
from surfaces import random_surface

from hmm_plating.emission import solve
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ, SPACING = Electrolyte(997.05, 0.890e-3), Resonator(), 6e-9
OVERTONES = [1, 3, 5, 7, 9, 11, 13]
TIGHT = {"tolerance": 1e-14, "absolute_tolerance": 1e-13}


def under_liquid(rows, dimensions, seed=0):
    """Two surfaces of different height under liquid, (surface, [z,] y, x)."""
    high = random_surface(4, 8, seed) if dimensions == 2 else torch.stack([random_surface(4, 8, s) for s in range(3)])
    low = high.clone()
    low[..., 2:, :] = 0
    return torch.nn.functional.pad(torch.stack([high, low]), (0, 0, 0, rows))


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_gradient_and_field_are_those_of_a_box_that_contains_the_liquid(dimensions, backend):
    """A trace of metal in one cell below the top row makes a box that leaves nothing out."""
    surfaces = under_liquid(6, dimensions)
    whole = surfaces.clone()
    whole[..., -2, 3] = 1e-13
    options = {**TIGHT, "dimensions": dimensions, "keep_gradient": True, "backend": backend}
    cut, full = (solve(s, SPACING, OVERTONES[1::3], WATER, QUARTZ, **options) for s in (surfaces, whole))
    assert (cut.applications < full.applications).all()
    for computed, expected in ((cut.gradient, full.gradient), (cut.field, full.field)):
        error, size = (part.abs().flatten(2).amax(2) for part in (computed - expected, expected))
        assert (error / size).max() < 1e-6  # of the field: the square root of the load's


def test_gradient_in_open_liquid_is_the_forward_difference():
    """1e-6 of every overtone's derivative, real and imaginary part apart, one to five rows above the metal."""
    surface = under_liquid(6, 2, seed=1)[0]
    options = {**TIGHT, "keep_field": False}
    gradient = solve(surface, SPACING, OVERTONES, WATER, QUARTZ, **options, keep_gradient=True).gradient
    for row, column in ((4, 2), (5, 7), (8, 0)):
        bumped = torch.stack([surface] * 6)
        bumped[:, row, column] = torch.arange(6) * 1e-3
        loads = solve(bumped, SPACING, OVERTONES, WATER, QUARTZ, **options).load
        weights = torch.tensor([-137 / 60, 5, -5, 10 / 3, -5 / 4, 1 / 5], dtype=torch.complex128)  # fifth order
        expected = (weights @ loads) / 1e-3
        computed = gradient[:, row, column]
        assert ((computed - expected).abs() / expected.abs()).max() < 1e-6
