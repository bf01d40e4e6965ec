"""Checkpoints: a folder with the filter's state and, in pieces, the records of the steps so far.

A piece holds the steps since the one before, so that writing costs the same at every checkpoint. The state is written
last and names the pieces that count: a run that was killed at any moment leaves the previous checkpoint. All files are
npz without pickle.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmm_plating.atomic_file import atomic_write, check_folder
from hmm_plating.errors import InputError
from hmm_plating.inference.arviz_export import Record
from hmm_plating.inference.fingerprint import fingerprint

if TYPE_CHECKING:
    from hmm_plating.inference.filter_state import FilterState

_STATE = "state.npz"


@dataclass
class Checkpoint:
    """Where a run is kept, and what it must be a run of.

    Attributes:
        folder: created on demand; its parent must exist.
        settings: fingerprint of everything but the series.
        series: fingerprints of the first 0, 1, 2, … steps of the series.
        programs: model and guide; those of their attributes that are plain numbers or text are kept.
        pieces: files of records, and how many steps they hold.
    """

    folder: Path
    settings: str
    series: list[str]
    programs: tuple[Any, ...]
    pieces: list[str] = field(default_factory=list)
    steps: int = 0

    @classmethod
    def of(
        cls, folder: str | os.PathLike[str], settings: Iterable[Any], series: Iterable[Any], programs: tuple[Any, ...]
    ) -> Checkpoint:
        """Take the fingerprints: `programs` as they are after `init`, `series` one entry per step."""
        chain = [""]
        for entry in series:
            chain.append(fingerprint(chain[-1], entry))
        code = [(type(program), program) for program in programs]
        return cls(Path(folder), fingerprint(list(settings), code), chain, programs)

    def exists(self) -> bool:
        return self._state.exists()

    def create(self) -> None:
        """Make an empty folder, or raise InputError where a run is kept already."""
        open_folder(self.folder, _STATE, resume=False)

    def save(self, state: FilterState, records: list[Record]) -> None:
        """Write the records that are new since the last call, then the state."""
        if state.step > self.steps:
            piece = f"records-{self.steps:06d}.npz"
            write_arrays(
                self.folder / piece,
                {
                    f"{step}/{group}/{name}": array
                    for step in range(self.steps, state.step)
                    for group, variables in records[step].items()
                    for name, array in variables.items()
                },
            )
            self.pieces.append(piece)
            self.steps = state.step
        description = {
            "settings": self.settings,
            "series": self.series[state.step],
            "step": state.step,
            "log_evidence": state.log_evidence.hex(),
            "pieces": self.pieces,
            "attributes": [_plain_attributes(program) for program in self.programs],
        }
        arrays = {f"particles/{name}": tensor.detach().cpu().numpy() for name, tensor in state.particles.items()}
        arrays |= {"log_weights": state.log_weights.numpy(), "random_state": state.random_state.numpy()}
        write_arrays(self._state, arrays | {"description": np.array(json.dumps(description))})

    def load(self, initial: FilterState) -> tuple[FilterState, list[Record]]:
        """State and records of the checkpoint; `initial`, the state after `init`, tells the devices of the tensors.

        Raises:
            InputError: the checkpoint is damaged, or one of another model, seed, setting or series.
        """
        saved, description = read_filter_state(self.folder)
        if description["settings"] != self.settings:
            raise InputError(f"{self.folder} is the checkpoint of another model, seed, number of particles or setting")
        step, self.pieces, attributes = saved["step"], description["pieces"], description["attributes"]
        if step >= len(self.series) or description["series"] != self.series[step]:
            raise InputError(f"{self.folder} is the checkpoint of another series of observations or inputs")
        particles = saved["particles"]
        for name in particles.keys() & initial.particles.keys():
            particles[name] = particles[name].to(initial.particles[name].device)
        records: list[Record] = [{} for _ in range(step)]
        for piece in self.pieces:
            for key, array in read_arrays(self.folder / piece).items():
                number, group, name = key.split("/", 2)
                records[int(number)].setdefault(group, {})[name] = array
        for program, values in zip(self.programs, attributes, strict=True):
            if values:
                vars(program).update(values)
        self.steps = step
        return initial._replace(**saved), records

    @property
    def _state(self) -> Path:
        return self.folder / _STATE


def read_filter_state(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entries of the `FilterState` that a checkpoint keeps, and what it says of itself.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = Path(folder) / _STATE
    arrays = read_arrays(path)
    try:
        description = json.loads(str(arrays.pop("description")))
        entries: dict[str, Any] = {name: torch.from_numpy(arrays.pop(name)) for name in ("log_weights", "random_state")}
        entries |= {"step": description["step"], "log_evidence": float.fromhex(description["log_evidence"])}
        description = {name: description[name] for name in ("settings", "series", "pieces", "attributes")}
    except (KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a checkpoint of a particle filter, or damaged") from error
    particles = {name.removeprefix("particles/"): torch.from_numpy(array) for name, array in arrays.items()}
    return entries | {"particles": particles}, description


def open_folder(folder: Path | None, pattern: str, resume: bool) -> list[Path]:
    """The files of a run that is kept in a folder, by name; the folder is made where it is missing.

    Args:
        folder: None keeps nothing.
        pattern: what the names of a run's files are like, as in `Path.glob`.
        resume: whether a run may be there.

    Raises:
        InputError: `resume` without a folder, a run in it without `resume`, or it cannot be written into.
    """
    require_place(folder, resume)
    if folder is None:
        return []
    create_folder(folder)
    files = sorted(folder.glob(pattern))
    if files and not resume:
        raise occupied(folder)
    return files


def require_place(checkpoint: str | os.PathLike[str] | None, resume: bool) -> None:
    """Raise InputError where a run is to be resumed from nowhere."""
    if resume and checkpoint is None:
        raise InputError("resume needs the place of the checkpoint: pass checkpoint=…")


def occupied(path: str | os.PathLike[str]) -> InputError:
    """The error of a run that would be written over another one."""
    return InputError(f"{os.fspath(path)} holds a checkpoint already: resume from it, remove it or choose another")


def create_folder(folder: Path) -> None:
    """Make the folder where it is missing; InputError where that cannot be, or where it cannot be written into."""
    check_folder(folder.absolute().parent)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create the checkpoint folder {folder}: {error.strerror}") from error
    check_folder(folder)


def _plain_attributes(program: Any) -> dict[str, Any]:
    attributes = getattr(program, "__dict__", {})
    return {name: value for name, value in attributes.items() if isinstance(value, bool | int | float | str)}


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"checkpoint file {os.fspath(path)} is missing or damaged ({error}): remove the checkpoint"
        ) from error
