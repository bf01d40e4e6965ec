"""Kernels that do not hold the interpreter's lock, shared among threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
