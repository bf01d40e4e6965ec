"""Which surfaces are known, and that strange ones are not: a long needle, a closed pore, a comb, a tall film."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hmm_plating.emulator.trust import QUANTILE, Trust, descriptors, relief_descriptors

ROWS, COLUMNS = 32, 64


def islands(seed: int, count: int) -> Tensor:
    """Caps at random places, up to nine cells high (surface, y, x)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.arange(COLUMNS).float()
    height = torch.zeros(count, COLUMNS)
    for _ in range(5):
        centre, radius = (torch.rand(count, 1, generator=generator) * scale for scale in (COLUMNS, 9))
        distance = (x - centre).abs()
        distance = torch.minimum(distance, COLUMNS - distance)
        height = torch.maximum(height, (radius.square() - distance.square()).clamp(min=0).sqrt())
    return (height[:, None] - torch.arange(ROWS)[:, None]).clamp(0, 1)


@pytest.fixture(scope="module")
def trust() -> Trust:
    return Trust.calibrate(descriptors(islands(0, 4000)), descriptors(islands(1, 1000)), torch.linspace(0, 0.01, 1000))


def test_surfaces_like_those_of_the_training_are_trusted(trust: Trust) -> None:
    known = trust.trusted(descriptors(islands(2, 2000)), torch.zeros(2000))
    assert float(known.float().mean()) > QUANTILE - 0.01


def strange(name: str) -> Tensor:
    surface = islands(3, 1)
    if name == "needle":
        surface[0, :28, 20:22] = 1
    elif name == "closed pore":
        surface[0, :8, 10:30] = 1
        surface[0, 3:6, 15:25] = 0
    elif name == "comb":
        surface[0, :14, ::4] = 1
    elif name == "tall film":
        surface[0, :20] = 1
    return surface


@pytest.mark.parametrize("name", ["needle", "closed pore", "comb", "tall film"])
def test_strange_surfaces_are_not(trust: Trust, name: str) -> None:
    assert not bool(trust.trusted(descriptors(strange(name)), torch.zeros(1)))


def test_networks_that_disagree_are_not_trusted(trust: Trust) -> None:
    surfaces = descriptors(islands(2, 2))
    assert trust.trusted(surfaces, torch.tensor([0.001, 0.1])).tolist() == [True, False]


def test_descriptors_by_hand() -> None:
    surface = torch.zeros(1, 6, 4)
    surface[0, :2, 0] = 1
    surface[0, 2, 0] = 0.5  # a column of 2.5 cells
    surface[0, 3, 1] = 1  # metal over three cells of liquid
    found = descriptors(surface)[0].tolist()
    heights = torch.tensor([2.5, 1.0, 0.0, 0.0])
    steps = [1.5, 1.0, 0.0, 2.5]
    expected = [
        3.5 / 4,
        float(heights.std(correction=0)),
        2.5,
        4.0,
        sum(steps) / 4,
        2.5,
        0.5,
        3 / 4,
        3.0,
    ]
    assert found == pytest.approx(expected)


def test_a_film_below_changes_no_relief() -> None:
    bare, raised = islands(3, 4).clamp(min=0), torch.ones(4, ROWS, COLUMNS)
    raised[:, 8:] = bare[:, :-8]
    bare[:, 0] = raised[:, 8] = 1  # no gaps: what covers the crystal does not tell them apart
    torch.testing.assert_close(relief_descriptors(raised), relief_descriptors(bare))


def test_a_section_extruded_is_described_alike() -> None:
    """But for its steps: there are none along the third axis."""
    flat = islands(3, 4)
    found = descriptors(flat[:, None].expand(-1, 6, -1, -1), 3)
    expected = descriptors(flat)
    expected[:, 4] /= 2
    torch.testing.assert_close(found, expected)
