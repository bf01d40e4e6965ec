"""Figures of a result, drawn with matplotlib's objects alone: no pyplot, no global state, any backend.

Units are the field's: Hz, 1e-6, nm, mA/cm². Dark bands hold 50 %, light bands 90 % of the draws. Plating is shaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from arviz import InferenceData
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hmm_plating.errors import InputError
from hmm_plating.report.cycles import CycleSummary, plating_cycles
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

WIDTH = 7.2  # inches: two columns of a journal
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5f6b76"  # Okabe and Ito, safe for colour blindness
LIQUID, METAL = "#e3f0f8", "#3f4650"
METAL_IN_LIQUID = LinearSegmentedColormap.from_list("metal in liquid", [LIQUID, "#9aa9b5", METAL])


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
    clock = _Clock(observed["frequency_shift"]["time"].values)
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
        _style(top, ylabel=label)
        _shade_plating(top, result, clock)
        for index, colour in enumerate(colours):
            axis, points = axes[1 + index, column], data[name][:, index]
            if name in band:
                # Δf would hide its own error under its range: show it against the predicted median
                median, lower, upper = (bound[:, index] for bound in _from_origin(band[name], residual=column == 0))
                points = points - band[name].median[:, index] if column == 0 else points
                axis.fill_between(clock.values, lower, upper, color=colour, alpha=0.3, linewidth=0)
                axis.plot(clock.values, median, color=colour, linewidth=0.9)
                if column == 0:
                    points = _clip_outliers(axis, clock.values, points, 1.5 * np.nanmax(np.abs([lower, upper])))
            axis.plot(clock.values, points, ".", color="black", markersize=1.8, markeredgewidth=0)
            _style(axis)
            axis.yaxis.set_major_locator(MaxNLocator(3))
            note = f"n = {overtones[index]}" + (", withheld" if hidden[index] else "")
            weight = "bold" if hidden[index] else "normal"
            axis.set_title(note, fontsize=7, loc="left", pad=2, fontweight=weight)
            _shade_plating(axis, result, clock)
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
    clock = _Clock(posterior["time"].values)
    figure = Figure(figsize=(WIDTH, 0.35 + 1.45 * len(present)), layout="constrained")
    axes = figure.subplots(len(present), 1, sharex=True, squeeze=False)[:, 0]
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
        _style(axis, ylabel=quantity.label)
        axis.margins(y=0.08)
        if 0 <= float(np.nanmin(wide.lower)) < 0.4 * float(np.nanmax(wide.upper)):
            axis.set_ylim(bottom=0)
        _shade_plating(axis, result, clock)
    axes[-1].set_xlabel(clock.label, fontsize=8)
    axes[0].legend(fontsize=7, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1)
    figure.align_ylabels(axes)
    return figure


def cycle_figure(cycles: Sequence[CycleSummary], faradaic_mass: float | None = None) -> Figure:
    """Mass per electron and Coulombic efficiency of every cycle.

    Args:
        cycles: from `cycle_summaries`.
        faradaic_mass: M/z of the metal [kg/mol], drawn as a line where it is known.
    """
    numbers = np.array([summary.cycle.number for summary in cycles])
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    parts: tuple[tuple[str, str, str, float, Callable[[CycleSummary], FloatArray]], ...] = (
        ("plating, from Δf", "o", BLUE, -0.12, lambda summary: summary.plating_mass),
        ("stripping, from Δf", "s", ORANGE, 0.0, lambda summary: summary.stripping_mass),
    )
    for label, marker, colour, offset, values in parts:
        masses = np.array([1e3 * values(summary) for summary in cycles])
        known = np.isfinite(masses).any(1)
        middle = np.nanmean(masses[known], axis=1)
        reach = np.abs([np.nanmin(masses[known], axis=1), np.nanmax(masses[known], axis=1)] - middle)
        _points(left, numbers[known] + offset, middle, reach, marker, colour, label)
    metal = [(summary.cycle.number, summary.metal_mass) for summary in cycles if summary.metal_mass is not None]
    if metal:
        bounds = 1e3 * np.array([[m.median, m.lower, m.upper] for _, m in metal])
        reach = np.abs(bounds[:, 1:].T - bounds[:, 0])
        _points(left, np.array([n for n, _ in metal]) + 0.12, bounds[:, 0], reach, "D", GREEN, "metal, posterior")
    if faradaic_mass is not None:
        left.axhline(1e3 * faradaic_mass, color=GREY, linewidth=0.9, linestyle="--", label="Faraday, M/z")
    left.set_ylim(bottom=0)
    _style(left, xlabel="cycle", ylabel="mass per electron [g/mol]")
    efficiency = np.array([100 * summary.coulombic_efficiency for summary in cycles])
    complete = np.array([summary.complete for summary in cycles])
    _points(right, numbers[complete] - 0.08, efficiency[complete], None, "o", BLUE, "charge")
    _points(right, numbers[~complete] - 0.08, efficiency[~complete], None, "o", "none", "charge, still stripping")
    recovered = [(s.cycle.number, s.metal_recovered) for s in cycles if s.metal_recovered is not None]
    if recovered:
        bounds = 100 * np.array([[m.median, m.lower, m.upper] for _, m in recovered])
        reach = np.abs(bounds[:, 1:].T - bounds[:, 0])
        _points(right, np.array([n for n, _ in recovered]) + 0.08, bounds[:, 0], reach, "D", GREEN, "metal, posterior")
    right.axhline(100, color=GREY, linewidth=0.9, linestyle="--")
    _style(right, xlabel="cycle", ylabel="stripped / plated [%]")
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.margins(x=0.08)
        axis.legend(fontsize=6.5, frameon=False, loc="lower left")
    right.margins(y=0.25)
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
    clock = _Clock(variable(result, "constant_data", "time").values)
    figure = Figure(figsize=(WIDTH, 0.35 + 1.05 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (values, label) in zip(axes, panels, strict=True):
        axis.plot(clock.values, values, color=METAL, linewidth=1.1)
        _style(axis, ylabel=label)
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        _shade_plating(axis, result, clock)
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
    clock = _Clock(statistics["time"].values)
    figure = Figure(figsize=(WIDTH, 0.35 + 1.15 * len(present)), layout="constrained")
    axes = figure.subplots(len(present), 1, sharex=True, squeeze=False)[:, 0]
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
        _style(axis, ylabel=labels[name])
        _shade_plating(axis, result, clock)
    axes[-1].set_xlabel(clock.label, fontsize=8)
    figure.align_ylabels(axes)
    return figure


def morphology_figure(result: InferenceData, times: Sequence[float] | None = None, draws: int = 3) -> Figure:
    """Surfaces drawn from the posterior: one row per time, one column per draw, both axes in nm at one scale.

    Args:
        times: [s], each shown at the nearest kept time; default: four of the kept ones, thickest first among them.
        draws: columns.

    Raises:
        InputError: the posterior has no morphology.
    """
    surfaces = variable(result, "posterior", "morphology")
    if "z" in surfaces.dims:
        surfaces = surfaces.isel(z=0)
    surfaces = surfaces.transpose("chain", "draw", "time", "y", "x")
    count = surfaces.sizes["draw"]
    present = np.isfinite(surfaces.isel(y=0, x=0).values).reshape(-1, surfaces.sizes["time"])
    kept = np.flatnonzero(present.any(0))
    if not len(kept):
        raise InputError("every morphology of the result is NaN: none was kept")
    clock = surfaces["time"].values
    if times is None:
        chosen = _telling_times(result, kept)
    else:
        chosen = list(dict.fromkeys(int(kept[np.abs(clock[kept] - time).argmin()]) for time in times))
    images = []
    for step in chosen:
        members = np.flatnonzero(present[:, step])
        spread = members[np.linspace(0, len(members) - 1, draws).round().astype(int)]
        images.append([surfaces[member // count, member % count, step].values for member in spread])
    y, x = 1e9 * surfaces["y"].values, 1e9 * surfaces["x"].values
    cell = (x[1] - x[0] if len(x) > 1 else 1.0, y[1] - y[0] if len(y) > 1 else 1.0)
    top = _highest(images, y, cell[1])
    extent = (x[0] - cell[0] / 2, x[-1] + cell[0] / 2, 0.0, y[-1] + cell[1] / 2)
    panel = (WIDTH - 0.75) / draws
    height = panel * top / (extent[1] - extent[0])
    figure = Figure(figsize=(WIDTH, (height + 0.3) * len(chosen) + 0.45), layout="constrained")
    axes = figure.subplots(len(chosen), draws, sharex=True, sharey=True, squeeze=False)
    unit = _Clock(clock)
    for row, step in enumerate(chosen):
        for column in range(draws):
            axis = axes[row, column]
            axis.imshow(
                images[row][column],
                origin="lower",
                extent=extent,
                cmap=METAL_IN_LIQUID,
                vmin=0,
                vmax=1,
                interpolation="nearest",
                aspect="equal",
            )
            axis.set_ylim(0, top)
            _style(axis)
            for side in ("top", "right"):
                axis.spines[side].set_visible(True)
            axis.yaxis.set_major_locator(MaxNLocator(3))
            axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            if row == 0:
                axis.set_title(f"draw {column + 1}", fontsize=7, loc="right", pad=3, color=GREY)
        axes[row, 0].set_title(f"t = {unit.values[step]:.4g} {unit.unit}", fontsize=8, loc="left", pad=3)
    for axis in axes[-1]:
        axis.set_xlabel("along the crystal [nm]", fontsize=8)
    figure.supylabel("height [nm]", fontsize=8)
    return figure


def overtone_colours(count: int) -> FloatArray:
    """Colours of increasing overtones, dark to light, ordered in grey too; shape (count, 4)."""
    return np.asarray(colormaps["viridis"](np.linspace(0.0, 0.82, count)))


class _Clock:
    """Time in a unit that suits the recording."""

    def __init__(self, seconds: npt.ArrayLike) -> None:
        values = np.asarray(seconds, dtype=float)
        longest = float(values.max(initial=0.0))
        self.unit, self.scale = ("s", 1.0) if longest <= 1800 else ("min", 60.0) if longest <= 7200 else ("h", 3600.0)
        self.values = values / self.scale
        self.label = f"time [{self.unit}]"


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


def _style(axis: Axes, xlabel: str = "", ylabel: str = "") -> None:
    axis.tick_params(labelsize=7, length=2.5, width=0.6)
    for side, spine in axis.spines.items():
        spine.set_linewidth(0.6)
        spine.set_visible(side in ("left", "bottom"))
    if xlabel:
        axis.set_xlabel(xlabel, fontsize=8)
    if ylabel:
        axis.set_ylabel(ylabel, fontsize=8)


def _shade_plating(axis: Axes, result: InferenceData, clock: _Clock) -> None:
    current = constant(result, "current_density")
    axis.set_xlim(clock.values[0], clock.values[-1])
    if current is None or len(current) != len(clock.values):
        return
    for cycle in plating_cycles(clock.values, current):
        end = clock.values[min(cycle.reversal, len(clock.values) - 1)]
        axis.axvspan(clock.values[cycle.start], end, color="#000000", alpha=0.05, linewidth=0, zorder=0)


def _points(
    axis: Axes, x: FloatArray, y: FloatArray, reach: FloatArray | None, marker: str, colour: str, label: str
) -> None:
    if len(x) == 0:
        return
    edge = BLUE if colour == "none" else colour
    axis.errorbar(
        x,
        y,
        yerr=reach,
        fmt=marker,
        color=edge,
        markerfacecolor=colour,
        markersize=4,
        linewidth=1,
        capsize=2,
        label=label,
    )


def _telling_times(result: InferenceData, kept: npt.NDArray[np.intp]) -> list[int]:
    """Up to four of the kept steps: spread over the recording, at its plated ends where cycles are known."""
    current = constant(result, "current_density")
    cycles = plating_cycles(np.arange(len(current)), current) if current is not None else ()
    wanted = [cycle.reversal - 1 for cycle in cycles] if len(cycles) > 1 else list(np.linspace(0, kept[-1], 5)[1:])
    picked = [wanted[index] for index in np.unique(np.linspace(0, len(wanted) - 1, 4).round().astype(int))]
    return list(dict.fromkeys(int(kept[np.abs(kept - step).argmin()]) for step in picked))


def _highest(images: list[list[FloatArray]], y: FloatArray, cell: float) -> float:
    """Height to draw up to [nm]: a third above the highest metal, within the box."""
    occupied = np.max([np.nan_to_num(image).max(axis=1) for row in images for image in row], axis=0) > 0.05
    highest = y[occupied].max(initial=0.0) + cell / 2
    return float(min(max(1.3 * highest, 6 * cell), y[-1] + cell / 2))
