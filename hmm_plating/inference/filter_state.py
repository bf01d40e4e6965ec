"""What a particle filter carries from one observation to the next, and what it tells of a step."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class FilterState(NamedTuple):
    """Weighted particles after `step` observations; all that the future of a filter depends on.

    Attributes:
        particles: the model's state, tensors with leading dimension N.
        log_weights: normalised, (N,), float64.
        step: number of observations seen.
        log_evidence: of all observations so far.
        random_state: of torch's generator, a byte tensor.
    """

    particles: dict[str, Tensor]
    log_weights: Tensor
    step: int
    log_evidence: float
    random_state: Tensor


class StepInfo(NamedTuple):
    """Record of one step.

    Attributes:
        log_evidence_increment: log p(y_t | y_{1:t−1}), a one-step leave-future-out score.
        effective_sample_size: after weighting, before resampling.
        resampled: whether it fell below the threshold.
        ancestors: (N,), ascending, the particle of the state before that each slot of the new state descends from;
            0 … N−1 without resampling.
        unique_ancestors: how many distinct ones.
        invalid_particles: particles whose weight was NaN or +inf and was set to zero.
        log_weights: (N,), normalised, before resampling.
        log_likelihood: (N,), whose logmeanexp is the increment: log N W_{t−1}^i plus the log weight increment.
        posterior: equally weighted draws from the filtering distribution, `posterior_draws` leading.
        predictive: draws from the one-step-ahead predictive distribution of each observed site; entries that the
            observation lacks (NaN) while it has others are drawn given those others.
        observed: value of each observed site.
        observed_sites: names of the sites that were scored.
        stages: parts in which the observation was taken in, 1 without tempering.
        full_evaluations: how often the model itself scored a particle, where a first guess spares some, else None.
    """

    log_evidence_increment: float
    effective_sample_size: float
    resampled: bool
    ancestors: Tensor
    unique_ancestors: int
    invalid_particles: int
    log_weights: Tensor
    log_likelihood: Tensor
    posterior: dict[str, Tensor]
    predictive: dict[str, Tensor]
    observed: dict[str, Tensor]
    observed_sites: tuple[str, ...]
    stages: int = 1
    full_evaluations: int | None = None
