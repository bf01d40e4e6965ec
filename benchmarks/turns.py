"""Times of things that are compared in one run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def seconds(rounds: int, *actions: Callable[[], object]) -> np.ndarray:
    """Times of some rounds in which the actions take turns, (action, round)."""
    taken = np.empty((len(actions), rounds))
    for turn in range(-1, rounds):  # the first compiles and is overwritten
        for index, action in enumerate(actions):
            begin = time.perf_counter()
            action()
            taken[index, turn] = time.perf_counter() - begin
    return taken
