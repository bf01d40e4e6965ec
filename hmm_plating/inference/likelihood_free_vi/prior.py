"""A prior on unconstrained coordinates, from a Pyro program or a distribution.

Each site's value is θ = T(u) with T = `biject_to(support)`, and

    log p(u) = log p(θ) + log |det dT/du|

(Carpenter et al., J. Stat. Softw. 76 (2017), section 2.7; 10.18637/jss.v076.i01). Supports may depend on other sites.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import Distribution, biject_to

from hmm_plating.errors import InputError

Parameters = Tensor | dict[str, Tensor]


@dataclass(frozen=True)
class Prior:
    """Sites of a prior, flattened into a vector u of unconstrained coordinates.

    Attributes:
        program: Pyro program without arguments that draws all parameters.
        sizes: number of unconstrained coordinates of each site, in the order of the program.
        shapes: of one draw of each site.
        plate_dim: the dimension of the batch, left of the plates of the program.
        single: the prior is one distribution, whose draws are handed on as a tensor.
    """

    program: Callable[[], Any]
    sizes: dict[str, int]
    shapes: dict[str, torch.Size]
    plate_dim: int
    single: bool

    @classmethod
    def of(cls, prior: Any) -> Prior:
        """Read the sites off one run of the program.

        Raises:
            InputError: no site; a discrete, observed or improper one; one whose dimensions are not declared.
        """
        single = isinstance(prior, Distribution)
        if not single and not callable(prior):
            raise InputError(f"prior must be a Pyro program or a distribution, got {type(prior).__name__}")
        program: Any = _OneSite(prior) if single else prior
        with torch.random.fork_rng(devices=[]):
            try:
                nodes: Mapping[str, Any] = poutine.trace(program).get_trace().nodes
            except NotImplementedError as error:
                raise InputError("prior: it cannot be drawn from, so it is improper: use a proper one") from error
            sites = {name: node for name, node in nodes.items() if _is_sample(node)}
            if not sites:
                raise InputError("prior: the program draws no parameter")
            nesting = max(_check_site(name, site) for name, site in sites.items())
            sizes = {name: biject_to(site["fn"].support).inv(site["value"]).numel() for name, site in sites.items()}
            shapes = {name: site["value"].shape for name, site in sites.items()}
            built = cls(program, sizes, shapes, -1 - nesting, single)
            if not torch.isfinite(built.log_prob(built.sample(16))).all():
                raise InputError("prior: its density is not finite at its own draws: use a proper, continuous one")
        return built

    @property
    def size(self) -> int:
        """Number of unconstrained coordinates."""
        return sum(self.sizes.values())

    def sample(self, count: int) -> Tensor:
        """Draws of u, (count, size), float64."""
        sites = self._run(count, {}).values()
        flat = [biject_to(site["fn"].support).inv(site["value"]).reshape(count, -1).double() for site in sites]
        return torch.cat(flat, -1)

    def log_prob(self, unconstrained: Tensor) -> Tensor:
        """log p(u) for u of shape (count, size): (count,)."""
        count = len(unconstrained)
        densities = [
            (site["fn"].log_prob(site["value"]) + site["infer"]["log_jacobian"]).reshape(count, -1).sum(-1)
            for site in self._run(count, self._split(unconstrained)).values()
        ]
        return torch.stack(densities).sum(0)

    def parameters(self, unconstrained: Tensor) -> Parameters:
        """What simulators take: {site: (count, …)}, or the tensor itself where the prior is one distribution."""
        count = len(unconstrained)
        values = {
            name: site["value"].reshape(count, *self.shapes[name])
            for name, site in self._run(count, self._split(unconstrained)).items()
        }
        return next(iter(values.values())) if self.single else values

    def _split(self, unconstrained: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.sizes, unconstrained.split(tuple(self.sizes.values()), -1), strict=True))

    def _run(self, count: int, values: Mapping[str, Tensor]) -> dict[str, Any]:
        with poutine.trace() as tracer, _AtUnconstrained(values), pyro.plate("_draws", count, dim=self.plate_dim):
            self.program()
        return {name: tracer.trace.nodes[name] for name in self.sizes}


@dataclass(frozen=True)
class _OneSite:
    distribution: Any

    def __call__(self) -> Tensor:
        return pyro.sample("theta", self.distribution)


class _AtUnconstrained(Messenger):
    """Gives each site the value that its unconstrained coordinates stand for."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.values:
            transform = biject_to(msg["fn"].support)
            u = self.values[msg["name"]].reshape(transform.inverse_shape(msg["fn"].shape()))
            msg["value"], msg["done"] = transform(u), True
            msg["infer"] = {**msg["infer"], "log_jacobian": transform.log_abs_det_jacobian(u, msg["value"])}


def _is_sample(node: Any) -> bool:
    return node["type"] == "sample" and not site_is_subsample(node) and not node["infer"].get("_deterministic")


def _check_site(name: str, site: Mapping[str, Any]) -> int:
    """How many plates are nested around the site."""
    if site["is_observed"]:
        raise InputError(f"prior: site {name!r} is observed: what the data say belongs into the simulator")
    if site["fn"].support.is_discrete:
        raise InputError(f"prior: site {name!r} is discrete; only continuous parameters can be inferred")
    nesting = max([0, *(-frame.dim for frame in site["cond_indep_stack"] if frame.vectorized)])
    if len(site["fn"].batch_shape) > nesting:
        raise InputError(
            f"prior: site {name!r} has batch shape {tuple(site['fn'].batch_shape)} outside of any plate: "
            "declare its dimensions with .to_event"
        )
    return nesting
