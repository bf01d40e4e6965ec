"""What coarse levels get from the cells: an oracle of plain sums over joined cells, in any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmm_plating.transition.kernels import conductances, levels, multigrid

shapes = st.tuples(st.sampled_from([1, 2, 3, 4, 5]), st.integers(1, 9), st.integers(1, 9))


def cells(field, level):
    """The cells (z, y, x) of a field on a level, a view."""
    depth, rows, columns, start, slots = level
    return field[start : start + slots].reshape(depth, rows + 2, columns + 2)[:, 1:-1, 1:-1]


def joined(values, axes=(0, 1, 2)):
    """Sums over the cells that each coarse cell joins along the axes."""
    for axis in axes:
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], 2), axis)
    return values


def prepared(shape, seed, storage=0.1):
    generator = np.random.default_rng(seed)
    work = levels.workspace(*shape)
    mobility, sink = generator.random(shape), generator.random(shape)
    conductances.prepare(mobility, storage, sink, generator.random(shape[::2]), len(work.levels), work)
    return work, mobility, sink


@settings(deadline=None)
@given(shapes, st.integers(0, 99))
def test_storage_and_sinks_are_summed(shape, seed):
    work, _, sink = prepared(shape, seed)
    expected = 0.1 + sink
    for level in work.levels:
        np.testing.assert_allclose(cells(work.fields[levels.MASS], level), expected, rtol=1e-5)
        expected = joined(expected)


@settings(deadline=None)
@given(shapes, st.integers(0, 99))
def test_conductances_are_those_of_the_faces_between_joined_cells(shape, seed):
    """Summed over faces, over the distance of the centres: 2, or 1.5 beside a cell that stayed alone."""
    work, mobility, _ = prepared(shape, seed)
    for axis, field in ((0, levels.DEEP), (1, levels.UP), (2, levels.RIGHT)):
        count = shape[axis]
        if count < 3:  # a coarse cell without a neighbour
            continue
        faces = (mobility + np.roll(mobility, -1, axis)) / 2 + conductances.LEAK
        last = np.minimum(np.arange(1, count + 1, 2), count - 1)
        distance = np.where((count % 2 == 1) & (last >= count - 2), 1.5, 2.0)
        between = joined(np.take(faces, last, axis), [other for other in range(3) if other != axis])
        between = np.moveaxis(np.moveaxis(between, axis, -1) / distance, -1, axis)
        found = cells(work.fields[field], work.levels[1])
        below_top = slice(0, -1 if axis == 1 else None)  # above the top row is a given value
        np.testing.assert_allclose(found[:, below_top], between[:, below_top], rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 7, 5), (3, 4, 7), (2, 1, 6)])
def test_prolongation_is_the_transpose_of_the_sum_over_joined_cells(shape):
    work, _, _ = prepared(shape, 0)
    generator, (fine, coarse) = np.random.default_rng(1), work.levels[:2]
    children = levels.children_of(0, work.levels, work.children)
    fine_values, coarse_values = (generator.random(level[:3]) for level in (fine, coarse))
    work.fields[:] = 0
    cells(work.fields[levels.OTHER], fine)[:] = fine_values
    conductances.sum_children(levels.OTHER, levels.SOURCE, fine, coarse, work.fields, children)
    summed = cells(work.fields[levels.SOURCE], coarse).copy()
    cells(work.fields[levels.VALUE], coarse)[:] = coarse_values
    multigrid._prolong(coarse, fine, work.fields, children)
    spread = cells(work.fields[levels.OTHER], fine)
    np.testing.assert_allclose(summed, joined(fine_values), rtol=1e-6)
    np.testing.assert_allclose((spread * fine_values).sum(), (coarse_values * summed).sum(), rtol=1e-6)
