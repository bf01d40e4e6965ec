"""Bin means against dense quadrature; charge exactness as an invariant; noise scales against known noise."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from hmm_plating.errors import InputError
from hmm_plating.recording import resample
from hmm_plating.recording.resample import noise


def recording(time, frequency, charge=None, delay=None):
    """A recording with overtones 3 and 5 from Δf_n of shape (time, 2)."""
    dataset = xr.Dataset(
        {
            "frequency_shift": (("time", "overtone"), frequency),
            "dissipation_shift": (("time", "overtone"), 1e-9 * frequency),
        },
        coords={"time": time, "overtone": np.array([3, 5])},
        attrs={"fundamental_frequency": 5e6, "area": 1e-4, "instrument": "", "source": ""},
    )
    if charge is not None:
        dataset["charge_density"] = "time", charge
        dataset["current_density"] = "time", np.gradient(charge, time)
        dataset["potential"] = "time", np.zeros_like(charge)
    if delay is not None:
        dataset["sampling_delay"] = "overtone", delay
    return dataset


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.7, 5.0), st.floats(-10, 10), st.floats(-1e3, 1e3))
def test_a_response_linear_in_charge_stays_linear(seed, interval, slope, intercept):
    """Irregular samples and a current that switches anywhere: Δf = a + b q before and after; currents add up to q."""
    generator = np.random.default_rng(seed)
    time = np.cumsum(generator.uniform(0.1, 0.6, 120))
    current = np.repeat(generator.choice([-10.0, 0.0, 10.0], 12), 10)
    charge = np.cumsum(current * np.diff(time, prepend=time[0]))
    frequency = intercept + slope * charge[:, None] * np.ones(2)
    result = resample(recording(time, frequency, charge), interval)
    expected = intercept + slope * result["charge_density"].values
    for column in result["frequency_shift"].values.T:
        known = np.isfinite(column)
        np.testing.assert_allclose(column[known], expected[known], atol=1e-8)
    np.testing.assert_allclose(
        np.cumsum(result["current_density"].values) * interval, result["charge_density"].values, atol=1e-9
    )
    np.testing.assert_allclose(np.diff(result["time"]), interval, rtol=1e-9)


def test_bin_means_by_dense_quadrature():
    """The polyline sampled a thousand times per bin, at each overtone's own times."""
    generator = np.random.default_rng(3)
    time = np.cumsum(generator.uniform(0.2, 0.3, 200))
    frequency = np.cumsum(generator.standard_normal((200, 2)), axis=0)
    delay = np.array([0.1, -0.1])
    result = resample(recording(time, frequency, delay=delay), 2.0)
    for index, step in enumerate(result["time"].values):
        inside = step - 1 + 2 * (np.arange(20000) + 0.5) / 20000
        for column in range(2):
            mean = np.interp(inside, time - delay[column], frequency[:, column]).mean()
            assert result["frequency_shift"].values[index, column] == pytest.approx(mean, abs=1e-4)


def test_gaps_are_missing_and_nothing_else_is():
    """A gap of a channel: bins that it touches are NaN; a single missing sample is bridged."""
    time = np.arange(0.0, 60.0, 0.25)
    frequency = np.stack([-time, -2 * time], axis=1)
    frequency[(time > 20.1) & (time < 30.3), 1] = np.nan
    frequency[40, 0] = np.nan
    result = resample(recording(time, frequency), 2.0)
    steps = result["time"].values
    np.testing.assert_allclose(result["frequency_shift"].values[:, 0], -steps, atol=1e-9)
    missing = (steps > 20) & (steps < 32)
    np.testing.assert_array_equal(np.isnan(result["frequency_shift"].values[:, 1]), missing)
    np.testing.assert_allclose(result["frequency_shift"].values[~missing, 1], -2 * steps[~missing], atol=1e-9)


def test_a_channel_that_starts_late_or_never():
    time = np.arange(0.0, 30.0, 0.25)
    frequency = np.stack([-time, np.full_like(time, np.nan)], axis=1)
    frequency[time < 7.0, 0] = np.nan
    result = resample(recording(time, frequency), 2.0)
    assert np.isnan(result["frequency_shift"].values[:4, 0]).all()
    np.testing.assert_allclose(result["frequency_shift"].values[4:, 0], -result["time"].values[4:], atol=1e-9)
    assert np.isnan(result["frequency_shift"].values[:, 1]).all()
    assert np.isnan(result["frequency_shift_noise"].values[1])


def test_a_row_gap_keeps_the_charge():
    """Rows missing in the QCM's file: no shifts there, but every coulomb still arrives."""
    time = np.delete(np.arange(0.0, 60.0, 0.25), slice(80, 140))
    charge = -10 * time
    result = resample(recording(time, 3 * charge[:, None] * np.ones(2), charge), 2.0)
    assert np.isnan(result["frequency_shift"]).any()
    np.testing.assert_allclose(result["charge_density"].values, -10 * result["time"].values, atol=1e-9)


def test_noise_of_a_curve_is_that_of_its_scatter():
    """Normal noise on a slope with kinks and irregular samples; relative error of a MAD of 4000: 2 %."""
    generator = np.random.default_rng(0)
    time = np.cumsum(generator.choice([0.26, 0.38], 4000))
    curve = 25 * np.abs(time % 100 - 50)
    assert noise(time, curve + 1.7 * generator.standard_normal(4000)) == pytest.approx(1.7, rel=0.06)


def test_noise_under_a_ramp():
    generator = np.random.default_rng(1)
    series = np.linspace(0, 1e4, 4000)[:, None] + generator.normal(size=(4000, 2)) * [3.0, 0.2]
    # the MAD's relative standard error is about 1.17/sqrt(2N), somewhat more as second differences are correlated
    np.testing.assert_allclose([noise(np.arange(4000), channel) for channel in series.T], [3.0, 0.2], rtol=0.08)


def test_noise_of_resampled_values():
    """White noise: what resampled values scatter by, within 3 % for the samples at edges and 2 × 2 % of chance.

    Noise averaged over three samples: the white estimate is far too low, the other is not.
    """
    generator = np.random.default_rng(1)
    time = 0.25 * np.arange(20000)
    white = generator.standard_normal((20000, 2))
    result = resample(recording(time, white), 2.0)
    scatter = result["frequency_shift"].std("time").values
    np.testing.assert_allclose(result["frequency_shift_noise"].values, scatter, rtol=0.08)
    np.testing.assert_allclose(result["frequency_shift_white_noise"].values, scatter, rtol=0.08)

    smooth = (white[2:] + white[1:-1] + white[:-2]) / 3
    result = resample(recording(time[2:], smooth), 2.0)
    scatter = result["frequency_shift"].std("time").values
    assert (result["frequency_shift_white_noise"].values < 0.5 * scatter).all()
    np.testing.assert_allclose(result["frequency_shift_noise"].values, scatter, rtol=0.25)


@pytest.mark.parametrize(
    ("interval", "message"),
    [(0.0, "positive number"), (float("nan"), "positive number"), (0.1, "shorter than the sampling"), (1e3, "lasts")],
)
def test_bad_intervals(quiet, interval, message):
    with pytest.raises(InputError, match=message):
        resample(quiet, interval)


def test_without_electrochemistry(quiet):
    result = resample(quiet.drop_vars(["current_density", "potential", "charge_density"]))
    assert "current_density" not in result
    assert result.sizes["time"] > 10


def test_zinc(zinc):
    """Design, section 5.2: −1690 Hz after the first plating, noise 1–2 Hz a sample; ±10 A/m² away from the switches."""
    result = resample(zinc, 2.0)
    normalised = result["frequency_shift"] / result["overtone"]
    assert np.isfinite(result["frequency_shift"]).all()
    assert -1700 < float(normalised.isel(time=slice(0, 40)).min()) < -1640
    magnitude = np.abs(result["current_density"].values)
    assert np.mean(np.abs(magnitude - 10) < 0.02) > 0.9
    per_overtone = (result["frequency_shift_noise"] / result["overtone"]).values
    assert (per_overtone > 0.1).all()
    assert (per_overtone < 1.0).all()
    assert (result["dissipation_shift_noise"].values < 0.4e-6).all()


def test_a_channel_that_was_never_measured():
    """An instrument without dissipation: NaN, with the noise stated as 1, of Δf as ever."""
    time = np.arange(0.0, 60.0, 0.5)
    frequency = np.random.default_rng(2).standard_normal((120, 2))
    raw = recording(time, frequency)
    raw["dissipation_shift"] = raw["dissipation_shift"] * np.nan
    result = resample(raw, 2.0)
    assert result["dissipation_shift"].isnull().all()
    assert result["dissipation_shift_noise"].values.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(
        result["frequency_shift_noise"], resample(recording(time, frequency))["frequency_shift_noise"]
    )
