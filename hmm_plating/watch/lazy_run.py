"""A run as `hmm_plating.open_run` reads it, but without reading it whole: a page must not hold all of a long run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import arviz
import xarray as xr
import zarr
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.run_store import FINISHED, GROUPS, STEPS


@contextmanager
def lazy_run(path: Path) -> Iterator[InferenceData]:
    """The result; its arrays are read when they are used, until the end of the block.

    Args:
        path: OUT.nc or RUN.zarr; groups and attributes as from `hmm_plating.open_run`.

    Raises:
        InputError: there is none, it has no step yet, or it cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist (any more)")
    try:
        run = _store(path) if path.is_dir() else _file(path)
    except InputError:
        raise
    except Exception as error:  # h5py and zarr raise nearly every built-in type on damaged files
        said = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise InputError(f"{path} cannot be read: incomplete, damaged or not a result ({said})") from error
    try:
        yield run
    finally:
        run.close()


def attributes_of(path: Path) -> dict[str, Any]:
    """The attributes of a store's root, its number of steps among them: one small file, replaced as a whole."""
    return dict(zarr.open_group(path, mode="r", zarr_format=3).attrs)


def _file(path: Path) -> InferenceData:
    with arviz.rc_context({"data.load": "lazy"}):
        run = arviz.from_netcdf(str(path), engine="h5netcdf")
    run.attrs[FINISHED] = True
    return run


def _store(path: Path) -> InferenceData:
    attributes = attributes_of(path)
    steps, names = int(attributes.pop(STEPS)), attributes.pop(GROUPS)
    if steps == 0:
        raise InputError(f"{path}: no step yet")
    groups = {}
    for name in names:
        whole = xr.open_dataset(path, engine="zarr", group=name, chunks=None, consolidated=False, zarr_format=3)
        groups[name] = whole.isel(time=slice(steps)) if "time" in whole.dims else whole
    return InferenceData(attrs=attributes, **groups)  # type: ignore[arg-type]
