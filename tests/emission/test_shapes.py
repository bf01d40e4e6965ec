"""Ready shapes: volumes against their formulae, periodicity, unions, and the cells of a box against brute force."""

import math

import numpy as np
import pytest
import torch

from hmm_plating.emission import cylinders, egg_crate, grating, hemispheres, kanazawa_gordon, load_impedance, spheres
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator

NM = 1e-9


def disc_above_plane(radius, height):
    """Area of a disc above y = 0, its centre at `height`."""
    if height >= radius:
        return math.pi * radius**2
    return radius**2 * math.acos(-height / radius) + height * math.sqrt(radius**2 - height**2)


def ball_above_plane(radius, height):
    """Volume of a ball above y = 0, its centre at `height`."""
    cap = min(radius + height, 2 * radius)
    return math.pi * cap**2 * (3 * radius - cap) / 3


def box(radius, height):
    """Rows and columns [cells] that hold a circle."""
    return math.ceil(radius + height) + 1, math.ceil(2 * radius) + 3


@pytest.mark.parametrize("radius", [2.0, 5.3, 20.0])
@pytest.mark.parametrize("height", [-0.4, 0.0, 0.3, 1.1])
def test_area_of_cylinders(radius, height):
    """In cells; the axis lies askew to the grid, its height in radii."""
    height *= radius
    fraction = cylinders(1.37 * NM, height * NM, radius * NM, box(radius, height), NM)
    assert fraction.dtype == torch.float64
    assert float(fraction.sum()) == pytest.approx(disc_above_plane(radius, height), rel=1e-5)


@pytest.mark.parametrize("radius", [2.0, 5.3])
@pytest.mark.parametrize("height", [-0.4, 0.0, 0.3, 1.1])
def test_volume_of_spheres(radius, height):
    height *= radius
    rows, columns = box(radius, height)
    fraction = spheres(1.37 * NM, 2.2 * NM, height * NM, radius * NM, (columns, rows, columns), NM)
    assert float(fraction.sum()) == pytest.approx(ball_above_plane(radius, height), rel=5e-5)


def test_volume_of_cylinders_converges_with_the_samples():
    """Order 3/2, that of a vertical tangent at the edge."""
    samples = [200 * 2**k for k in range(8)]
    errors = [
        abs(
            float(cylinders(1.2345 * NM, 0, 3.21 * NM, (5, 9), NM, samples_per_cell=n).sum()) / (math.pi * 3.21**2 / 2)
            - 1
        )
        for n in samples
    ]
    order = -np.polyfit(np.log(samples), np.log(errors), 1)[0]
    assert 1.3 < order < 2


def test_volume_of_spheres_converges_with_the_samples():
    """Errors of one position scatter: root mean square over positions."""
    generator, samples = np.random.default_rng(0), [4, 8, 16, 32]
    centres = generator.uniform(0, 9 * NM, (12, 2))
    exact = ball_above_plane(3.21, 0)
    errors = [
        [float(hemispheres(x, z, 3.21 * NM, (9, 5, 9), NM, samples_per_cell=n).sum()) / exact - 1 for x, z in centres]
        for n in samples
    ]
    order = -np.polyfit(np.log(samples), np.log(np.square(errors).mean(axis=1)) / 2, 1)[0]
    assert order > 2


def test_cells_of_a_sphere_are_those_of_dense_sampling():
    centre, height, radius, per_cell = (2.3, 3.1), 0.4, 2.9, 40
    axes = [(np.arange(n * per_cell) + 0.5) / per_cell for n in (6, 5, 7)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    inside = (z - centre[1]) ** 2 + (y - height) ** 2 + (x - centre[0]) ** 2 < radius**2
    inside |= (z - centre[1]) ** 2 + (y - height) ** 2 + (x - 7 - centre[0]) ** 2 < radius**2  # periodic image
    expected = inside.reshape(6, per_cell, 5, per_cell, 7, per_cell).mean(axis=(1, 3, 5))
    fraction = spheres(centre[0] * NM, centre[1] * NM, height * NM, radius * NM, (6, 5, 7), NM)
    assert np.abs(fraction.numpy() - expected).max() < 2e-3


def test_gratings_and_egg_crates_hold_their_mean_height():
    shape, lengths = (40, 14, 40), (5 * NM, 100 * NM, 6.3 * NM)
    for fraction in (
        grating(*lengths, shape, 5 * NM),
        grating(*lengths, shape, 5 * NM, along_shear=True),
        egg_crate(*lengths, shape, 5 * NM),
        grating(*lengths, (4, 20), 5 * NM),
    ):
        volume = float(fraction.sum()) * 5 * NM * fraction.shape[-2] / fraction.numel()
        assert volume == pytest.approx(6.3 * NM, rel=1e-12)


def test_grating_is_its_integral():
    """Cells of a column: ∫ of the profile over the cell, where the surface crosses no other cell."""
    x = np.arange(21) * 2 * np.pi / 20
    mean = 1.5 + 0.4 * np.diff(np.sin(x)) / (2 * np.pi / 20)
    fraction = grating(0.4 * NM, 20 * NM, 1.5 * NM, (4, 20), NM)
    np.testing.assert_allclose(fraction[1], mean - 1, atol=1e-6)
    assert bool((fraction[0] == 1).all())
    assert bool((fraction[2:] == 0).all())


def test_grooves_along_the_shear_are_those_across_turned():
    across = grating(5 * NM, 100 * NM, 6 * NM, (20, 5, 20), 5 * NM)
    along = grating(5 * NM, 100 * NM, 6 * NM, (20, 5, 20), 5 * NM, along_shear=True)
    torch.testing.assert_close(along, across.transpose(0, 2), rtol=0, atol=1e-12)
    assert bool((across == grating(5 * NM, 100 * NM, 6 * NM, (5, 20), 5 * NM)).all())


def test_cylinders_in_three_dimensions_are_extruded():
    section = cylinders([2 * NM, 9 * NM], [1 * NM, 2 * NM], 2 * NM, (6, 14), NM)
    assert bool((cylinders([2 * NM, 9 * NM], [1 * NM, 2 * NM], 2 * NM, (3, 6, 14), NM) == section).all())


def test_periodic_images():
    """Objects shifted by whole cells across the edge of the box, and by whole periods."""
    middle = cylinders(8 * NM, 1 * NM, 3 * NM, (6, 16), NM)
    torch.testing.assert_close(cylinders(-2 * NM, 1 * NM, 3 * NM, (6, 16), NM), middle.roll(6, -1), rtol=0, atol=1e-9)
    ball = spheres(4 * NM, 3 * NM, 1 * NM, 2.5 * NM, (7, 6, 8), NM)
    moved = spheres(25 * NM, -4.0 * NM, 1 * NM, 2.5 * NM, (7, 6, 8), NM)
    torch.testing.assert_close(moved, ball.roll(-3, -1), rtol=0, atol=1e-9)


def test_objects_wider_than_the_period_meet_their_images():
    """A cylinder of one and a half periods: the box is full up to where neighbouring images cross."""
    fraction = cylinders(5 * NM, 0, 15 * NM, (17, 10), NM)
    wide = cylinders((5 + 10 * np.arange(9)) * NM, 0, 15 * NM, (17, 90), NM)
    torch.testing.assert_close(fraction, wide[:, 40:50], rtol=0, atol=1e-12)
    assert bool((fraction[:14] == 1).all())


def test_overlapping_objects_are_united():
    """Two discs a distance d apart share 2R² acos(d/2R) − (d/2) sqrt(4R² − d²); a repeated one adds nothing."""
    radius, distance = 4.0, 3.0
    lens = 2 * radius**2 * math.acos(distance / 2 / radius) - distance / 2 * math.sqrt(4 * radius**2 - distance**2)
    side = cylinders([6 * NM, 9 * NM], 5 * NM, radius * NM, (10, 20), NM)
    stacked = cylinders(7.5 * NM, [5 * NM, 8 * NM, 8 * NM], radius * NM, (13, 20), NM)
    for fraction in (side, stacked):
        assert float(fraction.sum()) == pytest.approx(2 * math.pi * radius**2 - lens, rel=1e-5)
        assert float(fraction.max()) <= 1


@pytest.mark.slow
def test_load_of_rigid_caps_converges():
    """Caps of the design's table 4.1: cells of a fifth and a tenth of the radius within 2 and 1 % of a twentieth."""
    electrolyte, resonator = Electrolyte(1e3, 1e-3), Resonator(5e6, 8.8e6)
    loads = [
        load_impedance(
            spheres(8.5 * NM, 8.5 * NM, 0.5 * NM, 5 * NM, (17 * cells, 6 * cells + 1, 17 * cells), NM / cells),
            NM / cells,
            [3],
            electrolyte,
            resonator,
            tolerance=1e-5,
            dimensions=3,
        )
        for cells in (1, 2, 4)
    ]
    flat = kanazawa_gordon([3], electrolyte, resonator)
    coarse, middle, fine = (complex(load - flat) for load in loads)
    assert abs(coarse / fine - 1) < 0.02
    assert abs(middle / fine - 1) < 0.01


CAP = {"x": 0.0, "z": 0.0, "height": 0.0, "radius": 3 * NM, "shape": (8, 5, 8), "spacing": NM}
WAVE = {"amplitude": 2 * NM, "period": 8 * NM, "mean_height": 2 * NM, "shape": (8, 5, 8), "spacing": NM}


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        (spheres, CAP | {"radius": -NM}, "radius must be a positive"),
        (spheres, CAP | {"radius": [3 * NM, 0.0]}, "radius must be a positive"),
        (spheres, CAP | {"radius": 4.5 * NM}, "at least 6 rows"),
        (spheres, CAP | {"height": 3 * NM}, "no row of liquid"),
        (spheres, CAP | {"height": -3 * NM}, "below the crystal"),
        (spheres, CAP | {"x": math.nan}, "finite lengths"),
        (spheres, CAP | {"x": [0.0, NM, NM], "z": [0.0, NM]}, "3 of x, 2 of z"),
        (spheres, CAP | {"shape": (5, 8)}, r"\(depth, rows, columns\)"),
        (spheres, CAP | {"spacing": 0.0}, "spacing must be"),
        (spheres, CAP | {"samples_per_cell": 0}, "samples_per_cell"),
        (egg_crate, WAVE | {"amplitude": 0.0}, "amplitude must be"),
        (egg_crate, WAVE | {"period": -NM}, "period must be"),
        (egg_crate, WAVE | {"period": 3 * NM}, "whole number"),
        (egg_crate, WAVE | {"mean_height": 1.9 * NM}, "cut the crystal"),
        (egg_crate, WAVE | {"mean_height": 2.1 * NM}, "no row of liquid"),
        (grating, WAVE | {"shape": (5, 8), "along_shear": True}, r"\(depth, rows, columns\)"),
        (grating, WAVE | {"shape": (5, 8.0)}, "whole cells"),
    ],
)
def test_impossible_shapes_are_named(shape, arguments, message):
    with pytest.raises(InputError, match=message):
        shape(**arguments)
