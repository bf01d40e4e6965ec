"""A recording as netCDF and zarr: the same to the last digit, and nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording import read, resample, write


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_round_trip(quiet: xr.Dataset, tmp_path: Path, suffix: str):
    files = write(quiet, tmp_path / f"recording{suffix}")
    assert files == (tmp_path / f"recording{suffix}", None, None)
    again = read(*files)
    xr.testing.assert_identical(again, quiet)
    write(quiet.isel(time=slice(50)), files.qcmd)  # replaces it
    xr.testing.assert_identical(read(files.qcmd), quiet.isel(time=slice(50)))
    assert [path.name for path in tmp_path.iterdir()] == [f"recording{suffix}"]
    xr.testing.assert_identical(resample(again), resample(quiet))


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_found_by_contents(quiet: xr.Dataset, tmp_path: Path, suffix: str):
    write(quiet, tmp_path / f"recording{suffix}").qcmd.rename(tmp_path / "other")
    xr.testing.assert_identical(read(tmp_path / "other"), quiet)


def test_nothing_can_be_added(quiet: xr.Dataset, tmp_path: Path):
    write(quiet, tmp_path / "recording.nc")
    for arguments in ({"area": 1e-4}, {"electrochemistry": "echem.xlsx"}, {"clock_offset": 0.0}):
        with pytest.raises(InputError, match="is a whole recording already"):
            read(tmp_path / "recording.nc", **arguments)


def test_damaged_and_other_stores(quiet: xr.Dataset, tmp_path: Path):
    path = tmp_path / "recording.nc"
    write(quiet, path)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"recording\.nc: cannot be read, damaged\?"):
        read(path)
    xr.Dataset({"x": ("y", [1.0])}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="no recording of hmm_plating"):
        read(path)
    xr.Dataset({"x": ("y", [1.0])}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    with pytest.raises(InputError, match="no recording of hmm_plating"):
        read(tmp_path / "other.zarr")
    folder = tmp_path / "folder.zarr"
    folder.mkdir()
    with pytest.raises(InputError, match="is no zarr store"):
        write(quiet, folder)
    with pytest.raises(InputError, match=r"nowhere.*does not exist"):
        write(quiet, tmp_path / "nowhere" / "recording.zarr")


def test_a_flipped_byte_in_the_data_is_noticed(quiet: xr.Dataset, tmp_path: Path):
    """netCDF files carry checksums (Fletcher-32) of every chunk."""
    path = tmp_path / "recording.nc"
    write(quiet, path)
    data = path.read_bytes()
    caught = 0
    for place in range(len(data) // 10, len(data), len(data) // 40):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            again = read(path)
        except InputError:
            caught += 1
        else:
            xr.testing.assert_equal(again, quiet)
    assert caught > 5
