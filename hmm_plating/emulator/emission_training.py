"""Training of the emission surrogate on the true solver, by value and by gradient, from a model file to a weights file.

The loss of a surface is the squared relative error of its complex excess, mean over overtones, plus a share of the
squared relative error of the gradient of a random combination of these (Sobolev training: Czarnecki et al., NeurIPS
2017), which the solver gives for free. Only cells that the surface cuts have a gradient that anything uses.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hmm_plating.emulator.emission_examples import VISCOSITIES, Examples, all_chunks, joined
from hmm_plating.emulator.emission_surrogate import (
    DEPTH,
    CorrectionNetwork,
    EmissionSurrogate,
    chebyshev,
    corrected_excess,
    disagreement,
    penetration_depths,
)
from hmm_plating.emulator.network_state import entries_of, take_up
from hmm_plating.emulator.trust import Trust, descriptors
from hmm_plating.emulator.weights import ModelCard
from hmm_plating.errors import ConvergenceError, InputError, require_integer
from hmm_plating.executor import as_executor
from hmm_plating.inference.fingerprint import fingerprint
from hmm_plating.inference.state_file import save_state, saved_state
from hmm_plating.model import PlatingModel

Told = Callable[[int, int, float], None]  # epochs done, their number, error of the last [1]

WARM_UP = 0.1  # of the steps, in which the learning rate rises; a half cosine follows
LARGEST_STEP = 0.3  # norm of the loss's gradient, half above its median: a few surfaces would throw a network off
LARGEST_GRADIENT_LOSS = 10.0  # of one surface: nearly flat ones have almost no gradient to be relative to
SMALLEST_EXCESS = 1e-4  # relative to the bare liquid: surfaces below are flat for every instrument


@dataclass(frozen=True)
class EmissionTraining:
    """What a surrogate is trained with.

    Attributes:
        chunks: of training examples, a few hundred surfaces each.
        held_out: further chunks, for errors and thresholds.
        epochs: passes through the examples.
        networks: that differ in their seed.
        channels, layers: of each, see `CorrectionNetwork`.
        batch: surfaces per step.
        learning_rate: highest, of Adam (Kingma and Ba, ICLR 2015).
        gradient_weight: of the gradient's error in the loss.
        seed: of examples and networks.
    """

    chunks: int = 200
    held_out: int = 4
    epochs: int = 48
    networks: int = 2
    channels: int = 32
    layers: int = 2
    batch: int = 32
    learning_rate: float = 4e-3
    gradient_weight: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("chunks", "held_out", "epochs", "networks", "channels", "layers", "batch"):
            require_integer(f"EmissionTraining: {name}", getattr(self, name), 1)


class Epoch(NamedTuple):
    """What an epoch of a network came to: root mean square errors of excess and gradient, relative."""

    network: int
    epoch: int
    error: float
    gradient_error: float


def train_emission(
    model: PlatingModel,
    settings: EmissionTraining,
    folder: str | os.PathLike[str],
    told: Told = lambda done, total, error: None,
    executor: Any = None,
) -> tuple[EmissionSurrogate, list[Epoch]]:
    """Make examples, train and calibrate; a run that was cut off goes on where it was.

    Args:
        model: whose prior grows the surfaces; in two dimensions.
        settings: see there.
        folder: for examples and the state of the training; made where it is missing.
        told: called after every epoch, and after every chunk of examples, when none is done.
        executor: where examples are made, see `executor.as_executor`.

    Returns:
        The surrogate, and what every epoch came to.

    Raises:
        InputError: a model in three dimensions, a file in the folder that is damaged or of another training.
    """
    if model.grid.dimensions != 2:
        raise InputError("the emission surrogate is for sections: the model's grid has a depth")
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    chunks = []
    for made in all_chunks(model, settings.seed, settings.held_out + settings.chunks, folder, as_executor(executor)):
        chunks.append(_measurable(made))
        told(0, settings.networks * settings.epochs, math.nan)
    held_out, examples = joined(chunks[: settings.held_out]), joined(chunks[settings.held_out :])
    limits = _depth_limits(model)
    trained = [
        train_network(examples, limits, settings, number, folder / f"network-{number}.npz", told)
        for number in range(settings.networks)
    ]
    networks, log = tuple(network for network, _ in trained), [row for _, rows in trained for row in rows]
    values, spread = _predict(networks, held_out, limits)
    trust = Trust.calibrate(descriptors(examples.solid_fraction), descriptors(held_out.solid_fraction), spread)
    rows, columns = examples.solid_fraction.shape[1:]
    spacing = model.surface_load.spacing
    card = ModelCard(
        kind="emission",
        architecture={
            "rows": rows,
            "columns": columns,
            "channels": settings.channels,
            "layers": settings.layers,
            "networks": settings.networks,
        },
        trained_on=(
            f"{len(examples.excess)} surfaces of {model.metal.name}, grown by the model's prior under random currents, "
            f"loads of the true solver at overtones {', '.join(map(str, model.overtones))}; seed {settings.seed}"
        ),
        spacing=spacing,
        ranges={DEPTH: (limits[0] * spacing, limits[1] * spacing)},
        errors=errors(values, held_out.excess, model.overtones),
        fails=(
            "surfaces unlike those that the prior grows, such as needles and closed pores: they are detected",
            "cells cut in a corner of less than a hundredth: the solver's own derivative is rough there",
        ),
    )
    return EmissionSurrogate(networks, card, trust), log


def train_network(
    examples: Examples,
    limits: tuple[float, float],
    settings: EmissionTraining,
    number: int,
    path: Path,
    told: Told = lambda done, total, error: None,
) -> tuple[CorrectionNetwork, list[Epoch]]:
    """One network of the ensemble, and its epochs; its state after every one is kept at `path`.

    Raises:
        InputError: fewer examples than a batch, or a state of another training.
        ConvergenceError: the loss is not finite.
    """
    count, rows, columns = examples.solid_fraction.shape
    if count < settings.batch:
        raise InputError(f"training needs at least one batch of {settings.batch} surfaces, there are {count}")
    generator = torch.Generator().manual_seed(1000 * settings.seed + number)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * settings.seed + number)
        network = CorrectionNetwork(rows, columns, settings.channels, settings.layers)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    batches = count // settings.batch
    plan = {**vars(settings), "surfaces": count}
    del plan["networks"]
    identity, log = fingerprint(plan), list[Epoch]()
    saved = saved_state(path, identity, True, "is of a training with other settings: take another folder, or delete it")
    if saved is not None:
        take_up(saved, network, optimiser)
        generator.set_state(saved["generator"])
        log = [Epoch(int(number), int(epoch), *found) for number, epoch, *found in saved["log"].tolist()]
    for epoch in range(len(log), settings.epochs):
        order = torch.randperm(count, generator=generator)
        value_loss = gradient_loss = 0.0
        for step in range(batches):
            rate = _rate((epoch * batches + step) / (settings.epochs * batches))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate
            some = Examples(*(part[order[step * settings.batch :][: settings.batch]] for part in examples))
            of_value, of_gradient = losses(network, some, limits, generator)
            optimiser.zero_grad()
            (of_value + settings.gradient_weight * of_gradient).backward()
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_STEP)
            optimiser.step()
            value_loss += float(of_value.detach()) / batches
            gradient_loss += float(of_gradient.detach()) / batches
        if not math.isfinite(value_loss + gradient_loss):
            raise ConvergenceError("training diverged: the loss is not finite; lower the learning rate")
        log.append(Epoch(number + 1, epoch + 1, math.sqrt(value_loss), math.sqrt(gradient_loss)))
        state = {"generator": generator.get_state(), "log": torch.tensor(log, dtype=torch.float64)}
        save_state(path, identity, entries_of(network, optimiser) | state)
        told(number * settings.epochs + epoch + 1, settings.networks * settings.epochs, log[-1].error)
    return network.requires_grad_(False), log


def losses(
    network: CorrectionNetwork, examples: Examples, limits: tuple[float, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mean squared relative errors of the excess, and of the gradient of a random combination of its parts."""
    surface = examples.solid_fraction.clone().requires_grad_()
    predicted = corrected_excess(
        network(surface), surface, examples.penetration_depth, chebyshev(examples.penetration_depth, limits)
    )
    of_value = torch.view_as_real(predicted / examples.excess - 1).square().sum(-1).mean()
    shares = torch.randn(*predicted.shape, 2, generator=generator)
    (slope,) = torch.autograd.grad((torch.view_as_real(predicted) * shares).sum(), surface, create_graph=True)
    true_slope = (examples.gradient.float() * shares[..., None, None]).sum((1, 2)) / surface.shape[-1]
    weight = surface_weight(examples.solid_fraction)
    true_slope = torch.where(weight > 0, weight * true_slope, 0.0)
    square = (weight * slope - true_slope).square().sum((1, 2)) / true_slope.square().sum((1, 2)).clamp(min=1e-14)
    return of_value, square.clamp(max=LARGEST_GRADIENT_LOSS).mean()


def surface_weight(solid_fraction: Tensor) -> Tensor:
    """How much the solid fraction of a cell changes when its surface moves, up to a factor; 0 where there is none.

    √(4ε(1 − ε)): a plane that cuts off the corner of a cell has a length as the root of the area.
    """
    return (4 * solid_fraction * (1 - solid_fraction)).clamp(min=0).sqrt()


def errors(predicted: Tensor, true: Tensor, overtones: Sequence[int]) -> dict[str, float]:
    """Of the excess, relative: root mean square and 95 % quantile over surfaces, by overtone."""
    relative = (predicted / true - 1).abs()
    found = {}
    for index, overtone in enumerate(overtones):
        found[f"excess, overtone {overtone}, root mean square"] = float(relative[:, index].square().mean().sqrt())
        found[f"excess, overtone {overtone}, 95 %"] = float(relative[:, index].quantile(0.95))
    return found


def _measurable(examples: Examples) -> Examples:
    """Without surfaces that are as good as flat."""
    some = examples.excess.abs().amin(-1) > SMALLEST_EXCESS
    return Examples(*(part[some] for part in examples))


def _depth_limits(model: PlatingModel) -> tuple[float, float]:
    """Smallest and largest δ_n of the examples, in cells."""
    depths = penetration_depths(model.overtones, model.electrolyte, model.resonator) / model.surface_load.spacing
    return float(depths.min()) / math.sqrt(VISCOSITIES), float(depths.max()) * math.sqrt(VISCOSITIES)


def _predict(
    networks: Sequence[CorrectionNetwork], examples: Examples, limits: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Excess by the mean of the networks (surface, overtone), and their spread (surface,)."""
    with torch.no_grad():
        coefficients = torch.stack([network(examples.solid_fraction) for network in networks])
        basis = chebyshev(examples.penetration_depth, limits)
        excess = corrected_excess(
            coefficients.mean(0), examples.solid_fraction.double(), examples.penetration_depth, basis
        )
        everywhere = chebyshev(torch.linspace(*limits, 5), limits)
        return excess, disagreement(coefficients, everywhere)


def _rate(done: float) -> float:
    """Learning rate relative to its highest, after this part of the training."""
    if done < WARM_UP:
        return 0.04 + 0.96 * done / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))
