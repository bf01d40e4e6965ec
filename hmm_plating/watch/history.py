"""Summaries of a run's steps, of which only a bounded number is ever kept: a coarse whole and a fine end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = dict[str, npt.NDArray[Any]]  # each array leads with the rows
Steps = npt.NDArray[np.intp]

COARSE = 360  # steps at most, spread over the whole run
RECENT = 240  # last steps, all of them
UNSETTLED = 32  # last steps that are read again: a filter that restarts goes back to its checkpoint


def shown_steps(count: int, coarse: int = COARSE, recent: int = RECENT) -> Steps:
    """Which of `count` steps are kept, in order: at most `coarse` + `recent`, the first and the last among them.

    The coarse ones are the multiples of a power of two, so that a longer run keeps a part of those it kept before and
    every step can be forgotten for good.
    """
    stride = 1
    while -(-count // stride) > coarse:
        stride *= 2
    return np.union1d(np.arange(0, count, stride), np.arange(max(0, count - recent), count)).astype(np.intp)


def runs(steps: Steps, longest: int = 64) -> list[slice]:
    """Sorted steps as few slices of at most `longest` steps each: what a file reads in one go."""
    slices, start = [], 0
    while start < len(steps):
        end = start + 1
        stride = int(steps[end] - steps[start]) if end < len(steps) else 1
        while end < len(steps) and end - start < longest and steps[end] - steps[end - 1] == stride:
            end += 1
        slices.append(slice(int(steps[start]), int(steps[end - 1]) + 1, stride))
        start = end
    return slices


@dataclass
class History:
    """The kept rows of a run that grows.

    Attributes:
        identity: of the run that they are of; rows of another are forgotten.
        steps: that are kept, ascending.
        columns: their summaries.
    """

    identity: object = None
    steps: Steps = field(default_factory=lambda: np.empty(0, np.intp))
    columns: Columns = field(default_factory=dict)

    def update(self, identity: object, count: int, read: Callable[[slice], Columns]) -> None:
        """Bring the rows to those of the first `count` steps; `read` is asked for the new ones alone.

        What `read` raises leaves the rows as they were.
        """
        wanted = shown_steps(count)
        settled = (self.identity == identity) & (self.steps < count - UNSETTLED) & np.isin(self.steps, wanted)
        columns = {name: values[settled] for name, values in self.columns.items()}
        new = np.setdiff1d(wanted, self.steps[settled])
        parts = [read(part) for part in runs(new)]
        if parts and columns and parts[0].keys() != columns.keys() and settled.any():  # a variable came later
            self.identity = None
            return self.update(identity, count, read)
        if parts:
            order = np.argsort(np.concatenate([self.steps[settled], new]), kind="stable")
            names = parts[0].keys()
            before = [columns] if settled.any() else []
            columns = {name: np.concatenate([part[name] for part in [*before, *parts]])[order] for name in names}
        self.identity, self.steps, self.columns = identity, wanted, columns
