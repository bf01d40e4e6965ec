"""SMC²: static parameters of a state-space model while observations arrive.

Parameter particles θ^m carry a particle filter each, and weights

    ω_t^m ∝ ω_{t−1}^m p̂(y_t | y_{1:t−1}, θ^m),        p(y_t | y_{1:t−1}) ≈ Σ_m ω_{t−1}^m p̂(y_t | y_{1:t−1}, θ^m)

When their effective sample size falls they are resampled and moved by particle marginal Metropolis–Hastings steps,
whose proposal is a Student distribution fitted to them; where few are accepted all filters get twice the particles, by
importance sampling from the old filters to new ones (Chopin, Jacob and Papaspiliopoulos, J. R. Stat. Soc. B 75 (2013)
397, doi:10.1111/j.1467-9868.2012.01046.x, sections 3.1, 3.2, 3.6). All filters run in one call of the program.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import torch
from pyro import distributions as dist
from torch import Tensor

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.arviz_export import InferenceData, from_groups
from hmm_plating.inference.block_filter import (
    BlockState,
    ModelOfParameters,
    choose_blocks,
    init_blocks,
    run_blocks,
    take_blocks,
    update_blocks,
)
from hmm_plating.inference.covariance import jittered_cholesky, weighted_covariance
from hmm_plating.inference.fingerprint import fingerprint
from hmm_plating.inference.parameter_prior import ParameterPrior
from hmm_plating.inference.random_stream import initial_random_state, random_stream
from hmm_plating.inference.resampling import effective_sample_size, systematic
from hmm_plating.inference.series import entry_at, require_length
from hmm_plating.inference.state_file import save_state, saved_state

PROPOSAL_DEGREES_OF_FREEDOM = 5.0  # heavier tails than a posterior's: particles out there get moved as well


class SMC2State(NamedTuple):
    """Parameter particles and their filters after `step` observations.

    Attributes:
        position: parameters on unconstrained space, (M, dimensions).
        log_prior: there, (M,).
        log_weights: normalised, (M,).
        filters: of each parameter particle.
        step: number of observations seen.
        log_evidence: of them.
        random_state: of torch's generator, a byte tensor.
    """

    position: Tensor
    log_prior: Tensor
    log_weights: Tensor
    filters: BlockState
    step: int
    log_evidence: float
    random_state: Tensor


class SMC2Info(NamedTuple):
    """Record of one step.

    Attributes:
        log_evidence_increment: log p(y_t | y_{1:t−1}), parameters integrated out.
        effective_sample_size: of the parameter particles, after weighting.
        resampled: whether they were resampled and moved.
        acceptance_rate: of the moves; NaN without.
        particles: of each filter, after the step.
    """

    log_evidence_increment: float
    effective_sample_size: float
    resampled: bool
    acceptance_rate: float
    particles: int


@dataclass(frozen=True)
class SMC2:
    """SMC² for `model(parameters)`, an object with `init` and `step` as for `ParticleFilter`.

    Attributes:
        model: see `block_filter.init_blocks`: parameters come with one value per particle.
        prior: a Pyro program that draws the parameters.
        parameter_particles: M.
        particles: of each filter, at the start.
        ess_threshold: resample and move below this fraction of M.
        moves: Metropolis–Hastings steps after each resampling.
        lowest_acceptance: of the moves, below which the filters' particles are doubled.
        most_particles: of each filter; they are not doubled beyond.
        max_plate_nesting: number of plates that the model nests inside that of the particles.
    """

    model: ModelOfParameters
    prior: Callable[[], Any]
    parameter_particles: int
    particles: int
    _: KW_ONLY
    ess_threshold: float = 0.5
    moves: int = 3
    lowest_acceptance: float = 0.2
    most_particles: int = 4096
    max_plate_nesting: int = 0

    def __post_init__(self) -> None:
        minima = {"parameter_particles": 2, "particles": 1, "moves": 1, "most_particles": 1, "max_plate_nesting": 0}
        for name, minimum in minima.items():
            require_integer(f"SMC2: {name}", getattr(self, name), minimum)
        for name in ("ess_threshold", "lowest_acceptance"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"SMC2: {name} must be between 0 and 1, got {getattr(self, name)!r}")

    def init(self, *init_args: Any, seed: int = 0) -> SMC2State:
        """Draw the parameters from their prior, and start their filters.

        Raises:
            InputError: a prior that cannot be used.
        """
        prior, count = ParameterPrior(self.prior), self.parameter_particles
        with torch.no_grad(), random_stream(initial_random_state(seed)):
            position = prior.sample(count)
            parameters, log_prior = prior.constrain(position)
            filters = init_blocks(self.model, parameters, self.particles, init_args, self.max_plate_nesting)
            equal = torch.full((count,), -math.log(count), dtype=torch.float64)
            log_weights, increment = _reweigh(equal, filters.log_evidence, "init")
            return SMC2State(position, log_prior, log_weights, filters, 0, increment, torch.get_rng_state())

    def update(
        self, state: SMC2State, series: Sequence[Any], init_args: Sequence[Any] = ()
    ) -> tuple[SMC2State, SMC2Info]:
        """Advance by one observation; `series` (observations, and further inputs) holds all up to it, for the moves.

        Raises:
            InputError: no parameter explains the observation.
        """
        step, where = state.step, f"step {state.step + 1}"
        with torch.no_grad(), random_stream(state.random_state):
            parameters, _ = ParameterPrior(self.prior).constrain(state.position)
            args = tuple(entry_at(entry, step) for entry in series)
            filters = update_blocks(self.model, parameters, state.filters, args, self.max_plate_nesting, where)
            gain = filters.log_evidence - state.filters.log_evidence
            log_weights, increment = _reweigh(state.log_weights, gain.nan_to_num(-torch.inf, neginf=-torch.inf), where)
            size = float(effective_sample_size(log_weights))
            state = state._replace(filters=filters, log_weights=log_weights, step=step + 1)
            state, acceptance = state._replace(log_evidence=state.log_evidence + increment), math.nan
            while float(effective_sample_size(state.log_weights)) < self.ess_threshold * self.parameter_particles:
                state, acceptance = self._rejuvenate(state, series, init_args)
                if acceptance < self.lowest_acceptance and 2 * state.filters.particles_per_block <= self.most_particles:
                    state = self._double(state, series, init_args)  # uneven weights again: once more
            state = state._replace(random_state=torch.get_rng_state())
        count = state.filters.particles_per_block
        return state, SMC2Info(increment, size, not math.isnan(acceptance), acceptance, count)

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
        progress: Callable[[int, int], None] | None = None,
    ) -> InferenceData:
        """Posterior of the parameters given a series; series, `init_args` and `time` as of `ParticleFilter.run`.

        Args:
            seed: of all random draws; the same seed gives the same result.
            checkpoint: file to keep the particles in, written every `checkpoint_interval` steps and at the end.
            resume: continue from it, where there is one, to the result of an uninterrupted run.
            progress: called with the number of steps done and to do.

        Returns:
            posterior (chain, draw, …): equally weighted draws of the parameters; filter_stats (chain, time): the
            entries of `SMC2Info`; attrs `log_evidence`, `parameter_particles`, `seed`.

        Raises:
            InputError: see `update`; series of different lengths; a checkpoint of something else.
        """
        series = (observations, *inputs)
        total = require_length(series)
        identity = "" if checkpoint is None else fingerprint(self, series, seed, tuple(init_args))
        saved = saved_state(checkpoint, identity, resume)
        records: list[SMC2Info] = []
        if saved is not None:
            state, records = _restore(saved)
        else:
            state = self.init(*init_args, seed=seed)
        while state.step < total:
            state, info = self.update(state, series, init_args)
            records.append(info)
            if checkpoint is not None and (state.step % checkpoint_interval == 0 or state.step == total):
                save_state(checkpoint, identity, _entries(state, records))
            if progress is not None:
                progress(state.step, total)
        return self._result(state, records, seed, time)

    def _rejuvenate(self, state: SMC2State, series: Sequence[Any], init_args: Sequence[Any]) -> tuple[SMC2State, float]:
        """Resample and move the parameter particles; returns the acceptance rate as well."""
        proposal = _fitted(state.position, state.log_weights)
        index = systematic(state.log_weights)
        position, log_prior, filters = state.position[index], state.log_prior[index], take_blocks(state.filters, index)
        accepted, count = [], state.filters.particles_per_block
        for _ in range(self.moves):
            proposed = proposal.sample((len(index),))
            parameters, new_log_prior = ParameterPrior(self.prior).constrain(proposed)
            new = run_blocks(self.model, parameters, count, series, state.step, init_args, self.max_plate_nesting)
            change = (new_log_prior + new.log_evidence - proposal.log_prob(proposed)) - (
                log_prior + filters.log_evidence - proposal.log_prob(position)
            )
            accept = torch.rand_like(change).log() < change
            position = torch.where(accept[:, None], proposed, position)
            log_prior = torch.where(accept, new_log_prior, log_prior)
            filters = choose_blocks(filters, new, accept)
            accepted.append(float(accept.double().mean()))
        equal = torch.full_like(state.log_weights, -math.log(len(index)))
        moved = state._replace(position=position, log_prior=log_prior, filters=filters, log_weights=equal)
        return moved, sum(accepted) / self.moves

    def _double(self, state: SMC2State, series: Sequence[Any], init_args: Sequence[Any]) -> SMC2State:
        """Filters with twice the particles, and the weights that this change makes right."""
        parameters, _ = ParameterPrior(self.prior).constrain(state.position)
        count = 2 * state.filters.particles_per_block
        filters = run_blocks(self.model, parameters, count, series, state.step, init_args, self.max_plate_nesting)
        ratio = filters.log_evidence - state.filters.log_evidence
        log_weights, _ = _reweigh(state.log_weights, ratio, f"step {state.step}")
        return state._replace(filters=filters, log_weights=log_weights)

    def _result(
        self, state: SMC2State, records: list[SMC2Info], seed: int, time: Sequence[float] | None
    ) -> InferenceData:
        with random_stream(state.random_state):
            index = systematic(state.log_weights)
        parameters, _ = ParameterPrior(self.prior).constrain(state.position[index])
        stats = {
            name: torch.tensor([getattr(info, name) for info in records], dtype=torch.float64).numpy()[None]
            for name in SMC2Info._fields
        }
        return from_groups(
            {
                "posterior": (("chain", "draw"), {name: value.numpy()[None] for name, value in parameters.items()}),
                "filter_stats": (("chain", "time"), stats),
            },
            attrs={"log_evidence": state.log_evidence, "parameter_particles": self.parameter_particles, "seed": seed},
            coords={} if time is None else {"time": time},
        )


def _reweigh(log_weights: Tensor, log_increment: Tensor, where: str) -> tuple[Tensor, float]:
    joint = log_weights + log_increment
    total = torch.logsumexp(joint, -1)
    if not torch.isfinite(total):
        raise InputError(
            f"{where}: no parameter value and particle can explain the observation: check this part of the series, "
            "widen the model's noise or the prior, or take more particles"
        )
    return joint - total, float(total)


def _fitted(position: Tensor, log_weights: Tensor) -> Any:
    """The proposal: Student's distribution with mean and covariance of the weighted particles as centre and scale."""
    weights = log_weights.exp()
    centre = weights @ position
    scale = jittered_cholesky(weighted_covariance(position, weights))
    degrees = torch.tensor(PROPOSAL_DEGREES_OF_FREEDOM, dtype=torch.float64)
    return dist.MultivariateStudentT(degrees, centre, scale)


def _entries(state: SMC2State, records: list[SMC2Info]) -> dict[str, Any]:
    columns = {
        name: torch.tensor([getattr(info, name) for info in records], dtype=torch.float64) for name in SMC2Info._fields
    }
    return {"state": state._asdict() | {"filters": state.filters._asdict()}, "records": columns}


def _restore(saved: dict[str, Any]) -> tuple[SMC2State, list[SMC2Info]]:
    entries = saved["state"]
    state = SMC2State(**entries)._replace(
        filters=BlockState(**{"particles": {}, **entries["filters"]}),
        step=int(entries["step"]),
        log_evidence=float(entries["log_evidence"]),
    )
    columns = [saved["records"][name].tolist() for name in SMC2Info._fields]
    return state, [
        SMC2Info(increment, size, bool(resampled), acceptance, int(particles))
        for increment, size, resampled, acceptance, particles in zip(*columns, strict=True)
    ]
