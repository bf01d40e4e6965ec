"""Auxiliary particle filter: particles are chosen by how well they will explain the next observation.

    λ_i ∝ W_{t−1}^i ĝ_i,    ĝ_i ≈ p(y_t | x_{t−1}^i),
    a_k ~ λ,    x_t^k ~ q(· | x_{t−1}^{a_k}, y_t),
    w_t^k = (W_{t−1}/λ)^{a_k} p(y_t | x_t^k) p(x_t^k | x_{t−1}^{a_k}) / q(x_t^k | x_{t−1}^{a_k}, y_t)

Without a guide ĝ_i = p(y_t | x_t(x_{t−1}^i, z = 0)), the step's Gaussian noise z at its mean; a guide that approximates
the step by a Gaussian integrates z out, so that all weights are equal where the approximation is exact (full adaption).
What a guide does not propose was drawn before and goes with its particle. Pitt and Shephard, JASA 94 (1999) 590; the
form with one resampling and its unbiased evidence: Carpenter, Clifford and Fearnhead, IEE Proc. F 146 (1999) 2,
Johansen and Doucet, Statistics and Probability Letters 78 (2008) 1498, whose condition on the tails of ĝ is met by a
share of λ that is W_{t−1} itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.inference.laplace_proposal import Proposal
from hmm_plating.inference.program import Program, log_density
from hmm_plating.inference.resampling import Resampling, take
from hmm_plating.inference.standard_noise import StandardNoise, at_mean
from hmm_plating.inference.weighting import reweigh

CARRIED_SHARE = 0.05  # of λ


class LookedAhead(NamedTuple):
    """Chosen particles, their weights log W_{t−1}/λ − log N (N,), their proposal, and ancestors (N,), None where all
    were kept."""

    particles: dict[str, Tensor]
    log_weights: Tensor
    proposal: Proposal | None
    ancestors: Tensor | None


def look_ahead(
    program: Program,
    particles: dict[str, Tensor],
    log_weights: Tensor,
    proposal: Proposal | None,
    resampling: Resampling,
    ess_threshold: float,
) -> LookedAhead:
    """Resample by λ where its effective sample size is below `ess_threshold` N; the particles stay as they were."""
    if proposal is None or proposal.local is None:
        sites = program.rehearse(particles, StandardNoise(draw=at_mean))
        density = torch.zeros(program.size, dtype=torch.float64)
        for site in sites.values():
            if site["is_observed"]:
                density = density + log_density(site, program)
    else:
        density = proposal.local.log_evidence.double().cpu()
    promising = reweigh(log_weights, density.nan_to_num(nan=-torch.inf, posinf=-torch.inf))
    if not 0 < promising.effective_sample_size < ess_threshold * program.size:
        return LookedAhead(particles, log_weights, proposal, None)
    chance = torch.logaddexp(promising.log_weights + math.log1p(-CARRIED_SHARE), log_weights + math.log(CARRIED_SHARE))
    ancestors = resampling(chance, program.size)
    return LookedAhead(
        take(particles, ancestors),
        (log_weights - chance)[ancestors] - math.log(program.size),
        None if proposal is None else proposal.take(ancestors),
        ancestors,
    )
