"""The multiscale network: symmetries that its construction promises, in sections and boxes."""

from __future__ import annotations

import pytest
import torch

from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork, coarsened, refined
from hmm_plating.errors import InputError

CELLS = {2: (16, 8), 3: (8, 16, 8)}


def network(dimensions: int, **changes: int) -> MultiscaleNetwork:
    torch.manual_seed(1)
    return MultiscaleNetwork(Architecture(dimensions, inputs=3, **changes)).double()


def fields(dimensions: int, particles: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(particles, 3, *CELLS[dimensions], generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_coarse_and_fine_grids_have_the_same_mean(dimensions: int) -> None:
    seen = fields(dimensions)
    axes = tuple(range(2, seen.ndim))
    coarse = coarsened(seen)
    torch.testing.assert_close(coarse.mean(axes), seen.mean(axes))
    torch.testing.assert_close(refined(coarse).mean(axes), seen.mean(axes))
    torch.testing.assert_close(coarsened(refined(coarse)), coarse)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_one_prediction_per_scale_on_its_own_grid(dimensions: int) -> None:
    predictions = network(dimensions)(fields(dimensions))
    assert [tuple(one.shape) for one in predictions] == [
        (2, *(count // 2**scale for count in CELLS[dimensions])) for scale in range(3)
    ]


@pytest.mark.parametrize(("dimensions", "axis"), [(2, -1), (3, -1), (3, -3)])
def test_periodic_along_the_crystal(dimensions: int, axis: int) -> None:
    """Shifted by whole cells of the coarsest grid, the prediction shifts; repeated, it repeats."""
    model, seen = network(dimensions), fields(dimensions)
    with torch.no_grad():
        found = model(seen)[0]
        torch.testing.assert_close(model(seen.roll(4, axis))[0], found.roll(4, axis))
        torch.testing.assert_close(model(torch.cat([seen, seen], axis))[0], torch.cat([found, found], axis))


def test_bottom_and_top_are_no_neighbours() -> None:
    model, seen = network(2), fields(2)
    changed = seen.clone()
    changed[:, :, 0] += 1
    with torch.no_grad():
        difference = (model(changed)[0] - model(seen)[0]).abs()
    assert difference[:, :2].min() > 0
    single = network(2, scales=1)
    with torch.no_grad():
        difference = (single(changed)[0] - single(seen)[0]).abs()
    assert difference[:, 4:].max() == 0  # three convolutions reach three rows


def test_the_finer_scale_adds_to_the_refined_coarse_prediction() -> None:
    model, seen = network(2, scales=2), fields(2)
    with torch.no_grad():
        for parameter in model.scales[0].parameters():  # of the finest
            parameter.zero_()
        fine, coarse = model(seen)
    torch.testing.assert_close(fine, refined(coarse[:, None])[:, 0])


def test_cells_that_the_coarsest_grid_does_not_divide() -> None:
    with pytest.raises(InputError, match=r"3 scales need multiples of 4 cells, got \(16, 10\)"):
        network(2)(torch.zeros(1, 3, 16, 10))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": 1}, "dimensions must be 2 or 3"),
        ({"layers": 1}, "at least 2"),
        ({"hidden": 2.5}, "hidden must be"),
    ],
)
def test_descriptions_that_make_no_network(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Architecture(**{"dimensions": 2, "inputs": 3} | change)
