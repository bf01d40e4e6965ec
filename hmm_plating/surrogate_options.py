"""What `hmm-plating filter` takes to stand in for its simulators, and how much of it is corrected."""

from __future__ import annotations

import argparse
import dataclasses
import math
from typing import NamedTuple

from hmm_plating.emulator import EmissionSurrogate, EmulatedStep
from hmm_plating.errors import InputError
from hmm_plating.filter_recording import DEFAULT_CORRECTED
from hmm_plating.model import PlatingModel


class StandIns(NamedTuple):
    """Networks in the place of a model's simulators, where there are any."""

    emission: EmissionSurrogate | None
    transition: EmulatedStep | None

    def put_into(self, model: PlatingModel) -> PlatingModel:
        """The model with them.

        Raises:
            InputError: the surrogate of the emission was trained on another grid, or for another liquid or other
                overtones. (The emulated step checks every step's parameters itself.)
        """
        if self.transition is not None:
            model = dataclasses.replace(model, transition_step=self.transition)
        return model if self.emission is None else with_surrogate(model, self.emission)


def add_stand_ins(command: argparse.ArgumentParser) -> None:
    """`--emission-surrogate`, `--correct` and `--transition-emulator`."""
    command.add_argument(
        "--emission-surrogate",
        metavar="WEIGHTS",
        help="weights file of hmm-plating train emission: a first guess of every load; the posterior stays exact",
    )
    command.add_argument(
        "--correct",
        type=_share,
        metavar="SHARE",
        help=f"of the particles whose load the true solver finds, with --emission-surrogate ({DEFAULT_CORRECTED:g})",
    )
    command.add_argument(
        "--transition-emulator",
        metavar="WEIGHTS",
        help="weights file of hmm-plating train transition: moves the surfaces that it knows, and nothing corrects it",
    )


def stand_ins_of(options: argparse.Namespace) -> StandIns:
    """The networks that the options name.

    Raises:
        InputError: weights that cannot be used, or `--correct` without them.
    """
    if options.emission_surrogate is None and options.correct is not None:
        raise InputError("--correct is for --emission-surrogate: without it every load is the true solver's")
    return StandIns(
        None if options.emission_surrogate is None else EmissionSurrogate.load(options.emission_surrogate),
        None if options.transition_emulator is None else EmulatedStep.load(options.transition_emulator),
    )


def named_weights(options: argparse.Namespace) -> dict[str, str]:
    """The weights files of the options, as attributes of the result."""
    given = {name: getattr(options, name) for name in ("emission_surrogate", "transition_emulator")}
    return {name: path for name, path in given.items() if path is not None}


def corrected_share(options: argparse.Namespace) -> float:
    """What `--correct` says, or its default."""
    return DEFAULT_CORRECTED if options.correct is None else options.correct


def with_surrogate(model: PlatingModel, surrogate: EmissionSurrogate) -> PlatingModel:
    """The model with a surrogate of its emission.

    Raises:
        InputError: the surrogate was trained on another grid, or for another liquid or other overtones.
    """
    cells = tuple(count // model.grid.coarsening for count in model.grid.shape)
    surrogate.check(cells, model.surface_load.spacing, model.overtones, model.electrolyte, model.resonator)
    return dataclasses.replace(model, surrogate=surrogate)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, got {text!r}")
    return value
