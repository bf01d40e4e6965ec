"""Fixed-lag smoothing: the state of some steps ago given all observations so far, while they arrive.

    p(x_{t−L} | y_{1:t}) ≈ Σ_i W_t^i δ(x_{t−L} − x_{t−L}^{a(i)}),    a(i): the ancestor of particle i, L steps before

Kitagawa, J. Comput. Graph. Stat. 5 (1996) 1; Olsson, Cappé, Douc and Moulines, Bernoulli 14 (2008) 155,
doi:10.3150/07-BEJ6150. What follows later than L steps is not used: L must exceed the model's memory, and stay below
the number of steps within which all lineages meet. It needs no transition density, so it works on every model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import require_integer
from hmm_plating.inference.arviz_export import InferenceData, to_inference_data
from hmm_plating.inference.filter_state import FilterState, StepInfo
from hmm_plating.inference.particle_filter import ParticleFilter
from hmm_plating.inference.random_stream import random_stream
from hmm_plating.inference.resampling import take
from hmm_plating.inference.series import entry_at, require_length


class LagWindow(NamedTuple):
    """The last states of a filter, oldest first, and how they descend from each other.

    Attributes:
        states: what the model reports of each state, N slots leading; the last is the present one.
        ancestors: (N,) for all but the first: the slot of the state before from which each descends.
    """

    states: tuple[dict[str, Tensor], ...] = ()
    ancestors: tuple[Tensor, ...] = ()

    def extend(self, reported: dict[str, Tensor], info: StepInfo, lag: int) -> LagWindow:
        """The window after a further step, at most `lag` + 1 states long."""
        states, ancestors = (*self.states, reported), self.ancestors
        if self.states:
            ancestors = (*ancestors, info.ancestors)
        return LagWindow(states[-lag - 1 :], ancestors[-lag:] if lag else ())

    def smoothed(self, age: int) -> dict[str, Tensor]:
        """The state `age` steps ago that each present particle descends from: it carries the present weights."""
        index = None
        for ancestors in reversed(self.ancestors[len(self.ancestors) - age :]):
            index = ancestors if index is None else ancestors[index]
        state = self.states[len(self.states) - 1 - age]
        return state if index is None else take(state, index)


def fixed_lag_smoothing(
    particle_filter: ParticleFilter,
    observations: Any,
    *inputs: Any,
    lag: int,
    seed: int = 0,
    init_args: Sequence[Any] = (),
    time: Sequence[float] | None = None,
) -> InferenceData:
    """Filter a series and smooth each state by the `lag` observations that follow it, or those that there are.

    Arguments as of `ParticleFilter.run`. Online, keep a `LagWindow` beside the filter's state.

    Returns:
        posterior (chain, draw, time, …): equally weighted draws from p(x_s | y_{1:s+lag}) of what the model reports;
        attrs `log_evidence`, `lag`, `seed`, `particles`.

    Raises:
        InputError: see `ParticleFilter.update`; a lag below 0; series of different lengths.
    """
    require_integer("fixed_lag_smoothing: lag", lag, 0)
    series = (observations, *inputs)
    total = require_length(series)
    state, window = particle_filter.init(*init_args, seed=seed), LagWindow()
    records = []
    for t in range(total):
        state, info = particle_filter.update(state, *(entry_at(entry, t) for entry in series))
        window = window.extend(_reported(particle_filter, state), info, lag)
        for age in range(min(lag, t), -1, -1) if t + 1 == total else [lag] if t >= lag else []:
            records.append({"posterior": _draws(particle_filter, state, window.smoothed(age))})
    return to_inference_data(
        records,
        attrs={"log_evidence": state.log_evidence, "lag": lag, "seed": seed, "particles": particle_filter.particles},
        time=time,
        dims=getattr(particle_filter.model, "dims", {}),
        coords=getattr(particle_filter.model, "coords", {}),
    )


def _reported(particle_filter: ParticleFilter, state: FilterState) -> dict[str, Tensor]:
    report = getattr(particle_filter.model, "report", None)
    return state.particles if report is None else report(state.particles)


def _draws(particle_filter: ParticleFilter, state: FilterState, smoothed: dict[str, Tensor]) -> dict[str, Any]:
    """Equally weighted draws; they come from a stream of their own, which leaves that of the filter alone."""
    index = torch.arange(particle_filter.particles)
    if not torch.allclose(state.log_weights, torch.full_like(state.log_weights, -math.log(len(index)))):
        with random_stream(state.random_state):
            torch.default_generator.manual_seed(int(torch.randint(2**62, ())))
            index = particle_filter.resampling(state.log_weights, len(index))
    return {name: value.cpu().numpy() for name, value in take(smoothed, index).items()}
