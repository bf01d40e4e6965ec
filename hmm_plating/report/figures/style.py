"""What all figures share: size, colours, axes, time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from arviz import InferenceData
from matplotlib.axes import Axes

from hmm_plating.report.cycles import plating_cycles
from hmm_plating.report.result import constant

WIDTH = 7.2  # inches: two columns of a journal
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5f6b76"  # Okabe and Ito, safe for colour blindness
LIQUID, METAL = "#e3f0f8", "#3f4650"


class Clock:
    """Time in a unit that suits the recording.

    Attributes:
        unit: s, min or h; scale: its length [s].
        values: the times in that unit, shape (time,).
        label: of the time axis.
    """

    def __init__(self, seconds: npt.ArrayLike) -> None:
        values = np.asarray(seconds, dtype=float)
        longest = float(values.max(initial=0.0))
        self.unit, self.scale = ("s", 1.0) if longest <= 1800 else ("min", 60.0) if longest <= 7200 else ("h", 3600.0)
        self.values = values / self.scale
        self.label = f"time [{self.unit}]"


def style_axis(axis: Axes, xlabel: str = "", ylabel: str = "", *, framed: bool = False) -> None:
    """Small ticks and labels; no frame but the two axes, or, around a picture, a whole one."""
    axis.tick_params(labelsize=7, length=2.5, width=0.6)
    for side, spine in axis.spines.items():
        spine.set_linewidth(0.6)
        spine.set_visible(framed or side in ("left", "bottom"))
    if xlabel:
        axis.set_xlabel(xlabel, fontsize=8)
    if ylabel:
        axis.set_ylabel(ylabel, fontsize=8)


def shade_plating(axis: Axes, result: InferenceData, clock: Clock) -> None:
    """Fit the time axis to the clock and shade the platings, where the result has a current at these times."""
    current = constant(result, "current_density")
    axis.set_xlim(clock.values[0], clock.values[-1])
    if current is None or len(current) != len(clock.values):
        return
    for cycle in plating_cycles(clock.values, current):
        end = clock.values[min(cycle.reversal, len(clock.values) - 1)]
        axis.axvspan(clock.values[cycle.start], end, color="#000000", alpha=0.05, linewidth=0, zorder=0)
