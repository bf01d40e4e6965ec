"""Two-stage weighting: a cheap first guess of the likelihood says which particles the model itself is to weight.

N particles are moved, and p̂_i, the first guess of p(y_t | x_t^i), decides how likely each is to be corrected:

    λ_i ∝ (1 − ε) W_{t−1}^i p̂_i + ε W_{t−1}^i,    π_i = min(1, λ_i / c),    Σ_i π_i = n,
    w_i = W_{t−1}^i p(y_t | x_t^i) / π_i  for those drawn,  0 for the others.

Each particle is drawn with probability π_i, at most once, n in all (systematic sampling). So E Σ_i w_i f(x_i) =
Σ_i W_{t−1}^i p(y_t | x_t^i) f(x_i) whatever p̂ is: the evidence stays unbiased and the filter converges to the same
posterior. A wrong first guess costs variance alone, and ε bounds it. With n = N it is the bootstrap filter.

Horvitz and Thompson, JASA 47 (1952) 663; Fearnhead and Clifford, J. R. Statist. Soc. B 65 (2003) 887, section 3.2, for
π; two stages of weights: Pitt and Shephard, JASA 94 (1999) 590; the same idea in Markov chains is delayed acceptance
(Christen and Fox, J. Comput. Graph. Stat. 14 (2005) 795).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.program import Program
from hmm_plating.inference.resampling import take
from hmm_plating.inference.weighting import Weighting, reweigh, weigh

CARRIED_SHARE = 0.05  # ε


@dataclass(frozen=True)
class TwoStage:
    """How many particles the model itself weights, for a model with three further methods.

    All take (state, observation, …) as `step` does, and `step` does what `move` and then `observe` do:

    * `move`: draws all latent sites;
    * `first_guess`: scores the observation cheaply. It may add entries to the state and must leave the others as they
      are. An entry `corrected_at_once`, bool (N,), marks particles whose first guess is the model's own score, for the
      record of how often the model ran;
    * `observe`: scores the observation, and draws nothing.

    They replace entries of the state and write into none: particles may be large, and are not copied.

    Attributes:
        corrected: share of the particles, in (0, 1].
    """

    corrected: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.corrected <= 1:
            raise InputError(f"TwoStage: corrected must be in (0, 1], got {self.corrected!r}")


class TwoStageWeighting(NamedTuple):
    """What one observation made of the particles.

    Attributes:
        first: of all N, by the first guess.
        chosen: ascending indices of those that were corrected (n,).
        particles: those, n leading.
        log_weights: unnormalised, log w (n,); their log sum is the evidence increment.
        invalid: their weight was NaN or +inf, (n,).
        full_evaluations: how often the model itself scored a particle.
    """

    first: Weighting
    chosen: Tensor
    particles: dict[str, Tensor]
    log_weights: Tensor
    invalid: Tensor
    full_evaluations: int


def two_stage(
    settings: TwoStage, program: Program, particles: dict[str, Tensor], log_weights: Tensor
) -> TwoStageWeighting:
    """Move `particles`, which stay as they were, and weight a share of them."""
    moved = dict(particles)
    program._replace(method="move").run(moved)
    first = weigh(program._replace(method="first_guess"), None, moved)
    at_once = moved.pop("corrected_at_once", torch.zeros(program.size, dtype=torch.bool))
    inclusion = inclusion_probabilities(
        log_weights, first.log_increment, max(1, round(settings.corrected * program.size))
    )
    chosen = draw_without_replacement(inclusion)
    second = program._replace(method="observe", size=len(chosen))
    weighting = weigh(second, None, take(moved, chosen))
    corrected = log_weights[chosen] - inclusion[chosen].log() + weighting.log_increment
    evaluations = len(chosen) + int(at_once.sum() - at_once[chosen].sum())
    return TwoStageWeighting(first, chosen, weighting.particles, corrected, weighting.invalid, evaluations)


def inclusion_probabilities(log_weights: Tensor, log_guess: Tensor, count: int) -> Tensor:
    """π (N,), summing to `count` or, where fewer particles have any weight, to their number.

    Args:
        log_weights: log W_{t−1} (N,), normalised.
        log_guess: log p̂ (N,); −inf throughout is allowed.
        count: n.
    """
    possible = torch.isfinite(log_weights)
    if int(possible.sum()) <= count:
        return possible.double()
    guessed = reweigh(log_weights, log_guess)
    chance = log_weights
    if math.isfinite(float(guessed.log_normaliser)):
        chance = torch.logaddexp(
            guessed.log_weights + math.log1p(-CARRIED_SHARE), log_weights + math.log(CARRIED_SHARE)
        )
    share = torch.softmax(chance.double(), -1)
    certain = torch.zeros_like(possible)
    while True:  # who exceeds one is certain, and leaves less to the others: at most `count` rounds
        rest = torch.where(certain, 0.0, share)
        inclusion = torch.where(certain, 1.0, rest * ((count - int(certain.sum())) / rest.sum()))
        exceeding = inclusion > 1
        if not bool(exceeding.any()):
            return inclusion
        certain = certain | exceeding


def draw_without_replacement(inclusion: Tensor) -> Tensor:
    """Ascending indices, each with its probability and at most once, by one uniform (Madow 1949)."""
    total = inclusion.cumsum(-1)
    total[-1] = total[-1].round()  # a whole number but for rounding
    below = torch.ceil(total - torch.rand((), dtype=torch.float64)).clamp(min=0)
    before = torch.cat([torch.zeros(1, dtype=below.dtype), below[:-1]])
    return ((below > before) & (inclusion > 0)).nonzero()[:, 0]
