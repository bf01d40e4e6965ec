"""What `hmm-plating filter` takes to stand in for the emission's solver, and how much of it is corrected."""

from __future__ import annotations

import argparse
import dataclasses
import math

from hmm_plating.emulator import EmissionSurrogate
from hmm_plating.errors import InputError
from hmm_plating.filter_recording import DEFAULT_CORRECTED
from hmm_plating.model import PlatingModel


def add_surrogate(command: argparse.ArgumentParser) -> None:
    """`--emission-surrogate` and `--correct`."""
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


def surrogate_of(options: argparse.Namespace) -> EmissionSurrogate | None:
    """The surrogate that the options name.

    Raises:
        InputError: weights that cannot be used, or `--correct` without them.
    """
    if options.emission_surrogate is None:
        if options.correct is not None:
            raise InputError("--correct is for --emission-surrogate: without it every load is the true solver's")
        return None
    return EmissionSurrogate.load(options.emission_surrogate)


def corrected_share(options: argparse.Namespace) -> float:
    """What `--correct` says, or its default."""
    return DEFAULT_CORRECTED if options.correct is None else options.correct


def with_surrogate(model: PlatingModel, surrogate: EmissionSurrogate | None) -> PlatingModel:
    """The model with a surrogate of its emission.

    Raises:
        InputError: the surrogate was trained on another grid, or for another liquid or other overtones.
    """
    if surrogate is None:
        return model
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
