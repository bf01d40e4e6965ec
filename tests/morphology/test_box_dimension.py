"""Box dimension of lines, planes, a Koch curve, a carpet and a sponge, whose dimensions are known."""

import math

import numpy as np
import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.morphology import box_dimension


def koch_curve(generations: int, rows: int) -> torch.Tensor:
    """Metal below the quadratic Koch curve of eight segments of a quarter: dimension ln 8/ln 4 (Mandelbrot 1982)."""
    word = "F"
    for _ in range(generations):
        word = word.replace("F", "F+F-F-FF+F+F-F")
    place, direction = 0j, 1 + 0j
    metal = np.zeros((rows, 4**generations), dtype=int)
    for letter in word:
        if letter != "F":
            direction *= 1j if letter == "+" else -1j
            continue
        if abs(direction.imag) < 0.5:  # a horizontal edge bounds the metal of its column
            column = round(min(place.real, (place + direction).real)) % metal.shape[1]
            metal[: round(place.imag) + rows // 2, column] += round(direction.real)
        place += direction
    assert set(np.unique(metal)) == {0, 1}
    return torch.from_numpy(metal.astype(float))


def test_koch_curve():
    """3/2, between edges of three generations of the construction; the finite curve lies a little below."""
    curve = koch_curve(5, 1600)
    assert float(box_dimension(curve, 4, 64)) == pytest.approx(1.5, abs=0.03)
    assert float(box_dimension(curve.roll(217, -1).flip(-1), 4, 64)) == pytest.approx(
        float(box_dimension(curve, 4, 64)), abs=1e-12
    )


def test_smooth_surfaces_are_lines_and_planes():
    flat = (torch.arange(48)[:, None] < 20).double().expand(3, 48, 72)
    torch.testing.assert_close(box_dimension(flat), torch.ones(3, dtype=torch.float64), rtol=1e-12, atol=0)
    volume = flat[:1].expand(32, -1, -1)
    assert float(box_dimension(volume, dimensions=3)) == pytest.approx(2, abs=1e-12)
    radius = ((torch.arange(256)[:, None] - 128.3) ** 2 + (torch.arange(256) - 127.6) ** 2).sqrt()
    assert float(box_dimension((radius < 90).double(), 1, 8)) == pytest.approx(1, abs=0.02)
    assert torch.isnan(box_dimension(torch.zeros(16, 32)))


@pytest.mark.parametrize(
    ("generations", "dimensions", "edges", "dimension"),
    [(6, 2, (3, 24), math.log(8) / math.log(3)), (4, 3, (3, 12), math.log(20) / math.log(3))],
)
def test_sierpinski_carpet_and_menger_sponge(generations, dimensions, edges, dimension):
    """ln 8/ln 3 and ln 20/ln 3 (Mandelbrot 1982)."""
    middle = torch.stack(torch.meshgrid(*[torch.arange(3) == 1] * dimensions, indexing="ij")).sum(0)
    sponge = solid = (middle < 2).double()
    for _ in range(generations - 1):
        sponge = torch.kron(solid, sponge)
    assert float(box_dimension(sponge, *edges, dimensions)) == pytest.approx(dimension, abs=0.012)


def test_impossible_boxes_are_refused():
    field = torch.zeros(8, 8)
    for arguments in ({"smallest": 4, "largest": 7}, {"smallest": 0, "largest": 4}, {"largest": 16}, {"dimensions": 3}):
        with pytest.raises(InputError, match="box"):
            box_dimension(field, **arguments)
