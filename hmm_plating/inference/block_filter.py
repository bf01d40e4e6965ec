"""Many bootstrap filters at once, one per parameter value, in one call of the Pyro program per step.

B blocks of N particles lie behind each other as B · N particles, each with the parameters of its block. Weights,
evidence and resampling are those of `particle_filter`, block by block: a call of the program costs the same for
one block as for some hundred small ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.parameter_prior import Parameters
from hmm_plating.inference.program import Program
from hmm_plating.inference.resampling import effective_sample_size, take
from hmm_plating.inference.series import entry_at
from hmm_plating.inference.weighting import Weighting, weigh

ModelOfParameters = Callable[[Parameters], Any]
ESS_THRESHOLD = 0.5  # of the particles of a block


class BlockState(NamedTuple):
    """Filters of B parameter values.

    Attributes:
        particles: the model's state, tensors with leading dimension B · N.
        log_weights: (B, N), normalised in each block.
        log_evidence: (B,), of all observations so far; −inf where no particle of the block explains them.
    """

    particles: dict[str, Tensor]
    log_weights: Tensor
    log_evidence: Tensor

    @property
    def particles_per_block(self) -> int:
        """N."""
        return self.log_weights.shape[1]


def init_blocks(
    model: ModelOfParameters,
    parameters: Parameters,
    particles: int,
    args: Sequence[Any] = (),
    max_plate_nesting: int = 0,
) -> BlockState:
    """Draw the particles of every block from `model(parameters).init(state, *args)`.

    Args:
        model: maps {name: (B · N, …)}, a value per particle, to an object with `init` and `step`; all that changes
            must be kept in `state`, since the object is built anew at every step.
        parameters: {name: (B, …)}.
        particles: N.
    """
    blocks = len(next(iter(parameters.values())))
    equal = torch.full((blocks, particles), -math.log(particles), dtype=torch.float64)
    weighting = _weigh(model, parameters, equal, "init", {}, tuple(args), max_plate_nesting, "init")
    return _advance(BlockState(weighting.particles, equal, torch.zeros(blocks, dtype=torch.float64)), weighting)


def update_blocks(
    model: ModelOfParameters,
    parameters: Parameters,
    state: BlockState,
    args: tuple[Any, ...],
    max_plate_nesting: int = 0,
    where: str = "step",
) -> BlockState:
    """Advance every block by one `step(state, *args)`; the gain of `log_evidence` is its evidence increment."""
    particles = {name: value.clone() for name, value in state.particles.items()}
    weighting = _weigh(model, parameters, state.log_weights, "step", particles, args, max_plate_nesting, where)
    return _advance(state, weighting)


def run_blocks(
    model: ModelOfParameters,
    parameters: Parameters,
    particles: int,
    series: Sequence[Any],
    steps: int,
    init_args: Sequence[Any] = (),
    max_plate_nesting: int = 0,
) -> BlockState:
    """Filters of the first `steps` entries of the series, from the start."""
    state = init_blocks(model, parameters, particles, init_args, max_plate_nesting)
    for t in range(steps):
        args = tuple(entry_at(entry, t) for entry in series)
        state = update_blocks(model, parameters, state, args, max_plate_nesting, f"step {t + 1}")
    return state


def take_blocks(state: BlockState, index: Tensor) -> BlockState:
    """The blocks at `index`, (B',)."""
    count = state.log_weights.shape[1]
    flat = (index[:, None] * count + torch.arange(count)).reshape(-1)
    return BlockState(take(state.particles, flat), state.log_weights[index], state.log_evidence[index])


def choose_blocks(first: BlockState, second: BlockState, take_second: Tensor) -> BlockState:
    """Block by block one of two; `take_second` is (B,), bool."""
    count = first.log_weights.shape[1]
    flat = take_second.repeat_interleave(count)

    def choose(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask.to(one.device).reshape(-1, *(1,) * (one.dim() - 1)), other, one)

    return BlockState(
        {name: choose(value, second.particles[name], flat) for name, value in first.particles.items()},
        choose(first.log_weights, second.log_weights, take_second),
        choose(first.log_evidence, second.log_evidence, take_second),
    )


def systematic_rows(log_weights: Tensor) -> Tensor:
    """Systematic resampling of every row: (B, N) log weights, in any normalisation, to (B, N) ancestors."""
    weights = torch.softmax(log_weights.double(), -1)
    blocks, count = weights.shape
    points = (torch.arange(count, dtype=torch.float64) + torch.rand(blocks, 1, dtype=torch.float64)) / count
    index = torch.searchsorted(weights.cumsum(-1), points, right=True)
    last = count - 1 - (weights > 0).flip(-1).long().argmax(-1, keepdim=True)  # a sum may end an ulp below 1
    return index.minimum(last)


def _weigh(
    model: ModelOfParameters,
    parameters: Parameters,
    log_weights: Tensor,
    method: str,
    particles: dict[str, Tensor],
    args: tuple[Any, ...],
    max_plate_nesting: int,
    where: str,
) -> Weighting:
    count = log_weights.shape[1]
    program = model({name: value.repeat_interleave(count, 0) for name, value in parameters.items()})
    for name in ("init", "step"):
        if not hasattr(program, name):
            raise InputError(f"model(parameters) must return an object with init and step; {program!r} has no {name}")
    return weigh(Program(program, method, args, log_weights.numel(), max_plate_nesting, where), None, particles)


def _advance(state: BlockState, weighting: Weighting) -> BlockState:
    """Weigh every block, and resample those whose effective sample size has become small."""
    blocks, count = state.log_weights.shape
    joint = state.log_weights + weighting.log_increment.reshape(blocks, count)
    increment = torch.logsumexp(joint, -1)
    equal = torch.full_like(joint, -math.log(count))
    dead = torch.isneginf(increment)
    log_weights = torch.where(dead[:, None], equal, joint - increment[:, None].masked_fill(dead[:, None], 0.0))
    particles = weighting.particles
    few = effective_sample_size(log_weights) < ESS_THRESHOLD * count
    if bool(few.any()):
        index = torch.where(few[:, None], systematic_rows(log_weights), torch.arange(count))
        flat = (index + count * torch.arange(blocks)[:, None]).reshape(-1)
        particles = take(particles, flat)
        log_weights = torch.where(few[:, None], equal, log_weights)
    return BlockState(particles, log_weights, state.log_evidence + increment)
