"""A recording as one netCDF file (.nc) or zarr store (.zarr), and back."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import xarray as xr

from hmm_plating.atomic_file import atomic_write, check_folder
from hmm_plating.errors import InputError
from hmm_plating.recording import checksum
from hmm_plating.recording.dataset import validate

NETCDF, ZARR = ".nc", ".zarr"
HDF5 = b"\x89HDF\r\n\x1a\n"
ZARR_FILES = ("zarr.json", ".zgroup")


def is_stored(path: str | Path) -> bool:
    """Whether there is an HDF5 file or a zarr store, by what is in it."""
    path = Path(path)
    if path.is_dir():
        return any((path / name).is_file() for name in ZARR_FILES)
    try:
        with open(path, "rb") as file:
            return file.read(len(HDF5)) == HDF5
    except OSError:
        return False


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a recording to a path that ends in .nc or .zarr, whole or not at all. Raises InputError."""
    dataset = dataset.assign_attrs({checksum.ATTRIBUTE: checksum.PROMISE})
    if path.suffix == NETCDF:
        compressed = {name: {"zlib": True} for name in dataset.variables if dataset[name].ndim}
        with atomic_write(path) as temporary:
            dataset.to_netcdf(temporary, engine="h5netcdf", encoding=compressed)
            checksum.seal(temporary)
        return
    check_folder(path.absolute().parent)
    if path.exists() and not is_stored(path):
        raise InputError(f"{path} exists and is no zarr store: name another")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-", suffix=".partial") as folder:
            new = Path(folder) / "new"
            dataset.to_zarr(new, zarr_format=3, consolidated=False)
            checksum.seal(new)
            if path.exists():
                path.rename(Path(folder) / "old")
            new.rename(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def load(path: str | Path) -> xr.Dataset:
    """A recording that `save` wrote, in memory; of another program's, the `warnings` say that it has no checksum.

    Raises:
        InputError: damaged, or no recording.
    """
    path = Path(path)
    try:
        sealed = checksum.is_sealed(path)
        if path.is_dir():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", f"Object at {checksum.LIST}")
                with xr.open_zarr(path, chunks=None, consolidated=False) as store:
                    dataset = store.load()
        else:
            with xr.open_dataset(path, engine="h5netcdf") as file:
                dataset = file.load()
    except InputError:
        raise
    except Exception as error:  # HDF5 and zarr raise whatever a damaged store runs into
        raise InputError(f"{path}: cannot be read, damaged? ({' '.join(str(error).split())[:200]})") from error
    dataset = dataset.drop_encoding()
    dataset.attrs.pop(checksum.ATTRIBUTE, None)
    try:
        validate(dataset)
    except InputError as error:
        raise InputError(f"{path}: no recording of hmm_plating.recording.write: {error}") from error
    if sealed:
        return dataset
    said = [dataset.attrs["warnings"]] if "warnings" in dataset.attrs else []
    return dataset.assign_attrs(
        warnings="; ".join([*said, f"{path.name} has no checksum: damage would not be noticed"])
    )
