"""Pictures of a growing surface, as `grow_surface` returns it: a film strip and an animation."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from hmm_plating.errors import InputError
from hmm_plating.morphology import surface_height
from hmm_plating.report.figures.style import BLUE, GREY, LIQUID, METAL, ORANGE, WIDTH, Clock, style_axis
from hmm_plating.report.figures.surfaces import METAL_IN_LIQUID
from hmm_plating.report.result import FloatArray

_PANELS = 6  # of a film strip
_TALLEST = 2.4  # inches, of a panel
_RESOLUTION = 120  # dots per inch of an animation


def growth_figure(growth: xr.Dataset, times: Sequence[float] | None = None) -> Figure:
    """Film strip: the surface at several times at one scale, in three dimensions a section and the heights from above;
    below them thickness and highest point over time.

    Args:
        growth: of `grow_surface`.
        times: [s], each shown at the nearest picture; default: six, evenly spread.

    Raises:
        InputError: no time to show.
    """
    clock = growth["picture_time"].values
    wanted = np.linspace(clock[0], clock[-1], _PANELS) if times is None else np.asarray(times, dtype=float)
    if not wanted.size:
        raise InputError("times is empty: name at least one to show")
    shown = list(dict.fromkeys(int(np.abs(clock - time).argmin()) for time in wanted))
    view = _View(growth)
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    width = (WIDTH - 0.7) / columns
    heights = [min(width * view.aspect(map_), _TALLEST) + 0.3 for map_ in view.panels]
    figure = Figure(figsize=(WIDTH, rows * sum(heights) + 1.9), layout="constrained")
    grid = figure.add_gridspec(rows * len(heights) + 1, columns, height_ratios=[*heights * rows, 1.5])
    unit = Clock(clock)
    for place, index in enumerate(shown):
        row, column = divmod(place, columns)
        for panel, map_ in enumerate(view.panels):
            axis = figure.add_subplot(grid[row * len(heights) + panel, column])
            image = view.draw(axis, index, map_)
            if column > 0:
                axis.set_ylabel("")
                axis.tick_params(labelleft=False)
            if place + columns < len(shown) or panel < len(view.panels) - 1:
                axis.set_xlabel("")
                axis.tick_params(labelbottom=False)
            if panel == 0:
                axis.set_title(f"{unit.values[index]:.4g} {unit.unit}", fontsize=8, loc="left", pad=3)
            elif column == columns - 1 or place == len(shown) - 1:
                bar = figure.colorbar(image, ax=axis, shrink=0.8)
                bar.ax.tick_params(labelsize=6)
                bar.set_label("height [nm]", fontsize=7)
    _curves(figure.add_subplot(grid[-1, :]), growth, clock[shown])
    return figure


def growth_animation(growth: xr.Dataset, frames_per_second: int = 10) -> bytes:
    """The pictures one after another, as the bytes of a GIF file.

    Raises:
        InputError: fewer than one frame per second.
    """
    if frames_per_second < 1:
        raise InputError(f"frames_per_second must be at least 1, got {frames_per_second!r}")
    view, unit = _View(growth), Clock(growth["picture_time"].values)
    width = WIDTH / 2
    heights = [min(width * view.aspect(map_), 1.5 * _TALLEST) + 0.45 for map_ in view.panels]
    figure = Figure(figsize=(width, sum(heights) + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    current = growth["current_density"].sel(time=growth["picture_time"].values).values
    writer = PillowWriter(fps=frames_per_second)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "growth.gif"
        with writer.saving(figure, str(path), dpi=_RESOLUTION):
            for index in range(len(unit.values)):
                for axis, map_ in zip(panels, view.panels, strict=True):
                    axis.clear()
                    view.draw(axis, index, map_)
                title = f"{unit.values[index]:.4g} {unit.unit}, {0.1 * current[index]:+.3g} mA/cm²"
                panels[0].set_title(title, fontsize=8, loc="left")
                writer.grab_frame()
        return path.read_bytes()


class _View:
    """What all pictures of one growth share: the extent [nm], the plane of the section and the scale of heights.

    Attributes:
        panels: of each picture: False the section, True the map of heights, in three dimensions.
    """

    def __init__(self, growth: xr.Dataset) -> None:
        field = growth["order_parameter"]
        self.fields = field.values
        self.base = 1e9 * growth["base_thickness"].sel(time=growth["picture_time"].values).values
        dimensions = 3 if "z" in field.dims else 2
        self.panels = (False,) if dimensions == 2 else (False, True)
        y = growth["y"].values
        spacing = 2 * y[0]
        self.size = {axis: 1e9 * spacing * field.sizes[axis] for axis in field.dims[1:]}
        columns = tuple(range(1, dimensions))
        self.heights = np.stack(  # one at a time: in three dimensions all of them hardly fit in memory
            [
                base + 1e9 * surface_height(torch.as_tensor(field).double(), spacing, dimensions=dimensions).numpy()
                for base, field in zip(self.base, self.fields, strict=True)
            ]
        )
        self.highest = float(self.heights.max())
        bottom = float(self.base[0]) + self.size["y"]
        self.top = min(
            max(1.25 * self.highest, 0.2 * self.size["x"]), max(bottom, float(self.base.max()) + self.size["y"])
        )
        tallest = self.heights[int(self.heights.max(columns).argmax())]
        self.plane = int(tallest.max(-1).argmax()) if dimensions == 3 else 0

    def aspect(self, map_: bool) -> float:
        return (self.size["z"] if map_ else self.top) / self.size["x"]

    def draw(self, axis: Axes, index: int, map_: bool) -> AxesImage:
        """One picture, into empty axes."""
        width = self.size["x"]
        if map_:
            image = axis.imshow(
                self.heights[index],
                origin="lower",
                extent=(0, width, 0, self.size["z"]),
                cmap="cividis",
                vmin=0,
                vmax=max(self.highest, 1e-9),
            )
            cut = (self.plane + 0.5) / self.heights.shape[1] * self.size["z"]
            axis.axhline(cut, color="white", linewidth=0.6, linestyle="--")
        else:
            base = float(self.base[index])
            image = axis.imshow(
                self._section(index),
                origin="lower",
                extent=(0, width, base, base + self.size["y"]),
                cmap=METAL_IN_LIQUID,
                vmin=0,
                vmax=1,
                interpolation="nearest",
            )
            axis.set_facecolor(LIQUID)
            axis.axhspan(0, base, color=METAL, linewidth=0)
            axis.set_xlim(0, width)
            axis.set_ylim(0, self.top)
        axis.set_aspect("equal")
        style_axis(axis, "x [nm]", "z [nm]" if map_ else "height [nm]", framed=True)
        axis.yaxis.set_major_locator(MaxNLocator(3))
        axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        return image

    def _section(self, index: int) -> FloatArray:
        field = self.fields[index]
        return field[self.plane] if field.ndim == 3 else field


def _curves(axis: Axes, growth: xr.Dataset, shown: FloatArray) -> None:
    """Thickness and highest point over time, platings shaded, a tick where a picture is shown."""
    unit = Clock(growth["time"].values)
    thickness = 1e9 * growth["thickness"].values
    base = 1e9 * growth["base_thickness"].values
    axis.plot(unit.values, thickness, color=BLUE, linewidth=1.2, label="thickness")
    axis.plot(unit.values, 1e9 * growth["roughness"].values, color=ORANGE, linewidth=1.2, label="roughness")
    if base.any():
        axis.plot(unit.values, base, color=GREY, linewidth=0.8, linestyle="--", label="below the box")
    plating = growth["current_density"].values < 0
    axis.fill_between(
        unit.values,
        0,
        1,
        where=plating,
        transform=axis.get_xaxis_transform(),
        color="#000000",
        alpha=0.05,
        linewidth=0,
        step="pre",
    )
    axis.plot(shown / unit.scale, np.zeros(len(shown)), "|", color=GREY, clip_on=False)
    axis.set_ylim(bottom=0)
    axis.margins(x=0)
    axis.legend(fontsize=7, frameon=False, ncols=3, loc="upper left")
    style_axis(axis, unit.label, "[nm]")
