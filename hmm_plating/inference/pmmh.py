"""Particle marginal Metropolis–Hastings: parameters of a state-space model, exact although the evidence is noisy.

    accept θ' with probability min(1, p(θ') Ẑ(θ') / [p(θ) Ẑ(θ)]),      u' = u + N(0, e^{2s} Σ)

with Ẑ the particle filter's unbiased evidence and u the parameters on unconstrained space (Andrieu, Doucet and
Holenstein, J. R. Stat. Soc. B 72 (2010) 269, doi:10.1111/j.1467-9868.2009.00736.x). During warm-up s approaches the
wanted acceptance and Σ the covariance of all chains, with gains i^−0.6 (Andrieu and Thoms, Stat. Comput. 18 (2008) 343,
doi:10.1007/s11222-008-9110-y); then both are kept. The filters of all chains run in one call of the program.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.arviz_export import InferenceData, from_groups
from hmm_plating.inference.block_filter import ModelOfParameters, run_blocks
from hmm_plating.inference.covariance import jittered_cholesky
from hmm_plating.inference.fingerprint import fingerprint
from hmm_plating.inference.parameter_prior import ParameterPrior
from hmm_plating.inference.random_stream import initial_random_state, random_stream
from hmm_plating.inference.series import require_length
from hmm_plating.inference.state_file import save_state, saved_state

STARTS = 16  # draws from the prior of which each chain starts at one, chosen by its evidence


class PMMHState(NamedTuple):
    """Chains after `iteration` proposals; all that their future depends on.

    Attributes:
        position: parameters on unconstrained space, (chains, dimensions).
        log_prior: there, (chains,).
        log_evidence: the filter's estimate that the position was accepted with, (chains,).
        iteration: number of proposals so far.
        mean, covariance, log_scale: of the proposal, (dimensions,), (dimensions, dimensions) and ().
        random_state: of torch's generator, a byte tensor.
    """

    position: Tensor
    log_prior: Tensor
    log_evidence: Tensor
    iteration: int
    mean: Tensor
    covariance: Tensor
    log_scale: Tensor
    random_state: Tensor


@dataclass(frozen=True)
class PMMH:
    """Chains over the parameters of `model(parameters)`, an object with `init` and `step` as for `ParticleFilter`.

    Attributes:
        model: see `block_filter.init_blocks`: parameters come with one value per particle.
        prior: a Pyro program that draws the parameters.
        particles: of each filter; log Ẑ at the posterior should vary by about 1 to 1.7 (Doucet, Pitt, Deligiannidis
            and Kohn, Biometrika 102 (2015) 295, doi:10.1093/biomet/asu075).
        chains: their number.
        warmup: proposals during which the proposal adapts; they are not kept.
        target_acceptance: that the proposal's scale is adapted to.
        max_plate_nesting: number of plates that the model nests inside that of the particles.
    """

    model: ModelOfParameters
    prior: Callable[[], Any]
    particles: int
    _: KW_ONLY
    chains: int = 4
    warmup: int = 500
    target_acceptance: float = 0.234
    max_plate_nesting: int = 0

    def __post_init__(self) -> None:
        for name, minimum in (("particles", 1), ("chains", 1), ("warmup", 0), ("max_plate_nesting", 0)):
            require_integer(f"PMMH: {name}", getattr(self, name), minimum)
        if not 0 < self.target_acceptance < 1:
            raise InputError(f"PMMH: target_acceptance must be between 0 and 1, got {self.target_acceptance!r}")

    def init(self, series: Sequence[Any], *, seed: int = 0, init_args: Sequence[Any] = ()) -> PMMHState:
        """Start each chain at one of 16 draws from the prior, chosen with probability proportional to its evidence.

        Raises:
            InputError: none of a chain's draws explains the series; a prior that cannot be used.
        """
        prior = ParameterPrior(self.prior)
        with torch.no_grad(), random_stream(initial_random_state(seed)):
            drawn = prior.sample(STARTS * self.chains)
            log_prior, log_evidence = self._density(drawn, series, init_args)
            by_chain = log_evidence.reshape(self.chains, STARTS)
            if torch.isneginf(by_chain).all(-1).any():
                raise InputError(
                    f"PMMH: none of {STARTS} draws from the prior explains the series: widen the model's noise, narrow "
                    "the prior, or take more particles"
                )
            chosen = torch.multinomial(torch.softmax(by_chain, -1), 1)[:, 0] + STARTS * torch.arange(self.chains)
            dimensions = drawn.shape[1]
            return PMMHState(
                drawn[chosen],
                log_prior[chosen],
                log_evidence[chosen],
                0,
                drawn[chosen].mean(0),
                torch.diag(drawn.var(0)),
                torch.tensor(math.log(2.38 / math.sqrt(dimensions)), dtype=torch.float64),
                torch.get_rng_state(),
            )

    def update(
        self, state: PMMHState, series: Sequence[Any], init_args: Sequence[Any] = ()
    ) -> tuple[PMMHState, Tensor, Tensor]:
        """One proposal per chain: the new state, which were accepted, and with what probability, (chains,) each."""
        with torch.no_grad(), random_stream(state.random_state):
            factor = jittered_cholesky(state.covariance)
            proposed = state.position + state.log_scale.exp() * torch.randn_like(state.position) @ factor.T
            log_prior, log_evidence = self._density(proposed, series, init_args)
            change = log_prior + log_evidence - state.log_prior - state.log_evidence
            probability = change.clamp(max=0).exp().nan_to_num(0.0)
            accepted = torch.rand_like(probability) < probability
            position = torch.where(accepted[:, None], proposed, state.position)
            mean, covariance, log_scale = state.mean, state.covariance, state.log_scale
            if state.iteration < self.warmup:
                gain = (state.iteration + 1) ** -0.6
                log_scale = log_scale + gain * (probability.mean() - self.target_acceptance)
                if state.iteration >= self.warmup // 10:  # the first positions are those of the prior
                    centred = position - mean
                    covariance = covariance + gain * (centred.T @ centred / self.chains - covariance)
                    mean = mean + gain * centred.mean(0)
            return (
                PMMHState(
                    position,
                    torch.where(accepted, log_prior, state.log_prior),
                    torch.where(accepted, log_evidence, state.log_evidence),
                    state.iteration + 1,
                    mean,
                    covariance,
                    log_scale,
                    torch.get_rng_state(),
                ),
                accepted,
                probability,
            )

    def run(
        self,
        observations: Any,
        *inputs: Any,
        draws: int = 1000,
        seed: int = 0,
        init_args: Sequence[Any] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_interval: int = 100,
        resume: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> InferenceData:
        """Draw from the posterior of the parameters given a series; series and `init_args` as of `ParticleFilter.run`.

        Args:
            draws: kept per chain, after the warm-up.
            seed: of all random draws; the same seed gives the same result.
            checkpoint: file to keep the chains in, written every `checkpoint_interval` proposals.
            resume: continue from it, where there is one, to the result of an uninterrupted run.
            progress: called with the number of proposals done and to do.

        Returns:
            posterior (chain, draw, …): the parameters; sample_stats (chain, draw): `lp`, the log posterior up to a
            constant, `log_evidence`, `accepted`, `acceptance_rate`; attrs `acceptance_rate`, `particles`, `seed`.

        Raises:
            InputError: see `init`; a checkpoint of something else.
        """
        require_integer("PMMH: draws", draws, 1)
        series = (observations, *inputs)
        total = self.warmup + draws
        identity = "" if checkpoint is None else fingerprint(self, series, seed, tuple(init_args))
        saved = saved_state(checkpoint, identity, resume)
        history: list[tuple[Tensor, ...]] = []  # position, log prior, log evidence, accepted, probability
        if saved is not None:
            state = PMMHState(**saved["state"])._replace(iteration=int(saved["state"]["iteration"]))
            history = (
                list(zip(*(saved["history"][str(i)] for i in range(5)), strict=True)) if "history" in saved else []
            )
        else:
            require_length(series)
            state = self.init(series, seed=seed, init_args=init_args)
        while state.iteration < total:
            state, accepted, probability = self.update(state, series, init_args)
            if state.iteration > self.warmup:
                history.append((state.position, state.log_prior, state.log_evidence, accepted, probability))
            if checkpoint is not None and (state.iteration % checkpoint_interval == 0 or state.iteration == total):
                columns = {str(i): torch.stack(column) for i, column in enumerate(zip(*history, strict=True))}
                save_state(checkpoint, identity, {"state": state._asdict(), "history": columns})
            if progress is not None:
                progress(state.iteration, total)
        return self._result(history[:draws], seed)

    def _density(self, position: Tensor, series: Sequence[Any], init_args: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Log prior and log evidence of each position, (positions,)."""
        parameters, log_prior = ParameterPrior(self.prior).constrain(position)
        steps = require_length(series)
        filters = run_blocks(self.model, parameters, self.particles, series, steps, init_args, self.max_plate_nesting)
        return log_prior, filters.log_evidence

    def _result(self, history: list[tuple[Tensor, ...]], seed: int) -> InferenceData:
        position, log_prior, log_evidence, accepted, probability = (
            torch.stack(column).transpose(0, 1) for column in zip(*history, strict=True)
        )
        parameters, _ = ParameterPrior(self.prior).constrain(position.flatten(0, 1))
        stats = {
            "lp": log_prior + log_evidence,
            "log_evidence": log_evidence,
            "accepted": accepted,
            "acceptance_rate": probability,
        }
        leading = ("chain", "draw")
        return from_groups(
            {
                "posterior": (
                    leading,
                    {
                        name: value.reshape(*position.shape[:2], *value.shape[1:]).numpy()
                        for name, value in parameters.items()
                    },
                ),
                "sample_stats": (leading, {name: value.numpy() for name, value in stats.items()}),
            },
            attrs={
                "acceptance_rate": float(accepted.double().mean()),
                "particles": self.particles,
                "warmup": self.warmup,
                "seed": seed,
            },
        )
