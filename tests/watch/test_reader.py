"""What the page gets is what the InferenceData says, also of a run that grows, breaks, restarts or disappears."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from arviz import InferenceData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmm_plating import InputError, open_run
from hmm_plating.inference import save
from hmm_plating.run_store import RunStore
from hmm_plating.watch import RunReader
from hmm_plating.watch.history import shown_steps
from hmm_plating.watch.lazy_run import lazy_run
from hmm_plating.watch.summary import complete_steps

Grow = Callable[[int], Path]


def read(reader: RunReader) -> tuple[dict[str, Any], Any]:
    reader.poll()
    return json.loads(reader.status()), json.loads(reader.data)


def quantiles(values: xr.DataArray, scale: Any = 1.0) -> np.ndarray:
    """(…, 3): lower, median, upper of 90 %, by xarray."""
    found = (values * scale).quantile([0.05, 0.5, 0.95], ("chain", "draw"))
    return found.transpose("time", ..., "quantile").values


def test_the_document_is_what_the_result_says(known: InferenceData, finished: Path) -> None:
    status, run = read(RunReader(finished))
    assert (status["steps"], status["problem"], status["growing"], status["run"]) == (180, None, False, "run.nc")
    columns, overtones = run["columns"], known.observed_data["overtone"]
    np.testing.assert_allclose(columns["time"], known.posterior["time"])
    np.testing.assert_allclose(columns["measured.frequency_shift"], known.observed_data["frequency_shift"] / overtones)
    np.testing.assert_allclose(
        columns["measured.dissipation_shift"], 1e6 * known.observed_data["dissipation_shift"], rtol=1e-6
    )
    predicted = known.posterior_predictive
    for name, scale in (("frequency_shift", 1 / overtones), ("dissipation_shift", 1e6)):
        np.testing.assert_allclose(columns[f"predicted.{name}"], quantiles(predicted[name], scale), rtol=1e-6)
    for name, scale in (("thickness", 1e9), ("roughness", 1e9), ("solid_volume_fraction", 1.0), ("side_mass", 1e5)):
        np.testing.assert_allclose(columns[name], quantiles(known.posterior[name], scale), rtol=1e-6)
    np.testing.assert_allclose(columns["current_density"], known.constant_data["current_density"] / 10)
    sizes = known.filter_stats["effective_sample_size"]
    np.testing.assert_allclose(np.array(columns["effective_sample_size"])[:, 1], sizes.mean("chain"), rtol=1e-6)
    np.testing.assert_allclose(np.array(columns["effective_sample_size"])[:, 0], sizes.min("chain"), rtol=1e-6)
    assert [(each["order"], each["withheld"]) for each in run["overtones"]] == [
        (3, False),
        (5, False),
        (7, True),
        (9, False),
    ]
    assert run["facts"]["recording"] == known.attrs["source"]


def test_the_surface_is_the_latest_that_was_kept(known: InferenceData, finished: Path) -> None:
    surface = read(RunReader(finished))[1]["surface"]
    kept = known.posterior["morphology"].isel(time=175)
    assert surface["time"] == float(kept["time"])
    rows = len(surface["probability"])
    assert rows < 12  # liquid far above the metal is left out
    np.testing.assert_allclose(surface["probability"], 100 * kept.mean(("chain", "draw"))[:rows], atol=0.5)
    assert kept[:, :, rows:].max() < 0.05
    assert np.array(surface["draws"]).shape == (3, rows, 32)
    assert surface["width"] == pytest.approx(32 * 6)
    assert surface["height"] == pytest.approx(rows * 6)


def test_a_store_is_followed_and_says_how_far_it_is_behind(known: InferenceData, grow: Grow) -> None:
    reader = RunReader(grow(5))
    status, run = read(reader)
    assert (status["steps"], status["growing"], status["lag"]) == (5, True, 7.0)
    for count in (6, 60, 180):
        grow(count)
        status, run = read(reader)
        assert status["steps"] == count
        np.testing.assert_allclose(
            run["columns"]["thickness"], quantiles(known.posterior["thickness"][:, :, :count], 1e9), rtol=1e-6
        )
    before = status["version"]
    assert read(reader)[0]["version"] == before  # nothing new
    RunStore(reader.path).finish({})
    assert read(reader)[0]["growing"] is False


def test_a_store_that_is_missing_for_a_while_leaves_what_was_read(grow: Grow, tmp_path: Path) -> None:
    reader = RunReader(grow(20))
    _, before = read(reader)
    shutil.move(reader.path, tmp_path / "elsewhere")
    status, run = read(reader)
    assert "does not exist" in status["problem"]
    assert status["steps"] == 20
    assert run == before
    reader.path.mkdir()  # a filter that begins
    status, run = read(reader)
    assert status["problem"]
    assert run == before
    shutil.rmtree(reader.path)
    shutil.move(tmp_path / "elsewhere", reader.path)
    assert read(reader)[0]["problem"] is None
    grow(25)
    assert read(reader)[0]["steps"] == 25


def test_a_run_that_starts_over_leaves_nothing_of_the_one_before(
    known: InferenceData, grow: Grow, tmp_path: Path
) -> None:
    reader = RunReader(grow(50))
    read(reader)
    shutil.rmtree(reader.path)
    other = known.isel(time=slice(60))
    other.posterior = other.posterior.assign(thickness=2 * other.posterior["thickness"])
    other.attrs = known.attrs | {"seed": 4}
    RunStore(reader.path).write(0, other, {})
    _, run = read(reader)
    np.testing.assert_allclose(run["columns"]["thickness"], quantiles(other.posterior["thickness"], 1e9), rtol=1e-6)


def test_a_file_that_is_replaced_is_read_anew(known: InferenceData, finished: Path) -> None:
    reader = RunReader(finished)
    read(reader)
    save(known.isel(time=slice(30)), finished)
    assert read(reader)[0]["steps"] == 30


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.nc", "run.zarr"])
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_damaged_the_reader_goes_on(
    data: st.DataObject, name: str, known: InferenceData, tmp_path: Path
) -> None:
    """Any file of the run cut off or overwritten: a problem is said, or a document is shown; both are JSON."""
    path = tmp_path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    few = known.isel(time=slice(8))
    save(few, path) if name == "run.nc" else RunStore(path).write(0, few, {})
    reader = RunReader(path)
    assert read(reader)[0]["problem"] is None
    victims = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    victim = data.draw(st.sampled_from(victims))
    content = victim.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    victim.write_bytes(content[:start] + data.draw(st.binary(max_size=30)))
    read(reader)
    fresh, run = read(RunReader(path))
    assert fresh["problem"] or run["columns"]["time"]
    victim.write_bytes(content)
    assert read(reader)[0]["problem"] is None


def test_groups_of_different_length_are_read_as_far_as_all_are(known: InferenceData) -> None:
    uneven = known.copy()
    uneven.filter_stats = uneven.filter_stats.isel(time=slice(17))
    assert complete_steps(uneven) == 17
    time = uneven.posterior["time"].values.copy()
    time[9:] = 0.0  # not yet written
    uneven.posterior = uneven.posterior.assign_coords(time=time)
    assert complete_steps(uneven) == 9
    with pytest.raises(InputError, match="no complete step"):
        complete_steps(known.isel(time=slice(0)))


def test_the_document_is_bounded_whatever_the_length(known: InferenceData, tmp_path: Path) -> None:
    """20 000 steps of the same draws."""
    count = 20_000
    long = InferenceData(
        posterior=xr.Dataset(
            {"thickness": (("chain", "draw", "time"), np.random.default_rng(0).random((1, 4, count)))},
            {"time": 2.0 * np.arange(count)},
        )
    )
    RunStore(tmp_path / "run.zarr").write(0, long, {})
    reader = RunReader(tmp_path / "run.zarr")
    status, run = read(reader)
    assert status["steps"] == count
    kept = shown_steps(count)
    assert len(kept) <= 600
    np.testing.assert_allclose(run["columns"]["time"], 2.0 * kept)
    expected = quantiles(long.posterior["thickness"].isel(time=kept), 1e9)
    np.testing.assert_allclose(run["columns"]["thickness"], expected, rtol=1e-6)


def test_what_is_missing_is_null_and_no_document_is_null(known: InferenceData, tmp_path: Path) -> None:
    reader = RunReader(tmp_path / "none.nc")
    assert read(reader)[1] is None
    gaps = known.copy()
    gaps.observed_data["frequency_shift"][3, 1] = np.nan
    save(gaps, tmp_path / "gaps.nc")
    run = read(RunReader(tmp_path / "gaps.nc"))[1]
    assert run["columns"]["measured.frequency_shift"][3][1] is None


@pytest.mark.parametrize("kind", ["file", "store"])
def test_a_lazy_run_is_the_run(kind: str, finished: Path, grow: Grow) -> None:
    """`open_run` reads everything, in another way."""
    path = finished if kind == "file" else grow(40)
    whole = open_run(path)
    with lazy_run(path) as run:
        assert set(run.groups()) == set(whole.groups())
        assert dict(run.attrs) == dict(whole.attrs)
        for name in run.groups():
            xr.testing.assert_equal(run[name].load(), whole[name])
