"""Simulation-based calibration: does an inference cover the truth as often as it says?

Draw θ̃ from the prior, simulate data, infer L posterior draws θ_1 … θ_L. If the inference is right, the rank

    r = #{l : θ_l < θ̃}   is uniform on 0, 1, …, L

(Talts, Betancourt, Simpson, Vehtari and Gelman 2018, arXiv:1804.06788). Too narrow a posterior gives a ∪ of ranks, too
wide a one a ∩, a biased one a slope. Whether the ranks' empirical distribution is that of uniform ones is judged by
simultaneous bands (Säilynoja, Bürkner and Vehtari, Stat. Comput. 32 (2022) 32, doi:10.1007/s11222-022-10090-6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import arviz
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.arviz_export import InferenceData, from_groups
from hmm_plating.inference.parameter_prior import ParameterPrior, Parameters
from hmm_plating.inference.random_stream import initial_random_state, random_stream

Posterior = InferenceData | Mapping[str, Any]
Draws = NDArray[np.float64]


class Calibration(NamedTuple):
    """Ranks of the truth among posterior draws.

    Attributes:
        truth: {parameter: (simulations,)}; a vector's entries are parameters of their own, name[0], ….
        ranks: {parameter: (simulations,)}, integers from 0 to `draws`.
        draws: L, of each posterior.
        failures: simulations that were left out because they, or their inference, gave NaN or raised InputError.
    """

    truth: dict[str, Draws]
    ranks: dict[str, NDArray[np.int64]]
    draws: int
    failures: int

    def uniform(self, name: str) -> Draws:
        """Ranks as numbers in (0, 1), a random one within each rank's width: uniform for a right inference."""
        generator = np.random.default_rng(0)
        return (self.ranks[name] + generator.random(len(self.ranks[name]))) / (self.draws + 1)

    def chi_square(self, name: str, bins: int = 10) -> float:
        """p value of equally frequent bins of ranks."""
        counts, _ = np.histogram(self.uniform(name), bins, (0.0, 1.0))
        return float(stats.chisquare(counts).pvalue)

    def kolmogorov_smirnov(self, name: str) -> float:
        """p value of the largest distance of the ranks' distribution from the uniform one."""
        return float(stats.kstest(self.uniform(name), "uniform").pvalue)

    def coverage(self, name: str, probability: float = 0.9) -> float:
        """Part of the truths within the central interval that should hold `probability` of them."""
        tail = (1 - probability) / 2
        position = self.uniform(name)
        return float(np.mean((position >= tail) & (position <= 1 - tail)))

    def summary(self) -> xr.Dataset:
        """p values and 50 % and 90 % coverage, by parameter."""
        names = list(self.ranks)
        columns = {
            "chi_square": [self.chi_square(name) for name in names],
            "kolmogorov_smirnov": [self.kolmogorov_smirnov(name) for name in names],
            "coverage_50": [self.coverage(name, 0.5) for name in names],
            "coverage_90": [self.coverage(name, 0.9) for name in names],
        }
        return xr.Dataset({key: ("parameter", values) for key, values in columns.items()}, {"parameter": names})

    def inference_data(self) -> InferenceData:
        """prior: the truths, sample_stats: `rank_…` and `uniform_…`, (chain, draw) with one draw per simulation.

        `arviz.plot_ecdf(data.sample_stats["uniform_a"].values.ravel(), cdf=scipy.stats.uniform().cdf, difference=True,
        confidence_bands=True)` draws them with their bands.
        """
        leading = ("chain", "draw")
        statistics: dict[str, NDArray[Any]] = {f"rank_{name}": rank[None] for name, rank in self.ranks.items()}
        statistics |= {f"uniform_{name}": self.uniform(name)[None] for name in self.ranks}
        return from_groups(
            {
                "prior": (leading, {name: value[None] for name, value in self.truth.items()}),
                "sample_stats": (leading, statistics),
            },
            attrs={"posterior_draws": self.draws, "failures": self.failures},
        )


def simulation_based_calibration(
    prior: Callable[[], Any],
    simulate: Callable[[Parameters], Any],
    infer: Callable[[Any, int], Posterior],
    simulations: int,
    *,
    draws: int = 99,
    seed: int = 0,
    tolerated_failures: float = 0.1,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Calibrate an inference on data simulated from the prior.

    Args:
        prior: a Pyro program that draws the parameters.
        simulate: maps parameters {name: (…)} to data; draws with torch's generator.
        infer: maps data and a seed to the posterior, an InferenceData or {name: (draws, …)}, with at least `draws`
            draws of every parameter of the prior. Chains are put together and thinned evenly to `draws`: they should be
            independent, so let chains that mix slowly be much longer.
        simulations: how many; 200 tell a posterior that is 20 % too narrow.
        draws: L; one less than a multiple of 10 makes the 10 bins of `Calibration.chi_square` equal.
        seed: of all random draws; the same seed gives the same ranks.
        tolerated_failures: part of the simulations that may fail.
        progress: called with the number of simulations done and to do.

    Raises:
        InputError: too many failures (with the last one's message), or a posterior without one of the parameters.
    """
    for name, value in (("simulations", simulations), ("draws", draws)):
        require_integer(f"simulation_based_calibration: {name}", value, 1)
    if not 0 <= tolerated_failures < 1:
        raise InputError(
            f"simulation_based_calibration: tolerated_failures must be a part in [0, 1), got {tolerated_failures!r}"
        )
    parameter_prior = ParameterPrior(prior)
    with random_stream(initial_random_state(seed)):
        truths, _ = parameter_prior.constrain(parameter_prior.sample(simulations))
        seeds = torch.randint(2**31, (simulations, 2)).tolist()
    rows: list[tuple[dict[str, float], dict[str, int]]] = []
    failure: InputError | None = None
    for number in range(simulations):
        truth = {name: value[number] for name, value in truths.items()}
        try:
            with random_stream(initial_random_state(seeds[number][0])):
                data = simulate(truth)
            posterior = _draws(infer(data, seeds[number][1]), truth, draws)
        except InputError as error:
            if isinstance(error, _MissingParameter):
                raise
            failure = error
        else:
            flat = _flat(truth)
            rows.append((flat, {name: int((posterior[name] < value).sum()) for name, value in flat.items()}))
        failures = number + 1 - len(rows)
        if failures > tolerated_failures * simulations:
            raise InputError(
                f"simulation_based_calibration: {failures} of {number + 1} simulations failed, the last with: {failure}"
            ) from failure
        if progress is not None:
            progress(number + 1, simulations)
    names = list(rows[0][0])
    return Calibration(
        {name: np.array([truth[name] for truth, _ in rows]) for name in names},
        {name: np.array([ranks[name] for _, ranks in rows], dtype=np.int64) for name in names},
        draws,
        simulations - len(rows),
    )


def ecdf_band(
    count: int, probability: float = 0.95, points: int = 100, simulations: int = 4000
) -> tuple[Draws, Draws, Draws]:
    """Points z and the band (lower, upper) that holds the whole empirical distribution of `count` uniform numbers.

    The pointwise binomial bands, at the level at which `probability` of simulated samples lie within them everywhere.
    """
    z = np.arange(1, points) / points
    uniform = np.random.default_rng(0).random((simulations, count))
    below = np.stack([(uniform <= value).sum(-1) for value in z], -1)
    tails = 2 * np.minimum(stats.binom.cdf(below, count, z), stats.binom.sf(below - 1, count, z))
    level = np.quantile(tails.min(-1), 1 - probability)
    return z, stats.binom.ppf(level / 2, count, z) / count, stats.binom.ppf(1 - level / 2, count, z) / count


def pareto_k(log_weights: Any) -> NDArray[np.float64]:
    """Shape k̂ of the weights' tail, per row of (…, N) log weights: above 0.7 their sums are not to be trusted.

    Pareto-smoothed importance sampling (Vehtari, Simpson, Gelman, Yao and Gabry, JMLR 25 (2024) 72), by ArviZ. For a
    particle filter: `sample_stats["log_weight"]` with `draw` last, less the weights that were carried along.
    """
    values = np.asarray(log_weights, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] < 5 or np.isnan(values).any():
        raise InputError(f"pareto_k: needs at least 5 log weights per row and no NaN, got shape {values.shape}")
    rows = values.reshape(-1, values.shape[-1])
    return np.array([float(arviz.psislw(row)[1]) for row in rows]).reshape(values.shape[:-1])


class _MissingParameter(InputError):
    """The inference does not return what the prior draws: a mistake, not a failure."""


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Each entry of a vector under a name of its own; further leading dimensions stay where they are."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        array = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value, dtype=np.float64)
        flat |= {name: array} if array.ndim == 0 else {f"{name}[{i}]": entry for i, entry in enumerate(array.ravel())}
    return flat


def _draws(posterior: Posterior, truth: Mapping[str, Any], draws: int) -> dict[str, Draws]:
    """{parameter: (draws,)}, evenly thinned."""
    thinned: dict[str, Draws] = {}
    for name, value in truth.items():
        try:
            entry = posterior["posterior"][name] if isinstance(posterior, InferenceData) else posterior[name]
        except (KeyError, AttributeError) as error:
            raise _MissingParameter(
                f"the inferred posterior has no parameter {name!r}, which the prior draws"
            ) from error
        if isinstance(entry, xr.DataArray):
            entry = entry.values.reshape(-1, *entry.shape[2:])
        array = np.asarray(entry, dtype=np.float64)
        if array.shape[1:] != tuple(value.shape) or len(array) < draws:
            raise _MissingParameter(
                f"the inferred posterior of {name!r} has shape {array.shape}, expected at least {draws} draws of shape "
                f"{tuple(value.shape)}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"the inferred posterior of {name!r} holds values that are not finite")
        chosen = array[np.floor((np.arange(draws) + 0.5) * len(array) / draws).astype(int)].reshape(draws, -1)
        width = math.prod(value.shape)
        thinned |= {name: chosen[:, 0]} if value.dim() == 0 else {f"{name}[{i}]": chosen[:, i] for i in range(width)}
    return thinned
