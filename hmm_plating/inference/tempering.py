"""Tempering: an observation that is too informative for the particles is taken in by parts.

    π_k ∝ p(x_t | x_{t−1}) p(y_t | x_t)^{φ_k},    0 = φ_0 < φ_1 < … = 1,

each φ_k the largest at which the effective sample size stays at its target. Between two parts the particles are
resampled and moved by preconditioned Crank–Nicolson steps on the noise z of the model's step,

    z' = √(1 − s²) z + s ξ,    ξ ~ N(0, I),    accepted with probability 1 ∧ (p(y_t | x_t(z')) / p(y_t | x_t(z)))^{φ_k},

which leave π_k invariant. Herbst and Schorfheide, J. Econometrics 210 (2019) 26; Johansen, IFAC-PapersOnLine 48 (2015)
452; Cotter, Roberts, Stuart and White, Statistical Science 28 (2013) 424. The evidence increment is the product of
those of the parts; choosing φ by the particles costs unbiasedness at order 1/N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.program import Program
from hmm_plating.inference.resampling import Resampling, effective_sample_size, take
from hmm_plating.inference.standard_noise import StandardNoise
from hmm_plating.inference.weighting import Weighting, reweigh, weigh

ACCEPTANCE = 0.3  # that the step size s aims at


@dataclass(frozen=True)
class Tempering:
    """How an observation is taken in by parts.

    Attributes:
        target: share of the effective sample size that a part keeps, in (0, 1).
        moves: steps of the Markov chain between two parts; each costs one run of the model.
        stages: parts at most; the last takes what is left.
    """

    target: float = 0.5
    moves: int = 3
    stages: int = 50

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise InputError(f"Tempering: target must be in (0, 1), got {self.target!r}")
        for name in ("moves", "stages"):
            require_integer(f"Tempering: {name}", getattr(self, name), 1)


class Tempered(NamedTuple):
    """After the whole observation; `first` is the weighting of the model's own draws, before any move."""

    first: Weighting
    particles: dict[str, Tensor]
    log_weights: Tensor
    log_normaliser: Tensor
    effective_sample_size: float
    ancestors: Tensor
    stages: int


def temper(
    tempering: Tempering,
    program: Program,
    before: dict[str, Tensor],
    log_weights: Tensor,
    resampling: Resampling,
) -> Tempered:
    """Take the observation of `program` in by parts, from particles `before` the step, which stay as they were."""
    handler, again = StandardNoise(), program.rehearsal()
    first = _run(program, before, handler)
    particles, density, noise = first.particles, first.log_increment, handler.noise
    ancestors, taken, evidence, size, stage = torch.arange(program.size), 0.0, 0.0, 0.5, 1
    while True:
        part = _part(log_weights, density, 1 - taken, tempering.target)
        if stage == tempering.stages:
            part = 1 - taken
        new = reweigh(log_weights, part * density)
        evidence += float(new.log_normaliser)
        taken += part
        if taken >= 1 or not math.isfinite(evidence):
            total = torch.tensor(evidence, dtype=torch.float64)
            return Tempered(first, particles, new.log_weights, total, new.effective_sample_size, ancestors, stage)
        chosen = resampling(new.log_weights, program.size)
        log_weights = torch.full_like(log_weights, -math.log(program.size))
        ancestors, particles, density = ancestors[chosen], take(particles, chosen), density[chosen]
        noise = take(noise, chosen)
        origin = take(before, ancestors)
        for _ in range(tempering.moves):
            proposed = StandardNoise({name: _crank_nicolson(z, size) for name, z in noise.items()})
            moved = _run(again.rehearsal(), origin, proposed)
            ratio = (taken * (moved.log_increment - density)).nan_to_num(nan=-torch.inf)
            accepted = torch.rand(program.size, dtype=torch.float64).log() < ratio
            particles = _choose(accepted, moved.particles, particles)
            noise = _choose(accepted, proposed.noise, noise)
            density = torch.where(accepted, moved.log_increment, density)
            size = min(1.0, size * math.exp(float(accepted.double().mean()) - ACCEPTANCE))
        stage += 1


def _run(program: Program, before: dict[str, Tensor], handler: StandardNoise) -> Weighting:
    particles = program.copy(before)
    return weigh(program, _Fixed(handler), particles)


class _Fixed(NamedTuple):
    """The proposal that is the model itself, with its noise in the open."""

    handler: StandardNoise

    def draw(self) -> tuple[StandardNoise, Tensor]:
        return self.handler, torch.zeros((), dtype=torch.float64)


def _part(log_weights: Tensor, density: Tensor, rest: float, target: float) -> float:
    """The largest exponent up to `rest` that keeps `target` of the effective sample size, within 1 %."""

    def size(exponent: float) -> float:
        return float(effective_sample_size(log_weights + exponent * density))

    possible = torch.isfinite(density)
    if not bool(possible.any()):
        return rest
    wanted = target * float(effective_sample_size(log_weights.masked_fill(~possible, -torch.inf)))
    low = high = rest
    while size(low) < wanted:
        low, high = low / 16, low
    while high > 1.01 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if size(middle) >= wanted else (low, middle)
    return low


def _crank_nicolson(noise: Tensor, size: float) -> Tensor:
    return math.sqrt(1 - size**2) * noise + size * torch.randn_like(noise)


def _choose(accepted: Tensor, new: dict[str, Tensor], old: dict[str, Tensor]) -> dict[str, Tensor]:
    def mask(value: Tensor) -> Tensor:
        return accepted.to(value.device).reshape(-1, *(1,) * (value.dim() - 1))

    return {name: torch.where(mask(value), value, old[name]) for name, value in new.items()}
