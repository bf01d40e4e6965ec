"""Who may use the cores: kernels that do not hold the interpreter's lock, and torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numba
import torch


@functools.cache
def _helpers(count: int, process: int) -> ThreadPoolExecutor:
    """Threads that wait for work until the process ends: new ones would allocate what matrix products need anew.

    A process that was forked gets its own.
    """
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))


def in_threads(work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
    """Call work(*a) for each; idle threads take the next, as calls differ in length. The work must not call this."""
    of_torch = torch.get_num_threads()
    helpers = min(numba.get_num_threads(), len(arguments)) - 1
    torch.set_num_threads(of_torch)  # which Numba raises to all cores when it starts its OpenMP threads
    left = iter(arguments)

    def take() -> None:
        for given in left:
            work(*given)

    helping = [_helpers(helpers, os.getpid()).submit(take) for _ in range(helpers)]
    try:
        take()
    finally:
        wait(helping)
        torch.set_num_threads(of_torch)  # which threads that start lower
    for finished in helping:
        finished.result()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Torch works in the calling thread alone, as context or decorator.

    A step of the plating model makes hundreds of torch calls on small tensors. Their threads gain a tenth on idle
    cores, but all wait for the slowest in each: beside other work on every core, threads make it many times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
