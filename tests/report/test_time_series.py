"""The table of a result: numbers of known results in known units."""

import numpy as np
import pytest
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.report.time_series import settings, time_series


def test_measured_and_driven_columns_are_the_data_in_their_units(result: InferenceData) -> None:
    table = time_series(result)
    np.testing.assert_array_equal(table.index, result["posterior"]["time"])
    np.testing.assert_allclose(table["current density [mA/cm²]"], result["constant_data"]["current_density"] / 10)
    hidden = result["constant_data"]["withheld"].values if "withheld" in result["constant_data"] else np.zeros(4)
    for index, n in enumerate(result["observed_data"]["overtone"].values.tolist()):
        note = " (withheld)" if hidden[index] else ""
        shift = result["observed_data"]["frequency_shift"].values[:, index]
        loss = result["observed_data"]["dissipation_shift"].values[:, index]
        np.testing.assert_allclose(table[f"Δf{n}/{n}{note} measured [Hz]"], shift / n)
        np.testing.assert_allclose(table[f"ΔD{n}{note} measured [1e-6]"], loss * 1e6)


@pytest.mark.parametrize("probability", [0.5, 0.9])
def test_intervals_are_the_quantiles_of_all_chains(result: InferenceData, probability: float) -> None:
    table = time_series(result, probability)
    draws = np.moveaxis(result["posterior"]["thickness"].values, -1, 0).reshape(len(table), -1) * 1e9
    tail = (1 - probability) / 2
    for suffix, quantile in ((" low", tail), ("", 0.5), (" high", 1 - tail)):
        np.testing.assert_allclose(table["thickness [nm]" + suffix], np.quantile(draws, quantile, axis=1))


@pytest.mark.parametrize("probability", [0.0, 1.0, 5.0, float("nan")])
def test_a_probability_that_is_none_is_refused(result: InferenceData, probability: float) -> None:
    with pytest.raises(InputError, match="probability"):
        time_series(result, probability)


def test_settings_say_what_the_attributes_say(result: InferenceData) -> None:
    assert settings(result).items() >= {name: str(value) for name, value in result.attrs.items()}.items()
