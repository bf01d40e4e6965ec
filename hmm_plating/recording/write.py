"""A recording as files that `read` reads, each put in place whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from hmm_plating.atomic_file import atomic_write
from hmm_plating.errors import InputError
from hmm_plating.recording.dataset import validate
from hmm_plating.recording.formats.overtones import PPM
from hmm_plating.recording.store import NETCDF, ZARR, save


class Files(NamedTuple):
    """Paths of the written files; None where the recording has no such data, or is in one file."""

    qcmd: Path
    electrochemistry: Path | None
    air: Path | None


def write(dataset: xr.Dataset, path: str | Path) -> Files:
    """Write a recording as netCDF (a path that ends in .nc), as zarr (.zarr), or as workbooks into an existing folder.

    The first two hold it whole. The workbooks are qcmd.xlsx and, where the recording has the data, echem.xlsx and
    quartz_in_air.xlsx: absolute values are the recording's shifts on its `reference_frequency` and
    `reference_dissipation`; the potentiostat's file has the QCM's samples, on its own clock where the recording states
    a `clock_offset`. Files of these names are replaced.

    Raises:
        InputError: not a recording, no reference values for the workbooks, or the folder is missing or cannot be
            written.
    """
    validate(dataset)
    path = Path(path)
    if path.suffix in (NETCDF, ZARR):
        save(dataset, path)
        return Files(path, None, None)
    return _write_workbooks(dataset, path)


def _write_workbooks(dataset: xr.Dataset, folder: Path) -> Files:
    for name in ("reference_frequency", "reference_dissipation"):
        if name not in dataset:
            raise InputError(f"a recording needs the variable {name!r} to be written as absolute values")
    frequency = (dataset["frequency_shift"] + dataset["reference_frequency"]).transpose("time", "overtone").values
    dissipation = (dataset["dissipation_shift"] + dataset["reference_dissipation"]).transpose("time", "overtone").values
    overtones = dataset["overtone"].values

    columns: dict[str, np.ndarray] = {"time": dataset["time"].values}
    for index, overtone in enumerate(overtones):
        columns[f"f{overtone}"] = frequency[:, index]
        columns[f"D{overtone}"] = dissipation[:, index] / PPM
    qcmd = _write_workbook(columns, folder / "qcmd.xlsx")

    electrochemistry = air = None
    if "charge_density" in dataset:
        area = dataset.attrs["area"]
        columns = {
            "time/s": dataset["time"].values - dataset.attrs.get("clock_offset", 0.0),
            "(Q-Qo)/mC": 1e3 * area * dataset["charge_density"].values,
            "<Ewe/V>": dataset["potential"].values,
            "I/mA": 1e3 * area * dataset["current_density"].values,
        }
        electrochemistry = _write_workbook(columns, folder / "echem.xlsx")
    if "air_to_liquid_frequency_shift" in dataset:
        frequency_in_air = dataset["reference_frequency"] - dataset["air_to_liquid_frequency_shift"]
        dissipation_in_air = dataset["reference_dissipation"] - dataset["air_to_liquid_dissipation_shift"]
        columns = {}
        for index, overtone in enumerate(overtones):
            columns[f"f{overtone}_1 (Hz)"] = frequency_in_air.values[[index]]
            columns[f"D{overtone}_1 (ppm)"] = dissipation_in_air.values[[index]] / PPM
        air = _write_workbook(columns, folder / "quartz_in_air.xlsx")
    return Files(qcmd, electrochemistry, air)


def _write_workbook(columns: dict[str, np.ndarray], path: Path) -> Path:
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        pd.DataFrame(columns).to_excel(file, index=False)
    return path
