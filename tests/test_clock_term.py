"""An error of the clock offset is inferred by the filter that has a term for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr

from hmm_plating import PlatingModel, Protocol, clock_term, filter_recording, simulate_recording
from hmm_plating.instrument import CLOCK, Drive, InstrumentResponse
from hmm_plating.recording import resample

PROTOCOL = Protocol(
    cycles=2, current_density=20.0, plating_time=12.0, stripping_time=8.0, sampling=0.25, overtones=(3, 7, 11)
)


def with_wrong_clock(recording: xr.Dataset, error: float) -> xr.Dataset:
    """The charge is that of later moments: the offset that was assumed is too small."""
    time = recording["time"].values
    charge = np.interp(time + error, time, recording["charge_density"].values)
    current = np.diff(charge, prepend=0.0) / np.diff(time, prepend=time[0] - PROTOCOL.sampling)
    return recording.assign(charge_density=("time", charge), current_density=("time", current))


@pytest.mark.slow
@pytest.mark.parametrize("error", [0.0, 0.1, 0.3])
def test_the_error_is_found_and_the_evidence_says_so(build: Callable[[xr.Dataset], PlatingModel], error: float) -> None:
    recording, _ = simulate_recording(build, PROTOCOL, seed=1)
    steps = resample(with_wrong_clock(recording, error), 1.0)
    plain = build(steps)
    terms = (*plain.instrument.terms, clock_term(0.3))
    model = dataclasses.replace(plain, instrument=dataclasses.replace(plain.instrument, terms=terms))
    result = filter_recording(steps, model, particles=32, chains=4, seed=1)
    found = result.posterior["clock_error"].isel(time=-1)
    deviation = float(result.posterior["clock_error_deviation"].isel(time=-1).mean())
    assert deviation < 0.3 / 5  # two reversals tell much
    assert float(found.mean()) == pytest.approx(error, abs=3 * np.hypot(deviation, float(found.std())))
    gain = (
        result.attrs["log_evidence"]
        - filter_recording(steps, plain, particles=32, chains=4, seed=1).attrs["log_evidence"]
    )
    assert gain > -5  # ln(0.3/0.03) for a parameter that was not needed, and the noise of two estimates
    assert error < 0.3 or gain > 10


def test_the_coefficient_is_one_for_all_overtones() -> None:
    response = InstrumentResponse((clock_term(0.2),), 1e-5, 5e-8, 6.0, ())
    state = response.initial((3, 5, 7))
    np.testing.assert_allclose(state.covariance[:3, :3], 0.04, rtol=1e-12)
    assert response.has_clock_term
    found = response.clock_error(state, (3, 5, 7))
    assert [float(value) for value in found] == pytest.approx([0.0, 0.2])
    transition, _, process = response.dynamics((3, 5, 7), _drive())
    np.testing.assert_array_equal(transition[:3, :3], np.eye(3))
    assert not process[:3, :3].any()
    without = InstrumentResponse((), 1e-5, 5e-8, 6.0, ())
    assert not without.has_clock_term
    assert clock_term(0.2).name == CLOCK


def _drive() -> Drive:
    return Drive(*(torch.tensor(value, dtype=torch.float64) for value in (1.0, -10.0, -5.0, 5.0, 0.0)), torch.zeros(0))
