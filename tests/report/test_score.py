"""Scores against numbers worked out by hand, and calibration of a predictive distribution known to be right."""

import numpy as np
import pytest
import xarray as xr
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.report.score import ChannelScore, score


def channel(scores, name, overtone) -> ChannelScore:
    return next(c for c in scores.channels if c.channel == name and c.overtone == overtone)


def by_hand() -> InferenceData:
    """Six steps, two cycles, overtones 3, 5, 7 with 5 withheld; five predictive draws −2 … 2 about a wrong mean."""
    time, overtones = np.arange(6.0), np.array([3, 5, 7])
    current = np.array([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0])
    charge = np.cumsum(current)
    per_overtone = np.array([0.0, 1.0, 3.0, 2.0, 4.0, 5.0])
    frequency = per_overtone[:, None] * overtones
    dissipation = np.stack([per_overtone, per_overtone + 1, per_overtone + 4], axis=1) * 1e-6
    offset = np.arange(-2.0, 3.0)
    predicted_f = (per_overtone + 1.0)[:, None] * overtones + offset[None, :, None, None] * overtones
    predicted_d = dissipation + (offset[None, :, None, None] + 3.0) * 1e-6
    both, sample = {"time": time, "overtone": overtones}, ("chain", "draw", "time", "overtone")
    return InferenceData(
        posterior_predictive=xr.Dataset(
            {"frequency_shift": (sample, predicted_f), "dissipation_shift": (sample, predicted_d)}, coords=both
        ),
        observed_data=xr.Dataset(
            {
                "frequency_shift": (("time", "overtone"), frequency),
                "dissipation_shift": (("time", "overtone"), dissipation),
            },
            coords=both,
        ),
        constant_data=xr.Dataset(
            {
                "current_density": ("time", current),
                "charge_density": ("time", charge),
                "withheld": ("overtone", overtones == 5),
            },
            coords=both,
        ),
    )


def test_errors_coverage_and_baselines_are_those_worked_out_by_hand():
    scores = score(by_hand())
    assert scores.scope == "cycles 2 to 2 (from 2 s)"
    seen = channel(scores, "frequency_shift", 3)
    assert seen.steps == 4
    assert seen.error == pytest.approx(1.0)  # predictive mean is 1 Hz too high, per overtone
    assert seen.coverage == 1.0  # the draws reach 1.8 below their mean at 5 %
    # steps 2…5: changes 2, −1, 2, 1 for charges −1, −1, 1, 1: factor ½, residuals 2.5, −0.5, 1.5, 0.5
    ((name, error),) = seen.baselines
    assert name == "last value + charge"
    assert error == pytest.approx(np.sqrt((2.5**2 + 0.5**2 + 1.5**2 + 0.5**2) / 4))
    assert seen.ratio == pytest.approx(1.0 / error)
    drift = channel(scores, "dissipation_shift", 3)
    assert drift.error == pytest.approx(3e-6)
    assert drift.coverage == 0.0
    assert drift.baselines == (("last value", pytest.approx(np.sqrt((4 + 1 + 4 + 1) / 4) * 1e-6)),)
    hidden = channel(scores, "dissipation_shift", 5)
    assert hidden.withheld
    # halfway between x and x + 4 is x + 2, the truth x + 1; no Brinkman layer without an electrolyte
    assert hidden.baselines == (("interpolation", pytest.approx(1e-6)),)
    assert channel(scores, "frequency_shift", 5).baselines == (("interpolation", pytest.approx(0.0, abs=1e-12)),)


def test_gaps_are_left_out_of_all_errors_alike():
    result = by_hand()
    result.observed_data["frequency_shift"][3, 0] = np.nan
    seen = channel(score(result), "frequency_shift", 3)
    assert seen.steps == 2  # the gap itself, and the step after it that has no last value
    assert np.isfinite(seen.baselines[0][1])


def test_calibrated_prediction_covers_nine_in_ten(result):
    scores = score(result)
    steps = sum(c.steps for c in scores.channels)
    held = sum(c.coverage * c.steps for c in scores.channels) / steps
    # 960 independent observations: three standard deviations, and 400 draws blur the 5 % quantiles by 1 %
    assert held == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / steps) + 0.01)
    assert {c.calibration(0.9) for c in scores.channels} == {"ok"}
    for c in scores.channels:
        noise = 2.0 if c.channel == "frequency_shift" else 0.2e-6
        assert c.error == pytest.approx(noise, rel=4 / np.sqrt(2 * c.steps))
        assert c.ratio < 1
    # last value + charge adds the noise of the last value: √2
    seen = [c for c in scores.channels if not c.withheld and c.channel == "frequency_shift"]
    assert np.mean([c.ratio for c in seen]) == pytest.approx(1 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize(("width", "verdict"), [(0.3, "too narrow"), (4.0, "too wide")])
def test_wrong_widths_are_named(result_factory, width, verdict):
    assert {c.calibration(0.9) for c in score(result_factory(noise_seen=width)).channels} == {verdict}


def test_withheld_overtone_is_compared_with_interpolation_and_a_brinkman_layer(result):
    names = [name for name, _ in channel(score(result), "frequency_shift", 7).baselines]
    assert names == ["interpolation", "Brinkman layer"]


def test_a_recording_with_one_cycle_is_scored_whole_and_says_so(result_factory):
    scores = score(result_factory(stripping=False))
    assert "whole recording" in scores.scope
    assert "1 plating cycle" in scores.scope
    assert channel(scores, "dissipation_shift", 7).steps == 180


def test_without_current_everything_is_scored_against_the_last_value(result):
    del result.constant_data["current_density"]
    del result.constant_data["charge_density"]
    scores = score(result)
    assert "no current" in scores.scope
    assert channel(scores, "frequency_shift", 3).baselines[0][0] == "last value"


def test_missing_groups_and_cycles_are_input_errors(result):
    with pytest.raises(InputError, match="cycles 1 to 3"):
        score(result, first_cycle=4)
    with pytest.raises(InputError, match=r"posterior_predictive\.frequency_shift"):
        score(InferenceData(observed_data=result.observed_data))


def test_printed_table_is_aligned_and_names_every_overtone(result):
    text = str(score(result))
    lines = text.splitlines()[1:]
    assert len({len(line) for line in lines}) == 1
    for label in ("Δf/n 3", "Δf/n 7 withheld", "ΔD 9", "Brinkman layer", "last value + charge"):
        assert label in text
