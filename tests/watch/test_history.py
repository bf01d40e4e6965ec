"""The rows that a page keeps of a run: bounded, in order, each read once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmm_plating.watch.history import COARSE, RECENT, UNSETTLED, History, runs, shown_steps


@given(count=st.integers(0, 10**6))
def test_never_more_than_the_bound_and_both_ends_are_there(count: int) -> None:
    steps = shown_steps(count)
    assert len(steps) <= COARSE + RECENT
    assert (np.diff(steps) > 0).all()
    if count:
        assert steps[0] == 0
        assert list(steps[-min(count, RECENT) :]) == list(range(max(0, count - RECENT), count))


@given(count=st.integers(1, 10**5), further=st.integers(0, 10**5))
def test_a_longer_run_asks_for_no_step_that_was_forgotten(count: int, further: int) -> None:
    """So that a page needs to read only what is new."""
    later = shown_steps(count + further)
    assert set(later[later < count]) <= set(shown_steps(count))


@given(steps=st.lists(st.integers(0, 500), unique=True).map(sorted), longest=st.integers(1, 70))
def test_slices_cover_the_steps_and_nothing_else(steps: list[int], longest: int) -> None:
    slices = runs(np.array(steps, np.intp), longest)
    assert [step for part in slices for step in range(part.start, part.stop, part.step)] == steps
    assert all(len(range(part.start, part.stop, part.step)) <= longest for part in slices)


class Run:
    """A run whose value at a step is its square, and that counts what is read of it."""

    def __init__(self) -> None:
        self.read = 0

    def __call__(self, part: slice) -> dict[str, np.ndarray]:
        steps = np.arange(part.start, part.stop, part.step)
        self.read += len(steps)
        return {"square": steps**2.0, "both": np.stack([steps, -steps], axis=-1)}


def test_rows_are_those_of_their_steps_whatever_the_order_of_growth() -> None:
    history, run = History(), Run()
    for count in (1, 2, 5, 300, 301, 400, 2000, 2001, 9000):
        history.update("run", count, run)
        assert np.array_equal(history.steps, shown_steps(count))
        assert np.array_equal(history.columns["square"], history.steps**2.0)
        assert np.array_equal(history.columns["both"][:, 1], -history.steps)


def test_eight_hours_step_by_step_read_each_step_a_few_times_and_keep_the_bound() -> None:
    history, run = History(), Run()
    for count in range(1, 14_401):
        history.update("run", count, run)
        assert len(history.steps) <= COARSE + RECENT
    assert run.read <= 14_400 * (UNSETTLED + 1)


def test_another_run_and_a_shorter_one_leave_nothing_of_the_one_before() -> None:
    history, run = History(), Run()
    history.update("first", 500, run)
    history.update("second", 500, lambda part: {"square": Run()(part)["square"] + 1})
    assert np.array_equal(history.columns["square"], history.steps**2.0 + 1)
    assert history.columns.keys() == {"square"}
    history.update("second", 10, run)
    assert list(history.steps) == list(range(10))


def test_a_variable_that_comes_later_is_shown_of_all_steps() -> None:
    history = History()
    history.update("run", 100, lambda part: {"square": Run()(part)["square"]})
    history.update("run", 120, Run())
    assert history.columns.keys() == {"square", "both"}
    assert np.array_equal(history.columns["both"][:, 0], np.arange(120))


def test_a_failed_reading_leaves_the_rows_as_they_were() -> None:
    history, run = History(), Run()
    history.update("run", 20, run)

    def fails(part: slice) -> dict[str, np.ndarray]:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 — of the reading itself
        history.update("run", 30, fails)
    assert len(history.steps) == len(history.columns["square"]) == 20
