"""Small priors and simulators, at the top level of a module so that worker processes find them."""

from __future__ import annotations

import os
from pathlib import Path

import pyro
import torch
from pyro import distributions as dist
from torch import Tensor

DESIGN = torch.tensor([[1.0, 0.5], [-0.3, 0.8], [0.2, 0.2]])
NOISE = 0.3
OBSERVED = torch.tensor([0.8, -0.4, 0.3])


def normal_prior() -> dist.TorchDistribution:
    return dist.Normal(torch.zeros(2), 1.0).to_event(1)


def linear(theta: Tensor) -> Tensor:
    return theta @ DESIGN.T + NOISE * torch.randn(len(theta), 3)


def program() -> None:
    scale = pyro.sample("scale", dist.LogNormal(0.0, 0.5))
    with pyro.plate("levels", 3):
        pyro.sample("level", dist.Uniform(0.0, 2.0 * scale))


class KillsItsWorkerOnce:
    """Ends the process that first simulates, as the system does where memory runs out."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, theta: Tensor) -> Tensor:
        try:
            self.mark.touch(exist_ok=False)
        except FileExistsError:
            return linear(theta)
        os._exit(1)
