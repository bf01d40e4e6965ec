"""Random streams: every purpose has its own, from the seed, so that none depends on what others drew."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from hmm_plating.inference.prior import Prior
from hmm_plating.inference.random_stream import seed_word, seeded


def random_stream(seed: int, population: int, purpose: str) -> Generator:
    """Generator for one purpose within one population."""
    return torch.Generator().manual_seed(seed_word(seed, population, *purpose.encode()))


def prior_draws(prior: Prior, count: int, seed: int) -> Tensor:
    """Unconstrained draws (count, dimension)."""
    with seeded(seed, *b"prior"):
        return prior.sample(count)
