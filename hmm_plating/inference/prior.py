"""Priors: a Pyro program or a distribution, as a density on an unconstrained space.

    u = T(θ),   log p(u) = log p(θ) + log |det ∂θ/∂u|

T is PyTorch's `biject_to` of each site's support (Kucukelbir et al., JMLR 18 (2017) 14, section 2.3), which may depend
on the other sites of the program.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor
from torch.distributions import biject_to, constraints

from hmm_plating.errors import InputError
from hmm_plating.inference.random_stream import own_random_state

Parameters = Tensor | dict[str, Tensor]
_LOOK = 64


class Site(NamedTuple):
    """One variable of the prior.

    Attributes:
        name: of the variable.
        start, stop: its columns of the unconstrained vector.
        unconstrained_shape: of one draw, with the dimensions of all plates.
        shape: of one draw, as the user sees it.
        dtype: of the draws.
    """

    name: str
    start: int
    stop: int
    unconstrained_shape: torch.Size
    shape: torch.Size
    dtype: torch.dtype


class Prior(NamedTuple):
    """A prior whose variables are stacked into one unconstrained vector; made by `read_prior`.

    Attributes:
        program: Pyro program.
        plate_nesting: number of plates that the program nests.
        sites: the variables, in the order of the program.
        lower, upper: (dimension,), bounds of the entries that live on a finite interval, infinite for the others.
        single: the user gave a distribution, whose one variable is passed to the simulator as a tensor.
    """

    program: Callable[[], Any]
    plate_nesting: int
    sites: tuple[Site, ...]
    lower: Tensor
    upper: Tensor
    single: bool

    @property
    def dimension(self) -> int:
        return len(self.lower)

    def sample(self, count: int) -> Tensor:
        """Unconstrained draws (count, dimension), float64, from torch's global generator."""
        with torch.no_grad():
            sites = _run(self.program, count, self.plate_nesting)
            return torch.cat([_unconstrained(site).reshape(count, -1) for site in sites.values()], -1)

    def evaluate(self, unconstrained: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Variables {name: (count, *shape)} and log p(u), (count,), float64; −inf where the density is not finite.

        Both have a gradient where `unconstrained` has one.
        """
        count = len(unconstrained)
        shapes = {site.name: unconstrained[:, site.start : site.stop].reshape(-1, *site.unconstrained_shape)
                  for site in self.sites}  # fmt: skip
        with torch.set_grad_enabled(unconstrained.requires_grad), _Substitute(shapes) as substituted:
            _run(self.program, count, self.plate_nesting)
        values = {site.name: substituted.values[site.name].reshape(count, *site.shape) for site in self.sites}
        return values, torch.where(substituted.log_density.isfinite(), substituted.log_density, -torch.inf)

    def arguments(self, values: dict[str, Tensor]) -> Parameters:
        """What the simulator is called with: a tensor for a distribution, a dict for a program; dtype of the prior."""
        cast = {site.name: values[site.name].to(site.dtype) for site in self.sites}
        return cast[self.sites[0].name] if self.single else cast

    def coordinates(self, unconstrained: Tensor) -> Tensor:
        """Unconstrained vectors with the entries of finite intervals on their own scale.

        There, unlike on the logit's, a posterior that the bound of a flat prior cuts off keeps the shape of the
        likelihood, which is what regression and smoothing extrapolate.
        """
        width = torch.where(self.lower.isfinite(), self.upper - self.lower, 0.0)
        lower = torch.where(self.lower.isfinite(), self.lower, 0.0)
        return torch.where(self.lower.isfinite(), lower + width * torch.sigmoid(unconstrained), unconstrained)

    def from_coordinates(self, coordinates: Tensor) -> Tensor:
        """The inverse of `coordinates`; NaN outside an interval."""
        finite = self.lower.isfinite()
        lower, upper = torch.where(finite, self.lower, 0.0), torch.where(finite, self.upper, 1.0)
        return torch.where(finite, torch.logit((coordinates - lower) / (upper - lower)), coordinates)


def read_prior(prior: Any) -> Prior:
    """Find the variables of a Pyro program, or of a distribution (Pyro's or torch's): one variable `theta`.

    Raises:
        InputError: it is improper, discrete or draws NaN; it observes something; it is neither of the two.
    """
    single = isinstance(prior, torch.distributions.Distribution)
    if not single and not callable(prior):
        raise InputError(f"prior must be a Pyro program or a distribution, got {type(prior).__name__}")
    program = _program_of(prior) if single else prior
    with own_random_state(), torch.no_grad():
        frames = [
            frame.dim for site in _run(program, None, 0).values() for frame in site["cond_indep_stack"] if frame.dim
        ]
        nesting = -min(frames, default=0)
        traced = _run(program, _LOOK, nesting)
    sites, lower, upper, start = [], [], [], 0
    for name, site in traced.items():
        _check(name, site)
        unconstrained = _unconstrained(site)
        if not unconstrained.isfinite().all():
            raise InputError(f"prior: {name!r} draws values that are NaN, infinite or outside of its support")
        size = unconstrained[0].numel()
        # The plates that a variable is not in appear as sizes of 1, which the user never wrote.
        event = len(site["fn"].event_shape)
        plates = sorted(frame.dim for frame in site["cond_indep_stack"] if frame.name != _PLATE)
        batch = [site["value"].shape[site["value"].dim() - event + dim] for dim in plates]
        shape = torch.Size([*batch, *site["fn"].event_shape])
        if single:
            shape = prior.batch_shape + prior.event_shape
        sites.append(Site(name, start, start + size, unconstrained.shape[1:], shape, site["value"].dtype))
        low, high = _bounds(site["fn"].support, unconstrained)
        lower.append(low)
        upper.append(high)
        start += size
    if not sites:
        raise InputError("prior: the program has no sample site")
    return Prior(program, nesting, tuple(sites), torch.cat(lower), torch.cat(upper), single)


_PLATE = "_draws"


class _Substitute(Messenger):
    """Sets every site to given unconstrained values and sums the log density of those."""

    def __init__(self, unconstrained: dict[str, Tensor]) -> None:
        super().__init__()
        self.unconstrained = unconstrained
        self.values: dict[str, Tensor] = {}
        self.log_density: Tensor = torch.zeros(0)

    def __enter__(self) -> _Substitute:
        super().__enter__()
        return self

    def _pyro_sample(self, message: dict[str, Any]) -> None:
        name = message["name"]
        if name not in self.unconstrained:
            return
        free = self.unconstrained[name]
        transform = biject_to(message["fn"].support)
        value = transform(free)
        log_density = _summed(transform.log_abs_det_jacobian(free, value))
        log_density = log_density + _summed(message["fn"].log_prob(value).to(torch.float64))
        self.log_density = self.log_density + log_density if len(self.log_density) else log_density
        self.values[name] = message["value"] = value
        message["done"] = True


class _TorchDistribution(dist.TorchDistribution):
    """One of torch's own distributions, which lack what Pyro asks for."""

    def __init__(self, wrapped: torch.distributions.Distribution) -> None:
        self.wrapped = wrapped
        super().__init__(wrapped.batch_shape, wrapped.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        return self.wrapped.support

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        return self.wrapped.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.wrapped.log_prob(value)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _TorchDistribution:
        return _TorchDistribution(self.wrapped.expand(batch_shape))


@dataclass(frozen=True)
class _OneSite:
    """The program of a prior that is one distribution."""

    distribution: Any

    def __call__(self) -> Tensor:
        return pyro.sample("theta", self.distribution)


def _program_of(prior: torch.distributions.Distribution) -> _OneSite:
    distribution = prior if isinstance(prior, dist.TorchDistribution) else _TorchDistribution(prior)
    batch = len(prior.batch_shape)
    return _OneSite(distribution.to_event(batch) if batch else distribution)


def _run(program: Callable[[], Any], count: int | None, nesting: int) -> dict[str, Any]:
    """Sample sites of one call, `count` draws at once."""
    plate = nullcontext() if count is None else pyro.plate(_PLATE, count, dim=-1 - nesting)
    try:
        with dist.validation_enabled(False), plate, poutine.trace() as traced:
            program()
    except NotImplementedError as error:
        raise InputError(
            "prior: it cannot be sampled, so it is improper or lacks a sampler: use a proper one"
        ) from error
    nodes = prune_subsample_sites(traced.trace).nodes
    return {name: site for name, site in nodes.items() if site["type"] == "sample"}


def _check(name: str, site: dict[str, Any]) -> None:
    if site["is_observed"]:
        raise InputError(f"prior: {name!r} is observed; a prior only draws, and what is observed is passed to run")
    try:
        discrete = site["fn"].support.is_discrete
        if not discrete:
            biject_to(site["fn"].support)
    except NotImplementedError as error:
        raise InputError(f"prior: {name!r} has no transform to an unconstrained space ({site['fn']})") from error
    if discrete:
        raise InputError(
            f"prior: {name!r} is discrete, and only continuous variables can be inferred; draw it in the simulator"
        )
    if isinstance(site["fn"], dist.ImproperUniform):
        raise InputError(f"prior: {name!r} is improper: its draws cannot be normalised; give it a proper distribution")


def _unconstrained(site: dict[str, Any]) -> Tensor:
    return biject_to(site["fn"].support).inv(site["value"].to(torch.float64))


def _bounds(support: Any, unconstrained: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of a finite interval that is the same for every draw, per column; otherwise infinite."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    columns = unconstrained[0].numel()
    infinite = torch.full((columns,), math.inf, dtype=torch.float64)
    if isinstance(support, constraints.interval):
        ends = []
        for bound in (support.lower_bound, support.upper_bound):
            bound = torch.as_tensor(bound, dtype=torch.float64).expand(unconstrained.shape).reshape(_LOOK, columns)
            if not (bound == bound[0]).all():
                return -infinite, infinite
            ends.append(bound[0].clone())
        return ends[0], ends[1]
    return -infinite, infinite


def _summed(terms: Tensor) -> Tensor:
    return terms.reshape(len(terms), -1).sum(-1)
