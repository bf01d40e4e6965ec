"""One call of a Pyro program for all particles at once, and the log weight increment of each particle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.program import Program, Replayed, Site, log_density
from hmm_plating.inference.standard_noise import StandardNoise


class Weighting(NamedTuple):
    """Particles after one call, N leading everywhere.

    Attributes:
        particles: the model's state.
        log_proposal: log p(x) − log q(x) of the sites that a guide drew; 0 without a guide.
        log_increment: `log_proposal` plus the log density of the observed sites; −inf where `invalid`.
        invalid: the increment was NaN or +inf.
        observed: the observed sites, as Pyro's trace holds them.
    """

    particles: dict[str, Tensor]
    log_proposal: Tensor
    log_increment: Tensor
    invalid: Tensor
    observed: tuple[Site, ...]


class Reweighted(NamedTuple):
    """Normalised log weights (N,), the log of what normalises them, and the effective sample size 1 / Σ W²."""

    log_weights: Tensor
    log_normaliser: Tensor
    effective_sample_size: float


def weigh(program: Program, guide: Any, particles: dict[str, Tensor]) -> Weighting:
    """Run the program, and the guide where there is one, on `particles`, which it may change.

    The guide is a Pyro program as in SMCFilter, or the `Proposal` that one of ours has found for these particles.

    With gradients switched on, a latent site without reparametrised draws adds log p(x) − log p̄(x), which is zero and
    whose derivative is the score (p̄: held constant; Ścibior and Wood, arXiv:2106.10314).
    """
    proposed: Mapping[str, Site] = {}
    log_proposal = torch.zeros((), dtype=torch.float64)
    if guide is None:
        sites = program.run(particles, StandardNoise())
    elif hasattr(guide, "draw"):
        handler, log_proposal = guide.draw()
        sites = program.run(particles, handler)
    else:
        proposed = program._replace(model=guide).run(MappingProxyType(particles))
        sites = program.run(particles, Replayed({name: site["value"] for name, site in proposed.items()}))
    for key, value in particles.items():
        if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != program.size:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"{program.where}: state[{key!r}] must be a tensor with leading dimension {program.size}, got {found}"
            )
    for name, site in proposed.items():
        if name not in sites:
            raise InputError(f"{program.where}: the guide draws {name!r}, the model has no such site")
        log_proposal = log_proposal + log_density(sites[name], program) - log_density(site, program)
    if torch.is_grad_enabled():
        for name, site in sites.items():
            if not (site["is_observed"] or name in proposed or getattr(site["fn"], "has_rsample", False)):
                density = log_density(site, program)
                log_proposal = log_proposal + density - density.detach()
    observed = tuple(site for site in sites.values() if site["is_observed"])
    log_increment = log_proposal.expand(program.size)
    for site in observed:
        log_increment = log_increment + log_density(site, program)
    if float(log_increment.detach().max()) < torch.inf:  # the maximum of anything with NaN is NaN
        invalid = torch.zeros((), dtype=torch.bool).expand(program.size)
    else:
        invalid = ~(log_increment < torch.inf)
        log_increment = log_increment.masked_fill(invalid, -torch.inf)
    return Weighting(particles, log_proposal, log_increment, invalid, observed)


def reweigh(log_weights: Tensor, log_increment: Tensor) -> Reweighted:
    """Weights after the increments; the normaliser is −inf where none is left."""
    joint = log_weights + log_increment
    largest = joint.detach().max()
    if not math.isfinite(float(largest)):
        return Reweighted(joint, largest, 0.0)
    weights = (joint - largest).exp_()
    total = weights.sum()
    held = weights.detach()
    size = float(total.detach()) ** 2 / float(held @ held)
    log_normaliser = total.log() + largest
    return Reweighted(joint - log_normaliser, log_normaliser, min(size, float(len(joint))))
