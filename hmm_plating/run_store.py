"""The result of a run that is still going on: a zarr store that grows by steps, and `open_run`, which reads every run.

A group of the store is a group of the InferenceData, an array one of its variables. Values of a step are written first
and the attribute `steps` of the root last; each file is replaced as a whole. So the first `steps` steps are complete at
every moment, whatever happens to the process that writes. The arrays are longer than that: space for steps to come.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import arviz
import numpy as np
import xarray as xr
import zarr

from hmm_plating.atomic_file import check_folder
from hmm_plating.errors import InputError
from hmm_plating.inference import load
from hmm_plating.recording.store import is_stored

STEPS, GROUPS, FINISHED = "steps", "groups", "finished"  # attributes of the root that only the store itself needs
SPACE = 512  # steps by which arrays grow
CHUNK_BYTES = 2**19  # of one chunk, which is written again at each of its steps


def open_run(path: str | os.PathLike[str], *, first: int = 0, without: Collection[str] = ()) -> arviz.InferenceData:
    """The result of `hmm-plating filter`, finished or still growing, as InferenceData in memory.

    The same groups, dimensions and attributes in both cases, see `hmm_plating.inference.arviz_export`. A store of
    `--follow` is read as far as it is complete, also while another process writes it; its attributes further have

    * `finished`: whether its run has ended (it may go on later); always true of a .nc file;
    * `lag`: seconds of the recording, up to its newest sample, that the filter had not yet seen;
    * `newest`: time of that sample [s];
    * `updated`: when the last step was written, seconds since 1970;
    * `skipped_steps`: how many steps were merged into the one after them, with `--max-lag` alone.

    Args:
        path: OUT.nc, or RUN.zarr.
        first: the first step to read, as `result.isel(time=slice(first, None))`: a page that follows a run asks for
            what is new, or for the last steps.
        without: variables to leave out, as "morphology", the largest.

    Raises:
        InputError: there is none, it is damaged, it is something else, or it has no step yet (beyond `first`).
    """
    path = Path(path)
    if not path.is_dir():
        if path.is_file() and path.suffix != ".nc" and not is_stored(path):
            raise InputError(f"{path} is no result of hmm-plating filter; hmm-plating inspect {path} says what it is")
        result = load(path)
        if first and "time" not in result[result.groups()[0]].dims:
            raise InputError(f"{path} has no steps: first={first} cannot be taken")
        result = result.isel(time=slice(first, None)) if first else result  # type: ignore[assignment]  # ArviZ: None if inplace
        for name in result.groups():
            setattr(result, name, result[name].drop_vars(without, errors="ignore"))
        result.attrs[FINISHED] = True
        return result
    try:
        root: Any = zarr.open_group(path, mode="r", zarr_format=3)
        attributes: dict[str, Any] = dict(root.attrs)
        steps, names = int(attributes.pop(STEPS)), list(attributes.pop(GROUPS))
        if steps > first:
            groups = {name: _dataset(root[name], first, steps, without) for name in names}
    except Exception as error:  # zarr raises whatever a damaged store runs into
        raise InputError(f"{path}: no run of hmm-plating filter --follow, or damaged ({_line(error)})") from error
    if steps <= first:
        raise InputError(f"{path}: {'no step yet' if steps == 0 else f'no step beyond the first {steps}'}: try later")
    return arviz.InferenceData(attrs=attributes, **groups)  # type: ignore[arg-type]


def _dataset(group: Any, first: int, steps: int, without: Collection[str]) -> xr.Dataset:
    variables = {}
    for name, array in group.arrays():
        if name not in without:
            dims = array.metadata.dimension_names or ()
            part = tuple(slice(first, steps) if dim == "time" else slice(None) for dim in dims)
            variables[name] = xr.Variable(dims, array[part])
    coordinates = {name: variable for name, variable in variables.items() if variable.dims == (name,)}
    return xr.Dataset(
        {name: variable for name, variable in variables.items() if name not in coordinates}, coordinates, group.attrs
    )


class RunStore:
    """The writer of a store; one process at a time.

    Attributes:
        path: of the store, made by the first `write`.
        steps: how many it holds.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises InputError where something else is at `path`, or it cannot be written there."""
        self.path, self.steps = Path(path), 0
        self._arrays: dict[tuple[str, str], Any] = {}
        self._attributes: dict[str, Any] = {}
        self._written: set[tuple[str, str]] = set()  # by this process: what has no time is written once
        check_folder(self.path.absolute().parent)
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise InputError(f"{self.path} is a file, where a zarr store is to be: name another")
        check_folder(self.path)
        if all(entry.suffix == ".partial" for entry in self.path.iterdir()):  # empty, or killed in its first moment
            return
        try:
            root: Any = zarr.open_group(self.path, mode="r+", zarr_format=3)
            self._attributes = dict(root.attrs)
            self.steps = int(self._attributes[STEPS])
            self._arrays = {(name, key): array for name, group in root.groups() for key, array in group.arrays()}
        except Exception as error:  # zarr raises whatever a damaged store runs into
            raise InputError(
                f"{self.path} exists and is no run of hmm-plating filter --follow, or damaged ({_line(error)}): name "
                "another"
            ) from error

    def write(self, start: int, piece: arviz.InferenceData, attributes: Mapping[str, Any]) -> None:
        """Put the steps of `piece` at `start`, behind those that are there or in place of the same.

        Args:
            start: at most `steps`.
            piece: a result of these steps alone, see `open_run`.
            attributes: of the root; those of `piece` count as well.

        Raises:
            InputError: the disk is full, or whatever else prevents writing; the store stays as it was.
        """
        assert start <= self.steps
        groups = [name for name in piece.groups() if piece[name].sizes.get("time", 1)]
        stop = start + max(piece[name].sizes.get("time", 0) for name in groups)
        try:
            root: Any
            if self._attributes:
                root = zarr.open_group(self.path, mode="r+", zarr_format=3)
            else:
                self._attributes = {STEPS: 0, GROUPS: [], FINISHED: False}
                root = zarr.create_group(self.path, attributes=dict(self._attributes), zarr_format=3)
            for array in self._arrays.values():
                _make_space(array, stop)
            for name in groups:
                for key, variable in piece[name].variables.items():
                    self._write(root, name, str(key), variable, start, stop)
                if piece[name].attrs != dict(root[name].attrs):
                    root[name].attrs.put(_plain(piece[name].attrs))
            steps = max(self.steps, stop)
            known = list(dict.fromkeys([*self._attributes.get(GROUPS, ()), *groups]))
            self._advance(root, {**_plain({**piece.attrs, **attributes}), STEPS: steps, GROUPS: known, FINISHED: False})
            self.steps = steps
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Cut the space for further steps off; a later `write` makes it anew. Raises InputError."""
        try:
            for array in self._arrays.values():
                dims = array.metadata.dimension_names
                if "time" in dims:
                    axis = dims.index("time")
                    array.resize((*array.shape[:axis], self.steps, *array.shape[axis + 1 :]))
            self._advance(zarr.open_group(self.path, mode="r+"), {**_plain(attributes), FINISHED: True})
        except OSError as error:
            raise self._cannot_write(error) from error

    def _write(self, root: Any, name: str, key: str, variable: xr.Variable, start: int, stop: int) -> None:
        in_time = "time" in variable.dims
        if not in_time and (name, key) in self._written:
            return
        axis = variable.dims.index("time") if in_time else 0
        array = self._arrays.get((name, key))
        if array is None:
            shape, chunks = list(variable.shape), [max(size, 1) for size in variable.shape]
            if in_time:
                shape[axis] = -(-stop // SPACE) * SPACE
                step_bytes = max(1, variable.dtype.itemsize * math.prod(variable.shape) // variable.shape[axis])
                chunks[axis] = min(SPACE, max(1, CHUNK_BYTES // step_bytes))
            array = self._arrays[name, key] = root.require_group(name).create_array(
                key,
                shape=tuple(shape),
                chunks=tuple(chunks) or "auto",
                dtype=variable.dtype,
                dimension_names=[str(dim) for dim in variable.dims],
                fill_value=np.nan if variable.dtype.kind == "f" else None,
            )
        part = tuple(slice(start, stop) if dim == "time" else slice(None) for dim in variable.dims)
        array[part] = variable.values
        self._written.add((name, key))

    def _advance(self, root: Any, attributes: dict[str, Any]) -> None:
        """All attributes in one file, which is replaced at once."""
        self._attributes |= attributes
        root.attrs.put(dict(self._attributes))

    def _cannot_write(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write {self.path}: {error.strerror or error}; its {self.steps} steps so far can be read"
        )


def _make_space(array: Any, steps: int) -> None:
    """Make an array longer where it does not hold so many steps."""
    dims = array.metadata.dimension_names
    if "time" in dims and array.shape[axis := dims.index("time")] < steps:
        array.resize((*array.shape[:axis], -(-steps // SPACE) * SPACE, *array.shape[axis + 1 :]))


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON can hold them."""
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in attributes.items()}


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())[:200]
