"""Sequential Monte Carlo approximate Bayesian computation for any prior and simulator.

    p_h(θ | s_obs) ∝ p(θ) ∫ K(|s − s_obs| / h) p(s | θ) ds

A first population is drawn from the prior, each further one from the weighted particles so far, perturbed, while the
tolerance h comes down; all simulations are kept and weighted together. Sisson, Fan and Tanaka, PNAS 104 (2007) 1760;
Beaumont et al., Biometrika 96 (2009) 983; Del Moral, Doucet and Jasra, Statistics and Computing 22 (2012) 1009.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from hmm_plating.errors import InputError, require_integer
from hmm_plating.executor import as_executor
from hmm_plating.inference.arviz_export import InferenceData
from hmm_plating.inference.fingerprint import fingerprint
from hmm_plating.inference.prior import read_prior
from hmm_plating.inference.random_stream import require_seed
from hmm_plating.inference.simulated_data import flatten, with_leading
from hmm_plating.inference.smc_abc.acceptance import AcceptanceKernel, epanechnikov
from hmm_plating.inference.smc_abc.adjustment import Adjustment
from hmm_plating.inference.smc_abc.adjustment_choice import BestAdjustment
from hmm_plating.inference.smc_abc.campaign import Campaign
from hmm_plating.inference.smc_abc.distance import Distance, median_absolute_deviation
from hmm_plating.inference.smc_abc.export import to_inference_data
from hmm_plating.inference.smc_abc.final_draws import final_draws
from hmm_plating.inference.smc_abc.learned_summary import PosteriorMoments
from hmm_plating.inference.smc_abc.population import (
    PopulationInfo,
    Rules,
    empty_population,
    step,
    weigh,
)
from hmm_plating.inference.smc_abc.proposal import LocalCovariance, PerturbationKernel, perturbed
from hmm_plating.inference.smc_abc.random_streams import prior_draws, random_stream
from hmm_plating.inference.smc_abc.simulation import SINGLE_DRAWS, Simulation
from hmm_plating.inference.smc_abc.stopping import StoppingRule
from hmm_plating.inference.smc_abc.store import Store
from hmm_plating.inference.smc_abc.tolerance import ToleranceRule, by_sample_size

_MOST_POPULATIONS = 10
_LEAST_POPULATION = 500


class ABCProgress(Protocol):
    """Called after each population: simulations so far, the budget (0 without one), the record of the population."""

    def __call__(self, step: int, total: int, info: PopulationInfo) -> None: ...


@dataclass(frozen=True)
class SMCABC:
    """SMC-ABC for a prior and a simulator.

    Attributes:
        prior: a Pyro program without arguments, whose sample sites are the parameters, or a distribution, whose one
            parameter is called `theta`. Supports are respected: everything moves on an unconstrained space.
        simulator: from parameters to data. It is given a tensor (draws, …) for a distribution, a dict of these for a
            program, and returns a tensor (draws, …) or a dict of these. What it draws, from torch, Pyro or NumPy's
            global generator, follows from the seed.
        summary: from data to summaries, draws leading in both; None: the data themselves.
        learned_summary: learns summaries from data, or from `summary`, anew in each population; see `learned_summary`.
        distance: scale of the summaries, see `distance`.
        kernel: acceptance kernel, see `acceptance`.
        tolerance: rule, see `tolerance`.
        perturbation: how particles are perturbed into the next population, see `proposal`.
        adjustment: regression adjustment of the final particles, see `adjustment`; by default the one of several
            that does best on simulations like the observed data.
        particles: effective sample size that the final tolerance aims at; None: 10 sqrt(simulations).
        populations: number of populations that a budget of simulations is split into; None: 10, or fewer so that each
            has 500 simulations.
        population_size: simulations per population; None: the budget over `populations`.
        survivors: effective sample size that the tolerance of each population aims at, as a fraction of its size, but
            no more than `components`.
        components: at most so many particles carry the next proposal.
        draws: equally weighted draws in the result.
        smooth: whether these come from a kernel density estimate; otherwise they repeat particles.
        vectorised: whether the simulator takes many draws at once; otherwise one, without the leading dimension.
        executor: where simulations run: None for this process, a number of processes, a Dask client.
        block_size: simulations that are computed together.
        max_failed: fraction of the simulations that may raise or be NaN.
        dims, coords: names of the dimensions of the parameters, as in ArviZ.
    """

    prior: Any
    simulator: Callable[[Any], Any]
    _: KW_ONLY
    summary: Callable[[Any], Any] | None = None
    learned_summary: PosteriorMoments | None = None
    distance: Distance = median_absolute_deviation
    kernel: AcceptanceKernel = epanechnikov
    tolerance: ToleranceRule = by_sample_size
    perturbation: PerturbationKernel = field(default_factory=LocalCovariance)
    adjustment: Adjustment = field(default_factory=BestAdjustment)
    particles: int | None = None
    populations: int | None = None
    population_size: int | None = None
    survivors: float = 0.2
    components: int = 500
    draws: int = 1000
    smooth: bool = True
    vectorised: bool = True
    executor: Any = None
    block_size: int = 1000
    max_failed: float = 0.5
    dims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("particles", "populations", "population_size", "components", "draws", "block_size"):
            value, optional = getattr(self, name), name in ("particles", "populations", "population_size")
            if value is not None or not optional:
                require_integer(f"SMCABC: {name}", value, 1)
        for name in ("survivors", "max_failed"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"SMCABC: {name} must be above 0 and at most 1, got {getattr(self, name)!r}")
        if not callable(self.simulator):
            raise InputError(f"SMCABC: simulator must be callable, got {type(self.simulator).__name__}")

    def run(
        self,
        observed: Any,
        *,
        simulations: int | None = None,
        stop: StoppingRule | Sequence[StoppingRule] = (),
        seed: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        progress: ABCProgress | None = None,
    ) -> InferenceData:
        """Approximate the posterior given `observed`.

        Args:
            observed: one data set, of the shape that the simulator returns, without the leading dimension.
            simulations: budget, used up unless `stop` ends the run before.
            stop: rules that end it, see `stopping`; without a budget at least one.
            seed: of all random draws; the same seed gives the same result, whatever the executor.
            checkpoint: folder to keep the simulations in.
            resume: continue from `checkpoint`, where there is one; the result is that of an uninterrupted run.
            progress: called after each population.

        Returns:
            Groups posterior, sample_stats, population_stats, prior, prior_predictive and observed_data, see `export`;
            `attrs["log_evidence"]` and `attrs["tolerance"]`.

        Raises:
            InputError: an improper prior, data of another shape than the simulator's, too many failed simulations, or
                a checkpoint of other inputs.
        """
        rules = tuple(stop) if isinstance(stop, Sequence) else (stop,)
        if simulations is None and not rules:
            raise InputError("run: without a number of simulations, pass a stopping rule")
        if simulations is not None:
            require_integer("run: simulations", simulations, 1)
        require_seed(seed)
        populations = self.populations or min(max((simulations or 0) // _LEAST_POPULATION, 2), _MOST_POPULATIONS)
        size = self.population_size or (1000 if simulations is None else max(2, simulations // populations))
        prior = read_prior(self.prior)
        target, data = _observed(observed, self.summary)
        worker = Simulation(prior, self.simulator, self.summary, self.vectorised, len(target))
        settings = [
            getattr(self, item.name) for item in fields(self) if item.name not in ("executor", "dims", "coords")
        ]
        store = Store.open(checkpoint, fingerprint(settings, target, simulations, rules, seed), resume)
        campaign = Campaign(worker, as_executor(self.executor), store, seed, self.block_size, self.max_failed)
        population, infos, proposal = empty_population(prior.dimension, len(target)), [], None
        weighting = Rules(prior.coordinates, self.learned_summary, self.distance, self.tolerance, self.kernel)
        while True:
            done = len(population.distance)
            count = size if simulations is None or simulations - done >= 2 * size else simulations - done
            number = len(population.sizes)
            if proposal is None:
                draws = prior_draws(prior, count, seed)
            else:
                draws = proposal.sample(count, random_stream(seed, number, "perturbation"))
            draws, simulated, elapsed = campaign.simulate(draws)
            log_prior = prior.evaluate(draws)[1]
            population, info = step(
                population, draws, log_prior, simulated, proposal, observed=target, rules=weighting,
                wanted=min(self.survivors * count, self.components), generator=random_stream(seed, number, "summary"),
            )  # fmt: skip
            infos.append(info)
            if progress is not None:
                progress(info.simulations, simulations or 0, info)
            if info.simulations == simulations or any(rule(info, elapsed) for rule in rules):
                break
            stream = random_stream(seed, number, "particles")
            proposal = perturbed(
                population.unconstrained, population.log_weights, self.perturbation, self.components, stream
            )
        wanted = self.particles or 10 * math.sqrt(len(population.distance))
        population, final = weigh(population, rules=weighting, wanted=wanted, final=True)
        last = final_draws(population, prior, self.adjustment, self.smooth, self.draws, random_stream(seed, 0, "draws"))
        return to_inference_data(
            prior, population, [*infos, final], last, data, dims=self.dims, coords=self.coords, seed=seed
        )


def _observed(observed: Any, summary: Callable[[Any], Any] | None) -> tuple[Tensor, dict[str, Any]]:
    """Summaries (m,) of the observed data, and the data by name."""
    one = with_leading(observed)
    target = flatten(one if summary is None else summary(one), 1, SINGLE_DRAWS)[0]
    if not target.isfinite().all():
        raise InputError("observed: the data or their summaries are not finite; leave missing values out by a summary")
    named = observed if isinstance(observed, Mapping) else {"data": observed}
    return target, {name: np.asarray(value) for name, value in named.items()}
