"""A simulated recording: what the potentiostat does, what the truth says, and that files and reader give it back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from small_recording import PROTOCOL, Simulated

from hmm_plating import InputError, PlatingModel, Protocol, simulate_recording
from hmm_plating.recording import read, validate

Builder = Callable[[xr.Dataset], PlatingModel]
QUICK = replace(PROTOCOL, cycles=0, plating_time=6.0, rest_time=2.0)


def test_the_current_is_that_of_the_protocol() -> None:
    protocol = Protocol(
        cycles=2, current_density=5.0, plating_time=4.0, stripping_time=3.0, rest_time=1.0, sampling=0.5
    )
    expected = [0.0] * 2 + ([-5.0] * 8 + [5.0] * 6) * 2 + [-5.0] * 8
    assert protocol.current().tolist() == expected
    recording = validate(protocol.recording())
    assert float(recording["charge_density"][-1]) == pytest.approx(-5 * 12.0 + 5 * 6.0)
    assert recording["time"].values[[0, -1]].tolist() == [0.5, 0.5 * len(expected)]


def test_the_truth_is_the_surface_over_time(simulated: Simulated) -> None:
    """Thickness is what Faraday's law gives for the charge and its efficiency; the crystal is bare before it flows."""
    truth, recording = simulated.truth, simulated.recording
    for name in ("thickness", "roughness", "solid_volume_fraction"):
        assert truth[name].dims == ("time",)
        assert np.isfinite(truth[name].values).all()
    current = recording["current_density"].values
    assert not truth["thickness"].values[current == 0].any()
    first_plating = slice(int((current < 0).argmax()), int((current > 0).argmax()))
    efficiency = truth["current_efficiency"].values[first_plating]
    charge = np.sum(PROTOCOL.current_density * efficiency) * PROTOCOL.sampling
    thickness = charge * 65.38e-3 / (2 * 96485.332 * 7140.0)  # Q M / (z F ρ)
    assert truth["thickness"].values[first_plating][-1] == pytest.approx(thickness, rel=1e-3)
    assert truth["thickness"].values[current > 0][-1] < 0.5 * thickness
    assert truth["morphology"].dims == ("time", "y", "x")


def test_the_shifts_follow_the_metal(simulated: Simulated) -> None:
    """Mass lowers Δf_n/n by about 4.0 Hz per C/m² (Sauerbrey and Faraday) times a sensitivity of 1 ± 0.3."""
    recording = simulated.recording
    normalised = (recording["frequency_shift"] / recording["overtone"]).values
    thickness = simulated.truth["thickness"].values
    slopes = [np.polyfit(thickness, shift, 1)[0] for shift in normalised.T]
    sauerbrey = -2 * 5e6**2 / 8.84e6 * 7140.0
    assert np.all((np.array(slopes) / sauerbrey > 0.4) & (np.array(slopes) / sauerbrey < 3.0))
    assert np.corrcoef(thickness, normalised[:, 0])[0, 1] < -0.95


def test_absolute_values_are_those_of_a_crystal_in_the_liquid(simulated: Simulated) -> None:
    """−f0/(π Z_q) sqrt(ρ η ω_n/2) below n f0 (Kanazawa and Gordon 1985), and twice that as bandwidth."""
    for index, n in enumerate(PROTOCOL.overtones):
        load = math.sqrt(1322.8 * 3.14e-3 * 2 * math.pi * n * 5e6 / 2)
        shift = -5e6 / (math.pi * 8.84e6) * load
        assert float(simulated.recording["reference_frequency"][index]) == pytest.approx(n * 5e6 + shift, rel=1e-9)
        assert float(simulated.recording["reference_dissipation"][index]) == pytest.approx(-2 * shift / (n * 5e6))


def test_the_files_give_the_recording_back(simulated: Simulated) -> None:
    """Shifts but for the reference, which the reader takes from the rest; the potentiostat's numbers, f0, the air."""
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    back = read(*(simulated.folder / name for name in names), area=PROTOCOL.area, clock_offset=0.0)
    written = simulated.recording
    assert back.attrs["fundamental_frequency"] == pytest.approx(5e6)
    np.testing.assert_allclose(back["time"], written["time"])
    rest = written["current_density"].values == 0
    for channel, rounding in (("frequency_shift", 1e-6), ("dissipation_shift", 1e-14)):
        reference = (written[channel] - back[channel]).values
        assert np.ptp(reference, axis=0).max() < rounding
        resting = written[channel].values[rest]
        assert np.all((resting.min(0) < reference[0]) & (reference[0] < resting.max(0)))
    for name in ("current_density", "charge_density", "potential"):
        np.testing.assert_allclose(back[name], written[name], rtol=0, atol=1e-9)
    assert bool((back["air_to_liquid_frequency_shift"] < -1000).all())


def test_stripping_a_bare_crystal_shows_in_the_potential(build: Builder) -> None:
    protocol = replace(PROTOCOL, plating_time=4.0, stripping_time=10.0, rest_time=2.0)
    recording, truth = simulate_recording(build, protocol, seed=0)
    stripping = recording["current_density"].values > 0
    bare = stripping & (np.roll(truth["coverage"].values, 1) == 0)
    assert bare.any()
    assert (recording["potential"].values[bare] == 1.5).all()
    assert (np.abs(recording["potential"].values[stripping & ~bare]) < 0.5).all()


def test_the_seed_decides(build: Builder) -> None:
    first, again, other = (simulate_recording(build, QUICK, seed) for seed in (0, 0, 1))
    assert first[0].identical(again[0])
    assert first[1].identical(again[1])
    assert np.all(first[0]["frequency_shift"].values != other[0]["frequency_shift"].values)
    assert float(np.abs(first[1]["morphology"] - other[1]["morphology"]).max()) > 0.1


def test_tells_its_progress(build: Builder) -> None:
    steps: list[tuple[int, int]] = []
    simulate_recording(build, QUICK, 0, lambda step, total: steps.append((step, total)))
    assert steps == [(step, 8) for step in range(1, 9)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("current_density", 0.0),
        ("plating_time", -1.0),
        ("plating_time", math.inf),
        ("sampling", 0.0),
        ("area", math.nan),
        ("fundamental_frequency", -5e6),
        ("cycles", -1),
        ("stripping_time", math.nan),
        ("rest_time", -1.0),
    ],
)
def test_a_protocol_refuses_impossible_numbers(field: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"Protocol\.{field} must"):
        Protocol(**{field: value})


def test_a_protocol_refuses_too_few_and_too_many_samples() -> None:
    with pytest.raises(InputError, match="needs a sampling interval below half of it"):
        Protocol(plating_time=1.0, sampling=0.6)
    with pytest.raises(InputError, match="more than 1048575 samples"):
        Protocol(sampling=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overtones": (3, 4)}, "overtones must be odd"),
        ({"overtones": ()}, "overtones|no overtone"),
        ({"area": 1.0}, "electrode area 1 m² is not that of a quartz crystal"),
        ({"current_density": 1e6}, "current_density reaches 1e"),
    ],
)
def test_what_is_no_recording_is_refused_before_the_work(build: Builder, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate_recording(build, replace(PROTOCOL, **change))


def test_a_model_for_other_overtones_is_refused(build: Builder) -> None:
    model = build(Protocol(overtones=(3, 5)).recording())
    with pytest.raises(InputError, match=r"the model is for overtones \(3, 5\), the recording has \(3, 7, 11\)"):
        simulate_recording(lambda recording: model, PROTOCOL)
