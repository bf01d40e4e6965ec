"""What each cycle says about mass and charge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hmm_plating.report.cycles import CycleSummary
from hmm_plating.report.figures.style import BLUE, GREEN, GREY, ORANGE, WIDTH, style_axis
from hmm_plating.report.result import FloatArray, Interval


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
    _intervals(left, metal, 1e3, 0.12)
    if faradaic_mass is not None:
        left.axhline(1e3 * faradaic_mass, color=GREY, linewidth=0.9, linestyle="--", label="Faraday, M/z")
    left.set_ylim(bottom=0)
    style_axis(left, xlabel="cycle", ylabel="mass per electron [g/mol]")
    efficiency = np.array([100 * summary.coulombic_efficiency for summary in cycles])
    complete = np.array([summary.complete for summary in cycles])
    _points(right, numbers[complete] - 0.08, efficiency[complete], None, "o", BLUE, "charge")
    _points(right, numbers[~complete] - 0.08, efficiency[~complete], None, "o", "none", "charge, still stripping")
    recovered = [(s.cycle.number, s.metal_recovered) for s in cycles if s.metal_recovered is not None]
    _intervals(right, recovered, 100, 0.08)
    right.axhline(100, color=GREY, linewidth=0.9, linestyle="--")
    style_axis(right, xlabel="cycle", ylabel="stripped / plated [%]")
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.margins(x=0.08)
        axis.legend(fontsize=6.5, frameon=False, loc="lower left")
    right.margins(y=0.25)
    return figure


def _intervals(axis: Axes, found: Sequence[tuple[int, Interval]], scale: float, offset: float) -> None:
    """What the posterior says of the metal in the cycles of these numbers."""
    if found:
        bounds = scale * np.array([[metal.median, metal.lower, metal.upper] for _, metal in found])
        reach = np.abs(bounds[:, 1:].T - bounds[:, 0])
        numbers = np.array([number for number, _ in found])
        _points(axis, numbers + offset, bounds[:, 0], reach, "D", GREEN, "metal, posterior")


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
