"""A recording with a first part: its steps are decided once and for all, whatever comes later."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hmm_plating import InputError
from hmm_plating.recording import resample
from hmm_plating.recording.assemble import assemble
from hmm_plating.recording.first_part import NotYet
from hmm_plating.recording.formats import Contents, Crystal, Potentiostat
from hmm_plating.recording.resample import first_steps

FIRST_PART, INTERVAL = 12.0, 2.0


def contents(seed: int, missing: float, samples: int = 160) -> tuple[Contents, Contents]:
    """A QCM and a potentiostat on clocks 0.7 s apart, irregular, with gaps; charge sometimes missing."""
    generator = np.random.default_rng(seed)
    time = np.cumsum(generator.uniform(0.1, 0.5, samples)) + (np.arange(samples) > 70) * generator.choice([0.0, 0.8, 5])
    points = np.arange(0.0, time[-1] + 3.0, 0.25)
    charge = -1e-3 * np.clip(points - 8.0, 0.0, None)
    flowed = np.interp(time - 0.7, points, charge)
    overtones = np.array([3, 5])
    frequency = overtones * (5e6 + 1e4 * flowed[:, None]) + generator.standard_normal((samples, 2))
    dissipation = 1e-4 + 1e-7 * generator.standard_normal((samples, 2))
    for values in (frequency, dissipation):
        lost = generator.random(values.shape) < missing
        lost[:8] = False
        values[lost] = np.nan
    frequency[90:130, 1] = np.nan  # an overtone is lost for a while
    potential = np.where(generator.random(len(points)) < missing, np.nan, -0.1 * np.sin(points))
    potential[:4] = 0.0
    crystal = Crystal(time, overtones, frequency, dissipation, True, sampling_delay=np.array([-0.05, 0.05]))
    return (
        Contents("qcm.txt", "text", "", crystal=crystal),
        Contents("cell.txt", "text", "", potentiostat=Potentiostat(points, None, charge, potential)),
    )


def so_far(file: Contents, source: Contents, samples: int, points: int) -> tuple[Contents, Contents]:
    """What the files hold at some moment."""
    crystal, potentiostat = file.crystal, source.potentiostat
    assert crystal is not None
    assert potentiostat is not None
    return (
        file._replace(
            crystal=crystal._replace(
                time=crystal.time[:samples],
                frequency=crystal.frequency[:samples],
                dissipation=None if crystal.dissipation is None else crystal.dissipation[:samples],
            )
        ),
        source._replace(
            potentiostat=potentiostat._replace(
                time=potentiostat.time[:points],
                charge=None if potentiostat.charge is None else potentiostat.charge[:points],
                potential=None if potentiostat.potential is None else potentiostat.potential[:points],
            )
        ),
    )


def steps(file: Contents, source: Contents) -> xr.Dataset:
    return resample(assemble(file, source, clock_offset=0.7, first_part=FIRST_PART), INTERVAL)


@settings(max_examples=60)
@example(seed=90, missing=0.0, samples=72, points=88)  # the last sample, after a pause, is beyond the potentiostat's
@given(
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.1, 0.5]),
    samples=st.integers(20, 160),
    points=st.integers(20, 220),
)
def test_steps_are_decided_once(seed: int, missing: float, samples: int, points: int) -> None:
    file, source = contents(seed, missing)
    whole = steps(file, source)
    try:
        early = steps(*so_far(file, source, samples, points))
    except NotYet:
        assert file.crystal is not None
        assert min(file.crystal.time[samples - 1], 0.25 * points) < FIRST_PART + 3.0 + 4.0 * missing
        return
    count = early.sizes["time"]
    for name in whole.variables:
        expected = whole[name].isel(time=slice(0, count)) if "time" in whole[name].dims else whole[name]
        np.testing.assert_array_equal(early[name].values, expected.values, err_msg=str(name))
    crystal = file.crystal.time[:samples]  # type: ignore[union-attr]
    known = 0.25 * (points - 1) + 0.7
    assert count * INTERVAL <= min(crystal[-1], known)
    late = crystal[crystal <= known][-1]  # the last sample of which the current is known
    if missing == 0.0:  # at most one step waits for its last sample, or for an overtone that is about to return
        assert whole["time"].values[count - 1] > late - 2 * INTERVAL - 1.0


def test_the_first_part_estimates_all() -> None:
    """Ten times the noise, and another reference, later: neither is seen."""
    file, source = contents(1, 0.0)
    assert file.crystal is not None
    generator = np.random.default_rng(2)
    late = file.crystal.time > FIRST_PART + 2
    rough = file.crystal.frequency + 10 * late[:, None] * generator.standard_normal(file.crystal.frequency.shape)
    noisy = file._replace(crystal=file.crystal._replace(frequency=rough))
    for name in ("frequency_shift_noise", "dissipation_shift_noise", "reference_frequency", "sampling_delay"):
        np.testing.assert_array_equal(steps(noisy, source)[name], steps(file, source)[name])
    whole = resample(assemble(noisy, source, clock_offset=0.7), INTERVAL)
    assert np.all(whole["frequency_shift_noise"] > 3 * steps(file, source)["frequency_shift_noise"])


def test_the_model_is_built_from_the_first_steps() -> None:
    whole = steps(*contents(1, 0.0))
    assert first_steps(whole).sizes["time"] == FIRST_PART / INTERVAL
    plain = whole.copy()
    del plain.attrs["first_part"]
    assert first_steps(plain) is plain


def test_a_recording_without_more_than_its_first_part_is_refused() -> None:
    file, source = contents(1, 0.0)
    with pytest.raises(InputError, match="take a shorter one"):
        steps(*so_far(file, source, 30, 220))
    with pytest.raises(InputError, match=r"cell\.txt: the recording lasts 9\.75 s, no longer than its first part"):
        steps(*so_far(file, source, 160, 40))
