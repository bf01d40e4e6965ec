"""Clock offsets and per-overtone delays that were put in must come out within their own uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from hmm_plating.errors import InputError
from hmm_plating.recording import resample, segments
from hmm_plating.recording.clock import estimate_clock_offset


def _estimate(experiment, guess=0.0):
    frequency = experiment.qcmd[["f3", "f5", "f7"]].to_numpy() / np.array([3, 5, 7])
    table = experiment.electrochemistry
    return estimate_clock_offset(
        experiment.qcmd["time"].to_numpy(),
        frequency - frequency[0],
        table["time/s"].to_numpy(),
        table["(Q-Qo)/mC"].to_numpy(),
        guess,
    )


DELAY = np.array([0.09, 0.0, -0.09])  # a sweep of three overtones within 0.26 s


def test_exact_data_give_the_exact_offset(make_experiment):
    """Without noise the only error is the minimiser's tolerance."""
    clock = _estimate(make_experiment(offset=0.4321, delay=DELAY))
    assert clock.offset == pytest.approx(0.4321, abs=1e-3)
    np.testing.assert_allclose(clock.sampling_delay, DELAY, atol=1e-3)
    assert clock.reversals == 3


@pytest.mark.parametrize("curvature", [0.0, 0.15])
def test_offset_is_recovered_within_its_uncertainty(make_experiment, curvature):
    """Standardised errors over many noisy experiments: their root mean square is near one (t-like with 3 reversals)."""
    offsets = np.linspace(-6.0, 6.0, 15)
    standardised, delays = [], []
    for seed, offset in enumerate(offsets):
        clock = _estimate(make_experiment(seed, offset=offset, delay=DELAY, noise=1.5, curvature=curvature))
        assert clock.uncertainty < 0.05
        standardised.append((clock.offset - offset) / clock.uncertainty)
        delays.append((clock.sampling_delay - DELAY) / clock.sampling_delay_uncertainty)
    assert np.sqrt(np.mean(np.square(standardised))) < 1.6
    assert np.sqrt(np.mean(np.square(delays))) < 2.0
    assert abs(np.mean(standardised)) < 4 / np.sqrt(len(offsets)) * 1.6


def test_no_delay_is_made_out_of_noise(make_experiment):
    """Root mean square over experiments: the estimates that shrinkage starts from scatter by their own uncertainty."""
    clocks = [_estimate(make_experiment(seed, noise=1.5)) for seed in range(12)]
    delays = np.array([clock.sampling_delay for clock in clocks])
    uncertainty = np.array([clock.sampling_delay_uncertainty for clock in clocks])
    assert np.sqrt(np.mean(delays**2)) < 0.7 * np.sqrt(np.mean(uncertainty**2))


def test_far_offsets_are_found_from_a_guess(make_experiment):
    clock = _estimate(make_experiment(1, offset=25.3, noise=1.0), guess=22.0)
    assert clock.offset == pytest.approx(25.3, abs=4 * clock.uncertainty)


def test_missing_samples_and_channels(make_experiment):
    experiment = make_experiment(2, offset=1.0, noise=1.0)
    experiment.qcmd.loc[::3, "f5"] = np.nan
    experiment.qcmd["f7"] = np.nan
    clock = _estimate(experiment)
    assert clock.offset == pytest.approx(1.0, abs=4 * clock.uncertainty)
    assert clock.sampling_delay[2] == 0
    assert np.isnan(clock.sampling_delay_uncertainty[2])


def test_plating_alone_does_not_tell_the_offset(make_experiment):
    experiment = make_experiment(plating=20.0, cycles=1)
    cut = experiment._replace(
        qcmd=experiment.qcmd[experiment.qcmd["time"] < 20], electrochemistry=experiment.electrochemistry.iloc[:200]
    )
    assert _estimate(cut) is None


def test_clocks_without_overlap(make_experiment):
    with pytest.raises(InputError, match=r"do not overlap.*--clock-offset"):
        _estimate(make_experiment(), guess=1e5)


def test_files_of_different_experiments(make_experiment):
    experiment = make_experiment(noise=1.0)
    generator = np.random.default_rng(0)
    for name in ("f3", "f5", "f7"):
        experiment.qcmd[name] = 1.5e7 + 100 * generator.standard_normal(len(experiment.qcmd))
    with pytest.raises(InputError, match="does not follow the charge"):
        _estimate(experiment)


def test_zinc_overtones_are_swept_one_after_the_other(zinc):
    """Five overtones within a sweep of 0.26 s: evenly spaced stamps, the third one's late by the most."""
    assert 0.1 < zinc.attrs["clock_offset"] < 0.25
    assert zinc.attrs["clock_offset_uncertainty"] < 0.02
    np.testing.assert_allclose(np.diff(zinc["sampling_delay"]), -0.26 / 5, atol=0.015)


def test_zinc_overtones_agree_once_the_delays_are_out(zinc):
    """The rates change sign at a reversal, the surface does not jump: nor may Δf_n/n − Δf_3/3 (± 0.3 Hz)."""

    def largest_jump(dataset):
        steps = resample(dataset, 2.0)
        normalised = steps["frequency_shift"] / steps["overtone"]
        relative = (normalised - normalised.isel(overtone=0)).transpose("time", "overtone").values
        time = steps["time"].values
        jumps = [
            relative[(time > part.stop + 1.5) & (time < part.stop + 9)].mean(axis=0)
            - relative[(time > part.stop - 9) & (time < part.stop - 1.5)].mean(axis=0)
            for part in segments(dataset)
            if part.kind == "plating"
        ]
        return np.abs(np.mean(jumps, axis=0)).max()

    assert largest_jump(zinc.drop_vars("sampling_delay")) > 8
    assert largest_jump(zinc) < 1
