"""Random streams: every purpose has its own, from the seed, so that none depends on what others drew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyro
import torch
from torch import Generator, Tensor

if TYPE_CHECKING:
    from hmm_plating.inference.smc_abc.prior import Prior


def seed_word(*seed: int) -> int:
    """A seed of 32 bits, as torch, NumPy and Python accept, from several numbers."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def random_stream(seed: int, population: int, purpose: str) -> Generator:
    """Generator for one purpose within one population."""
    return torch.Generator().manual_seed(seed_word(seed, population, *purpose.encode()))


def prior_draws(prior: Prior, count: int, seed: int) -> Tensor:
    """Unconstrained draws (count, dimension)."""
    with own_random_state():
        pyro.set_rng_seed(seed_word(seed, *b"prior"))
        return prior.sample(count)


@contextmanager
def own_random_state() -> Iterator[None]:
    """Within, the global generators may be seeded and used; afterwards they are as they were."""
    state = pyro.util.get_rng_state()
    try:
        yield
    finally:
        pyro.util.set_rng_state(state)
