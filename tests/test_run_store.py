"""A store that grows by steps: equal to the whole, complete at every moment, whatever happens while it is written."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any

import arviz
import numpy as np
import pytest
import xarray as xr
import zarr.storage._local

from hmm_plating import InputError, inference, open_run
from hmm_plating.inference.arviz_export import from_groups
from hmm_plating.run_store import SPACE, RunStore

STEPS = SPACE + 30


def whole(steps: int = STEPS) -> arviz.InferenceData:
    """A result with what the parts of a result are: pictures at some steps only, integers, NaN, a constant."""
    generator = np.random.default_rng(1)
    picture = np.full((2, 3, steps, 4), np.nan, np.float32)
    picture[:, :, 4::5] = generator.standard_normal((2, 3, len(range(4, steps, 5)), 4))
    chain = ("chain", "draw", "time")
    variables = {"thickness": generator.standard_normal((2, 3, steps)), "morphology": picture}
    result = from_groups(
        {
            "posterior": (chain, variables),
            "sample_stats": (chain, {"ancestor": generator.integers(0, 3, (2, 3, steps))}),
            "observed_data": (("time",), {"frequency_shift": generator.standard_normal((steps, 2))}),
        },
        attrs={"seed": np.int64(3), "uncertainty": math.nan, "metal": "zinc"},
        dims={"morphology": ("x",), "frequency_shift": ("overtone",)},
        coords={"time": 2.0 * np.arange(steps) + 1, "overtone": [3, 5]},
    )
    result.add_groups({"constant_data": xr.Dataset({"withheld": ("overtone", [True, False])}, {"overtone": [3, 5]})})
    return result


def piece(result: arviz.InferenceData, start: int, stop: int) -> arviz.InferenceData:
    """Some steps; a variable that none of them has is absent, as in a result of these steps alone."""
    part = result.isel(time=slice(start, stop))
    if part.posterior["morphology"].isnull().all():
        part.posterior = part.posterior.drop_vars(["morphology", "x"])
    return part


def assert_same(one: arviz.InferenceData, other: arviz.InferenceData) -> None:
    assert one.groups() == other.groups()
    for group in one.groups():
        xr.testing.assert_identical(one[group], other[group])


def test_pieces_make_the_whole(tmp_path: Path) -> None:
    result, store = whole(), RunStore(tmp_path / "run.zarr")
    for start, stop in ((0, 1), (1, 2), (2, 100), (100, STEPS)):
        store.write(start, piece(result, start, stop), {"lag": float(stop)})
        assert_same(open_run(store.path), result.isel(time=slice(0, stop)) if stop > 4 else piece(result, 0, stop))
    attributes = open_run(store.path).attrs
    assert math.isnan(attributes.pop("uncertainty"))
    assert {key: attributes[key] for key in ("seed", "metal", "lag", "finished")} == {
        "seed": 3,
        "metal": "zinc",
        "lag": float(STEPS),
        "finished": False,
    }
    store.finish({"lag": 0.0})
    assert_same(open_run(store.path), result)
    assert open_run(store.path).attrs["finished"] is True
    plain = xr.open_zarr(store.path, group="posterior", consolidated=False, chunks=None)
    xr.testing.assert_equal(plain.load(), result.posterior)


def test_steps_are_written_again_after_a_restart(tmp_path: Path) -> None:
    result, path = whole(60), tmp_path / "run.zarr"
    RunStore(path).write(0, piece(result, 0, 40), {})
    again = RunStore(path)
    assert again.steps == 40
    for step in range(20, 60):
        again.write(step, piece(result, step, step + 1), {})
        assert open_run(path).posterior.sizes["time"] == max(40, step + 1)
        xr.testing.assert_equal(open_run(path).posterior.isel(time=slice(0, 40)), result.posterior.isel(time=slice(40)))
    assert_same(open_run(path), result)


def test_a_part_is_read_alone(tmp_path: Path) -> None:
    result = whole(30)
    RunStore(tmp_path / "run.zarr").write(0, result, {})
    inference.save(result, tmp_path / "run.nc")
    for name in ("run.zarr", "run.nc"):
        part = open_run(tmp_path / name, first=25, without=["morphology"])
        assert list(part.posterior.data_vars) == ["thickness"]
        xr.testing.assert_equal(part.posterior["thickness"], result.posterior["thickness"].isel(time=slice(25, None)))
        assert part.constant_data["withheld"].values.tolist() == [True, False]


class FullDisk:
    """Every write fails after some, as on a disk that fills up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
        put, self.left = zarr.storage._local._put, writes

        def limited(path: Path, *arguments: Any, **options: Any) -> int:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return put(path, *arguments, **options)

        monkeypatch.setattr(zarr.storage._local, "_put", limited)


@pytest.mark.parametrize("writes", range(0, 12, 2))
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    result, path = whole(30), tmp_path / "run.zarr"
    RunStore(path).write(0, piece(result, 0, 10), {})
    with monkeypatch.context() as full:
        FullDisk(full, writes)
        with pytest.raises(InputError, match="No space left on device; its 10 steps so far can be read"):
            RunStore(path).write(10, piece(result, 10, 30), {})
    assert_same(open_run(path), result.isel(time=slice(0, 10)))
    RunStore(path).write(10, piece(result, 10, 30), {})
    assert_same(open_run(path), result)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_run(tmp_path / "absent.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="no run of hmm-plating filter --follow"):
        open_run(tmp_path / "folder")
    xr.Dataset({"a": 1}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    for use in (open_run, RunStore):
        with pytest.raises(InputError, match="no run of hmm-plating filter --follow"):
            use(tmp_path / "other.zarr")
    (tmp_path / "file.zarr").write_text("text")
    with pytest.raises(InputError, match="is a file"):
        RunStore(tmp_path / "file.zarr")
    with pytest.raises(InputError, match="does not exist"):
        RunStore(tmp_path / "absent" / "run.zarr")
    store = RunStore(tmp_path / "run.zarr")
    store.write(0, whole(5), {})
    with pytest.raises(InputError, match="no step beyond the first 5"):
        open_run(store.path, first=5)
