"""Forecasts: the future states and observations that a filter's present state predicts.

    p(y_{t+1:t+k}, x_{t+1:t+k} | y_{1:t}) = ∫ p(x_t | y_{1:t}) Π_{s=t+1}^{t+k} p(x_s | x_{s−1}) p(y_s | x_s) dx_t

Particles of the filtering distribution are run on without observations (Durbin and Koopman, "Time Series Analysis by
State Space Methods" (2012), section 4.11, for the linear-Gaussian case).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.arviz_export import InferenceData, to_inference_data
from hmm_plating.inference.filter_state import FilterState
from hmm_plating.inference.particle_filter import ParticleFilter
from hmm_plating.inference.program import Program
from hmm_plating.inference.random_stream import initial_random_state, random_stream
from hmm_plating.inference.resampling import systematic, take
from hmm_plating.inference.series import entry_at, series_length


def forecast(
    particle_filter: ParticleFilter,
    state: FilterState,
    steps: int,
    *inputs: Any,
    sites: Sequence[str],
    draws: int | None = None,
    observation: Any = None,
    seed: int = 0,
    time: Sequence[float] | None = None,
) -> InferenceData:
    """Draw the next `steps` states and observations.

    The model's `step(state, observation, *inputs)` must draw what it would observe where the observation is None, as is
    Pyro's custom. A model that reads several series from one observation gets what is passed as `observation`, for
    example {"a": None, "b": None}.

    Args:
        particle_filter: whose model it is.
        state: after the last observation, from `ParticleFilter.update`.
        steps: how many.
        inputs: future values of the further series of `ParticleFilter.run`, at least `steps` long.
        sites: what the model observes, as in `StepInfo.observed_sites`; a number at the end, as in y_12, may differ.
        draws: trajectories, default as many as there are particles.
        observation: what the step gets as observation.
        seed: of the forecast's draws; the filter's own stream is left alone.
        time: coordinate of `time`, default the numbers of the steps.

    Returns:
        predictions (chain, draw, time, …): observed sites, named as by the model's `report_predictive`, and what the
        model reports of its state. Each draw is one trajectory.

    Raises:
        InputError: inputs that are too short, or a model that cannot do without an observation.
    """
    count = particle_filter.particles if draws is None else draws
    for name, value in (("steps", steps), ("draws", count)):
        require_integer(f"forecast: {name}", value, 1)
    for position, series in enumerate(inputs):
        if series_length(series) < steps:
            raise InputError(
                f"forecast: {steps} steps need inputs as long; series {position} has {series_length(series)} entries"
            )
    model = particle_filter.model
    records = []
    with torch.no_grad(), random_stream(initial_random_state(seed)):
        index = systematic(state.log_weights, count)
        particles = take(state.particles, index)
        for t in range(steps):
            where = f"forecast, step {t + 1}"
            args = (observation, *(entry_at(series, t) for series in inputs))
            predicted = _observed(_drawn(particle_filter, particles, args, where), sites, count, where)
            if hasattr(model, "report_predictive"):
                predicted = model.report_predictive(predicted)
            reported = model.report(particles) if hasattr(model, "report") else particles
            both = sorted(predicted.keys() & reported.keys())
            if both:
                raise InputError(f"{where}: {both[0]!r} is both observed and part of the reported state: rename one")
            variables = {**reported, **predicted}
            records.append({"predictions": {name: value.cpu().numpy().copy() for name, value in variables.items()}})
    return to_inference_data(
        records,
        attrs={"seed": seed, "first_step": state.step},
        time=range(state.step, state.step + steps) if time is None else time,
        dims=getattr(model, "dims", {}),
        coords=getattr(model, "coords", {}),
    )


def _drawn(
    particle_filter: ParticleFilter, particles: dict[str, Tensor], args: tuple[Any, ...], where: str
) -> dict[str, Any]:
    """Sites of one step of the model, which changes `particles`."""
    try:
        nesting, count = particle_filter.max_plate_nesting, len(next(iter(particles.values())))
        return Program(particle_filter.model, "step", args, count, nesting, where).run(particles)
    except (TypeError, AttributeError, KeyError) as error:
        raise InputError(
            f"{where}: the model cannot do without an observation ({type(error).__name__}: {error}): its step must "
            "draw what it observes where the observation is None, and skip what depends on it"
        ) from error


def _observed(drawn: dict[str, Any], sites: Sequence[str], count: int, where: str) -> dict[str, Tensor]:
    by_name = drawn | {re.sub(r"_\d+$", "", name): site for name, site in drawn.items()}
    values = {}
    for name in sites:
        site = by_name.get(name) or by_name.get(re.sub(r"_\d+$", "", name))
        if site is None:
            raise InputError(f"{where}: the model drew no site {name!r}, only {', '.join(drawn)}")
        if site["is_observed"]:
            raise InputError(f"{where}: site {name!r} was observed: pass None where the model takes its value")
        values[name if name in drawn else re.sub(r"_\d+$", "", name)] = site["value"].expand(
            count, *site["fn"].shape()[1:]
        )
    return values
