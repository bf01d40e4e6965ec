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

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.arviz_export import InferenceData, Record, step_record, to_inference_data
from hmm_plating.inference.checkpoint import Checkpoint, require_place
from hmm_plating.inference.filter_state import FilterState, StepInfo
from hmm_plating.inference.look_ahead import look_ahead
from hmm_plating.inference.prediction import failure, observed_values, predictive, withheld
from hmm_plating.inference.program import Program
from hmm_plating.inference.progress import Progress
from hmm_plating.inference.random_stream import initial_random_state, random_stream
from hmm_plating.inference.resampling import Resampling, distinct, systematic, take
from hmm_plating.inference.series import entry_at, require_length
from hmm_plating.inference.tempering import Tempering, temper
from hmm_plating.inference.two_stage import TwoStage, two_stage
from hmm_plating.inference.weighting import Reweighted, Weighting, reweigh, weigh


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
        guide: proposal with the same two methods, as in SMCFilter, which may read `state` and not write it; or a
            `LaplaceProposal`, which finds one by itself.
        resampling: one of `hmm_plating.inference.resampling`.
        ess_threshold: resample when the effective sample size falls below this fraction of N, between 0 and 1.
        max_plate_nesting: number of plates that the model nests inside that of the particles.
        predictive_draws: one-step-ahead draws to record per step; 0 for none.
        posterior_draws: draws of the filtering distribution to record per step. By default as many as particles, with
            the log weight and ancestor of each particle; a number leaves those out of what `run` returns, and the
            evidence increment is the only draw of its `log_likelihood`.
        auxiliary: choose particles by a look-ahead at the next observation, see `inference.look_ahead`.
        tempering: take in an observation by parts where it is too informative, see `inference.tempering`.
        two_stage: weight a share of the particles only, chosen by a first guess that the model makes, see
            `inference.two_stage`. What is predicted one step ahead is then the first guess of all particles.
    """

    model: Any
    particles: int
    _: KW_ONLY
    guide: Any = None
    resampling: Resampling = systematic
    ess_threshold: float = 0.5
    max_plate_nesting: int = 0
    predictive_draws: int = 400
    posterior_draws: int | None = None
    auxiliary: bool = False
    tempering: Tempering | None = None
    two_stage: TwoStage | None = None

    def __post_init__(self) -> None:
        least = {"particles": 1, "max_plate_nesting": 0, "predictive_draws": 0, "posterior_draws": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None or name != "posterior_draws":
                require_integer(f"ParticleFilter: {name}", value, minimum)
        if not 0 <= self.ess_threshold <= 1:
            raise InputError(f"ParticleFilter: ess_threshold must be between 0 and 1, got {self.ess_threshold!r}")
        for role, program in (("model", self.model), ("guide", self.guide)):
            is_program = hasattr(program, "init") and hasattr(program, "step")
            if not is_program and (role == "model" or not (program is None or hasattr(program, "propose"))):
                raise InputError(f"ParticleFilter: {role} needs methods init(state, …) and step(state, …)")
        if self.tempering is not None and (self.guide is not None or self.auxiliary):
            raise InputError("ParticleFilter: tempering moves the model's own draws; leave guide and auxiliary out")
        if self.two_stage is not None:
            if self.guide is not None or self.auxiliary or self.tempering is not None:
                raise InputError(
                    "ParticleFilter: two_stage weights the model's own draws; leave guide, auxiliary and tempering out"
                )
            missing = [name for name in ("move", "first_guess", "observe") if not hasattr(self.model, name)]
            if missing:
                raise InputError(f"ParticleFilter: two_stage needs a model with a method {missing[0]}(state, …)")

    def init(self, *args: Any, seed: int = 0) -> FilterState:
        """Draw particles from `model.init(state, *args)`, weighted by what it observes, if anything."""
        with torch.no_grad(), random_stream(initial_random_state(seed)):
            equal = torch.full((self.particles,), -math.log(self.particles), dtype=torch.float64)
            guide = None if hasattr(self.guide, "propose") else self.guide
            weighting = weigh(self.program("init", args, "init"), guide, {})
            new = reweigh(equal, weighting.log_increment)
            if not torch.isfinite(new.log_normaliser):
                raise failure(equal, weighting, "init")
            particles, log_weights = weighting.particles, new.log_weights
            if new.effective_sample_size < self.ess_threshold * self.particles:
                particles, log_weights = take(particles, self.resampling(log_weights, self.particles)), equal
            return FilterState(particles, log_weights, 0, float(new.log_normaliser), torch.get_rng_state())

    def update(self, state: FilterState, observation: Any, *inputs: Any) -> tuple[FilterState, StepInfo]:
        """Advance by one observation through `model.step(state, observation, *inputs)`; `state` stays as it was.

        The result depends on the arguments alone: the global random state is neither used nor changed. (A model that
        keeps part of its state in its own attributes spoils that; put it into `state`.)

        Raises:
            InputError: no particle can explain the observation, or the model breaks the rules above.
        """
        count, where = self.particles, f"step {state.step + 1}"
        program = self.program("step", (observation, *inputs), where)
        with torch.no_grad(), random_stream(state.random_state):
            stepped = self._step(program, state)
            weighting, particles, new = stepped.weighting, stepped.particles, stepped.new
            increment = float(new.log_normaliser)
            if not math.isfinite(increment):
                raise failure(stepped.log_weights_before, weighting, where)
            ancestors, draws = stepped.ancestors, None
            left = len(new.log_weights)  # fewer than all where only some were weighted
            if left < count or (not self.auxiliary and new.effective_sample_size < self.ess_threshold * count):
                draws = self.resampling(new.log_weights, count)
                ancestors = draws if ancestors is None else ancestors[draws]
            chosen = None if draws is None else take(particles, draws)
            weights = new.log_weights
            if stepped.weighted is not None:
                weights = weights.new_full((count,), -math.inf).index_copy(0, stepped.weighted, weights)
            # What is recorded draws from a stream of its own, so that the filter's path does not depend on it.
            recording_seed, random_state = int(torch.randint(2**62, ())), torch.get_rng_state()
            torch.default_generator.manual_seed(recording_seed)
            info = StepInfo(
                log_evidence_increment=increment,
                effective_sample_size=new.effective_sample_size,
                resampled=ancestors is not None,
                ancestors=torch.arange(count) if ancestors is None else ancestors,
                unique_ancestors=count if ancestors is None else distinct(ancestors),
                invalid_particles=stepped.invalid,
                log_weights=weights,
                log_likelihood=weights + (increment + math.log(count)),
                posterior=self._posterior(particles, new.log_weights, draws, where),
                predictive=self._predictive(stepped),
                observed=self._observed(weighting),
                observed_sites=tuple(site["name"] for site in weighting.observed),
                stages=stepped.stages,
                full_evaluations=stepped.full_evaluations,
            )
        log_weights = new.log_weights
        if chosen is not None:
            particles, log_weights = chosen, log_weights.new_full((count,), -math.log(count))
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
        require_place(checkpoint, resume)
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
            records.append(step_record(info, per_particle=self.posterior_draws is None))
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

    def program(self, method: str, args: tuple[Any, ...], where: str) -> Program:
        return Program(self.model, method, args, self.particles, self.max_plate_nesting, where)

    def _step(self, program: Program, state: FilterState) -> _Stepped:
        """Particles moved and weighted by whichever of the algorithms is chosen."""
        if self.two_stage is not None:
            found = two_stage(self.two_stage, program, state.particles, state.log_weights)
            zero = torch.zeros(len(found.chosen), dtype=torch.float64)
            some = found.chosen if len(found.chosen) < self.particles else None
            return _Stepped(
                found.first,
                state.log_weights,
                found.particles,
                reweigh(found.log_weights, zero),
                some,
                1,
                invalid=int(found.invalid.sum()),
                weighted=some,
                full_evaluations=found.full_evaluations,
            )
        if self.tempering is not None:
            parts = temper(self.tempering, program, state.particles, state.log_weights, self.resampling)
            new = Reweighted(parts.log_weights, parts.log_normaliser, parts.effective_sample_size)
            ancestors = parts.ancestors if parts.stages > 1 else None
            invalid = int(parts.first.invalid.sum())
            return _Stepped(parts.first, state.log_weights, parts.particles, new, ancestors, parts.stages, invalid)
        particles, log_weights, ancestors = state.particles, state.log_weights, None
        proposal = self.guide.propose(program, particles) if hasattr(self.guide, "propose") else None
        if self.auxiliary:
            particles, log_weights, proposal, ancestors = look_ahead(
                program, particles, log_weights, proposal, self.resampling, self.ess_threshold
            )
        weighting = weigh(program, self.guide if proposal is None else proposal, program.copy(particles))
        new = reweigh(log_weights, weighting.log_increment)
        invalid = int(torch.count_nonzero(weighting.invalid))
        return _Stepped(weighting, log_weights, weighting.particles, new, ancestors, 1, invalid)

    def _posterior(
        self, particles: dict[str, Tensor], log_weights: Tensor, chosen: Tensor | None, where: str
    ) -> dict[str, Tensor]:
        """What is recorded of equally weighted particles, those `chosen` where as many are wanted."""
        draws = self.particles if self.posterior_draws is None else self.posterior_draws
        if draws == 0:
            return {}
        if chosen is None or draws != self.particles:
            chosen = self.resampling(log_weights, draws)
        if draws < len(log_weights):
            return self._report(take(particles, chosen), where)
        return take(self._report(particles, where), chosen)  # a report is smaller than the state

    def _predictive(self, stepped: _Stepped) -> dict[str, Tensor]:
        if self.predictive_draws == 0:
            return {}
        weighting, before = stepped.weighting, stepped.log_weights_before
        after = reweigh(before, weighting.log_increment).log_weights
        return self._named(withheld(after, weighting, predictive(before, weighting, self.predictive_draws)))

    def _report(self, particles: dict[str, Tensor], where: str) -> dict[str, Tensor]:
        if not hasattr(self.model, "report"):
            return particles
        reported, count = self.model.report(particles), len(next(iter(particles.values())))
        for name, value in reported.items():
            if value.dim() == 0 or len(value) != count:
                raise InputError(
                    f"{where}: report gives {name!r} of shape {tuple(value.shape)}; {count} draws must lead"
                )
        return reported

    def _named(self, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.model.report_predictive(draws) if draws and hasattr(self.model, "report_predictive") else draws

    def _observed(self, weighting: Weighting) -> dict[str, Tensor]:
        values = {name: value[None] for name, value in observed_values(weighting).items()}
        return {name: value[0] for name, value in self._named(values).items()}


class _Stepped(NamedTuple):
    """What one observation made of the particles.

    `weighting` and `log_weights_before` tell what was predicted; `ancestors` is None where no particle was dropped,
    `weighted` where all particles were weighted, `full_evaluations` where nothing else than the model weights them.
    """

    weighting: Weighting
    log_weights_before: Tensor
    particles: dict[str, Tensor]
    new: Reweighted
    ancestors: Tensor | None
    stages: int
    invalid: int
    weighted: Tensor | None = None
    full_evaluations: int | None = None
