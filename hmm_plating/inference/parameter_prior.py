"""The prior of static parameters, a Pyro program, on unconstrained space.

    log p(u) = Σ_j log p(θ_j | θ_{<j}) + log |∂θ_j / ∂u_j|,        θ_j = T_j(u_j)

with T_j the bijection of torch from the reals to the support of site j (Carpenter et al., J. Stat. Softw. 76 (2017) 1,
section 2.7, doi:10.18637/jss.v076.i01; Kucukelbir et al., JMLR 18 (2017) 14). The program is called once for many
parameter values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import biject_to

from hmm_plating.errors import InputError

Parameters = dict[str, Tensor]
_VECTOR = "declare a vector as dist.Normal(0.0, 1.0).expand([k]).to_event(1)"


@dataclass(frozen=True)
class ParameterPrior:
    """Prior of named parameters.

    Attributes:
        program: draws each parameter with `pyro.sample`, one after another; a vector with `to_event`, not in a plate.
            What it computes from them with `pyro.deterministic` is passed on with them.
    """

    program: Callable[[], Any]

    def sample(self, count: int) -> Tensor:
        """Draws on unconstrained space, (count, dimensions), float64.

        Raises:
            InputError: no parameter, one that is discrete or observed, or a prior that cannot be drawn from.
        """
        with torch.no_grad(), poutine.block(), poutine.trace() as traced, _Expanded(count):
            try:
                self.program()
            except NotImplementedError as error:
                raise InputError(
                    f"the prior is improper, or its distribution cannot be sampled ({error}): it must be a proper prior"
                ) from error
        columns = []
        nodes: dict[str, Any] = traced.trace.nodes
        for name, site in nodes.items():
            if site["type"] == "sample" and not site["is_observed"]:
                raw = biject_to(site["fn"].support).inv(site["value"]).double()
                if not torch.isfinite(raw).all():
                    raise InputError(
                        f"the prior of {name!r} drew values that are not finite, or at their support's edge"
                    )
                columns.append(raw.reshape(count, -1))
        if not columns:
            raise InputError("the prior draws no parameter: it needs at least one pyro.sample")
        return torch.cat(columns, -1)

    def constrain(self, unconstrained: Tensor) -> tuple[Parameters, Tensor]:
        """Parameters {name: (count, …)} and log prior density (count,) of unconstrained values (count, dimensions)."""
        transform = _FromUnconstrained(unconstrained)
        with torch.no_grad(), poutine.block(), transform, dist.validation_enabled(False):
            self.program()
        return transform.parameters, transform.log_density.masked_fill(transform.log_density.isnan(), -torch.inf)


class _Expanded(Messenger):
    """Makes every site draw `count` values; no plate, so that it works within those of a model."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def _pyro_sample(self, message: Any) -> None:
        name, distribution = message["name"], message["fn"]
        if _is_deterministic(message):
            return
        if message["is_observed"]:
            raise InputError(f"the prior observes {name!r}: a prior only draws, the model observes")
        if not hasattr(distribution, "support"):  # what Pyro draws for a plate
            raise InputError(f"the prior has a plate, {name!r}: {_VECTOR}")
        if distribution.support.is_discrete:
            raise InputError(f"parameter {name!r} is discrete: only continuous ones have an unconstrained space")
        if tuple(distribution.batch_shape) not in ((), (self.count,)):
            raise InputError(f"the prior of {name!r} has batch shape {tuple(distribution.batch_shape)}: {_VECTOR}")
        message["fn"] = distribution.expand((self.count,))


class _FromUnconstrained(_Expanded):
    """Gives each site its value from the next columns, and adds up the log density."""

    def __init__(self, unconstrained: Tensor) -> None:
        super().__init__(len(unconstrained))
        self.unconstrained, self.used = unconstrained, 0
        self.parameters: Parameters = {}
        self.log_density = torch.zeros(len(unconstrained), dtype=torch.float64)

    def _pyro_sample(self, message: Any) -> None:
        super()._pyro_sample(message)
        if _is_deterministic(message):
            self.parameters[message["name"]] = message["value"]
            return
        distribution, count = message["fn"], self.count
        transform = biject_to(distribution.support)
        shape = transform.inverse_shape(distribution.shape())
        size = math.prod(shape[1:])
        raw = self.unconstrained[:, self.used : self.used + size].reshape(shape)
        self.used += size
        value = transform(raw)
        jacobian = transform.log_abs_det_jacobian(raw, value).reshape(count, -1).sum(-1)
        self.log_density += distribution.log_prob(value) + jacobian
        self.parameters[message["name"]] = value
        message["value"], message["done"] = value, True


def _is_deterministic(message: Any) -> bool:
    """Whether the site is one of pyro.deterministic, which looks like an observed one."""
    return bool((message["infer"] or {}).get("_deterministic"))
