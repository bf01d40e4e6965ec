"""One method of a Pyro program, run for all particles at once under their plate."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.subsample_messenger import _Subsample
from torch import Tensor

from hmm_plating.errors import InputError

Site = Mapping[str, Any]


class Program(NamedTuple):
    """`getattr(model, method)(particles, *args)` for all particles.

    Attributes:
        model: object with the method.
        method: "init" or "step".
        args: what it takes after the particles.
        size: number of particles, N.
        max_plate_nesting: number of plates that it nests inside that of the particles.
        where: the step, for messages.
    """

    model: Any
    method: str
    args: tuple[Any, ...]
    size: int
    max_plate_nesting: int
    where: str

    @property
    def particle_dim(self) -> int:
        """Batch dimension of the particles, from the right."""
        return -1 - self.max_plate_nesting

    def run(self, particles: Mapping[str, Tensor], handler: Any = None) -> dict[str, Site]:
        """Run on `particles`, which it may change, and return its sample sites, {name: site}.

        Args:
            particles: the model's state, N leading.
            handler: effect handler that sees the sites as the plate of particles has expanded them.
        """
        sites = _Sites(self.where)
        # One particle that went astray must get weight zero, not end the run: parameters are not validated, values are.
        with (
            poutine.block(),
            handler or nullcontext(),
            _plate(self.size, self.particle_dim),
            dist.validation_enabled(False),
            sites,
        ):
            getattr(self.model, self.method)(particles, *self.args)
        return sites.found

    def copy(self, particles: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Particles that a run may change, because models may write `state["x"] += …`."""
        return {name: value.clone() for name, value in particles.items()}

    def rehearsal(self) -> Program:
        """The program with a copy of the model, so that attributes such as a counter of steps advance only in that."""
        return self._replace(model=copy.copy(self.model))

    def rehearse(self, particles: Mapping[str, Tensor], handler: Any = None) -> dict[str, Site]:
        """`run` without a trace in the particles or in the model."""
        return self.rehearsal().run(self.copy(particles), handler)


class _Sites(Messenger):
    """Keeps the sample sites that it sees: Pyro's trace without its graph and without the bookkeeping of plates."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.found: dict[str, Site] = {}
        self._where = where

    def _pyro_post_sample(self, message: Any) -> None:
        if isinstance(message["fn"], _Subsample):
            return
        if message["name"] in self.found:
            raise InputError(f"{self._where}: two sites are named {message['name']!r}")
        self.found[message["name"]] = message


class Replayed(Messenger):
    """Effect handler that gives latent sites the values that a guide drew."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._values = values

    def _pyro_sample(self, message: Any) -> None:
        if not message["is_observed"] and message["name"] in self._values:
            message["value"], message["done"] = self._values[message["name"]], True


@lru_cache(maxsize=8)
def _plate(count: int, dim: int) -> pyro.plate:
    return pyro.plate("particles", count, dim=dim)


def log_density(site: Site, program: Program) -> Tensor:
    """Log density of a site's value per particle, (N,), float64 on the CPU; −inf outside the support."""
    if any(frame.dim is not None and frame.dim < program.particle_dim for frame in site["cond_indep_stack"]):
        raise InputError(
            f"{program.where}: site {site['name']!r} is in a plate inside the particles': raise max_plate_nesting"
        )
    distribution, value = site["fn"], site["value"]
    if type(distribution) is dist.Normal:
        density = _normal_log_density(distribution, value)
    else:
        density = distribution.log_prob(value, *site["args"], **site["kwargs"])
    if has_value(site):  # some log_prob formulas continue smoothly outside the support
        allowed_values = allowed(distribution, value)
        if not bool(allowed_values.all()):
            density = density.masked_fill(~allowed_values, -torch.inf)
    density = scale_and_mask(density, site["scale"], site["mask"])
    if density.dim() == 0 or len(density) != program.size:
        raise InputError(
            f"{program.where}: site {site['name']!r} has a log density of shape {tuple(density.shape)}; its first "
            f"dimension must be that of the {program.size} particles (a value of the wrong shape, or a missing "
            "to_event?)"
        )
    if density.dim() > 1:
        density = density.reshape(program.size, -1).sum(-1)
    return density.double().cpu()


def _normal_log_density(distribution: dist.Normal, value: Tensor) -> Tensor:
    """−½ ((y − μ) / σ)² − ln σ − ½ ln 2π, with one logarithm where all particles share σ."""
    scale = distribution.scale
    if not any(scale.stride()):
        scale = scale[(0,) * scale.dim()]
    residual = (value - distribution.loc) * (0.5**0.5 / scale)
    return torch.addcmul(-(scale.log() + 0.5 * math.log(2 * math.pi)), residual, residual, value=-1)


def allowed(distribution: Any, value: Tensor) -> Tensor:
    """Whether the value is in the support; assumed where the distribution does not say what that is."""
    try:
        return distribution.support.check(value)
    except NotImplementedError:
        return torch.tensor(True, device=value.device)


def has_value(site: Site) -> bool:
    """False for pyro.factor, whose value is empty."""
    return site["value"].numel() > 0
