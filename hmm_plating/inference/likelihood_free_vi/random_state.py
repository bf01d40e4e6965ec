"""Random numbers of a run: each round has a stream of its own, so that a resumed run draws what it would have drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyro


@contextmanager
def random_stream(*words: int) -> Iterator[None]:
    """Within, the global generators of torch, NumPy and Python start from these numbers; then they are as before."""
    state = pyro.util.get_rng_state()
    try:
        pyro.set_rng_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))
        yield
    finally:
        pyro.util.set_rng_state(state)
