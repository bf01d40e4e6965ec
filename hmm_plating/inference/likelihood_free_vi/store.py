"""Checkpoint: a folder with the state after the last round; each round has random numbers of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hmm_plating.errors import InputError
from hmm_plating.inference.checkpoint import open_folder, read_arrays, write_arrays
from hmm_plating.inference.likelihood_free_vi.guides import Guide
from hmm_plating.inference.likelihood_free_vi.log_ratio import LogRatio
from hmm_plating.inference.likelihood_free_vi.ratio import RatioNetwork
from hmm_plating.inference.likelihood_free_vi.reference import Reference
from hmm_plating.inference.likelihood_free_vi.rounds import RoundInfo, State
from hmm_plating.inference.likelihood_free_vi.simulations import Simulations

_STATE = "state.npz"


@dataclass(frozen=True)
class Store:
    """Where a run is kept.

    Attributes:
        folder: None keeps nothing.
        fingerprint: of all inputs of the run.
    """

    folder: Path | None
    fingerprint: str

    @classmethod
    def open(cls, folder: str | os.PathLike[str] | None, fingerprint: str, resume: bool) -> Store:
        """Start a folder, or find that of an earlier run.

        Raises:
            InputError: it cannot be written, or holds a run and `resume` is false; `resume` without a folder.
        """
        store = cls(None if folder is None else Path(folder), fingerprint)
        open_folder(store.folder, _STATE, resume)
        return store

    def exists(self) -> bool:
        return self.folder is not None and self._path.exists()

    def save(self, state: State) -> None:
        """Replace what is kept."""
        if self.folder is None:
            return
        arrays = {"fingerprint": np.array(self.fingerprint), "held_out": state.held_out.numpy()}
        arrays["infos"] = np.array(state.infos, dtype=np.float64)
        for group, tensors in (
            ("simulations", state.simulations._asdict()),
            ("reference", state.reference._asdict()),
            ("guide", state.guide.state_dict()),
            ("log_ratio", state.log_ratio.state_dict()),
        ):
            arrays |= {f"{group}/{name}": tensor.detach().numpy() for name, tensor in tensors.items()}
        write_arrays(self._path, arrays)

    def load(self, size: int, guide_family: Callable[[int], Guide], ratio: Callable[[int, int], RatioNetwork]) -> State:
        """The state that is kept, of a run with `size` unconstrained parameters.

        Raises:
            InputError: it is damaged, or that of other inputs.
        """
        arrays = read_arrays(self._path)
        if str(arrays.pop("fingerprint", "")) != self.fingerprint:
            raise InputError(f"{self.folder} is the checkpoint of another model, guide, seed, setting or data")
        groups: dict[str, dict[str, torch.Tensor]] = {}
        for key, array in arrays.items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = torch.from_numpy(array)
        simulations, reference = Simulations(**groups["simulations"]), Reference(**groups["reference"])
        guide = guide_family(size)
        guide.load_state_dict(groups["guide"])
        log_ratio = LogRatio(ratio, simulations.data.shape[1], simulations.local.shape[1], size)
        log_ratio.load_state_dict(groups["log_ratio"])
        infos = tuple(
            RoundInfo._make([int(row[0]), int(row[1]), *row[2:-1], bool(row[-1])]) for row in arrays["infos"].tolist()
        )
        return State(simulations, groups["held_out"][""], infos, guide, log_ratio, reference)

    @property
    def _path(self) -> Path:
        assert self.folder is not None
        return self.folder / _STATE
