"""Choice between adjustments: the one under which simulations like the observed data find their own parameters likely.

    score(A) = mean over j of log p̂_A(θ_j | s_j)

Each j is an accepted simulation near the observed data that takes their place: the other particles, weighted by the
distance from it, are moved to s_j, smoothed, and evaluated at θ_j. The first candidate stays unless a later one is
better by two standard errors of the difference. Cross-validation for ABC as in Csilléry, François and Blum, Methods
in Ecology and Evolution 3 (2012) 475, with the log score (Gneiting and Raftery, JASA 102 (2007) 359).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.resampling import stratified
from hmm_plating.inference.smc_abc.acceptance import epanechnikov
from hmm_plating.inference.smc_abc.adjustment import (
    Adjustment,
    LinearAdjustment,
    MixtureAdjustment,
    Move,
    NoAdjustment,
)
from hmm_plating.inference.smc_abc.smoothing import smoothed

_NEIGHBOURS = 0.15
_LOWEST = -30.0


@dataclass(frozen=True)
class BestAdjustment:
    """Tries all candidates on accepted simulations and keeps the best.

    Attributes:
        candidates: adjustments, in the order of preference.
        trials: simulations that take the place of the observed data.
        particles: at most so many are moved in each trial.
    """

    candidates: Sequence[Adjustment] = (MixtureAdjustment(), LinearAdjustment(), NoAdjustment())
    trials: int = 60
    particles: int = 250

    def __post_init__(self) -> None:
        if not self.candidates or min(self.trials, self.particles) < 1:
            raise InputError("BestAdjustment: needs candidates, and trials and particles of at least 1")

    def fit(self, draws: Tensor, summaries: Tensor, log_weights: Tensor, generator: Generator) -> Move:
        """Fit every candidate to all particles; `summaries` are relative to the observed ones."""
        moves = [candidate.fit(draws, summaries, log_weights, generator) for candidate in self.candidates]
        if len(moves) == 1:
            return moves[0]
        chosen = stratified(log_weights, self.particles, generator=generator).unique()
        draws, summaries = draws[chosen], summaries[chosen]
        scale = summaries.std(0)
        scaled = summaries / torch.where(scale > 0, scale, torch.inf)
        nearest = scaled.norm(dim=-1).argsort()[: self.trials]
        best, best_scores = moves[0], _scores(moves[0], draws, summaries, scaled, nearest)
        for move in moves[1:]:
            scores = _scores(move, draws, summaries, scaled, nearest)
            gain = scores - best_scores
            if gain.mean() > 2 * gain.std() / len(gain) ** 0.5:
                best, best_scores = move, scores
        return best


def _scores(move: Move, draws: Tensor, summaries: Tensor, scaled: Tensor, trials: Tensor) -> Tensor:
    scores = []
    for trial in trials.tolist():
        others = torch.arange(len(draws)) != trial
        distance = (scaled[others] - scaled[trial]).norm(dim=-1)
        moved, change = move(draws[others], summaries[others], summaries[trial])
        log_weights = change + epanechnikov.log_weight(distance, float(distance.quantile(0.9)))
        kept = log_weights.isfinite()
        if int(kept.sum()) <= 2 * (draws.shape[1] + 1):
            scores.append(_LOWEST)
            continue
        score = _log_density(moved[kept], log_weights[kept], draws[trial : trial + 1])
        scores.append(max(score, _LOWEST))
    return torch.tensor(scores, dtype=torch.float64)


def _log_density(points: Tensor, log_weights: Tensor, at: Tensor) -> float:
    """Half from neighbours, which tells modes apart, half from all points, as neighbours in ten dimensions are few.

    Bandwidth: Silverman, Density Estimation (1986), equation 4.15.
    """
    count, dimension = points.shape
    bandwidth = (4 / (count * (dimension + 2))) ** (1 / (dimension + 4))
    parts = [smoothed(points, log_weights, fraction, bandwidth).log_density(at) for fraction in (_NEIGHBOURS, 1.0)]
    return float(torch.logaddexp(*parts)) - math.log(2)
