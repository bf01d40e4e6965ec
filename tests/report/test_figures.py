"""Figures draw the numbers that the result holds."""

import numpy as np
import pytest
from arviz import InferenceData
from matplotlib.collections import PolyCollection

from hmm_plating.errors import InputError
from hmm_plating.report import figures
from hmm_plating.report.cycles import cycle_summaries, faradaic_mass
from hmm_plating.report.result import credible_interval


def test_credible_interval_is_that_of_the_normal_distribution():
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(40000, 2))
    interval = credible_interval(draws, 0.9)
    # standard error of a 5 % quantile: sqrt(0.05·0.95/N)/density = 0.011 · 2
    np.testing.assert_allclose(interval.lower, 3 - 1.645 * 2, atol=0.09)
    np.testing.assert_allclose(interval.upper, 3 + 1.645 * 2, atol=0.09)
    np.testing.assert_allclose(interval.median, 3.0, atol=0.06)


def test_credible_interval_skips_missing_draws():
    interval = credible_interval([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    assert interval.median[0] == 2.0
    assert np.isnan(interval.median[1])


def test_shift_figure_puts_the_median_inside_its_band_and_the_dots_around_zero(result):
    figure = figures.shift_figure(result)
    assert len(figure.axes) == 2 * 5
    for axis in figure.axes[2:]:  # below the overview
        band = next(c for c in axis.collections if isinstance(c, PolyCollection))
        corners = band.get_paths()[0].vertices
        median = axis.lines[0].get_ydata()
        time = axis.lines[0].get_xdata()
        for step in (10, 90, 170):
            at_time = corners[np.isclose(corners[:, 0], time[step]), 1]
            assert at_time.min() < median[step] < at_time.max()
    residual = figure.axes[2].lines[-1].get_ydata()
    assert np.nanstd(residual) == pytest.approx(2.0, rel=0.25)  # Hz per overtone


def test_interval_figure_is_in_nanometres(result):
    figure = figures.interval_figure(result)
    axis = figure.axes[0]
    assert axis.get_ylabel() == "thickness [nm]"
    expected = 30 * np.abs(result.constant_data["charge_density"].values) / 600
    np.testing.assert_allclose(axis.lines[0].get_ydata(), expected, atol=0.3)  # 1 nm spread, 400 draws


def test_morphology_figure_has_real_aspect_and_the_rows_asked_for(result):
    figure = figures.morphology_figure(result, times=[30.0, 150.0], draws=2)
    assert len(figure.axes) == 4
    assert [axis.get_title(loc="left") for axis in figure.axes[::2]] == ["t = 31 s", "t = 151 s"]
    for axis in figure.axes:
        assert axis.get_aspect() == 1.0
        image = axis.images[0]
        assert image.get_extent() == pytest.approx([0.0, 32 * 6.0, 0.0, 12 * 6.0])
        assert image.origin == "lower"
        assert image.get_array()[0].mean() > image.get_array()[-1].mean()  # metal at the crystal


def test_morphology_figure_shows_draws_that_were_kept(result):
    result.posterior["morphology"][:, :-5] = np.nan
    result.posterior["morphology"][0] = np.nan
    for axis in figures.morphology_figure(result).axes:
        assert np.isfinite(axis.images[0].get_array().filled(np.nan)).all()


def test_an_overtone_without_data_leaves_its_panel_empty(result):
    result.observed_data["frequency_shift"][:, 1] = np.nan
    figure = figures.shift_figure(result)
    assert np.isnan(figure.axes[4].lines[-1].get_ydata()).all()
    figure.draw_without_rendering()


def test_cycle_figure_marks_faraday(result):
    figure = figures.cycle_figure(cycle_summaries(result), faradaic_mass(result))
    line = next(line for line in figure.axes[0].lines if line.get_label() == "Faraday, M/z")
    assert line.get_ydata()[0] == pytest.approx(32.69)


def test_filter_figure_sums_the_evidence(result):
    figure = figures.filter_figure(result, 400)
    expected = result.filter_stats["log_evidence_increment"].values.sum(1)
    drawn = [line.get_ydata()[-1] for line in figure.axes[2].lines]
    np.testing.assert_allclose(drawn, expected)


def test_drive_is_in_field_units(result):
    figure = figures.drive_figure(result)
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(-1.0)  # mA/cm²


@pytest.mark.parametrize(
    "draw",
    [
        figures.interval_figure,
        figures.morphology_figure,
        figures.drive_figure,
        figures.filter_figure,
        figures.shift_figure,
    ],
)
def test_what_is_missing_is_an_input_error(draw):
    with pytest.raises(InputError):
        draw(InferenceData())


def test_figures_leave_pyplot_alone(result):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    figures.interval_figure(result)
    assert plt.get_fignums() == before
