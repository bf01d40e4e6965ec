"""Examples for the emission surrogate: surfaces that a model's prior grows, with the loads of the true solver.

Surfaces grow by the model's own transition under random currents: platings of random charge at random rates, partial or
whole stripping, plating again. No recording is involved. Examples come in chunks, each a file with a seed of its own,
so that making them can be cut off and resumed.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyro
import torch
from torch import Tensor

from hmm_plating import emission
from hmm_plating.atomic_file import atomic_write
from hmm_plating.emulator.emission_surrogate import penetration_depths
from hmm_plating.errors import InputError
from hmm_plating.executor import Executor
from hmm_plating.materials import Electrolyte
from hmm_plating.model import PlatingModel

CURRENTS = (4.0, 30.0)  # A/m², of platings and strippings, drawn log-uniformly
CHARGES = (150.0, 1100.0)  # C/m², of a first plating
STEP = 2.0  # s
MOST_STEPS = 60  # of one plating or stripping
KEPT = 0.25  # of the surfaces of a growth: successive ones are alike
SIDE_BY_SIDE = 16  # growths of one chunk, which share its currents
VISCOSITIES = 1.12  # largest factor, up or down, by which the viscosity is changed: electrolytes differ
TOLERANCE = 1e-3  # of the solver, relative to the excess


class Examples(NamedTuple):
    """Surfaces and what the true solver says of them.

    Attributes:
        solid_fraction: float32 (surface, y, x).
        penetration_depth: δ_n in cells, float32 (surface, overtone).
        excess: of the liquid's load over that of a flat wall, relative to it, Z/√(iωρη) − 1, complex64 (surface,
            overtone).
        gradient: of `excess` in the solid fraction of a cell, times the columns of the box, as real and imaginary part
            in float16 (surface, overtone, 2, y, x).
    """

    solid_fraction: Tensor
    penetration_depth: Tensor
    excess: Tensor
    gradient: Tensor


def grown_surfaces(model: PlatingModel, seed: int) -> Tensor:
    """Solid fractions of one chunk's growths, float64 (surface, y, x): not bare, and with liquid in the top row."""
    kept: list[Tensor] = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]), pyro.plate("particles", SIDE_BY_SIDE, dim=-1):
        torch.manual_seed(seed)
        state: dict[str, Tensor] = {}
        model.init(state)
        plated = _between(*CHARGES)
        for charge in (-plated, plated * _between(0.3, 1.0), -_between(CHARGES[0], 0.7 * CHARGES[1])):
            current = math.exp(_between(*map(math.log, CURRENTS)))
            steps = min(max(3, math.ceil(abs(charge) / (current * STEP))), MOST_STEPS)
            for _ in range(steps):
                model.grow(state, charge / (steps * STEP), STEP)
                if _between(0, 1) < KEPT or not kept:
                    kept.append(model.surface_load.solid_fraction(state["order_parameter"]))
    surfaces = torch.cat(kept)
    return surfaces[(surfaces[:, -1].amax(-1) == 0) & (surfaces.flatten(1).amax(1) > 0)]


def solve_examples(model: PlatingModel, surfaces: Tensor, electrolyte: Electrolyte, tolerance: float) -> Examples:
    """Excess and gradient of solid fractions (surface, y, x) by the true solver."""
    liquid = (model.overtones, electrolyte, model.resonator)
    leaf, spacing = surfaces.clone().requires_grad_(), model.surface_load.spacing
    load = emission.load_impedance(leaf, spacing, *liquid, tolerance=tolerance, absolute_tolerance=0.0)
    excess = torch.view_as_real(load / emission.kanazawa_gordon(*liquid) - 1)
    by_part = [torch.autograd.grad(part.sum(), leaf, retain_graph=True)[0] for part in excess.flatten(1).unbind(1)]
    return Examples(
        surfaces.float(),
        (penetration_depths(*liquid) / spacing).float().expand(len(surfaces), -1).clone(),
        torch.view_as_complex(excess.detach()).to(torch.complex64),
        torch.stack(by_part, 1).mul_(surfaces.shape[-1]).half().unflatten(1, excess.shape[1:]),
    )


def make_chunk(model: PlatingModel, seed: int, index: int, tolerance: float = TOLERANCE) -> Examples:
    """The chunk of this number; the same arguments give the same examples."""
    own = int(np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1, np.uint32)[0])
    factor = VISCOSITIES ** np.random.default_rng(own).uniform(-1, 1)
    electrolyte = Electrolyte(model.electrolyte.density, model.electrolyte.viscosity * factor)
    return solve_examples(model, grown_surfaces(model, own), electrolyte, tolerance)


def all_chunks(
    model: PlatingModel, seed: int, count: int, folder: str | os.PathLike[str], executor: Executor
) -> Iterator[Examples]:
    """The first chunks, kept in a folder: read where they are there, else made and written, in order.

    Raises:
        InputError: a file is damaged.
    """
    paths = [Path(folder) / f"examples-{seed}-{index:05d}.npz" for index in range(count)]
    there = [path.exists() for path in paths]
    # the functions of its instrument cannot be sent to another process
    growing = replace(model, instrument=replace(model.instrument, terms=()))
    made = executor(make_chunk, [(growing, seed, index) for index in range(count) if not there[index]])
    for path, done in zip(paths, there, strict=True):
        yield read_chunk(path) if done else _kept(next(made), path)


def read_chunk(path: Path) -> Examples:
    """A chunk from its file; raises InputError where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Examples(*(torch.from_numpy(file[name]) for name in Examples._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"examples {path} are damaged ({error}): delete the file") from error


def _kept(made: Examples, path: Path) -> Examples:
    """The chunk, written."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **{name: value.numpy() for name, value in made._asdict().items()})
    return made


def joined(chunks: Sequence[Examples]) -> Examples:
    """All examples of several chunks."""
    return Examples(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))


def _between(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))
