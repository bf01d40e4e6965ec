"""Particle filter for a state-space model written in Pyro.

    W_t^i ∝ W_{t−1}^i  p(y_t | x_t^i) p(x_t^i | x_{t−1}^i) / q(x_t^i | x_{t−1}^i, y_t),
    log p(y_t | y_{1:t−1}) ≈ log Σ_i W_{t−1}^i p(y_t | x_t^i) p(x_t^i | x_{t−1}^i) / q(x_t^i | …)

Gordon, Salmond and Smith, IEE Proc. F 140 (1993) 107 (q = p, the bootstrap filter); Chopin and Papaspiliopoulos, "An
Introduction to Sequential Monte Carlo" (2020), chapter 10. Its estimate of the evidence is unbiased for every number of
particles.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.arviz_export import InferenceData, Record, step_record, to_inference_data
from hmm_plating.inference.checkpoint import Checkpoint
from hmm_plating.inference.progress import Progress
from hmm_plating.inference.random_stream import initial_random_state, random_stream
from hmm_plating.inference.resampling import Resampling, effective_sample_size, systematic
from hmm_plating.inference.series import entry_at, require_length
from hmm_plating.inference.weighting import Weighting, failure, observed_values, predictive, weigh, withheld


class FilterState(NamedTuple):
    """Weighted particles after `step` observations; all that the future of a filter depends on.

    Attributes:
        particles: the model's state, tensors with leading dimension N.
        log_weights: normalised, (N,), float64.
        step: number of observations seen.
        log_evidence: of all observations so far.
        random_state: of torch's generator, a byte tensor.
    """

    particles: dict[str, Tensor]
    log_weights: Tensor
    step: int
    log_evidence: float
    random_state: Tensor


class StepInfo(NamedTuple):
    """Record of one step.

    Attributes:
        log_evidence_increment: log p(y_t | y_{1:t−1}), a one-step leave-future-out score.
        effective_sample_size: after weighting, before resampling.
        resampled: whether it fell below the threshold.
        ancestors: (N,), the particle that each slot of the new state copies; 0 … N−1 without resampling.
        unique_ancestors: how many distinct ones.
        invalid_particles: particles whose weight was NaN or +inf and was set to zero.
        log_weights: (N,), normalised, before resampling.
        log_likelihood: (N,), whose logmeanexp is the increment: log N W_{t−1}^i plus the log weight increment.
        posterior: equally weighted draws from the filtering distribution, leading dimension N.
        predictive: draws from the one-step-ahead predictive distribution of each observed site; entries that the
            observation lacks (NaN) while it has others are drawn given those others.
        observed: value of each observed site.
        observed_sites: names of the sites that were scored.
    """

    log_evidence_increment: float
    effective_sample_size: float
    resampled: bool
    ancestors: Tensor
    unique_ancestors: int
    invalid_particles: int
    log_weights: Tensor
    log_likelihood: Tensor
    posterior: dict[str, Tensor]
    predictive: dict[str, Tensor]
    observed: dict[str, Tensor]
    observed_sites: tuple[str, ...]


@dataclass(frozen=True)
class ParticleFilter:
    """Filter with `particles` particles for an object with methods `init(state, …)` and `step(state, observation, …)`.

    As for `pyro.infer.SMCFilter`, both methods run under a plate of particles, draw with `pyro.sample`, score with
    `obs=` and keep in `state` (a dict) every tensor that depends on a draw, particles leading. What the model computes
    keeps its own precision; weights are float64. The model may further have

    * `report(state) -> dict`: what to record of an equally weighted state, N draws leading; default all of it. Entries
      may be absent at some steps;
    * `report_predictive(draws) -> dict`: maps {site: (draws, …)} to the named variables that users know; the observed
      values pass through it as well;
    * `dims: dict[str, Sequence[str]]`, `coords: dict[str, Sequence]` of the recorded variables, as in ArviZ.

    Attributes:
        model: see above.
        particles: N.
        guide: proposal with the same two methods, as in SMCFilter, which may read `state` and not write it.
        resampling: one of `hmm_plating.inference.resampling`.
        ess_threshold: resample when the effective sample size falls below this fraction of N, between 0 and 1.
        max_plate_nesting: number of plates that the model nests inside that of the particles.
        predictive_draws: one-step-ahead draws to record per step; 0 for none.
    """

    model: Any
    particles: int
    _: KW_ONLY
    guide: Any = None
    resampling: Resampling = systematic
    ess_threshold: float = 0.5
    max_plate_nesting: int = 0
    predictive_draws: int = 400

    def __post_init__(self) -> None:
        for name, minimum in (("particles", 1), ("max_plate_nesting", 0), ("predictive_draws", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < minimum:
                raise InputError(f"ParticleFilter: {name} must be an integer ≥ {minimum}, got {value!r}")
        if not 0 <= self.ess_threshold <= 1:
            raise InputError(f"ParticleFilter: ess_threshold must be between 0 and 1, got {self.ess_threshold!r}")
        for role in ("model", "guide"):
            program = getattr(self, role)
            if (program is not None or role == "model") and not (hasattr(program, "init") and hasattr(program, "step")):
                raise InputError(f"ParticleFilter: {role} needs methods init(state, …) and step(state, …)")

    def init(self, *args: Any, seed: int = 0) -> FilterState:
        """Draw particles from `model.init(state, *args)`, weighted by what it observes, if anything."""
        with torch.no_grad(), random_stream(initial_random_state(seed)):
            equal = torch.full((self.particles,), -math.log(self.particles), dtype=torch.float64)
            weighting = self._weigh("init", {}, args, "init")
            log_weights, increment = _reweigh(equal, weighting, "init")
            particles = weighting.particles
            if effective_sample_size(log_weights) < self.ess_threshold * self.particles:
                particles, log_weights = _take(particles, self.resampling(log_weights, self.particles)), equal
            return FilterState(particles, log_weights, 0, increment, torch.get_rng_state())

    def update(self, state: FilterState, observation: Any, *inputs: Any) -> tuple[FilterState, StepInfo]:
        """Advance by one observation through `model.step(state, observation, *inputs)`; `state` stays as it was.

        The result depends on the arguments alone: the global random state is neither used nor changed. (A model that
        keeps part of its state in its own attributes spoils that; put it into `state`.)

        Raises:
            InputError: no particle can explain the observation, or the model breaks the rules above.
        """
        count, where = self.particles, f"step {state.step + 1}"
        with torch.no_grad(), random_stream(state.random_state):
            # Copies, because models may write `state["x"] += …`, which changes a tensor in place.
            particles = {name: value.clone() for name, value in state.particles.items()}
            weighting = self._weigh("step", particles, (observation, *inputs), where)
            log_weights, increment = _reweigh(state.log_weights, weighting, where)
            size = min(float(effective_sample_size(log_weights)), float(count))
            resampled = size < self.ess_threshold * count
            draws = self.resampling(log_weights, count)
            equally_weighted = _take(weighting.particles, draws)
            # What is recorded draws from a stream of its own, so that the filter's path does not depend on it.
            recording_seed, random_state = int(torch.randint(2**62, ())), torch.get_rng_state()
            torch.default_generator.manual_seed(recording_seed)
            info = StepInfo(
                log_evidence_increment=increment,
                effective_sample_size=size,
                resampled=resampled,
                ancestors=draws if resampled else torch.arange(count),
                unique_ancestors=len(draws.unique()) if resampled else count,
                invalid_particles=int(weighting.invalid.sum()),
                log_weights=log_weights,
                log_likelihood=state.log_weights + weighting.log_increment + math.log(count),
                posterior=self._report(equally_weighted, where),
                predictive=self._named(
                    withheld(log_weights, weighting, predictive(state.log_weights, weighting, self.predictive_draws))
                ),
                observed=self._observed(weighting),
                observed_sites=tuple(site["name"] for site in weighting.observed),
            )
        if resampled:
            particles, log_weights = equally_weighted, torch.full_like(log_weights, -math.log(count))
        return FilterState(particles, log_weights, state.step + 1, state.log_evidence + increment, random_state), info

    def run(
        self,
        observations: Any,
        *inputs: Any,
        seed: int = 0,
        init_args: Sequence[Any] = (),
        time: Sequence[float] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_interval: int = 20,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> InferenceData:
        """Filter a whole series: `model.step(state, observations[t], *(series[t] for series in inputs))` at each t.

        Args:
            observations: tensor or array (time, …), a list with one observation per step, or a mapping or named tuple
                of these, which is sliced entry by entry.
            inputs: further series of the same length, for example the drive.
            seed: of all random draws; the same seed gives the same result.
            init_args: passed to `model.init(state, *init_args)`.
            time: coordinate of the dimension `time`, default 0, 1, ….
            checkpoint: folder to keep the state and the records in, written every `checkpoint_interval` steps and at
                the end. A model that is resumed must keep all that changes in `state`, or in attributes that are plain
                numbers.
            resume: continue from `checkpoint`, where there is one; the result is that of an uninterrupted run. The
                series may have grown since.
            progress: called after each step.

        Returns:
            Groups posterior, sample_stats, filter_stats, posterior_predictive, log_likelihood and observed_data, see
            `hmm_plating.inference.arviz_export`; `attrs["log_evidence"]`.

        Raises:
            InputError: see `update`; lengths that differ; a checkpoint that belongs to other inputs.
        """
        series = (observations, *inputs)
        total = require_length(series)
        if checkpoint_interval < 1:
            raise InputError(f"run: checkpoint_interval must be at least 1, got {checkpoint_interval}")
        state = self.init(*init_args, seed=seed)
        initial_log_evidence = state.log_evidence
        records: list[Record] = []
        store = None
        if checkpoint is not None:
            settings = [getattr(self, item.name) for item in fields(self) if item.name not in ("model", "guide")]
            steps = ([entry_at(entry, t) for entry in series] for t in range(total))
            store = Checkpoint.of(checkpoint, (seed, init_args, *settings), steps, (self.model, self.guide))
            if resume and store.exists():
                state, records = store.load(state)
            else:
                store.create()
        for t in range(state.step, total):
            state, info = self.update(state, *(entry_at(entry, t) for entry in series))
            records.append(step_record(info))
            if store is not None and ((t + 1) % checkpoint_interval == 0 or t + 1 == total):
                store.save(state, records)
            if progress is not None:
                progress(t + 1, total, info)
        return to_inference_data(
            records,
            attrs={
                "log_evidence": state.log_evidence,
                "initial_log_evidence": initial_log_evidence,
                "seed": seed,
                "particles": self.particles,
            },
            time=time,
            dims=getattr(self.model, "dims", {}),
            coords=getattr(self.model, "coords", {}),
        )

    def _weigh(self, method: str, particles: dict[str, Tensor], args: tuple[Any, ...], where: str) -> Weighting:
        return weigh(self.model, self.guide, method, particles, args, self.particles, self.max_plate_nesting, where)

    def _report(self, equally_weighted: dict[str, Tensor], where: str) -> dict[str, Tensor]:
        if not hasattr(self.model, "report"):
            return equally_weighted
        reported = self.model.report(equally_weighted)
        for name, value in reported.items():
            if value.dim() == 0 or len(value) != self.particles:
                raise InputError(
                    f"{where}: report gives {name!r} of shape {tuple(value.shape)}; {self.particles} draws must lead"
                )
        return reported

    def _named(self, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.model.report_predictive(draws) if draws and hasattr(self.model, "report_predictive") else draws

    def _observed(self, weighting: Weighting) -> dict[str, Tensor]:
        values = {name: value[None] for name, value in observed_values(weighting).items()}
        return {name: value[0] for name, value in self._named(values).items()}


def _reweigh(log_weights: Tensor, weighting: Weighting, where: str) -> tuple[Tensor, float]:
    """Normalised weights after the increments, and the log of what normalises them: the evidence increment."""
    joint = log_weights + weighting.log_increment
    increment = torch.logsumexp(joint, -1)
    if not torch.isfinite(increment):
        raise failure(log_weights, weighting, where)
    return joint - increment, float(increment)


def _take(particles: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    return {name: value[index.to(value.device)] for name, value in particles.items()}
