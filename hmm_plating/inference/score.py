"""The filter's estimate of the log evidence as a differentiable function of whatever the model holds.

    log Ẑ = Σ_t log Σ_i W_{t−1}^i w_t^i,    ∇ log Ẑ by automatic differentiation through draws, weights and resampling.

Draws are reparametrised where the distribution can be, and otherwise add the score of the site; with `StopGradient`,
E[∇Ẑ] = ∇Z (Ścibior and Wood, arXiv:2106.10314), so that ∇ log Ẑ is a consistent estimate of the score. Gradients are
an explicit choice: `ParticleFilter.update` and `run` never build a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.differentiable_resampling import DifferentiableResampling, StopGradient
from hmm_plating.inference.particle_filter import ParticleFilter
from hmm_plating.inference.prediction import failure
from hmm_plating.inference.random_stream import initial_random_state, random_stream
from hmm_plating.inference.series import entry_at, series_length
from hmm_plating.inference.weighting import reweigh, weigh


def log_evidence(
    particle_filter: ParticleFilter,
    observations: Any,
    *inputs: Any,
    resampling: DifferentiableResampling | None = None,
    seed: int = 0,
    init_args: Sequence[Any] = (),
) -> Tensor:
    """Scalar log Ẑ with its graph, of the same series as `ParticleFilter.run` takes.

    Args:
        particle_filter: gives model, guide, number of particles and threshold; its own `resampling` serves the default.
        observations, inputs: series.
        resampling: differentiable scheme, default `StopGradient` of the filter's.
        seed: of all random draws.
        init_args: passed to `model.init`.

    Raises:
        InputError: no particle can explain an observation; a filter with look-ahead, tempering or two stages.
    """
    if particle_filter.auxiliary or particle_filter.tempering is not None or particle_filter.two_stage is not None:
        raise InputError("log_evidence: look-ahead, tempering and two stages have no gradient here; leave them out")
    scheme = StopGradient(particle_filter.resampling) if resampling is None else resampling
    count = particle_filter.particles
    total = torch.zeros((), dtype=torch.float64)
    log_weights = torch.full((count,), 1 / count, dtype=torch.float64).log()
    particles: dict[str, Tensor] = {}
    series = (observations, *inputs)
    with torch.enable_grad(), random_stream(initial_random_state(seed)):
        for step in range(series_length(observations) + 1):
            first = step == 0
            args = tuple(init_args) if first else tuple(entry_at(entry, step - 1) for entry in series)
            program = particle_filter.program("init" if first else "step", args, f"step {step}" if step else "init")
            guide = particle_filter.guide
            if hasattr(guide, "propose"):
                guide = None if first else guide.propose(program, particles)
            weighting = weigh(program, guide, program.copy(particles))
            new = reweigh(log_weights, weighting.log_increment)
            if not bool(torch.isfinite(new.log_normaliser)):
                raise failure(log_weights, weighting, program.where)
            total = total + new.log_normaliser
            particles, log_weights = weighting.particles, new.log_weights
            if new.effective_sample_size < particle_filter.ess_threshold * count:
                particles, log_weights = scheme(particles, log_weights)
    return total
