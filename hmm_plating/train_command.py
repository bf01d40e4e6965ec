"""The subcommand `train`: weights of a network that stands in for a simulator."""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from hmm_plating import recording
from hmm_plating.atomic_file import atomic_write, check_folder
from hmm_plating.command_options import add_model, add_seed, integer
from hmm_plating.emulator.emission_training import EmissionTraining, train_emission
from hmm_plating.emulator.train_transition import train_transition
from hmm_plating.emulator.training import Settings
from hmm_plating.emulator.weights import ModelCard, save_weights
from hmm_plating.errors import InputError
from hmm_plating.model import PlatingModel
from hmm_plating.model_file import load_model_file, model_file_errors
from hmm_plating.simulate_recording import Protocol

Told = Callable[[int, int, float], None]  # rounds done, their number, the last one's loss


class Trained(NamedTuple):
    """What a training gives."""

    weights: Mapping[str, Tensor]
    card: ModelCard
    log: Sequence[Mapping[str, float]]  # one row per round


LOSSES = {"data": (1.0, 0.0), "variational": (0.0, 1.0), "both": (1.0, 1.0)}  # weights: data, variational


class Trainable(NamedTuple):
    """Something that can be trained: how it is called, and how it is done."""

    help: str
    rounds: int  # by default
    train: Callable[[PlatingModel, argparse.Namespace, Path, Told], Trained]


def _train_transition(model: PlatingModel, options: argparse.Namespace, folder: Path, told: Told) -> Trained:
    data, variational = LOSSES[options.loss]
    settings = Settings(options.rounds, seed=options.seed, data=data, variational=variational)
    emulated, log = train_transition(
        model,
        settings,
        folder,
        executor=_executor(options),
        device=options.device,
        progress=lambda done, total, last: told(done, total, last.data if data else last.variational),
    )
    rows = [{"network": 1 + index // options.rounds, **row._asdict()} for index, row in enumerate(log)]
    return Trained(emulated.weights(), emulated.card, rows)


def _train_emission(model: PlatingModel, options: argparse.Namespace, folder: Path, told: Told) -> Trained:
    settings = EmissionTraining(chunks=options.rounds, seed=options.seed)
    surrogate, log = train_emission(model, settings, folder, told, _executor(options))
    return Trained(surrogate.weights(), surrogate.card, [row._asdict() for row in log])


def _executor(options: argparse.Namespace) -> int | None:
    return options.processes if options.processes > 1 else None


TRAINABLE = {
    "transition": Trainable("the phase-field step that moves the surface", 1600, _train_transition),
    "emission": Trainable("the load of a surface on the crystal", EmissionTraining.chunks, _train_emission),
}


def add_train(commands: Any) -> None:
    """Add the subcommand to those of the command line."""
    train = commands.add_parser(
        "train",
        help="train a network that stands in for a simulator",
        description="Train a network that stands in for one of the simulators of a model, on data that the simulator "
        "makes on the way. Writes weights with their model card: what they were trained on, how wrong they are and "
        "where they fail.",
    )
    kinds = train.add_subparsers(required=True, metavar="WHAT")
    for name, what in TRAINABLE.items():
        kind = kinds.add_parser(name, help=what.help, description=f"Train a network for {what.help}.")
        add_model(kind)
        kind.add_argument("--output", required=True, metavar="WEIGHTS.safetensors", help="weights and model card")
        kind.add_argument(
            "--rounds", type=integer(1), default=what.rounds, metavar="N", help=f"batches of data ({what.rounds})"
        )
        add_seed(kind)
        kind.add_argument(
            "--processes",
            type=integer(1),
            default=1,
            metavar="N",
            help="that simulate what the network learns from; the weights are the same for any number (1)",
        )
        if name == "transition":
            kind.add_argument(
                "--loss",
                choices=tuple(LOSSES),
                default="data",
                help="distance from simulated surfaces, from those that minimise a step's incremental potential, for "
                "which none are simulated, or both (data)",
            )
            kind.add_argument("--device", type=_device, default="cpu", metavar="D", help="cpu, or cuda for a GPU (cpu)")
        kind.add_argument("--log", metavar="LOG.csv", help="losses of every round (CSV)")
        kind.add_argument("--resume", action="store_true", help="continue a training that was cut off")
        kind.set_defaults(run=_train, what=name)


def _device(text: str) -> torch.device:
    try:
        device = torch.device(text)
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"must be a device of torch such as cpu or cuda, got {text!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("cuda: torch finds no GPU here")
    return device


def _train(options: argparse.Namespace) -> None:
    output, log = Path(options.output), None if options.log is None else Path(options.log)
    if output.suffix != ".safetensors":
        raise InputError(f"--output {output}: weights are safetensors, name the file with .safetensors")
    if log is not None and log.suffix != ".csv":
        raise InputError(f"--log {log}: the log is CSV, name the file with .csv")
    for path in (output, log):
        if path is not None and path.is_dir():
            raise InputError(f"{path} is a folder: name a file")
        if path is not None:
            check_folder(path.absolute().parent)
    folder = output.with_suffix(".checkpoint")
    if folder.exists() and not options.resume:
        raise InputError(f"{folder} keeps a training: continue it with --resume, or delete the folder")
    build = load_model_file(options.model)
    model = build(recording.validate(Protocol().recording()))
    loss = TextColumn("{task.fields[loss]}")
    columns = TextColumn("round"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), loss
    with (
        model_file_errors(options.model),
        Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar,
    ):
        task = bar.add_task("train", total=None, loss="")
        try:
            trained = TRAINABLE[options.what].train(
                model,
                options,
                folder,
                lambda done, total, loss: bar.update(task, completed=done, total=total, loss=f"loss {loss:.3g}"),
            )
        except InputError:
            with suppress(OSError):  # a folder that keeps nothing would ask for --resume
                folder.rmdir()
            raise
    save_weights(output, trained.weights, trained.card)
    if log is not None:
        text = io.StringIO()
        rows = csv.DictWriter(text, list(trained.log[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows(trained.log)
        with atomic_write(log) as temporary:
            temporary.write_text(text.getvalue())
    shutil.rmtree(folder)
    for name, value in trained.card.errors.items():
        print(f"{name}: {value:.3g}")
    print(output)
