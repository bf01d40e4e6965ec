"""Our priors and simulators as those of the `sbi` package, and its posteriors as ArviZ `InferenceData`.

    prior, simulator = to_sbi(problem.prior, problem.simulator)
    theta = prior.sample((10_000,))
    posterior = NPE(prior).append_simulations(theta, simulator(theta)).train() …
    data = from_sbi(posterior.sample((4000,), x=observed), problem.prior)

`sbi` (Tejero-Cantero et al., J. Open Source Softw. 5 (2020) 2505) knows one vector θ per draw. Here it is the
unconstrained one, u = T(β) of `prior`, whose support is all of R^d: no posterior leaks out of its prior's support.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from hmm_plating.errors import InputError
from hmm_plating.inference.arviz_export import InferenceData, from_groups
from hmm_plating.inference.prior import Prior, read_prior
from hmm_plating.inference.simulated_data import flatten


class UnconstrainedPrior(torch.distributions.Distribution):
    """Density of u ∈ R^d for a Pyro program or distribution, float32 as `sbi` wants it.

    Args:
        prior: as of `read_prior`.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = False

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        super().__init__(event_shape=torch.Size([prior.dimension]), validate_args=False)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        shape = torch.Size(sample_shape)
        return self.prior.sample(shape.numel()).float().reshape(*shape, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Of u (..., d): (...)."""
        flat = value.reshape(-1, self.prior.dimension).to(torch.float64)
        return self.prior.evaluate(flat)[1].reshape(value.shape[:-1]).to(value.dtype)


def to_sbi(prior: Any, simulator: Callable[[Any], Any]) -> tuple[UnconstrainedPrior, Callable[[Tensor], Tensor]]:
    """Prior and simulator of `SMCABC` and `LFVI` for `sbi`.

    Args:
        prior: Pyro program or distribution.
        simulator: takes many draws at once, a tensor for a distribution, a dict for a program; returns data (draws, …),
            a tensor, array or dict of these.

    Returns:
        The prior, a torch distribution of u (d,), and the simulator, from u (draws, d) to data (draws, k), float32;
        entries of a dict in the order of its names. Rows that are NaN stay so, and `sbi` leaves them out.

    Raises:
        InputError: an improper or discrete prior; data without the draws as their first dimension.
    """
    read = read_prior(prior)

    def simulate(unconstrained: Tensor) -> Tensor:
        batch = torch.as_tensor(unconstrained).reshape(-1, read.dimension).to(torch.float64)
        with torch.no_grad():
            returned = simulator(read.arguments(read.evaluate(batch)[0]))
        return flatten(returned, len(batch)).float()

    return UnconstrainedPrior(read), simulate


def from_sbi(
    draws: Tensor,
    prior: Any,
    observed: Any = None,
    *,
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
) -> InferenceData:
    """Posterior draws of u in the prior's own variables.

    Args:
        draws: (draws, d), or (chains, draws, d), of a posterior for the prior of `to_sbi`.
        prior: that was given to `to_sbi`.
        observed: data of the posterior, kept as observed_data.
        dims, coords: names of the dimensions of the parameters, as in ArviZ.

    Raises:
        InputError: draws of another dimension or not finite.
    """
    read = read_prior(prior)
    draws = torch.as_tensor(draws)
    if draws.ndim not in (2, 3) or draws.shape[-1] != read.dimension or not bool(draws.isfinite().all()):
        raise InputError(
            f"draws must be finite, (draws, {read.dimension}) or (chains, draws, {read.dimension}), "
            f"got shape {tuple(draws.shape)}"
        )
    chains = draws[None] if draws.ndim == 2 else draws
    values, _ = read.evaluate(chains.flatten(0, 1).to(torch.float64))
    posterior = {name: value.unflatten(0, chains.shape[:2]).numpy() for name, value in values.items()}
    groups: dict[str, Any] = {"posterior": (("chain", "draw"), posterior)}
    if observed is not None:
        named = observed if isinstance(observed, Mapping) else {"data": observed}
        groups["observed_data"] = ((), {name: np.asarray(value) for name, value in named.items()})
    return from_groups(groups, attrs={}, dims=dims, coords=coords)
