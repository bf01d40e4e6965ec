"""Forecasts from a filtered recording: the drive that a plan continues, what the command line writes and refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import arviz
import numpy as np
import pytest
import xarray as xr
from cli_runs import Outcome, refused, untouched
from small_recording import PROTOCOL, Simulated

from hmm_plating import InputError, PlatingModel, filter_recording
from hmm_plating.cli import main
from hmm_plating.filter_recording import drives, observations
from hmm_plating.forecast_recording import (
    PlannedCurrent,
    final_states,
    forecast_recording,
    model_of,
    planned,
    recorded,
)
from hmm_plating.inference import ParticleFilter, backward_sampling, fixed_lag_smoothing, load
from hmm_plating.recording import read, resample

Builder = Callable[[xr.Dataset], PlatingModel]


@pytest.fixture(scope="module")
def filtered(simulated: Simulated, small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result with its checkpoint beside it."""
    output = tmp_path_factory.mktemp("forecast") / "out.nc"
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    qcmd, echem, air = (simulated.folder / name for name in names)
    words = ["filter", qcmd, "--electrochemistry", echem, "--air", air, "--model", small_model, "--keep-checkpoint"]
    words += ["--particles", "4", "--chains", "2", "--interval", "4", "--withhold", "7", "--output", output]
    assert main([str(word) for word in words]) == 0
    assert output.with_suffix(".checkpoint").is_dir()
    return output


def test_a_plan_continues_the_drive() -> None:
    recording = xr.Dataset(
        {
            "current_density": ("time", [0.0, -10.0, -10.0, 10.0]),
            "charge_density": ("time", [0.0, -20.0, -40.0, -20.0]),
            "potential": ("time", [0.0, -0.2, -0.1, np.nan]),
        },
        {"time": [1.0, 3.0, 5.0, 7.0]},
        {"interval": 2.0},
    )
    drive = planned(recording, [PlannedCurrent(-20.0, 3.0), PlannedCurrent(5.0, 2.0), PlannedCurrent(0.0, 2.5)])
    assert drive["time"].values.tolist() == [1, 3, 5, 7, 9, 11, 13]
    # bins of 2 s: −20; half −20, half 5; half 5, half none; the last 1.5 s are no whole step
    np.testing.assert_allclose(drive["current_density"][4:], [-20.0, -7.5, 2.5])
    np.testing.assert_allclose(drive["charge_density"][4:], [-60.0, -75.0, -70.0])
    # like currents before: plating −0.15 V; none is known under the other sign, so all
    np.testing.assert_allclose(drive["potential"][4:], [-0.15, -0.15, -0.1])
    xr.testing.assert_equal(drive.isel(time=slice(4)), recording)
    with pytest.raises(InputError, match="the plan lasts 1 s, less than one filter step of 2 s"):
        planned(recording, [PlannedCurrent(1.0, 1.0)])


def test_the_result_holds_the_recording_and_its_model(
    filtered: Path, simulated: Simulated, small_model: Path, build: Builder
) -> None:
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    original = resample(read(*(simulated.folder / name for name in names), area=PROTOCOL.area), 4.0)
    result = load(filtered)
    again = recorded(result)
    for one, other in zip(drives(again, (4.0,)), drives(original, (4.0,)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    model, expected = model_of(result, build), build(original)
    assert model.overtones == expected.overtones
    assert model.frequency_noise == pytest.approx(expected.frequency_noise)
    del result["constant_data"]
    with pytest.raises(InputError, match="not one of `hmm-plating filter`"):
        recorded(result)


def test_a_forecast_grows_the_surface_by_the_planned_charge(
    filtered: Path, small_model: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    words = ["forecast", filtered, "--model", small_model, "--current=-2:12", "--current=0:8"]
    outcome = run(*words, "--output", tmp_path / "forecast.nc", "--seed", "1")
    assert outcome == Outcome(0, f"{tmp_path / 'forecast.nc'}\n", "")
    found = xr.open_dataset(tmp_path / "forecast.nc", group="predictions", engine="h5netcdf")
    result = load(filtered)
    posterior = result["posterior"]
    assert found.sizes["chain"] == 2
    assert found.sizes["draw"] == 4
    assert set(posterior.data_vars) | {"frequency_shift", "dissipation_shift"} >= set(found.data_vars)
    assert found["frequency_shift"].dims == ("chain", "draw", "time", "overtone")
    assert found["time"].values[0] == posterior["time"].values[-1] + 4
    # 240 C/m² at an efficiency of 0.8 to 1: Faraday's law
    grown = found["thickness"].isel(time=2).mean() - posterior["thickness"].isel(time=-1).mean()
    faraday = 240 * result.attrs["metal_molar_mass"] / (2 * 96485.33 * result.attrs["metal_density"])
    assert 0.78 * faraday < float(grown) < 1.02 * faraday
    still = found["thickness"].isel(time=4) - found["thickness"].isel(time=2)
    assert float(abs(still).max()) < 0.02 * faraday
    np.testing.assert_allclose(
        found["frequency_shift"].isel(time=2).mean(["chain", "draw"])
        < result["posterior_predictive"]["frequency_shift"].isel(time=-1).mean(["chain", "draw"]),
        True,
    )
    constant = xr.open_dataset(tmp_path / "forecast.nc", group="predictions_constant_data", engine="h5netcdf")
    np.testing.assert_allclose(constant["current_density"], [-20, -20, -20, 0, 0], atol=1e-9)
    assert run(*words, "--output", tmp_path / "again.nc", "--seed", "1").code == 0
    again = xr.open_dataset(tmp_path / "again.nc", group="predictions", engine="h5netcdf")
    assert found.equals(again)


def test_forecasting_with_a_recorded_current_is_filtering_without_observations(
    simulated: Simulated, build: Builder, tmp_path: Path
) -> None:
    """The next steps of a recording: the forecast covers what was observed there."""
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    recording = resample(read(*(simulated.folder / name for name in names), area=PROTOCOL.area), 2.0)
    model = build(recording)
    first = recording.isel(time=slice(8))
    result = filter_recording(first, model, particles=12, chains=2, checkpoint=tmp_path / "run")
    found = forecast_recording(result, final_states(tmp_path / "run", result), model, recording.isel(time=slice(11)))
    shift = found["predictions"]["frequency_shift"].stack(sample=("chain", "draw"))
    observed = recording["frequency_shift"].isel(time=slice(8, 11))
    assert (abs(shift.mean("sample") - observed) < 5 * shift.std("sample") + 5).all()
    with pytest.raises(InputError, match="the drive has 8 steps, no more than the 8"):
        forecast_recording(result, final_states(tmp_path / "run", result), model, first)
    other = filter_recording(first, model, particles=12, chains=2, seed=1)
    with pytest.raises(InputError, match="is not the checkpoint of this result"):
        final_states(tmp_path / "run", other)
    with pytest.raises(InputError, match="no filter_stats"):
        final_states(tmp_path / "run", arviz.InferenceData(posterior=result.posterior))


def test_what_cannot_be_forecast(
    filtered: Path, small_model: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    output = ["--output", tmp_path / "forecast.nc"]
    words = ["forecast", filtered, "--model", small_model]
    moved = tmp_path.parent / "moved.nc"
    shutil.copy(filtered, moved)
    changed = tmp_path.parent / "changed.py"
    changed.write_text(small_model.read_text() + "\n# changed\n")
    with untouched(tmp_path):
        for current in ("-1", "-1:0", "a:b", "-1:nan", "1:2:3"):
            refused(run(*words, *output, f"--current={current}"), "must be mA/cm²:seconds")
        refused(run(*words, *output, "--current=-1:1"), "the plan lasts 1 s, less than one filter step of 4 s")
        plan = "--current=-1:8"
        refused(run("forecast", moved, "--model", small_model, plan, *output), "filter again with --keep-checkpoint")
        refused(run("forecast", filtered, "--model", changed, plan, *output), "is not what", "filter again with it")
        refused(run("forecast", tmp_path / "none.nc", "--model", small_model, plan, *output), "no such file")
        refused(run(*words, plan, "--output", filtered), "is the result itself")
        refused(run(*words, plan, "--output", tmp_path / "forecast.csv"), "name the file with .nc")


def test_the_surface_is_smoothed_by_fixed_lag_alone(simulated: Simulated, build: Builder) -> None:
    """Its draws are the noise that it grew from, not itself: no density of one surface given another."""
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    recording = resample(read(*(simulated.folder / name for name in names), area=PROTOCOL.area), 4.0).isel(
        time=slice(5)
    )
    model = build(recording)
    series = observations(recording), drives(recording, model.instrument.lag_times)
    particle_filter = ParticleFilter(model, 4, predictive_draws=0)
    smoothed = fixed_lag_smoothing(particle_filter, *series, lag=2, time=recording["time"].values.tolist())
    assert smoothed["posterior"]["thickness"].shape == (1, 4, 5)
    assert smoothed["posterior"]["surface_frequency_shift"].dims == ("chain", "draw", "time", "overtone")
    with pytest.raises(InputError, match=r"is not kept in the state.*fixed_lag_smoothing"):
        backward_sampling(particle_filter, *series, trajectories=2)
