"""State of SMC-ABC and the pure step that takes in one population of simulations.

Every simulation so far, of whatever population, is a draw from the mixture of all proposals; with N = Σ_t n_t,

    w_i ∝ K(d_i / h) p(θ_i) / Σ_t (n_t / N) q_t(θ_i),   q_0 = p

(balance heuristic: Veach and Guibas, SIGGRAPH (1995) 419; Cornuet et al., Scandinavian Journal of Statistics 39
(2012) 798). As the first population comes from the prior, p/q is at most N/n_0. Nothing is thrown away: distances and
weights of all simulations are computed anew at each tolerance. The mean of K p/q estimates the evidence ∫ K p(s | θ)
p(θ) ds dθ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.resampling import effective_sample_size
from hmm_plating.inference.smc_abc.acceptance import AcceptanceKernel
from hmm_plating.inference.smc_abc.distance import Distance, whitened_distance
from hmm_plating.inference.smc_abc.learned_summary import PosteriorMoments
from hmm_plating.inference.smc_abc.proposal import Mixture
from hmm_plating.inference.smc_abc.tolerance import Candidates, ToleranceRule


class Population(NamedTuple):
    """All simulations so far, n of them.

    Attributes:
        unconstrained: parameters (n, dimension).
        log_prior: their log density (n,).
        data: what was simulated, (n, m); NaN where the simulator failed.
        residuals: learned summaries, or the data, minus the observed ones, (n, s).
        sizes: number of simulations of each population.
        proposals: of each population but the first, which is drawn from the prior.
        log_proposal: log Σ_t n_t q_t over the first `terms` populations, (n,).
        terms: (n,).
        distance: (n,), infinite where the simulator failed.
        log_weights: log w, (n,), normalised; −inf beyond the tolerance.
        tolerance: h.
    """

    unconstrained: Tensor
    log_prior: Tensor
    data: Tensor
    residuals: Tensor
    sizes: tuple[int, ...]
    proposals: tuple[Mixture, ...]
    log_proposal: Tensor
    terms: Tensor
    distance: Tensor
    log_weights: Tensor
    tolerance: float


class PopulationInfo(NamedTuple):
    """Record of one step.

    Attributes:
        tolerance: h.
        acceptance_rate: of this population's simulations, Σ K / n.
        effective_sample_size: of the weights of all simulations.
        simulations: so far.
        failed_simulations: so far.
        log_evidence: log of the mean of K p/q over all simulations.
    """

    tolerance: float
    acceptance_rate: float
    effective_sample_size: float
    simulations: int
    failed_simulations: int
    log_evidence: float


class Rules(NamedTuple):
    """What decides about weights.

    Attributes:
        coordinates: from the unconstrained space to that of the regressions.
        learned: summaries that are learned anew from each population, if any.
        distance, tolerance, kernel: as of `SMCABC`.
    """

    coordinates: Callable[[Tensor], Tensor]
    learned: PosteriorMoments | None
    distance: Distance
    tolerance: ToleranceRule
    kernel: AcceptanceKernel


def empty_population(dimension: int, width: int) -> Population:
    """Before the first simulation."""
    none = torch.zeros(0, dtype=torch.float64)
    data = none.reshape(0, width)
    return Population(none.reshape(0, dimension), none, data, data, (), (), none, none.long(), none, none, math.inf)


def step(
    population: Population,
    unconstrained: Tensor,
    log_prior: Tensor,
    data: Tensor,
    proposal: Mixture | None,
    *,
    observed: Tensor,
    rules: Rules,
    wanted: float,
    generator: Generator,
) -> tuple[Population, PopulationInfo]:
    """Add simulations (k, …) that came from `proposal` (None: the prior), choose the tolerance and weight them all.

    Args:
        observed: data (m,).
        wanted: effective sample size to aim at.
        generator: for the fit of learned summaries.

    Raises:
        InputError: no simulation is within the tolerance, or none has finite data.
    """
    zeros = torch.zeros(len(unconstrained), dtype=torch.float64)
    added = population._replace(
        unconstrained=torch.cat([population.unconstrained, unconstrained]),
        log_prior=torch.cat([population.log_prior, log_prior]),
        data=torch.cat([population.data, data]),
        sizes=(*population.sizes, len(zeros)),
        proposals=population.proposals if proposal is None else (*population.proposals, proposal),
        log_proposal=torch.cat([population.log_proposal, zeros]),
        terms=torch.cat([population.terms, zeros.long()]),
    )
    usable = int(data.isfinite().all(-1).sum())
    if usable < 2:
        raise InputError(f"SMC-ABC: of {len(zeros)} simulations {usable} have finite data; at least two must")
    residuals = added.data - observed
    if rules.learned is not None:
        summary = rules.learned.fit(rules.coordinates(added.unconstrained), added.data, generator)
        residuals = summary(added.data) - summary(observed[None])
    recent = residuals[-len(zeros) :]
    distance = whitened_distance(residuals, rules.distance(recent[recent.isfinite().all(-1)]))
    return weigh(added._replace(residuals=residuals, distance=distance), rules=rules, wanted=wanted, final=False)


def weigh(population: Population, *, rules: Rules, wanted: float, final: bool) -> tuple[Population, PopulationInfo]:
    """Choose the tolerance from the distances of all simulations, and weight them; `final` after the last population.

    Raises:
        InputError: no simulation is within the tolerance.
    """
    kernel = rules.kernel
    order = torch.argsort(population.distance, stable=True)[: int(population.distance.isfinite().sum())]
    distances = population.distance[order]
    log_proposal, terms = population.log_proposal.clone(), population.terms.clone()

    def log_importance(nearest: int) -> Tensor:
        chosen = order[:nearest]
        _complete(log_proposal, terms, population, chosen)
        return population.log_prior[chosen] - log_proposal[chosen] + math.log(len(population.distance))

    latest = population.distance[-population.sizes[-1] :]
    latest = latest[latest.isfinite()].sort().values
    tolerance = rules.tolerance(
        Candidates(
            distances,
            log_importance,
            kernel,
            population=len(population.sizes) - 1,
            previous=population.tolerance,
            wanted=wanted,
            widest=float(latest[int(0.9 * (len(latest) - 1))]),
            final=final,
        )
    )
    accepted = int((distances <= kernel.reach * tolerance).sum())
    if accepted == 0:
        raise InputError(
            f"SMC-ABC: none of {len(population.distance)} simulations is within the tolerance {tolerance:.6g}; the "
            f"nearest is at {float(distances[0]):.6g}: raise the tolerance, simulate more or check the observed data"
        )
    log_kernel = kernel.log_weight(distances[:accepted], tolerance)
    log_weights = torch.full_like(population.distance, -torch.inf)
    log_weights[order[:accepted]] = log_importance(accepted) + log_kernel
    total = torch.logsumexp(log_weights, 0)
    if not total.isfinite():
        raise InputError(f"SMC-ABC: every simulation within the tolerance {tolerance:.6g} has weight zero")
    log_weights = log_weights - total
    acceptance = torch.zeros_like(population.distance)
    acceptance[order[:accepted]] = log_kernel.exp()
    info = PopulationInfo(
        tolerance=tolerance,
        acceptance_rate=float(acceptance[-population.sizes[-1] :].mean()),
        effective_sample_size=float(effective_sample_size(log_weights)),
        simulations=len(log_weights),
        failed_simulations=int((~population.distance.isfinite()).sum()),
        log_evidence=float(total) - math.log(len(log_weights)),
    )
    return population._replace(
        log_proposal=log_proposal, terms=terms, log_weights=log_weights, tolerance=tolerance
    ), info


def _complete(log_proposal: Tensor, terms: Tensor, population: Population, rows: Tensor) -> None:
    """Add to log Σ_t n_t q_t of these rows the populations that it lacks."""
    for number, size in enumerate(population.sizes):
        lacking = rows[terms[rows] == number]
        if len(lacking) == 0:
            continue
        if number == 0:
            log_proposal[lacking] = population.log_prior[lacking] + math.log(size)
        else:
            log_density = population.proposals[number - 1].log_density(population.unconstrained[lacking], lacking)
            log_proposal[lacking] = torch.logaddexp(log_proposal[lacking], log_density + math.log(size))
        terms[lacking] = number + 1
