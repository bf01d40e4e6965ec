"""One round: simulate at the guide, learn the ratio from all simulations so far, fit the guide to the ratio.

Guides live on v = (u − location)/scale, the unconstrained parameters in units of the prior's own spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.inference.calibration import pareto_k
from hmm_plating.inference.likelihood_free_vi.diagnostics import (
    Diagnostics,
    rank_summary,
    simulated_ranks,
    surprise,
)
from hmm_plating.inference.likelihood_free_vi.fit_guide import (
    Weighted,
    climb,
    fit_to_draws,
    likeliest,
    missed_mass,
    weigh,
)
from hmm_plating.inference.likelihood_free_vi.fit_ratio import Pairs, RatioFit, fit_ratio
from hmm_plating.inference.likelihood_free_vi.guides import Guide
from hmm_plating.inference.likelihood_free_vi.log_ratio import LOCAL_DRAWS, LogRatio
from hmm_plating.inference.likelihood_free_vi.ratio import RatioNetwork
from hmm_plating.inference.likelihood_free_vi.reference import Reference
from hmm_plating.inference.likelihood_free_vi.simulations import Simulations, simulate
from hmm_plating.inference.prior import Prior

_PRIOR_DRAWS = 20_000
_WEIGHTED = 10_000
_EVALUATIONS = 400_000
_LEAST_SIZE = 0.03
_HELD_OUT = 0.1
_LEAST_STEPS = 0.15
_EVEN = 1e-6
_STAGES = 5
_ENOUGH = 0.8
_CLIMBING_RATE = 0.2


class Training(NamedTuple):
    """How networks are trained; see `LFVI`."""

    minibatch: int | None
    ratio_steps: int
    guide_steps: int
    ratio_batch: int
    guide_batch: int
    ratio_rate: float
    guide_rate: float


class RoundInfo(NamedTuple):
    """Record of one round.

    Attributes:
        simulations, failed: of this round.
        temperature: τ at which the guide was fitted.
        effective_sample_size: of the weights that it was fitted to, as a fraction.
        missed_mass: of the target, by the guide.
        objective: L, mean over the last steps; NaN but in the last round, as earlier guides only propose simulations.
        held_out_loss, expected_loss, excess_error, calibration_error, corrected: see `RatioFit`.
    """

    simulations: int
    failed: int
    temperature: float
    effective_sample_size: float
    missed_mass: float
    objective: float
    held_out_loss: float
    expected_loss: float
    excess_error: float
    calibration_error: float
    corrected: bool


class State(NamedTuple):
    """All that later rounds depend on, after at least one.

    Attributes:
        simulations: replay buffer of all rounds.
        held_out: (S,), which of them no network is trained on.
        infos: records of the rounds so far.
        guide, log_ratio: as fitted in the last round.
        reference: of the last round.
    """

    simulations: Simulations
    held_out: Tensor
    infos: tuple[RoundInfo, ...]
    guide: Guide
    log_ratio: LogRatio
    reference: Reference

    @property
    def attempted(self) -> int:
        return sum(info.simulations for info in self.infos)


class Problem(NamedTuple):
    """What is to be inferred.

    Attributes:
        prior: of u.
        prior_draws: many draws of v, (S, d), float32.
        location, scale: u = location + scale · v, (d,), float64.
        simulator: see `LFVI`.
        points: observed data (N, k), float64.
        local: whether the simulator returns local latents.
        max_failed: see `LFVI`.
        sizes: simulations per round.
    """

    prior: Prior
    prior_draws: Tensor
    location: Tensor
    scale: Tensor
    simulator: Callable[[Any], Any]
    points: Tensor
    local: bool
    max_failed: float
    sizes: tuple[int, ...]

    @classmethod
    def of(
        cls, prior: Prior, simulator: Callable[[Any], Any], points: Tensor, local: bool, max_failed: float,
        simulations: int, rounds: int,
    ) -> Problem:  # fmt: skip
        draws = prior.sample(_PRIOR_DRAWS)
        low, location, high = torch.quantile(draws, torch.tensor([0.16, 0.5, 0.84], dtype=draws.dtype), dim=0)
        scale = 0.5 * (high - low)
        sizes = tuple(simulations // rounds + (k < simulations % rounds) for k in range(rounds))
        scaled = ((draws - location) / scale).float()
        return cls(prior, scaled, location, scale, simulator, points, local, max_failed, sizes)

    def unconstrained(self, v: Tensor) -> Tensor:
        return self.location + self.scale * v.double()

    def log_prior(self, v: Tensor) -> Tensor:
        return (self.prior.evaluate(self.unconstrained(v))[1] + self.scale.log().sum()).float()

    def log_scale(self, state: State) -> float:
        """Σ log q(x_n) at the observations, which r leaves out, in the units of the data."""
        return float(state.reference.log_prob(self.points).sum())


def next_state(
    state: State | None,
    problem: Problem,
    training: Training,
    guide_family: Callable[[int], Guide],
    ratio: Callable[[int, int], RatioNetwork],
) -> State:
    """The first round, or one more; draws come from torch's global generator."""
    infos = () if state is None else state.infos
    number = len(infos)
    count = problem.sizes[number]
    with torch.no_grad():
        draws = problem.prior.sample(count) if state is None else problem.unconstrained(state.guide.sample(count))
    new = simulate(
        problem.prior, problem.simulator, draws, problem.points.shape[1], problem.local, problem.max_failed, number
    )
    simulations = new if state is None else state.simulations.append(new)
    held_out = torch.rand(len(new.data)) < _HELD_OUT
    if state is not None:
        held_out = torch.cat([state.held_out, held_out])
    reference = Reference.around(problem.points, new.data)
    log_ratio, pairs = _whitened(simulations, reference, problem, ratio)
    share = max(_LEAST_STEPS, (len(simulations.data) / sum(problem.sizes)) ** 2)
    ratio_fit = fit_ratio(
        log_ratio, pairs.select(~held_out), pairs.select(held_out), math.ceil(share * training.ratio_steps),
        training.ratio_batch, training.ratio_rate,
    )  # fmt: skip
    log_ratio.requires_grad_(False)
    if log_ratio.local_guide is not None:
        log_ratio.local_guide.requires_grad_(True)
    observed = reference.whiten(problem.points)

    evaluations = len(observed) * (LOCAL_DRAWS if problem.local else 1)

    def log_likelihood(v: Tensor) -> Tensor:
        return log_ratio.log_likelihood(observed, v)

    def weighted_draws(guides: Sequence[Guide]) -> Weighted:
        count = min(_WEIGHTED, max(1000, _EVALUATIONS // evaluations))
        return weigh(guides, problem.prior_draws, problem.log_prior, log_likelihood, count, _LEAST_SIZE)

    guide = _copy(None if state is None else state.guide, guide_family(problem.prior.dimension))
    final = number == len(problem.sizes) - 1
    weighted = weighted_draws([] if state is None else [state.guide])
    allowed = weighted.temperature
    fit_to_draws(guide, weighted, training.guide_steps, training.guide_batch, training.guide_rate)
    objective = math.nan
    if final:
        for _ in range(_STAGES):
            weighted = weighted_draws([guide])
            if weighted.effective_sample_size > _ENOUGH:
                break
            fit_to_draws(guide, weighted, training.guide_steps, training.guide_batch, training.guide_rate)
        climbed = _copy(guide, guide_family(problem.prior.dimension))
        objective = climb(
            climbed, log_ratio, observed, problem.log_prior, weighted.temperature, training.minibatch,
            training.guide_steps, training.guide_batch, _CLIMBING_RATE * training.guide_rate,
        )  # fmt: skip
        weighted = weighted_draws([guide, climbed])
        guide = likeliest([climbed, guide], weighted)
    info = RoundInfo(
        count, count - len(new.data), allowed, weighted.effective_sample_size, missed_mass(guide, weighted), objective,
        *ratio_fit,
    )  # fmt: skip
    return State(simulations, held_out, (*infos, info), guide, log_ratio, reference)


@torch.no_grad()
def final_draws(state: State, problem: Problem, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draws of u (count, d), log q(u) and log p(u) + Σ r − log q(u), (count,) each."""
    v = state.guide.sample(count)
    log_guide = state.guide.log_prob(v.clone())
    observed = state.reference.whiten(problem.points)
    log_weight = problem.log_prior(v) + state.log_ratio.log_likelihood(observed, v) - log_guide
    return problem.unconstrained(v), log_guide.double() - problem.scale.log().sum(), log_weight.double()


def diagnose(state: State, problem: Problem, log_weight: Tensor) -> Diagnostics:
    """Checks of the last round."""
    info, last = state.infos[-1], len(state.infos) - 1
    observed = state.reference.whiten(problem.points)
    v = ((state.simulations.parameters - problem.location) / problem.scale).float()
    mine = state.simulations.round == last
    checked = mine & state.held_out
    data = state.reference.whiten(state.simulations.data)
    ranks = simulated_ranks(state.log_ratio, data[checked], v[checked], v[mine & ~state.held_out])
    p_value, coverage = rank_summary(ranks)
    with torch.no_grad():
        spread = float(state.log_ratio.log_likelihood(observed, state.guide.sample(1000)).std())
    normalised = log_weight.log_softmax(0)
    return Diagnostics(
        ratio=RatioFit(*(getattr(info, name) for name in RatioFit._fields)),
        pareto_k=float(pareto_k(log_weight)) if float(log_weight.std()) > _EVEN else -math.inf,
        effective_sample_size=float(torch.exp(-torch.logsumexp(2 * normalised, 0))) / len(log_weight),
        log_ratio_spread=spread,
        log_weight_spread=float(log_weight.std()),
        ranks=ranks,
        rank_p_value=p_value,
        coverage=coverage,
        missed_mass=info.missed_mass,
        surprise=surprise(state.log_ratio, data[mine], v[mine], observed),
        temperature=info.temperature,
        failed=sum(i.failed for i in state.infos) / state.attempted,
    )


def _copy(guide: Guide | None, fresh: Guide) -> Guide:
    """`fresh` with the numbers of `guide`, if any; deepcopy fails on the caches of Pyro's transforms."""
    if guide is not None:
        fresh.load_state_dict(guide.state_dict())
    return fresh


def _whitened(
    simulations: Simulations, reference: Reference, problem: Problem, ratio: Callable[[int, int], RatioNetwork]
) -> tuple[LogRatio, Pairs]:
    """A ratio with the coordinates of the last round, and all simulations in them."""
    v = ((simulations.parameters - problem.location) / problem.scale).float()
    newest = simulations.round == simulations.round[-1]
    log_ratio = LogRatio(ratio, simulations.data.shape[1], simulations.local.shape[1], v.shape[1])
    log_ratio.parameter_frame.set_from(v[newest])
    local = simulations.local.float()
    if simulations.local.shape[1]:
        log_ratio.local_frame.set_from(simulations.local[newest])
        local = log_ratio.local_frame.inverse(local)
    data = reference.whiten(simulations.data)
    standard = log_ratio.parameter_frame.inverse(v).square().sum(-1)
    nearby = newest | (standard <= torch.quantile(standard[newest], 0.99))
    return log_ratio, Pairs(data, local, v, reference.covers(data), nearby)
