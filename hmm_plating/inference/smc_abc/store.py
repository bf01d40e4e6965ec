"""Checkpoint of SMC-ABC: a folder with the simulations.

All else (tolerances, weights, proposals) is a deterministic function of settings, seed and simulations, so a resumed
run takes those that are there instead of simulating them, in the middle of a population too, and ends as if it had
never been interrupted.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.checkpoint import open_folder, read_arrays, write_arrays

_INTERVAL = 30.0


class Simulated(NamedTuple):
    """One block: parameters (n, dimension), data (n, m), the message of its first failure, time since the start [s]."""

    unconstrained: Tensor
    data: Tensor
    message: str
    elapsed: float


@dataclass
class Store:
    """Blocks in the order in which they were simulated.

    Attributes:
        folder: None keeps them in memory alone.
        fingerprint: of all inputs of the run.
        blocks: those of the run that is resumed.
        saved: how many are in the folder.
        unsaved: those that are not yet.
    """

    folder: Path | None
    fingerprint: str
    blocks: list[Simulated] = field(default_factory=list)
    saved: int = 0
    unsaved: list[Simulated] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    @classmethod
    def open(cls, folder: str | os.PathLike[str] | None, fingerprint: str, resume: bool) -> Store:
        """Read the blocks of an earlier run, or start a folder.

        Raises:
            InputError: the folder holds another run, is damaged or cannot be written; or one is there and `resume` is
                false.
        """
        store = cls(None if folder is None else Path(folder), fingerprint)
        for piece in open_folder(store.folder, "simulations-*.npz", resume):
            arrays = read_arrays(piece)
            if "fingerprint" not in arrays or str(arrays["fingerprint"]) != fingerprint:
                raise InputError(f"{store.folder} is the checkpoint of another prior, simulator, seed, setting or data")
            if int(arrays["first"]) != len(store.blocks):
                raise InputError(f"{store.folder}: the file before {piece.name} is missing: remove the checkpoint")
            for index, (message, elapsed) in enumerate(zip(arrays["messages"], arrays["elapsed"], strict=True)):
                draws, data = (torch.from_numpy(arrays[f"{name}-{index}"]) for name in ("parameters", "data"))
                store.blocks.append(Simulated(draws, data, str(message), float(elapsed)))
        store.saved = len(store.blocks)
        return store

    def add(self, block: Simulated) -> None:
        """Keep a new block; write it now or with some of the next."""
        if self.folder is None:
            return
        self.unsaved.append(block)
        if time.monotonic() - self.last > _INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Write the blocks that are not in the folder."""
        self.last = time.monotonic()
        if self.folder is None or not self.unsaved:
            return
        arrays = {
            "fingerprint": np.array(self.fingerprint),
            "first": np.array(self.saved),
            "messages": np.array([block.message for block in self.unsaved]),
            "elapsed": np.array([block.elapsed for block in self.unsaved]),
        }
        for index, block in enumerate(self.unsaved):
            arrays |= {f"parameters-{index}": block.unconstrained.numpy(), f"data-{index}": block.data.numpy()}
        write_arrays(self.folder / f"simulations-{self.saved:08d}.npz", arrays)
        self.saved += len(self.unsaved)
        self.unsaved = []
