"""The random draws of a computation, which depend on its own state alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyro
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hmm_plating.errors import InputError

_MANY = 1024  # numbers that pay for the ziggurat's seeding


def require_seed(seed: object) -> None:
    """Raise InputError unless the seed is an integer ≥ 0."""
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be a non-negative integer, got {seed!r}")


def initial_random_state(seed: int) -> Tensor:
    """State of torch's generator for a seed.

    Raises:
        InputError: not an integer ≥ 0.
    """
    require_seed(seed)
    return torch.Generator().manual_seed(seed).get_state()


@contextmanager
def random_stream(random_state: Tensor) -> Iterator[None]:
    """Within, torch's global generator starts from `random_state`; afterwards it is as it was."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.set_rng_state(random_state)
        if devices:  # a GPU's stream follows from the CPU's, which therefore is all that needs keeping
            torch.cuda.manual_seed(int(torch.randint(2**62, ())))
        yield


def standard_normal(like: Tensor) -> Tensor:
    """Standard normal numbers of a tensor's shape, type and device, from torch's global generator.

    In double precision by NumPy's ziggurat (Marsaglia and Tsang, J. Stat. Software 5(8) (2000)) as Numba compiles it,
    seeded from there: a third of the time that torch's Box-Muller transform takes.
    """
    if like.dtype != torch.float64 or like.device.type != "cpu" or like.numel() < _MANY:
        return torch.randn_like(like)
    words = torch.randint(-(2**63), 2**63 - 1, (4,)).numpy().view(np.uint64)
    _of_thread.bits.state = {"bit_generator": "SFC64", "state": {"state": words}, "has_uint32": 0, "uinteger": 0}
    return torch.from_numpy(_ziggurat(_of_thread.generator, like.numel())).reshape(like.shape)


class _Generator(threading.local):
    """NumPy's, one per thread, as to make one takes as long as a thousand numbers."""

    def __init__(self) -> None:
        self.bits = np.random.SFC64(0)
        self.generator = np.random.Generator(self.bits)


_of_thread = _Generator()


@njit(cache=True)
def _ziggurat(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    return generator.standard_normal(count)


def seed_word(*numbers: int) -> int:
    """A seed of 32 bits, as torch, NumPy and Python accept, from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@contextmanager
def own_random_state() -> Iterator[None]:
    """Within, the global generators of torch, NumPy and Python may be seeded; afterwards they are as before."""
    state = pyro.util.get_rng_state()
    try:
        yield
    finally:
        pyro.util.set_rng_state(state)


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """`own_random_state`, started from these numbers."""
    with own_random_state():
        pyro.set_rng_seed(seed_word(*numbers))
        yield
