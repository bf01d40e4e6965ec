"""Training of the transition's network on trajectories of our own simulator.

Classic training shows the network true surfaces and asks for the next one. Autoregressive training lets it go on
from its own predictions over ever longer stretches, so that it learns to undo the errors that it makes (Marcato,
Boccardo and Marchisio 2023). Gradients reach back over a few frames only, which bounds the memory.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hmm_plating.emulator.displacement import Move, move
from hmm_plating.emulator.features import redistanced, tanh_profile
from hmm_plating.emulator.multiscale_network import MultiscaleNetwork
from hmm_plating.emulator.network_state import entries_of, take_up
from hmm_plating.emulator.trajectories import (
    Source,
    Trajectories,
    draw_trajectories,
    simulate_trajectories,
)
from hmm_plating.emulator.variational_loss import minimising_movements
from hmm_plating.errors import ConvergenceError, InputError, require_integer
from hmm_plating.executor import Executor, as_executor
from hmm_plating.inference.fingerprint import fingerprint
from hmm_plating.inference.state_file import save_state, saved_state
from hmm_plating.transition.coefficients import each_tensor

AHEAD = 64  # batches that other processes simulate while the network learns
COARSE_WEIGHT = 0.1  # of the loss of each coarser scale relative to that of the finest
_LARGEST_GRADIENT = 1.0  # norm


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Attributes:
        rounds: each of a new batch of trajectories, or of one of `pool`, and of as many that are never simulated.
        particles: trajectories of a batch.
        horizon: frames that the network goes on by itself, at the end of training: 1 is classic training.
        reach: frames that a gradient reaches back over, and frames of one step of the optimiser.
        data: weight of the loss against simulated trajectories; 0: none are simulated.
        variational: weight of the loss that needs none: against minimising movements, from starts and with currents
            and noise that are only drawn.
        pool: batches that are simulated, over and over; None: as many as rounds.
        learning_rate: of Adam, at first; it falls to a fiftieth along a cosine.
        seed: of trajectories; the network is initialised by its builder.

    Raises:
        InputError: a count below 1, a negative weight, or both weights 0.
    """

    rounds: int
    particles: int = 8
    horizon: int = 28
    reach: int = 4
    data: float = 1.0
    variational: float = 0.0
    pool: int | None = None
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "particles", "horizon", "reach", "pool"):
            value = getattr(self, name)
            if not (name == "pool" and value is None):
                require_integer(f"Settings.{name}", value, 1)
        weights = (self.data, self.variational)
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
            raise InputError(f"Settings.data and .variational must be weights ≥ 0, one of them above 0, got {weights}")
        if not self.learning_rate > 0:
            raise InputError(f"Settings.learning_rate must be positive, got {self.learning_rate!r}")


class Round(NamedTuple):
    """What the log has of a round: means over its frames, NaN of a loss that has no weight."""

    data: float  # mean square error of ξ per cell of interface, and of coarser scales
    variational: float  # the same, from surfaces that minimise the incremental potential
    horizon: int


def horizon_of(settings: Settings, round_: int) -> int:
    """Curriculum: the horizon doubles, from 1, over the first half of the rounds."""
    doublings = math.ceil(math.log2(settings.horizon)) if settings.horizon > 1 else 0
    stage = min(doublings, int(round_ * (doublings + 1) / max(0.5 * settings.rounds, 1)))
    return min(settings.horizon, 2**stage)


def train(
    network: MultiscaleNetwork,
    source: Source,
    settings: Settings,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_interval: float = 30.0,
    executor: Any = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int, Round], None] | None = None,
) -> list[Round]:
    """Train in place; the same source, settings and network give the same weights.

    Args:
        network: to train.
        source: of trajectories.
        settings: of the training.
        checkpoint: file that keeps the state of training, every `checkpoint_interval` [s] and at the end.
        resume: go on from it; the result is that of an uninterrupted run.
        checkpoint_interval: [s].
        executor: where trajectories are simulated, see `executor.as_executor`; the weights do not depend on it.
        device: where the network learns; on another one its weights differ by what round-off grows to.
        progress: called after each round with the rounds done, their number and the last one.

    Returns:
        The log, one entry per round.

    Raises:
        InputError: a checkpoint of another training, or one that exists without `resume`; ranges that the box cannot
            hold.
        ConvergenceError: the loss is not finite.
    """
    identity = fingerprint(asdict(settings), source, network)
    device = torch.device(device)
    network.to(device)
    optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate, betas=(0.9, 0.98))
    log: list[Round] = []
    saved = saved_state(checkpoint, identity, resume)
    if saved is not None:
        take_up(saved, network, optimiser)
        log = [Round(data, variational, int(horizon)) for data, variational, horizon in saved["log"].tolist()]
    simulated = _simulated(source, settings, len(log), as_executor(executor))
    last = time.monotonic()
    for round_ in range(len(log), settings.rounds):
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(settings, round_)
        horizon, data, variational = horizon_of(settings, round_), math.nan, math.nan
        if settings.data:
            data = _learn(network, optimiser, next(simulated).to(device), settings.data, settings.reach, horizon)
        if settings.variational:
            drawn = draw_trajectories(source, settings.particles, _seed(~settings.seed, round_)).to(device)
            moved = minimising_movements(network, drawn)
            variational = _learn(network, optimiser, moved, settings.variational, settings.reach, horizon)
        log.append(Round(data, variational, horizon))
        if progress is not None:
            progress(round_ + 1, settings.rounds, log[-1])
        done = round_ + 1 == settings.rounds
        if checkpoint is not None and (done or time.monotonic() - last > checkpoint_interval):
            entries = entries_of(network, optimiser) | {"log": torch.tensor(log, dtype=torch.float64)}
            save_state(checkpoint, identity, entries)
            last = time.monotonic()
    return log


def _simulated(source: Source, settings: Settings, first: int, executor: Executor) -> Iterator[Trajectories]:
    """The batch of each round from `first` on; as many as `AHEAD` are kept that no round has had yet."""

    def batches(numbers: Sequence[int]) -> Iterator[Trajectories]:
        arguments = [(source, settings.particles, _seed(settings.seed, number)) for number in numbers]
        return executor(simulate_trajectories, arguments)

    if settings.pool is not None:
        kept = list(batches(range(min(settings.pool, settings.rounds))))
        yield from (kept[round_ % settings.pool] for round_ in range(first, settings.rounds))
        return
    for start in range(first, settings.rounds, AHEAD):
        yield from batches(range(start, min(start + AHEAD, settings.rounds)))


def _learn(
    network: MultiscaleNetwork,
    optimiser: torch.optim.Optimizer,
    trajectories: Trajectories,
    weight: float,
    reach: int,
    horizon: int,
) -> float:
    """One pass through a batch, a step of the optimiser every `reach` frames; returns the mean loss of a frame.

    The network starts from the batch's own surface every `horizon` frames, else from its own prediction.
    """
    c = each_tensor(trajectories.coefficients, Tensor.float)
    frames, sum_ = len(trajectories.noise), 0.0
    distance = trajectories.distance[0]
    for first in range(0, frames, reach):
        losses = []
        distance = distance.detach()
        for frame in range(first, min(first + reach, frames)):
            if frame % horizon == 0:
                distance = trajectories.distance[frame]
            metal, noise = trajectories.metal[frame + 1].to(distance.dtype), trajectories.noise[frame]
            moved = move((network,), distance, metal, noise, trajectories.duration, c)
            losses.append(trajectory_loss(moved, trajectories.distance[frame + 1], c.width))
            distance = redistanced(moved.distance, c.dimensions)
        loss = torch.stack(losses)
        if not bool(torch.isfinite(loss).all()):
            raise ConvergenceError("training diverged: the loss is not finite; lower the learning rate")
        optimiser.zero_grad()
        (loss.mean() * weight).backward()
        nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        sum_ += float(loss.detach().sum())
    return sum_ / frames


def trajectory_loss(moved: Move, true_distance: Tensor, width: float) -> Tensor:
    """Mean square error of ξ per cell of interface, and of its means over the cells of every coarser scale.

    Args:
        moved: prediction (particle, …).
        true_distance: signed (particle, [z,] y, x) [cells].
        width: ℓ [cells].
    """
    true = tanh_profile(true_distance, width)
    axes = tuple(range(1, true.ndim))
    interface = (4 * true * (1 - true)).sum(axes).clamp(min=1)

    def error(difference: Tensor, volume: int) -> Tensor:
        return (volume * difference.square().sum(axes) / interface).mean()

    loss = error(tanh_profile(moved.distance, width) - true, 1)
    pool = nn.functional.avg_pool2d if true.ndim == 3 else nn.functional.avg_pool3d
    for scale, coarse in enumerate(moved.coarse, start=1):
        difference = (tanh_profile(coarse, width) - true)[:, None]
        loss = loss + COARSE_WEIGHT * error(pool(difference, 2**scale)[:, 0], 2 ** (scale * len(axes)))
    return loss


def _learning_rate(settings: Settings, round_: int) -> float:
    return settings.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * round_ / settings.rounds)))


def _seed(seed: int, batch: int) -> int:
    """Of a batch of trajectories: those of nearby seeds do not overlap."""
    return int(torch.randint(2**62, (batch + 1,), generator=torch.Generator().manual_seed(seed))[batch])
