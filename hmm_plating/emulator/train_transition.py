"""Training of the transition's emulator for a model: what it is trained on, and what its card says."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hmm_plating.emulator.displacement import move, solid_fraction
from hmm_plating.emulator.evaluation import errors, roll_out
from hmm_plating.emulator.features import CHANNELS
from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork
from hmm_plating.emulator.training import Round, Settings, train
from hmm_plating.emulator.trajectories import (
    THINNEST_FILM,
    Ranges,
    Source,
    Trajectories,
    card_ranges,
    simulate_trajectories,
)
from hmm_plating.emulator.transition_emulator import EmulatedStep
from hmm_plating.emulator.trust import Trust, relief_descriptors
from hmm_plating.emulator.weights import ModelCard
from hmm_plating.errors import InputError
from hmm_plating.model import DEFAULT_PARAMETERS, PlatingModel
from hmm_plating.wandering import Wandering

TEST_PARTICLES = 32
KNOWN_PARTICLES = 128  # trajectories whose surfaces are what the emulator knows
NETWORK_SEEDS = 1000  # networks of one seed, at most
_TEST_SEED = 2**61  # apart from those of training

FAILS = (
    "currents whose step moves the surface by more than 8 cells, as where the last metal is stripped, and surfaces "
    "unlike those of the training, such as needles and closed pores: they are detected",
    "films thinner than one and a half interface widths on the crystal, and noise as strong as the drive",
    "concentration that varies within the box (Transport with resolved=True) and anisotropic surface energy: refused",
)


def source_of(model: PlatingModel) -> Source:
    """What trajectories for a model are simulated with: its metal and grid, in boxes half as long along each axis.

    The network sees a neighbourhood of the surface only, so smaller boxes teach the same in a quarter of the time, or
    an eighth. Boxes of less than 16 interface widths are taken whole.

    Raises:
        InputError: a metal of anisotropic surface energy, which the network does not see.
    """
    metal, grid = model.metal, model.grid
    strength = model.parameters.get("anisotropy_strength", metal.anisotropy_strength)
    if not isinstance(strength, int | float) or strength != 0:
        raise InputError(
            f"the surface energy of {metal.name} is anisotropic here, which the transition network does not see: "
            "use the simulated step"
        )
    lengths = [length for length in (grid.width, grid.height, grid.depth) if length is not None]
    part = 0.5 if min(lengths) >= 16 * grid.interface_width else 1.0
    box = replace(
        grid,
        width=grid.width * part,
        height=grid.height * part,
        depth=None if grid.depth is None else grid.depth * part,
    )
    thinnest = THINNEST_FILM * grid.interface_width
    amplitude = _number(model, "noise_amplitude")
    ranges = Ranges(
        duration=(1.0, 5.0),
        current_density=(4.0, 20.0),
        exchange_current_density=(metal.exchange_current_density / 3, metal.exchange_current_density * 3),
        surface_energy=(metal.surface_energy / 2, metal.surface_energy * 1.5),
        noise_amplitude=(0.0, 1.6 * amplitude),
        film_thickness=(thinnest, max(thinnest, min(2.5 * grid.interface_width, 0.3 * box.height))),
    )
    return Source(
        metal=replace(metal, anisotropy_strength=0.0),
        electrolyte=model.electrolyte,
        grid=box,
        ranges=ranges,
        nucleus_radius=(_number(model, "nucleus_radius"), _number(model, "nucleus_radius_spread")),
    )


def _number(model: PlatingModel, name: str) -> float:
    """A parameter that is a number, or the median of one that wanders."""
    value = model.parameters.get(name, DEFAULT_PARAMETERS[name])
    if isinstance(value, Wandering):
        return float(value.value(torch.zeros((), dtype=torch.float64)))
    assert value is not None  # only materials' own parameters are, and none of them is asked for
    return float(value)


def new_network(dimensions: int, seed: int) -> MultiscaleNetwork:
    """Untrained, of the size that training is set for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MultiscaleNetwork(Architecture(dimensions, CHANNELS, scales=3, hidden=16, layers=3))


def train_transition(
    model: PlatingModel,
    settings: Settings,
    folder: str | os.PathLike[str],
    *,
    networks: int = 2,
    executor: Any = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int, Round], None] = lambda done, total, last: None,
) -> tuple[EmulatedStep, list[Round]]:
    """Train an emulator of a model's transition and measure it on trajectories that it has not seen.

    Args:
        model: whose transition it is.
        settings: of each network; the seeds of the others follow.
        folder: for the state of the training, from which it goes on; made where it is missing.
        networks: that differ in their seed.
        executor: where trajectories are simulated, see `executor.as_executor`.
        device: where the networks learn.
        progress: called after each round with the rounds done, their number and the last one.

    Returns:
        The emulator, and the log of the training, one network after the other.
    """
    source, dimensions = source_of(model), model.grid.dimensions
    Path(folder).mkdir(exist_ok=True)
    trained, log = [], list[Round]()
    for number in range(networks):
        seed, before = NETWORK_SEEDS * settings.seed + number, number * settings.rounds
        network = new_network(dimensions, seed)
        log += train(
            network,
            source,
            replace(settings, seed=seed),
            checkpoint=Path(folder) / f"network-{number}.npz",
            resume=True,
            executor=executor,
            device=device,
            progress=partial(_of_all, progress, before, networks),
        )
        trained.append(network.cpu().requires_grad_(False))
    test = simulate_trajectories(source, TEST_PARTICLES, _TEST_SEED + settings.seed)
    measured = errors(roll_out(trained, test), test, source.grid.spacing)
    found = {}
    for name in ("field", "solid fraction", "Sq", "dendrite height"):
        for part, frame in (("middle", source.frames // 2), ("last", -1)):
            sizes = measured[name][frame].abs()
            sizes = sizes[sizes.isfinite()]  # where no surface is left, Sq has no relative error
            found[f"{name}, median, {part} of {source.frames} frames"] = float(sizes.median())
    card = ModelCard(
        kind="transition",
        architecture=asdict(trained[0].architecture) | {"networks": networks},
        trained_on=(
            f"each of {networks} networks: {settings.rounds} batches of {settings.particles} trajectories of "
            f"{source.frames} frames, plating then stripping {source.metal.name}, in boxes of "
            f"{' × '.join(map(str, source.grid.shape))} cells; {_goals(settings)}; horizon {settings.horizon}, "
            f"seed {settings.seed}"
        ),
        spacing=source.grid.spacing,
        ranges=card_ranges(source),
        errors=found,
        fails=FAILS,
    )
    known = simulate_trajectories(source, KNOWN_PARTICLES, _TEST_SEED - 1 - settings.seed)
    return EmulatedStep(tuple(trained), card, calibrated_trust(trained, known, test)), log


def _goals(settings: Settings) -> str:
    """What the networks were drawn towards, in words."""
    goals = {
        "surfaces of the simulated step": settings.data,
        "surfaces that minimise the incremental potential": settings.variational,
    }
    return ", ".join(f"{goal} with weight {weight:g}" for goal, weight in goals.items() if weight)


def _of_all(
    progress: Callable[[int, int, Round], None], before: int, networks: int, done: int, total: int, last: Round
) -> None:
    """A network's progress as that of all."""
    progress(before + done, networks * total, last)


def calibrated_trust(networks: Sequence[MultiscaleNetwork], known: Trajectories, held_out: Trajectories) -> Trust:
    """Thresholds from simulated surfaces of two sets of trajectories, and the networks' spread on the second."""
    c = held_out.coefficients

    def described(trajectories: Trajectories) -> Tensor:
        return relief_descriptors(solid_fraction(trajectories.distance[:-1].flatten(0, 1)), c.dimensions)

    spreads = []
    with torch.no_grad():
        for frame, noise in enumerate(held_out.noise):
            metal = held_out.metal[frame + 1]
            distance = held_out.distance[frame].double()
            spreads.append(move(networks, distance, metal, noise, held_out.duration, c).spread)
    return Trust.calibrate(described(known), described(held_out), torch.cat(spreads))
