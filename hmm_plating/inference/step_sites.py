"""What one step of a Pyro state-space model draws and observes."""

from __future__ import annotations

from typing import Any

import pyro
from pyro import distributions as dist
from pyro import poutine
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor


def step_sites(
    model: Any, particles: dict[str, Tensor], args: tuple[Any, ...], max_plate_nesting: int
) -> dict[str, Any]:
    """{name: site} of `model.step(particles, *args)`, which changes `particles`; sites as Pyro's trace holds them."""
    count = len(next(iter(particles.values())))
    plate = pyro.plate("particles", count, dim=-1 - max_plate_nesting)
    with poutine.block(), plate, dist.validation_enabled(False), poutine.trace() as traced:
        model.step(particles, *args)
    nodes: dict[str, Any] = prune_subsample_sites(traced.trace).nodes
    return {name: site for name, site in nodes.items() if site["type"] == "sample"}
