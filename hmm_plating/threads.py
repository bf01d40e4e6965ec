"""Who may use the cores: kernels that do not hold the interpreter's lock, and torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numba
import torch


def in_threads(work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
    """Call work(*a) for each; idle threads take the next, as calls differ in length."""
    of_torch = torch.get_num_threads()
    threads = min(numba.get_num_threads(), len(arguments))
    torch.set_num_threads(of_torch)  # which Numba raises to all cores when it starts its OpenMP threads
    if threads <= 1:
        for given in arguments:
            work(*given)
        return
    with ThreadPoolExecutor(threads) as pool:
        for finished in [pool.submit(work, *given) for given in arguments]:
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
