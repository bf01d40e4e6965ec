"""The gradient of every overtone, real and imaginary part apart, against central differences."""

import pytest
import torch
from surfaces import overhangs

from hmm_plating.emission import load_impedance, solid_fraction
from hmm_plating.materials import Electrolyte, Metal, Resonator

WATER, QUARTZ, SPACING = Electrolyte(997.05, 0.890e-3), Resonator(), 6e-9
OVERTONES = [1, 3, 5, 7, 9, 11, 13]
TIGHT = {"tolerance": 1e-14, "absolute_tolerance": 1e-13}


def parts(load):
    """Real and imaginary part of every overtone, float (14,)."""
    return torch.view_as_real(load).flatten()


def differences(value, point, cells, step):
    """Central differences of five points, whose truncation error is of fourth order, (cell, output)."""
    rows = []
    for cell in cells:
        bump = torch.zeros_like(point)
        bump[cell] = step
        first, second = ((value(point + s * bump) - value(point - s * bump)) / (2 * s * step) for s in (1, 2))
        rows.append((4 * first - second) / 3)
    return torch.stack(rows)


def jacobian(value, point, cells):
    tracked = point.clone().requires_grad_()
    outputs = value(tracked)
    rows = [torch.autograd.grad(output, tracked, retain_graph=True)[0] for output in outputs]
    return torch.stack([torch.stack([row[cell] for row in rows]) for cell in cells])


@pytest.mark.parametrize(("seed", "dimensions"), [(0, 2), (1, 2), (2, 2), (3, 3), (4, 3)])
def test_gradient_on_random_overhangs(seed, dimensions):
    """1e-6 of the cell's derivative: solid, partial and liquid cells in any order, closed pores among them."""
    fraction = overhangs(5, 8, seed) if dimensions == 2 else overhangs(4, 4, seed, 3)
    metal = Metal.zinc() if seed % 2 else None

    def value(surface):
        return parts(load_impedance(surface, SPACING, OVERTONES, WATER, QUARTZ, metal, **TIGHT, dimensions=dimensions))

    cells = [tuple(cell) for cell in ((fraction > 0.01) & (fraction < 0.99)).nonzero()[1::4].tolist()]
    assert len(cells) >= 4
    expected, computed = differences(value, fraction, cells, 1e-4), jacobian(value, fraction, cells)
    size = torch.view_as_complex(expected.reshape(len(cells), -1, 2)).abs().repeat_interleave(2, -1)
    assert ((computed - expected).abs() / size).max() < 1e-6


def test_gradient_reaches_the_order_parameter():
    """A wavy diffuse interface of four cells and a grain above it: ∂Z/∂ξ through the cell fractions."""
    y, x = torch.meshgrid(torch.arange(12) + 0.5, torch.arange(10) + 0.5, indexing="ij")
    wall = 4.2 + 1.1 * torch.sin(2 * torch.pi * x / 10)
    distance = torch.maximum(wall - y, 1.9 - torch.hypot(y - 8.3, x - 4.6)).double()
    field = 0.5 * (1 + torch.tanh(2 * distance / 4))

    def value(order_parameter):
        fraction = solid_fraction(order_parameter, 4 * SPACING, SPACING)
        return parts(load_impedance(fraction, SPACING, OVERTONES, WATER, QUARTZ, Metal.zinc(), **TIGHT))

    cells = [(4, 1), (5, 3), (3, 7), (6, 5), (8, 3), (9, 5)]
    # kinks lie where a cell's cut passes a corner or a cell starts to fill: a small step, and a tolerance for its noise
    expected, computed = differences(value, field, cells, 8e-6), jacobian(value, field, cells)
    size = torch.view_as_complex(expected.reshape(len(cells), -1, 2)).abs().repeat_interleave(2, -1)
    assert bool((size > 0).all())
    assert ((computed - expected).abs() / size).max() < 2e-5
