"""Filtering a recording: what is fed to the filter, what the result holds, and that only the seed decides it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import arviz
import numba
import numpy as np
import pytest
import torch
import xarray as xr
from small_recording import PROTOCOL, Simulated

from hmm_plating import InputError, PlatingModel, filter_recording
from hmm_plating.filter_recording import drives, observations
from hmm_plating.recording import read, resample
from hmm_plating.report.figures import morphology_figure

Builder = Callable[[xr.Dataset], PlatingModel]
PARTICLES, CHAINS = 6, 2


@pytest.fixture(scope="module")
def recording(simulated: Simulated) -> xr.Dataset:
    """The simulated files, read and resampled to 18 steps."""
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    return resample(read(*(simulated.folder / name for name in names), area=PROTOCOL.area), 2.0)


@pytest.fixture(scope="module")
def result(recording: xr.Dataset, build: Builder) -> arviz.InferenceData:
    return filter_recording(recording, build(recording), particles=PARTICLES, chains=CHAINS, seed=1, withhold=[7])


def short(recording: xr.Dataset, build: Builder, **options: Any) -> arviz.InferenceData:
    """The first plating alone, which has every random draw that the rest has."""
    return filter_recording(recording.isel(time=slice(0, 7)), build(recording), particles=4, chains=2, **options)


def assert_equal(one: arviz.InferenceData, other: arviz.InferenceData) -> None:
    assert one.groups() == other.groups()
    for group in one.groups():
        xr.testing.assert_equal(one[group], other[group])


def test_the_drive_is_the_recorded_current(recording: xr.Dataset) -> None:
    drive = drives(recording, (4.0,))
    assert all(len(series) == recording.sizes["time"] == 18 for series in drive)
    assert set(drive.duration.tolist()) == {2.0}
    np.testing.assert_allclose(drive.charge_density, recording["charge_density"], rtol=0, atol=1e-9)
    constant = recording["current_density"].copy(data=np.full(18, -10.0))
    lag = drives(recording.assign(current_density=constant), (4.0,)).lagged_current[:, 0]
    expected = [-10 * (1 - math.exp(-0.5 * step)) for step in range(1, 19)]
    np.testing.assert_allclose(lag, expected, rtol=1e-12)


def test_gaps_of_the_potential_keep_its_last_value(recording: xr.Dataset) -> None:
    potential = np.full(18, 0.1)
    potential[[0, 5, 6]] = math.nan
    potential[7:] = -0.2
    series = drives(recording.assign(potential=("time", potential)), ()).potential
    assert series.tolist() == [0.1] * 7 + [-0.2] * 11
    unknown = drives(recording.assign(potential=("time", np.full(18, math.nan))), ()).potential
    assert unknown.tolist() == [0.0] * 18


def test_a_gap_of_the_current_is_refused(recording: xr.Dataset) -> None:
    current = recording["current_density"].copy()
    current[4:6] = math.nan
    with pytest.raises(InputError, match="the current is missing in 2 of 18 steps, first at 10 s"):
        drives(recording.assign(current_density=current), ())
    charge = recording["charge_density"].where(recording["time"] > 2.0)
    with pytest.raises(InputError, match="the current is missing in 1 of 18 steps, first at 2 s"):
        drives(recording.assign(charge_density=charge), ())


def test_a_recording_without_current_is_refused(recording: xr.Dataset) -> None:
    bare = recording.drop_vars(["current_density", "potential", "charge_density"])
    with pytest.raises(InputError, match="give the potentiostat's file"):
        drives(bare, ())


def test_observations_are_frequency_then_dissipation(recording: xr.Dataset) -> None:
    series = observations(recording, [7, 7])
    assert series.shape == (18, 6)
    np.testing.assert_array_equal(series[:, [0, 2]], recording["frequency_shift"].sel(overtone=[3, 11]))
    np.testing.assert_array_equal(series[:, [3, 5]], recording["dissipation_shift"].sel(overtone=[3, 11]))
    assert bool(series[:, [1, 4]].isnan().all())
    assert not bool(recording["frequency_shift"].isnull().any())


def test_overtones_that_cannot_be_withheld(recording: xr.Dataset) -> None:
    with pytest.raises(InputError, match="cannot withhold overtone 5: the recording has 3, 7, 11"):
        observations(recording, [3, 5])
    with pytest.raises(InputError, match="every overtone is withheld"):
        observations(recording, [11, 7, 3])


def test_the_result_holds_the_surface_and_the_predictions(result: arviz.InferenceData, recording: xr.Dataset) -> None:
    for name in ("thickness", "roughness", "solid_volume_fraction", "current_efficiency", "side_mass"):
        assert result["posterior"][name].dims == ("chain", "draw", "time")
        assert result["posterior"][name].shape == (CHAINS, PARTICLES, 18)
        assert np.isfinite(result["posterior"][name].values).all()
    morphology = result["posterior"]["morphology"]
    assert morphology.dims == ("chain", "draw", "time", "y", "x")
    pictures = np.isfinite(morphology.values).all((0, 1, 3, 4))
    assert np.flatnonzero(pictures).tolist() == [4, 9, 14]
    for name in ("frequency_shift", "dissipation_shift"):
        predicted = result["posterior_predictive"][name]
        assert predicted.dims == ("chain", "draw", "time", "overtone")
        assert np.isfinite(predicted.values).all()
        np.testing.assert_array_equal(predicted["overtone"], [3, 7, 11])
        np.testing.assert_array_equal(result["observed_data"][name], recording[name])
    assert result["constant_data"]["withheld"].values.tolist() == [False, True, False]
    np.testing.assert_array_equal(result["posterior"]["time"], recording["time"])
    scores = result["log_likelihood"]["observation"].values
    increments = np.logaddexp.reduce(scores, axis=1) - math.log(PARTICLES)
    np.testing.assert_allclose(increments, result["filter_stats"]["log_evidence_increment"].values, rtol=1e-9)
    assert len(set(result.groups())) == len(result.groups())
    assert result.attrs["metal"] == "zinc"
    assert result.attrs["log_evidence"] == pytest.approx(np.log(np.exp(increments.sum(1)).mean()))


def test_a_box_filters_as_a_section(recording: xr.Dataset, build: Builder) -> None:
    """Nuclei are caps instead of ridges: three-dimensional pictures, a finite evidence, the thickness of the charge."""
    model = build(recording)
    box = replace(model, grid=replace(model.grid, width=64e-9, depth=64e-9))
    plating = recording.isel(time=slice(0, 7))
    result = filter_recording(plating, box, particles=4, chains=1, seed=1)
    morphology = result["posterior"]["morphology"]
    assert morphology.dims == ("chain", "draw", "time", "z", "y", "x")
    pictures = morphology.values[0, :, np.isfinite(morphology.values[0, 0]).all((1, 2, 3))]
    assert pictures.shape[2:] == (8, 12, 8)
    assert 0 <= pictures.min() < 0.1 < 0.9 < pictures.max() <= 1
    assert np.ptp(pictures.max(3), axis=2).max() > 0.1  # the metal varies along z
    assert np.isfinite(result["filter_stats"]["log_evidence_increment"].values).all()
    thickness = float(result["posterior"]["thickness"].isel(time=-1).mean())
    section = short(recording, build, seed=1)["posterior"]["thickness"].isel(time=-1).mean()
    assert thickness == pytest.approx(float(section), rel=0.15)  # the charge, but for the efficiency drawn
    assert morphology_figure(result).axes


def test_the_surface_is_the_true_one(result: arviz.InferenceData, simulated: Simulated) -> None:
    """At the end of the first plating the charge leaves open only the efficiency, which is 0.8 to 1 a priori."""
    thickness = result["posterior"]["thickness"].mean(("chain", "draw"))
    plated = simulated.recording["time"].values[int((simulated.recording["current_density"].values > 0).argmax()) - 1]
    truth = float(simulated.truth["thickness"].interp(time=plated))
    assert truth > 5e-9
    assert float(thickness.interp(time=plated)) == pytest.approx(truth, rel=0.25)


def test_a_withheld_overtone_is_predicted_from_the_others(result: arviz.InferenceData) -> None:
    """Unseen throughout, yet within a few per cent: sensitivities differ by 1.5 % between overtones in this model."""
    predicted = result["posterior_predictive"]["frequency_shift"].sel(overtone=7)
    observed = result["observed_data"]["frequency_shift"].sel(overtone=7)
    deviation = np.abs(predicted.mean(("chain", "draw")) - observed).max()
    spread = float(predicted.std(("chain", "draw")).max())
    assert float(deviation) < 0.15 * float(np.abs(observed).max())
    assert 0 < spread < 0.3 * float(np.abs(observed).max())


def test_missing_values_are_not_scored(recording: xr.Dataset, build: Builder) -> None:
    """A step without any value has the evidence increment 0; one without a channel still counts the others."""
    gaps = recording.copy(deep=True)
    gaps["frequency_shift"][2] = math.nan
    gaps["dissipation_shift"][2] = math.nan
    gaps["frequency_shift"][4, 1] = math.nan
    increments = short(gaps, build)["filter_stats"]["log_evidence_increment"].values[0]
    assert increments[2] == pytest.approx(0, abs=1e-12)
    assert np.isfinite(increments).all()
    assert np.all(increments[[0, 1, 3, 4, 5]] != 0)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before[0])
        torch.set_num_threads(before[1])


def test_only_the_seed_decides(recording: xr.Dataset, build: Builder) -> None:
    with threads(1):
        alone = short(recording, build, seed=5)
    torch.manual_seed(99)  # the global generator has no say
    with threads(numba.config.NUMBA_NUM_THREADS):
        assert_equal(alone, short(recording, build, seed=5))
    other = short(recording, build, seed=6)
    assert np.all(alone["posterior"]["current_efficiency"].values != other["posterior"]["current_efficiency"].values)


def test_a_model_for_other_overtones_is_refused(recording: xr.Dataset, build: Builder) -> None:
    model = build(recording.sel(overtone=[3, 11]))
    with pytest.raises(InputError, match=r"the model is for overtones \(3, 11\), the recording has \(3, 7, 11\)"):
        filter_recording(recording, model)
