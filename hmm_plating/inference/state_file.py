"""A computation's state in one file, complete or absent, with what it is the state of; npz without pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmm_plating.atomic_file import check_folder
from hmm_plating.errors import InputError
from hmm_plating.inference.checkpoint import occupied, read_arrays, require_place, write_arrays

MISMATCH = "is the checkpoint of another model, prior, series, setting or seed: remove it, or choose another file"


def save_state(path: str | os.PathLike[str], identity: str, entries: Mapping[str, Any]) -> None:
    """Write tensors and numbers, in mappings of any depth; `identity` is the fingerprint of the computation."""
    write_arrays(path, {"identity": np.array(identity), **_flat(entries, "entry")})


def saved_state(
    path: str | os.PathLike[str] | None, identity: str, resume: bool, mismatch: str = MISMATCH
) -> dict[str, Any] | None:
    """What `save_state` wrote, mappings of tensors, numbers as tensors without dimensions; None where there is no file.

    Raises:
        InputError: `resume` without a path; there is a file and `resume` is false; it is damaged, or of a computation
            with another identity, of which `mismatch` tells.
    """
    require_place(path, resume)
    if path is None:
        return None
    if not os.path.exists(path):
        check_folder(Path(path).absolute().parent)
        return None
    if not resume:
        raise occupied(path)
    arrays = read_arrays(path)
    if str(arrays.pop("identity", "")) != identity:
        raise InputError(f"{os.fspath(path)} {mismatch}")
    entries: dict[str, Any] = {}
    for key, array in arrays.items():
        *above, name = map(unquote, key.split("/")[1:])
        place = entries
        for level in above:
            place = place.setdefault(level, {})
        place[name] = torch.from_numpy(array)
    return entries


def _flat(entries: Mapping[str, Any], prefix: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name, value in entries.items():
        if isinstance(value, Mapping):
            arrays |= _flat(value, f"{prefix}/{quote(name, safe='')}")
        else:
            arrays[f"{prefix}/{quote(name, safe='')}"] = np.asarray(
                value.detach().cpu() if isinstance(value, Tensor) else value
            )
    return arrays
