"""Results survive the round trip through netCDF, and files are complete or absent."""

import os

import numpy as np
import pyro.distributions as dist
import pytest
import torch
import xarray
from state_space_models import LinearGaussian
from two_parameters import Autoregression, prior, simulate

from hmm_plating.errors import InputError
from hmm_plating.inference import LFVI, PMMH, SMC2, SMCABC, ParticleFilter, forecast, load, save
from hmm_plating.inference.arviz_export import to_inference_data


@pytest.fixture(scope="module")
def result():
    model = LinearGaussian.four_dimensional()
    return ParticleFilter(model, 20, predictive_draws=10).run(model.simulate(5, seed=1), seed=3)


def test_round_trip(result, tmp_path):
    path = tmp_path / "result.nc"
    save(result, path)
    save(result, path)  # replaces
    again = load(path)
    assert set(again.groups()) == set(result.groups())
    for group in result.groups():
        xarray.testing.assert_identical(again[group], result[group])
    assert dict(again.attrs) == result.attrs
    assert os.listdir(tmp_path) == ["result.nc"]
    with pytest.raises(InputError, match="exists already"):
        save(result, path, overwrite=False)


def test_what_cannot_be_written_leaves_nothing_behind(result, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(InputError, match="folder"):
            save(result, folder / "result.nc")
    path = tmp_path / "result.nc"
    path.write_text("the one before")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(InputError, match="No space left"):
        save(result, path)
    assert path.read_text() == "the one before"
    assert sorted(os.listdir(tmp_path)) == ["file", "result.nc"]


def test_a_read_only_folder_is_named(result, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # permissions do not bind an administrator
    with pytest.raises(InputError, match="read-only"):
        save(result, tmp_path / "result.nc")


def test_files_that_are_no_result_are_refused(result, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "absent.nc")
    save(result, tmp_path / "whole.nc")
    content = (tmp_path / "whole.nc").read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "damaged.nc").write_bytes(content[:size])
        with pytest.raises(InputError, match="truncated, damaged or not"):
            load(tmp_path / "damaged.nc")
    (tmp_path / "text.nc").write_text("time,f3\n")
    with pytest.raises(InputError, match="truncated, damaged or not"):
        load(tmp_path / "text.nc")
    xarray.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="not the result"):
        load(tmp_path / "other.nc")


def results():
    """One of every algorithm."""
    y = simulate(6, seed=1)
    model = LinearGaussian.four_dimensional()
    particles = ParticleFilter(model, 20)
    state, info = particles.update(particles.init(seed=1), model.simulate(1, seed=1)[0])
    yield forecast(particles, state, 3, sites=info.observed_sites)
    yield PMMH(Autoregression, prior, 8, chains=2, warmup=3).run(y, draws=4)
    yield SMC2(Autoregression, prior, 12, 4).run(y)
    method = SMCABC(dist.Normal(0.0, 1.0), lambda theta: theta[:, None] + torch.randn(len(theta), 1), populations=2)
    yield method.run(torch.tensor([0.5]), simulations=200)
    variational = LFVI((dist.Normal(0.0, 1.0), method.simulator), rounds=1, ratio_steps=20, guide_steps=20, draws=20)
    yield variational.run(torch.tensor([0.5]), simulations=200)


@pytest.mark.filterwarnings("ignore:LFVI", "error:.*InferenceData scheme")
def test_results_of_every_algorithm_are_read_again(tmp_path):
    for result in results():
        save(result, tmp_path / "result.nc")
        again = load(tmp_path / "result.nc")
        assert set(again.groups()) == set(result.groups())
        for group in result.groups():
            xarray.testing.assert_identical(again[group], result[group])


def record(**posterior):
    groups = ("sample_stats", "filter_stats", "posterior_predictive", "log_likelihood", "observed_data")
    return {"posterior": posterior, **{group: {} for group in groups}}


def test_absent_entries_are_nan_and_integers_stay_integers():
    count = np.arange(3)
    data = to_inference_data([record(n=count), record(n=count, late=count)], attrs={})
    assert data.posterior["n"].dtype == count.dtype
    assert np.isnan(data.posterior["late"].values[0, :, 0]).all()
    np.testing.assert_array_equal(data.posterior["late"].values[0, :, 1], count)


def test_shapes_and_coordinates_that_disagree_are_named():
    field = np.zeros((3, 4))
    with pytest.raises(InputError, match="changes its shape"):
        to_inference_data([record(a=field), record(a=field[:, :2])], attrs={})
    with pytest.raises(InputError, match="dims names"):
        to_inference_data([record(a=field)], attrs={}, dims={"a": ("y", "x")})
    with pytest.raises(InputError, match="4 entries along 'x', where 3 are expected"):
        to_inference_data([record(a=field)], attrs={}, dims={"a": ("x",)}, coords={"x": [0, 1, 2]})
    with pytest.raises(InputError, match="along 'x'"):
        to_inference_data([record(a=field, b=np.zeros((3, 5)))], attrs={}, dims={"a": ("x",), "b": ("x",)})


def test_numbered_sites_become_one_variable():
    def numbered(*names):
        return {**record(), "observed_data": {name: np.array(float(len(names))) for name in names}}

    data = to_inference_data([numbered("y_1"), numbered("y_2"), numbered("y_3")], attrs={})
    assert list(data.observed_data.data_vars) == ["y"]
    constant = to_inference_data([numbered("f_3", "f_5"), numbered("f_3", "f_5")], attrs={})
    assert list(constant.observed_data.data_vars) == ["f_3", "f_5"]
    clash = to_inference_data([numbered("f_3", "f_5"), numbered("f_3")], attrs={})
    assert list(clash.observed_data.data_vars) == ["f_3", "f_5"]
