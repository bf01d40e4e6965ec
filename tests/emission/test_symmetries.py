"""What must not change the load of any surface, overhangs and closed pores included."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from surfaces import overhangs

from hmm_plating.emission import kanazawa_gordon, load_impedance, sauerbrey
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ, SPACING = Electrolyte(997.05, 0.890e-3), Resonator(5e6, 8.84e6), 6e-9
TIGHT = {"tolerance": 1e-13, "absolute_tolerance": 1e-12}
SEEDS, ORDERS = st.integers(0, 10**6), st.sampled_from([1, 3, 5, 7, 9, 11, 13])


@given(st.floats(0, 3.99), st.floats(2.1, 60), ORDERS, st.sampled_from(["water", "zinc sulfate"]))
def test_flat_wall_at_any_height_carries_no_liquid(height, cells_per_depth, order, liquid):
    """At any resolution of the penetration depth; a wall misplaced by 1e-4 cells would show 1e-4 iωρΔx."""
    electrolyte = WATER if liquid == "water" else Electrolyte(1322.8, 3.14e-3)
    spacing = electrolyte.penetration_depth(QUARTZ.angular_frequency(order)) / cells_per_depth
    wall = (height - torch.arange(5, dtype=torch.float64)).clamp(0, 1)[:, None].expand(-1, 3)
    load = load_impedance(wall, spacing, [order], electrolyte, QUARTZ)
    cell = sauerbrey(electrolyte.density * spacing, [order], QUARTZ)
    assert ((load - kanazawa_gordon([order], electrolyte, QUARTZ)) / cell).abs() < 1e-4


@settings(max_examples=25)
@given(SEEDS, ORDERS, st.integers(2, 7), st.integers(1, 13), st.integers(0, 12))
def test_mirror_and_lateral_shift_change_nothing(seed, order, rows, width, shift):
    fraction = overhangs(rows, width, seed)
    same = torch.stack([fraction, fraction.flip(-1), fraction.roll(shift, -1)])
    load = load_impedance(same, SPACING, [order], WATER, QUARTZ, **TIGHT)
    assert ((load[1:] - load[0]).abs() / load[0].abs()).max() < 1e-10


@settings(max_examples=10)
@given(SEEDS, ORDERS, st.integers(1, 5), st.integers(2, 5), st.integers(1, 6), st.integers(0, 5))
def test_mirrors_and_shifts_in_three_dimensions_change_nothing(seed, order, depth, rows, width, shift):
    fraction = overhangs(rows, width, seed, depth)
    same = [fraction, fraction.flip(-1), fraction.flip(0), fraction.roll((shift, -shift), (0, 2))]
    load = load_impedance(torch.stack(same), SPACING, [order], WATER, QUARTZ, **TIGHT, dimensions=3)
    assert ((load[1:] - load[0]).abs() / load[0].abs()).max() < 1e-10


@settings(max_examples=10)
@given(SEEDS, ORDERS, st.integers(2, 6), st.integers(1, 9), st.integers(1, 4))
def test_surfaces_that_do_not_vary_along_z_are_those_in_two_dimensions(seed, order, rows, width, depth):
    fraction = overhangs(rows, width, seed)
    flat = load_impedance(fraction, SPACING, [order], WATER, QUARTZ, **TIGHT)
    extruded = load_impedance(
        fraction.expand(depth, rows, width), SPACING, [order], WATER, QUARTZ, **TIGHT, dimensions=3
    )
    torch.testing.assert_close(extruded, flat, rtol=1e-8, atol=0)


@settings(max_examples=10)
@given(SEEDS, ORDERS, st.integers(2, 6), st.integers(1, 9), st.integers(2, 5))
def test_grooves_along_the_shear_may_be_as_long_as_one_likes(seed, order, rows, depth, width):
    """Extruded in x, one cell of length is as good as several, and two periods as good as one."""
    fraction = overhangs(rows, depth, seed).T[:, :, None]
    one, long, twice = (
        load_impedance(cells, SPACING, [order], WATER, QUARTZ, **TIGHT, dimensions=3)
        for cells in (fraction, fraction.expand(-1, -1, width), fraction.repeat(2, 1, 1))
    )
    torch.testing.assert_close(long, one, rtol=1e-8, atol=0)
    torch.testing.assert_close(twice, one, rtol=1e-8, atol=0)
