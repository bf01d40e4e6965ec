"""Pictures of surfaces that the posterior holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from arviz import InferenceData
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hmm_plating.errors import InputError
from hmm_plating.report.cycles import plating_cycles
from hmm_plating.report.figures.style import GREY, LIQUID, METAL, WIDTH, Clock, style_axis
from hmm_plating.report.result import FloatArray, constant, variable

METAL_IN_LIQUID = LinearSegmentedColormap.from_list("metal in liquid", [LIQUID, "#9aa9b5", METAL])


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
    unit = Clock(clock)
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
            style_axis(axis, framed=True)
            axis.yaxis.set_major_locator(MaxNLocator(3))
            axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            if row == 0:
                axis.set_title(f"draw {column + 1}", fontsize=7, loc="right", pad=3, color=GREY)
        axes[row, 0].set_title(f"t = {unit.values[step]:.4g} {unit.unit}", fontsize=8, loc="left", pad=3)
    for axis in axes[-1]:
        axis.set_xlabel("along the crystal [nm]", fontsize=8)
    figure.supylabel("height [nm]", fontsize=8)
    return figure


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
