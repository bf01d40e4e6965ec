"""When not to trust the answer: checks of the ratio and of the guide, and what they say in words.

* calibration: the held-out ratio loss against what it would be if the ratio were exact;
* Pareto k̂ of the weights p(β) exp(Σ r)/q(β) (Yao et al., ICML 2018, arXiv:1802.02538): does the guide fit what the
  ratio says;
* simulated coverage: held-out pairs (β, x) of the last round are draws of q(β) p(x | β), so that the rank of β among
  draws of q weighted by exp r(x, ·) is uniform if the ratio is right (Talts et al. 2018, arXiv:1804.06788, with the
  proposal as prior);
* missed mass: of the weighted prior and former guide, how much lies where the guide has next to none (a lost mode);
* surprise: how probable the observation is among the simulations at the guide, by its estimated density.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kstest
from torch import Tensor

from hmm_plating.inference.likelihood_free_vi.fit_ratio import RatioFit
from hmm_plating.inference.likelihood_free_vi.log_ratio import LogRatio

_CHECKED = 400
_POOL = 1000


class Diagnostics(NamedTuple):
    """Numbers of the last round.

    Attributes:
        ratio: see `RatioFit`.
        pareto_k: k̂; below 0.7 the guide and the weights bear each other out.
        effective_sample_size: of the weights, as a fraction.
        log_ratio_spread: standard deviation of Σ r over the guide [nats].
        log_weight_spread: standard deviation of log p + Σ r − log q over the guide [nats]; 0 for an exact guide.
        ranks: of simulated parameters in their posterior, (checked, d), uniform on [0, 1] if the ratio is right.
        rank_p_value: Kolmogorov–Smirnov, smallest over parameters, times their number.
        coverage: part of the 90 % intervals that hold their parameter.
        missed_mass: part of the target's mass that the guide misses.
        surprise: part of the simulated data that are less probable than the observation (smallest over data points,
            times their number).
        temperature: τ that the weights of the last round allowed; 1 where the guide had arrived.
        failed: part of all simulations that failed.
    """

    ratio: RatioFit
    pareto_k: float
    effective_sample_size: float
    log_ratio_spread: float
    log_weight_spread: float
    ranks: NDArray[np.floating]
    rank_p_value: float
    coverage: float
    missed_mass: float
    surprise: float
    temperature: float
    failed: float


@torch.no_grad()
def simulated_ranks(log_ratio: LogRatio, data: Tensor, parameters: Tensor, pool: Tensor) -> NDArray[np.floating]:
    """Ranks (S, d) of `parameters` given `data` among `pool`, all of them draws of the same proposal."""
    data, parameters, pool = data[:_CHECKED], parameters[:_CHECKED], pool[:_POOL]
    weights = _log_likelihoods(log_ratio, data, pool).softmax(-1)
    below = (pool[None] < parameters[:, None]).to(weights.dtype)
    return torch.einsum("sj,sjd->sd", weights, below).clamp(0, 1).numpy()


@torch.no_grad()
def surprise(log_ratio: LogRatio, data: Tensor, pool: Tensor, observed: Tensor) -> float:
    """Part of simulated data (S, k) with a lower density than the least probable observation (N, k), times N."""

    def log_density(points: Tensor) -> Tensor:
        likelihoods = _log_likelihoods(log_ratio, points, pool[:_POOL])
        return torch.logsumexp(likelihoods, -1) - 0.5 * points.square().sum(-1)

    simulated = log_density(data[:_POOL])
    lower = (1 + (simulated[:, None] <= log_density(observed)).sum(0)) / (1 + len(simulated))
    return min(1.0, float(lower.min()) * len(observed))


def _log_likelihoods(log_ratio: LogRatio, data: Tensor, pool: Tensor) -> Tensor:
    return torch.stack([log_ratio.log_likelihood(point[None], pool) for point in data])


def rank_summary(ranks: NDArray[np.floating]) -> tuple[float, float]:
    """p-value of uniform ranks (Bonferroni over parameters) and coverage of the 90 % intervals."""
    smallest = min(kstest(column, "uniform").pvalue for column in ranks.T)
    return min(1.0, smallest * ranks.shape[1]), float(((ranks >= 0.05) & (ranks <= 0.95)).mean())


def cautions(d: Diagnostics) -> list[str]:
    """One sentence for each reason not to trust the answer; empty if there is none."""
    found = []
    excess = d.ratio.held_out_loss - d.ratio.expected_loss
    if abs(excess) > 4 * d.ratio.excess_error and d.ratio.calibration_error > 0.02:
        found.append(
            f"the ratio is not calibrated: held-out loss {d.ratio.held_out_loss:.4f} where its own probabilities imply "
            f"{d.ratio.expected_loss:.4f}; use more simulations or ratio steps, or a wider network"
        )
    # the tail of weights that hardly differ has no shape
    if (d.pareto_k > 0.7 and d.effective_sample_size < 0.95) or d.effective_sample_size < 0.5:
        found.append(
            f"the guide does not fit what the ratio says: Pareto k {d.pareto_k:.2f} (trusted below 0.7), effective "
            f"sample size {d.effective_sample_size:.0%} of the draws; use a richer guide or more guide steps"
        )
    if d.missed_mass > 0.05:
        found.append(
            f"the guide misses {d.missed_mass:.0%} of the posterior's mass, perhaps a mode; use a flow or a mixture "
            "with more components"
        )
    if d.rank_p_value < 0.001 and not 0.85 <= d.coverage <= 0.95:
        found.append(
            f"posteriors of simulated data near the fit are off: their 90 % intervals cover {d.coverage:.0%} "
            f"(uniform ranks: p = {d.rank_p_value:.1g}); use more simulations"
        )
    if d.surprise < 0.005:
        found.append(
            "the observation lies outside of what the simulator gives near the fit, so that the ratio there is an "
            "extrapolation: the model does not explain it, or the prior excludes what would"
        )
    if d.temperature < 1:
        found.append(
            f"the last round still had to temper the data (τ = {d.temperature:.2g}): use more rounds or simulations"
        )
    if d.failed > 0.01:
        found.append(
            f"{d.failed:.1%} of the simulations failed and were left out; the posterior is that given no failure"
        )
    return found
