"""Smoothing by backward sampling: trajectories from p(x_{1:T} | y_{1:T}).

Forward, filter and keep every state; backward from a draw of x_T, draw x_t among the particles of time t with weights

    W_{t|T}^i ∝ W_t^i  p(x_{t+1}, y_{t+1} | x_t^i)

(Godsill, Doucet and West, JASA 99 (2004) 156, doi:10.1198/016214504000000151; the density of y_{t+1} cancels where it
depends on x_{t+1} alone). p(x_{t+1}, y_{t+1} | x_t) is the density of the model's step with the old state x_t and the
values of the new one at its sample sites. So every latent site of the step must be kept in `state` as it was drawn:
where an entry is computed from draws that are not kept, or from the old state, the step has no such density.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pyro
import torch
from pyro import distributions as dist
from torch import Tensor

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.arviz_export import InferenceData, to_inference_data
from hmm_plating.inference.filter_state import FilterState
from hmm_plating.inference.particle_filter import ParticleFilter
from hmm_plating.inference.program import Program
from hmm_plating.inference.random_stream import random_stream
from hmm_plating.inference.resampling import take
from hmm_plating.inference.series import entry_at, require_length
from hmm_plating.inference.weighting import weigh

PAIRS = 200_000  # of an old and a new particle in one call of the model: bounds the memory
INSTEAD = "smooth with fixed_lag_smoothing, which needs no transition density"


class _Kept(NamedTuple):
    """The state entry that holds a site's value, the value's type, and how many of its dimensions are one event."""

    entry: str
    dtype: torch.dtype
    event_dim: int


@dataclass
class _FromState:
    """A guide that proposes the given states: with it, a weight increment is the density of the whole step."""

    sites: Mapping[str, _Kept]
    new: Mapping[str, Tensor]

    def step(self, state: Mapping[str, Tensor], *args: Any) -> None:
        for name, kept in self.sites.items():
            pyro.sample(name, dist.Delta(self.new[kept.entry].to(kept.dtype), event_dim=kept.event_dim))


def backward_sampling(
    particle_filter: ParticleFilter,
    observations: Any,
    *inputs: Any,
    trajectories: int = 100,
    seed: int = 0,
    init_args: Sequence[Any] = (),
    time: Sequence[float] | None = None,
) -> InferenceData:
    """Filter a series and draw whole trajectories from the joint smoothing distribution.

    Arguments as of `ParticleFilter.run`; memory holds the particles of all steps, and the time goes with
    steps · particles · `trajectories`. The model's step is called with the observation that belongs to the new state.

    Returns:
        posterior (chain, draw, time, …): draw i is one trajectory of what the model reports; attrs `log_evidence`,
        `seed`, `particles`.

    Raises:
        InputError: see `ParticleFilter.update`; the step has no transition density, see the head of this file.
    """
    require_integer("backward_sampling: trajectories", trajectories, 1)
    series = (observations, *inputs)
    total = require_length(series)
    state = particle_filter.init(*init_args, seed=seed)
    states: list[FilterState] = []
    filters = []
    for t in range(total):
        # a copy, because models may count their steps in an attribute
        filters.append(replace(particle_filter, model=copy.copy(particle_filter.model)))
        state, _ = particle_filter.update(state, *(entry_at(entry, t) for entry in series))
        states.append(state)
    with torch.no_grad(), random_stream(state.random_state):
        index = particle_filter.resampling(state.log_weights, trajectories)
        path = [take(state.particles, index)]
        for t in range(total - 2, -1, -1):
            entries = tuple(entry_at(entry, t + 1) for entry in series)
            index = _backward(filters[t + 1], states[t], path[-1], entries, f"step {t + 2}")
            path.append(take(states[t].particles, index))
    model = particle_filter.model
    reported = [model.report(state) if hasattr(model, "report") else state for state in reversed(path)]
    return to_inference_data(
        [{"posterior": {name: value.cpu().numpy() for name, value in entries.items()}} for entries in reported],
        attrs={"log_evidence": state.log_evidence, "seed": seed, "particles": particle_filter.particles},
        time=time,
        dims=getattr(model, "dims", {}),
        coords=getattr(model, "coords", {}),
    )


def transition_log_density(
    particle_filter: ParticleFilter,
    old: Mapping[str, Tensor],
    new: Mapping[str, Tensor],
    args: tuple[Any, ...],
    where: str = "step",
) -> Tensor:
    """log p(new state, observation | old state) of every pair, shape (M, N), from the sites of the model's step.

    Args:
        particle_filter: whose model it is.
        old: state of N particles.
        new: state of M particles.
        args: observation and inputs of the step that leads to the new state.
        where: names the step in errors.

    Raises:
        InputError: the step has no transition density.
    """
    count, wanted = len(next(iter(old.values()))), len(next(iter(new.values())))
    sites = _kept_sites(particle_filter, old, args, where)
    rows = []
    for start in range(0, wanted, max(1, PAIRS // count)):
        chosen = {name: value[start : start + max(1, PAIRS // count)] for name, value in new.items()}
        pairs = count * len(next(iter(chosen.values())))
        repeated = {name: value.repeat(pairs // count, *(1,) * (value.dim() - 1)) for name, value in old.items()}
        target = {name: value.repeat_interleave(count, 0) for name, value in chosen.items()}
        model, nesting = copy.copy(particle_filter.model), particle_filter.max_plate_nesting
        program = Program(model, "step", args, pairs, nesting, where)
        step = weigh(program, _FromState(sites, target), repeated)
        reached = _reached(step.particles, target, where)
        rows.append(torch.where(reached, step.log_increment, -torch.inf).reshape(-1, count))
    return torch.cat(rows)


def _backward(
    particle_filter: ParticleFilter, state: FilterState, new: Mapping[str, Tensor], args: tuple[Any, ...], where: str
) -> Tensor:
    """(M,): for each new state, a particle of `state` drawn as its predecessor."""
    joint = transition_log_density(particle_filter, state.particles, new, args, where) + state.log_weights
    if not torch.isfinite(joint.logsumexp(-1)).all():
        raise InputError(f"{where}: a state has no possible predecessor among the particles: {INSTEAD}")
    return torch.multinomial(torch.softmax(joint, -1), 1)[:, 0]


def _kept_sites(
    particle_filter: ParticleFilter, old: Mapping[str, Tensor], args: tuple[Any, ...], where: str
) -> dict[str, _Kept]:
    """Where the step keeps what it draws, found by running it once."""
    count = len(next(iter(old.values())))
    program = Program(particle_filter.model, "step", args, count, particle_filter.max_plate_nesting, where)
    state = program.copy(old)
    drawn = program.rehearsal().run(state)
    sites = {}
    for name, site in drawn.items():
        if site["is_observed"]:
            continue
        value = site["value"]
        entry = next((key for key, kept in state.items() if _same(kept, value)), None)
        if entry is None:
            raise InputError(
                f"{where}: what site {name!r} draws is not kept in the state, so the step has no transition density: "
                f"keep it as an entry of its own, or {INSTEAD}"
            )
        sites[name] = _Kept(entry, value.dtype, site["fn"].event_dim)
    if not sites:
        raise InputError(f"{where}: the model draws nothing, so the step has no transition density: {INSTEAD}")
    return sites


def _same(kept: Tensor, value: Tensor) -> bool:
    return kept.shape == value.shape and bool((kept == value).all())


def _reached(particles: Mapping[str, Tensor], target: Mapping[str, Tensor], where: str) -> Tensor:
    """(pairs,): whether the old state, with the draws of the new one, leads to the new one."""
    reached = torch.ones(len(next(iter(target.values()))), dtype=torch.bool)
    for name, value in target.items():
        difference = (particles[name].to(value.dtype) - value).abs() if value.dtype != torch.bool else None
        if difference is None:
            equal = particles[name] == value
        elif value.dtype.is_floating_point:
            equal = difference <= math.sqrt(torch.finfo(value.dtype).eps) * (1 + value.abs())
        else:
            equal = difference == 0
        equal = equal.reshape(len(equal), -1).all(-1).cpu()
        if value.dtype.is_floating_point and not bool(equal.all()):
            raise InputError(
                f"{where}: state[{name!r}] is computed from the old state, not drawn, so the step has no transition "
                f"density: {INSTEAD}"
            )
        reached &= equal
    return reached
