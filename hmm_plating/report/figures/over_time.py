"""What was measured, predicted and inferred over time, and how the filter fared."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from arviz import InferenceData
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hmm_plating.errors import InputError
from hmm_plating.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    METAL,
    ORANGE,
    WIDTH,
    Clock,
    shade_plating,
    style_axis,
)
from hmm_plating.report.result import (
    FloatArray,
    Interval,
    constant,
    credible_interval,
    group,
    pooled,
    variable,
    withheld,
)


class Quantity(NamedTuple):
    """How a variable is shown: label with its unit, and the factor from SI to it."""

    label: str
    scale: float


QUANTITIES = {
    "thickness": Quantity("thickness [nm]", 1e9),
    "roughness": Quantity("roughness Sq [nm]", 1e9),
    "solid_volume_fraction": Quantity("solid fraction", 1.0),
    "coverage": Quantity("coverage", 1.0),
    "side_mass": Quantity("side mass [µg/cm²]", 1e5),
    "current_efficiency": Quantity("current efficiency", 1.0),
    "nucleation_density": Quantity("nuclei [1/µm²]", 1e-12),
}
SURFACE = ("thickness", "roughness", "solid_volume_fraction")
PARAMETERS = ("coverage", "side_mass", "current_efficiency", "nucleation_density")


def shift_figure(result: InferenceData, probability: float = 0.9) -> Figure:
    """Measured Δf_n/n and ΔD_n over their one-step-ahead predictions, all overtones together and one by one."""
    observed = {
        name: variable(result, "observed_data", name).transpose("time", "overtone")
        for name in ("frequency_shift", "dissipation_shift")
    }
    overtones = observed["frequency_shift"]["overtone"].values
    clock = Clock(observed["frequency_shift"]["time"].values)
    data = {
        "frequency_shift": observed["frequency_shift"].values / overtones,
        "dissipation_shift": 1e6 * observed["dissipation_shift"].values,
    }
    predictive = group(result, "posterior_predictive")
    scale = {"frequency_shift": 1 / overtones, "dissipation_shift": np.full(len(overtones), 1e6)}
    band = {
        name: credible_interval(pooled(predictive[name].transpose(..., "time", "overtone")) * scale[name], probability)
        for name in data
        if predictive is not None and name in predictive
    }
    hidden, colours = withheld(result), overtone_colours(len(overtones))
    figure = Figure(figsize=(WIDTH, 2.2 + 0.95 * len(overtones)), layout="constrained")
    axes = figure.subplots(
        1 + len(overtones), 2, sharex=True, height_ratios=[2.1, *[1] * len(overtones)], squeeze=False
    )
    labels = ("Δf$_n$/n [Hz]", "ΔD$_n$ [10$^{-6}$]")
    for column, (name, label) in enumerate(zip(data, labels, strict=True)):
        top = axes[0, column]
        for index, (order, colour) in enumerate(zip(overtones, colours, strict=True)):
            style = "--" if hidden[index] else "-"
            top.plot(clock.values, data[name][:, index], style, color=colour, linewidth=1, label=f"n = {order}")
        style_axis(top, ylabel=label)
        shade_plating(top, result, clock)
        for index, colour in enumerate(colours):
            axis, points = axes[1 + index, column], data[name][:, index]
            if name in band:
                # Δf would hide its own error under its range: show it against the predicted median
                median, lower, upper = (bound[:, index] for bound in _from_origin(band[name], residual=column == 0))
                points = points - band[name].median[:, index] if column == 0 else points
                axis.fill_between(clock.values, lower, upper, color=colour, alpha=0.3, linewidth=0)
                axis.plot(clock.values, median, color=colour, linewidth=0.9)
                if column == 0:
                    most = np.nanquantile(np.abs([lower, upper]), 0.95)  # but the first, as wide as the prior
                    points = _clip_outliers(axis, clock.values, points, 1.5 * most)
            axis.plot(clock.values, points, ".", color="black", markersize=1.8, markeredgewidth=0)
            style_axis(axis)
            axis.yaxis.set_major_locator(MaxNLocator(3))
            note = f"n = {overtones[index]}" + (", withheld" if hidden[index] else "")
            weight = "bold" if hidden[index] else "normal"
            axis.set_title(note, fontsize=7, loc="left", pad=2, fontweight=weight)
            shade_plating(axis, result, clock)
        axes[-1, column].set_xlabel(clock.label, fontsize=8)
    middle = axes[1 + len(overtones) // 2, 0]
    middle.set_ylabel("measured − predicted Δf$_n$/n [Hz]" if "frequency_shift" in band else labels[0], fontsize=8)
    axes[1 + len(overtones) // 2, 1].set_ylabel(labels[1], fontsize=8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.align_ylabels(axes[:, 0])
    figure.align_ylabels(axes[:, 1])
    figure.legend(handles, names, fontsize=7, frameon=False, ncols=len(names), loc="outside upper center")
    return figure


def interval_figure(result: InferenceData, names: Sequence[str] = SURFACE) -> Figure:
    """Posterior median with 50 and 90 % intervals over time, one panel per variable.

    Raises:
        InputError: the posterior has none of the variables.
    """
    posterior = group(result, "posterior")
    present = [name for name in names if posterior is not None and name in posterior]
    if posterior is None or not present:
        raise InputError(f"the posterior has none of {', '.join(names)}")
    clock = Clock(posterior["time"].values)
    figure, axes = _stacked(len(present), 1.45)
    for axis, name in zip(axes, present, strict=True):
        quantity = QUANTITIES.get(name, Quantity(name.replace("_", " "), 1.0))
        draws = pooled(posterior[name].transpose(..., "time")) * quantity.scale
        wide, narrow = credible_interval(draws, 0.9), credible_interval(draws, 0.5)
        for interval, alpha, label in ((wide, 0.22, "90 % interval"), (narrow, 0.38, "50 % interval")):
            axis.fill_between(
                clock.values,
                interval.lower,
                interval.upper,
                color=BLUE,
                alpha=alpha,
                linewidth=0,
                label=label,
            )
        axis.plot(clock.values, wide.median, color=BLUE, linewidth=1.1, label="median")
        style_axis(axis, ylabel=quantity.label)
        axis.margins(y=0.08)
        if 0 <= float(np.nanmin(wide.lower)) < 0.4 * float(np.nanmax(wide.upper)):
            axis.set_ylim(bottom=0)
        shade_plating(axis, result, clock)
    axes[-1].set_xlabel(clock.label, fontsize=8)
    axes[0].legend(fontsize=7, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1)
    figure.align_ylabels(axes)
    return figure


def drive_figure(result: InferenceData) -> Figure:
    """Current density, charge and potential as the potentiostat recorded them.

    Raises:
        InputError: nothing of it was recorded.
    """
    panels = [
        (values * scale, label)
        for name, scale, label in (
            ("current_density", 0.1, "current\n[mA/cm²]"),
            ("charge_density", 0.1, "charge\n[mC/cm²]"),
            ("potential", 1.0, "potential\n[V]"),
        )
        if (values := constant(result, name)) is not None
    ]
    if not panels:
        raise InputError("the result has no current, charge or potential; give the filter --electrochemistry FILE")
    clock = Clock(variable(result, "constant_data", "time").values)
    figure, axes = _stacked(len(panels), 1.05)
    for axis, (values, label) in zip(axes, panels, strict=True):
        axis.plot(clock.values, values, color=METAL, linewidth=1.1)
        style_axis(axis, ylabel=label)
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        shade_plating(axis, result, clock)
    axes[-1].set_xlabel(clock.label, fontsize=8)
    figure.align_ylabels(axes)
    return figure


def filter_figure(result: InferenceData, particles: int | None = None) -> Figure:
    """Effective sample size, unique ancestors and cumulative log evidence of every chain.

    Args:
        particles: their number, the top of the first two scales where it is known.
    """
    statistics = group(result, "filter_stats")
    labels = {
        "effective_sample_size": "effective\nsample size",
        "unique_ancestors": "unique\nancestors",
        "log_evidence_increment": "cumulative\nlog evidence",
    }
    present = [name for name in labels if statistics is not None and name in statistics]
    if statistics is None or not present:
        raise InputError("the result has no filter_stats; write it with `hmm-plating filter`")
    clock = Clock(statistics["time"].values)
    figure, axes = _stacked(len(present), 1.15)
    for axis, name in zip(axes, present, strict=True):
        chains = statistics[name].transpose("chain", "time").values.astype(float)
        evidence = name == "log_evidence_increment"
        curves = np.nancumsum(chains, axis=1) if evidence else chains
        for chain, colour in zip(curves, itertools.cycle((BLUE, ORANGE, GREEN, GREY)), strict=False):
            axis.plot(clock.values, chain, color=colour, linewidth=1)
        if not evidence:
            axis.set_ylim(0, particles * 1.05 if particles else None)
            if particles:
                axis.axhline(particles, color=GREY, linewidth=0.8, linestyle="--")
        style_axis(axis, ylabel=labels[name])
        shade_plating(axis, result, clock)
    axes[-1].set_xlabel(clock.label, fontsize=8)
    figure.align_ylabels(axes)
    return figure


def overtone_colours(count: int) -> FloatArray:
    """Colours of increasing overtones, dark to light, ordered in grey too; shape (count, 4)."""
    return np.asarray(colormaps["viridis"](np.linspace(0.0, 0.82, count)))


def _stacked(panels: int, height: float) -> tuple[Figure, npt.NDArray[Any]]:
    """A figure of panels of one height [inches] over one time axis, and their axes from the top."""
    figure = Figure(figsize=(WIDTH, 0.35 + height * panels), layout="constrained")
    return figure, figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]


def _from_origin(band: Interval, residual: bool) -> Interval:
    """The band, or what is left of it relative to its median."""
    return Interval(*(bound - band.median for bound in band)) if residual else band


def _clip_outliers(axis: Axes, time: FloatArray, points: FloatArray, least: float) -> FloatArray:
    """Scale the axis to 98 % of the points, at least to ±`least`; mark the others at its edge and blank them."""
    known = np.abs(points[np.isfinite(points)])
    reach = max(least, 1.3 * float(np.quantile(known, 0.98))) if len(known) else least
    outside = np.abs(points) > reach
    for sign, marker in ((1, "^"), (-1, "v")):
        there = outside & (np.sign(points) == sign)
        axis.plot(time[there], np.full(there.sum(), 0.93 * sign * reach), marker, color=ORANGE, markersize=2.6)
    if np.isfinite(reach):
        axis.set_ylim(-reach, reach)
    return np.where(outside, np.nan, points)
