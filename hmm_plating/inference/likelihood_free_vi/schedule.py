"""The learning rate over a fit: it rises, then falls to nothing (Smith and Topin 2019, arXiv:1708.07120)."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

_FEWEST = 20  # steps: a tenth of fewer has no slope to rise on


def one_cycle(optimizer: Optimizer, learning_rate: float, steps: int, rising: float = 0.1) -> OneCycleLR:
    """`learning_rate` is reached after the part `rising` of `steps`."""
    return OneCycleLR(optimizer, learning_rate, total_steps=max(steps, _FEWEST), pct_start=rising)
