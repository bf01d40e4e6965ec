"""A recording as netCDF and zarr: the same to the last digit, and nothing half-written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import xarray as xr
from damaged_files import ERROR, EXCEPTION, SILENT, STORED, tally_stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    with pytest.raises(InputError, match=r"recording\.nc: damaged, or changed since"):
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


@pytest.mark.parametrize("kind", STORED)
def test_random_damage(quiet: xr.Dataset, tmp_path: Path, kind: str):
    """`benchmarks/corrupted_files.py` does the same with tens of thousands."""
    found = tally_stored(quiet.isel(time=slice(60)), tmp_path / f"recording{kind}", 200, 5)
    assert found[SILENT] == found[EXCEPTION] == 0
    assert found[ERROR] > 150  # zeros on zeros change nothing
    assert found.total() == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_bit_counts(quiet: xr.Dataset, tmp_path: Path, data: st.DataObject):
    """Any byte of the file with any other value, or any part of it alone."""
    path = tmp_path / "recording.nc"
    if not path.exists():
        write(quiet.isel(time=slice(60)), path)
        path.with_suffix(".whole").write_bytes(path.read_bytes())
    whole = path.with_suffix(".whole").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    for damaged in (changed, whole[:place]):
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            read(path)


def test_what_another_program_wrote_is_read_with_a_warning(quiet: xr.Dataset, tmp_path: Path):
    quiet.to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    quiet.to_zarr(tmp_path / "other.zarr", consolidated=False)
    for name in ("other.nc", "other.zarr"):
        again = read(tmp_path / name)
        assert again.attrs.pop("warnings") == f"{name} has no checksum: damage would not be noticed"
        xr.testing.assert_identical(again, quiet)


def test_other_programs_read_it(quiet: xr.Dataset, tmp_path: Path):
    """The digest stands where neither HDF5 nor sha256sum is disturbed by it."""
    path = write(quiet, tmp_path / "recording.nc").qcmd
    with xr.open_dataset(path, engine="h5netcdf") as found:
        xr.testing.assert_equal(found, quiet)
    folder = write(quiet, tmp_path / "recording.zarr").qcmd
    for line in (folder / "checksums.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    (folder / "zarr.json").write_text((folder / "zarr.json").read_text().replace("zinc", "gold") + " ")
    with pytest.raises(InputError, match="damaged, or changed since it was written"):
        read(folder)
    (folder / "checksums.sha256").unlink()
    with pytest.raises(InputError, match="damaged, or changed since it was written"):
        read(folder)
