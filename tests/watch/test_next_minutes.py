"""The forecast of the page: that of `hmm-plating forecast` under the last current, from wherever the checkpoint is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from arviz import InferenceData
from cli_runs import Outcome
from small_recording import PROTOCOL, Simulated

from hmm_plating import PlatingModel, filter_recording
from hmm_plating.follow import follow
from hmm_plating.inference import load, save
from hmm_plating.recording import read, resample
from hmm_plating.recording.growing_recording import Growth
from hmm_plating.watch import RunReader

Builder = Callable[[xr.Dataset], PlatingModel]


@pytest.fixture(scope="module")
def recording(simulated: Simulated) -> xr.Dataset:
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    return resample(read(*(simulated.folder / name for name in names), area=PROTOCOL.area), 2.0)


@pytest.fixture(scope="module")
def followed(
    recording: xr.Dataset, build: Builder, small_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Filter the first steps of a recording, going on from the checkpoint of fewer."""
    folder = tmp_path_factory.mktemp("followed")

    def filtered(steps: int, checkpoint: Path | None = None) -> Path:
        part, output = recording.isel(time=slice(steps)), folder / f"run{steps}.nc"
        result = filter_recording(
            part,
            build(part),
            particles=4,
            chains=2,
            checkpoint=checkpoint or output.with_suffix(".checkpoint"),
            resume=True,
        )
        save(with_model(result, small_model), output)
        return output

    return filtered


def with_model(result: InferenceData, model: Path) -> InferenceData:
    result.attrs.update(model=str(model), model_text=model.read_text())
    return result


def test_the_forecast_is_that_of_the_command(
    followed: Callable[[int], Path], small_model: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    path = followed(6)
    current = float(load(path).constant_data["current_density"][-1]) / 10
    forecast = tmp_path / "forecast.nc"
    assert run("forecast", path, "--model", small_model, f"--current={current}:8", "--output", forecast).code == 0
    expected = load(forecast).predictions
    reader = RunReader(path, small_model, 8.0)
    reader.poll()
    assert json.loads(reader.data)["forecast"] is None
    reader.poll_forecast()
    reader.poll()
    shown = json.loads(reader.data)["forecast"]
    assert shown is not None, json.loads(reader.data)["no_forecast"]
    np.testing.assert_allclose(shown["time"], expected["time"])
    for name, scale in (("thickness", 1e9), ("frequency_shift", 1 / expected["overtone"])):
        quantiles = (expected[name] * scale).quantile([0.05, 0.5, 0.95], ("chain", "draw"))
        found = np.array(shown[name if name == "thickness" else f"predicted.{name}"])
        np.testing.assert_allclose(found, quantiles.transpose("time", ..., "quantile"), rtol=1e-6, atol=1e-6)


def test_a_run_that_has_gone_on_since_its_checkpoint_is_forecast_from_there(
    followed: Callable[..., Path], small_model: Path, tmp_path: Path
) -> None:
    before = followed(5)
    ahead = tmp_path / "ahead"
    shutil.copytree(before.with_suffix(".checkpoint"), ahead)
    path = followed(7, checkpoint=ahead)  # its own state is elsewhere
    shutil.copytree(before.with_suffix(".checkpoint"), path.with_suffix(".checkpoint"))
    forecasts = []
    for each in (before, path):
        reader = RunReader(each, small_model, 6.0)
        reader.poll_forecast()
        reader.poll()
        forecasts.append(json.loads(reader.data)["forecast"])
    assert forecasts[0] is not None
    assert forecasts[0] == forecasts[1]


def test_a_followed_run_is_forecast_from_its_last_kept_state(
    recording: xr.Dataset, build: Builder, small_model: Path, followed: Callable[..., Path], tmp_path: Path
) -> None:
    """As a batch run that ended where the state was kept: following equals filtering."""

    class Slices:
        count = 3

        def read(self) -> Growth:
            self.count = min(self.count + 1, 7)
            return Growth(recording.isel(time=slice(self.count)), float(recording["time"][self.count - 1]))

    store = tmp_path / "run.zarr"
    model = build(recording.isel(time=slice(5)))
    attributes = {"model": str(small_model), "model_text": small_model.read_text()}
    updates = follow(Slices(), model, particles=4, chains=2, store=store, checkpoint_interval=5, attributes=attributes)
    reader = RunReader(store, small_model, 6.0)
    for update in updates:
        if update.step == 7:  # the state of step 5 is kept
            reader.poll_forecast()
            reader.poll()
            break
    updates.close()
    document = json.loads(reader.data)
    assert document["forecast"] is not None, document["no_forecast"]
    assert json.loads(reader.status())["steps"] == 7
    batch = RunReader(followed(5), small_model, 6.0)
    batch.poll_forecast()
    batch.poll()
    assert document["forecast"] == json.loads(batch.data)["forecast"]


def test_why_there_is_no_forecast_is_said(
    followed: Callable[[int], Path], finished: Path, small_model: Path, tmp_path: Path
) -> None:
    def reason(path: Path, model: Path | None) -> str:
        reader = RunReader(path, model)
        reader.poll_forecast()
        reader.poll()
        document = json.loads(reader.data)
        assert document["forecast"] is None
        return document["no_forecast"]

    assert "--model FILE" in reason(finished, None)
    assert "holds no state" in reason(finished, small_model)
    changed = tmp_path / "changed.py"
    changed.write_text(small_model.read_text() + "\n# changed\n")
    assert "not what the run was filtered with" in reason(followed(5), changed)
    other = tmp_path / "other.nc"
    shutil.copy(followed(6), other)
    shutil.copytree(followed(5).with_suffix(".checkpoint"), other.with_suffix(".checkpoint"))
    run = load(other)
    run.filter_stats["log_evidence_increment"] += 1.0
    save(run, other)
    assert "not the checkpoint of this result" in reason(other, small_model)
