"""What callers pass: bad input is named, every real dtype and memory layout is taken, large batches stay small."""

import gc
import math
import re
import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from surfaces import overhangs, profile
from unsteady_stokes import shear_over_a_curve

from hmm_plating.emission import kanazawa_gordon, load_impedance, solid_fraction
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ, SPACING = Electrolyte(997.05, 0.890e-3), Resonator(), 6e-9
NAN, INF = float("nan"), float("inf")


def load(fraction, spacing=SPACING, overtones=(3, 7), **options):
    return load_impedance(fraction, spacing, overtones, WATER, QUARTZ, **options)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9, -1.0, 2.0, NAN, INF, -INF])
@pytest.mark.parametrize("tracked", [False, True])
def test_one_wrong_fraction_anywhere_is_refused(value, dimensions, tracked):
    fraction = torch.zeros(2, 3, 4, dtype=torch.float64)
    fraction[1, 1, 2] = value
    with pytest.raises(InputError, match="NaN" if math.isnan(value) else r"lie in \[0, 1\]"):
        load(fraction.requires_grad_(tracked), dimensions=dimensions)


@pytest.mark.parametrize("spacing", [0.0, -1e-9, NAN, INF, -INF, None, "5e-9"])
def test_spacing_must_be_a_positive_length(spacing):
    with pytest.raises(InputError, match="spacing must be a positive length"):
        load(torch.zeros(3, 4), spacing)
    with pytest.raises((InputError, TypeError)):
        solid_fraction(torch.zeros(3, 4), 4 * SPACING, spacing)


@pytest.mark.parametrize("overtones", [[], [2], [0], [-3], [3.5], [3, 4], [NAN], [INF]])
def test_overtones_must_be_odd_positive_orders(overtones):
    with pytest.raises(InputError, match="odd positive"):
        load(torch.zeros(3, 4), overtones=overtones)


def test_overtones_are_taken_in_any_order_and_container():
    fraction = overhangs(5, 8, 0)
    expected = load(fraction, overtones=[1, 9])
    for overtones in ((9, 1), torch.tensor([9, 1]), np.array([9.0, 1.0])):
        torch.testing.assert_close(load(fraction, overtones=overtones).flip(-1), expected, rtol=1e-12, atol=0)
    assert bool((load(fraction, overtones=[1, 1, 9])[:2] == expected[0]).all())


@pytest.mark.parametrize("fill", [1.0, 1 - 1e-7])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_metal_in_the_top_row_is_refused(dimensions, fill):
    fraction = torch.zeros(2, 3, 4, dtype=torch.float64)
    fraction[1, :, 2] = fill
    with pytest.raises(InputError, match="metal fills cells of the top row"):
        load(fraction, dimensions=dimensions)
    fraction[1, 2, 2] = 0.99
    assert bool(torch.isfinite(torch.view_as_real(load(fraction, dimensions=dimensions))).all())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32])
def test_any_real_dtype_is_taken_as_its_numbers(dtype):
    """In double precision whatever the dtype."""
    fraction = torch.nn.functional.pad(overhangs(4, 8, 1), (0, 0, 0, 1))
    cells = fraction.round().to(dtype) if dtype in (torch.bool, torch.uint8, torch.int64) else fraction.to(dtype)
    computed = load(cells)
    assert computed.dtype == torch.complex128
    assert bool((computed == load(cells.double())).all())


def test_memory_layout_does_not_matter():
    fraction = overhangs(5, 8, 2)
    expected = load(fraction)
    spread = torch.zeros(10, 24, dtype=torch.float64)
    spread[::2, ::3] = fraction
    for same in (fraction.T.contiguous().T, spread[::2, ::3], fraction.expand(3, 5, 8)[1]):
        assert bool((load(same) == expected).all())
    stacked = fraction.expand(2, 3, 5, 8)  # one surface in memory
    assert bool((load(stacked) == expected).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_gradient_has_the_dtype_and_layout_of_its_surface(dtype):
    fraction = overhangs(5, 8, 3).to(dtype)
    wanted = fraction.to(torch.float64, copy=True).requires_grad_()
    load(wanted).imag.sum().backward()
    leaf = fraction.T.contiguous().requires_grad_()
    load(leaf.T).imag.sum().backward()
    assert leaf.grad.dtype == dtype
    torch.testing.assert_close(leaf.grad.T, wanted.grad.to(dtype), rtol=1e-12, atol=0)


def test_no_gradient_is_kept_where_none_is_wanted():
    fraction = overhangs(5, 8, 4).requires_grad_()
    with torch.no_grad():
        assert not load(fraction).requires_grad
    assert load(fraction).requires_grad


def coarse_error(cells_per_depth, amplitude):
    """Relative error of the excess of a sinusoid of slope ½, its amplitude in cells, and a third of the warning's."""
    cells = round(4 * math.pi * amplitude)
    spacing = WATER.penetration_depth(QUARTZ.angular_frequency(13)) / cells_per_depth
    period = cells * spacing
    expected, error = shear_over_a_curve(
        lambda s: period * s + 1j * amplitude * spacing * np.cos(2 * np.pi * s), period, 13, WATER, QUARTZ
    )
    assert error < 1e-3
    wall = profile(lambda x: amplitude * spacing * np.cos(2 * np.pi * x / period), period, cells, 0.3)
    with pytest.warns(UserWarning, match=r"penetration depth is only .* cells") as record:
        computed = complex(load(wall, spacing, [13])[0] - kanazawa_gordon([13], WATER, QUARTZ)[0])
    stated = float(re.search(r"error of the excess load of about (\S+) %", str(record[0].message))[1]) / 100
    return abs(computed / expected - 1), stated / 3


@pytest.mark.parametrize("cells_per_depth", [1.9, 1.4, 1.0])
def test_penetration_depth_below_two_cells_warns_with_the_expected_error(cells_per_depth):
    """Within a factor of three over features four times as high as the penetration depth (fundamental solutions)."""
    measured, stated = coarse_error(cells_per_depth, 4 * cells_per_depth)
    assert measured / 3 < stated < 3 * measured


@pytest.mark.parametrize("cells_per_depth", [1.9, 1.0, 0.5])
def test_the_wave_of_a_coarse_lattice_stays_right(cells_per_depth):
    """Features of six cells keep 3.5 % of their excess down to half a cell in the penetration depth."""
    assert coarse_error(cells_per_depth, 6)[0] < 0.035


def test_two_cells_in_the_penetration_depth_do_not_warn():
    spacing = WATER.penetration_depth(QUARTZ.angular_frequency(13)) / 2.01
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(torch.zeros(2, 4), spacing, [13])


def traced(work):
    """Peak of memory that NumPy allocates during a call [bytes]; fields and gradients are NumPy arrays."""
    work()  # what is allocated once, such as caches, does not count
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_batch_needs_no_more_memory_than_its_result():
    """Fields are kept for the surfaces at hand only: 24 bytes per cell, and the gradient's 16 per cell and overtone."""
    few, many = (torch.nn.functional.pad(overhangs(3, 32, 0), (0, 0, 0, 29)).repeat(n, 1, 1) for n in (40, 160))
    cells, orders = (len(many) - len(few)) * 32 * 32, 5
    overtones = [3, 5, 7, 9, 11]
    options = {"overtones": overtones, "tolerance": 0.5}
    growth = traced(lambda: load(many, **options)) - traced(lambda: load(few, **options))
    assert growth < 24 * cells
    few.requires_grad_(), many.requires_grad_()
    growth = traced(lambda: load(many, **options)) - traced(lambda: load(few, **options))
    assert growth < (24 + 16 * orders) * cells


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solid_fraction": np.zeros((3, 4))}, "torch.Tensor"),
        ({"solid_fraction": torch.zeros(3, 4, dtype=torch.complex128)}, "torch.Tensor"),
        ({"spacing": True}, "spacing"),
        ({"spacing": 5.0}, "in metres"),
        ({"spacing": 1e-14}, "in metres"),
        ({"overtones": None}, "odd positive"),
        ({"overtones": "three"}, "odd positive"),
        ({"tolerance": float("inf")}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"absolute_tolerance": float("nan")}, "absolute_tolerance"),
        ({"absolute_tolerance": -1.0}, "absolute_tolerance"),
    ],
)
def test_what_cannot_be_computed_is_refused_in_words(change, message):
    arguments = {"solid_fraction": torch.zeros(3, 4), "spacing": 5e-9, "overtones": [3]}
    arguments |= {"electrolyte": WATER, "resonator": QUARTZ}
    with pytest.raises(InputError, match=message):
        load_impedance(**(arguments | change))
