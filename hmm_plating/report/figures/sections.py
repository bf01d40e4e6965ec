"""Sections through a surface given as cell fractions: what fills the cells, and how the liquid moves over it.

Cells are (y, x) or (z, y, x), row 0 at the crystal. Axes in nm at one scale; in three dimensions a section along x is
shown, by default through the highest metal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from hmm_plating.emission import ViscoelasticLayer
from hmm_plating.errors import InputError
from hmm_plating.report.figures.style import BLUE, GREEN, LIQUID, METAL, ORANGE, WIDTH, style_axis
from hmm_plating.report.result import FloatArray

_TALLEST = 3.2  # inches, of a panel
_LAYER_COLOURS = (ORANGE, GREEN, BLUE)


def surface_figure(
    solid_fraction: Tensor,
    spacing: float,
    *,
    layers: Sequence[ViscoelasticLayer] = (),
    z: float | None = None,
) -> Figure:
    """Metal, liquid and layers in every cell of a section, shared cells in mixed colours; in 3-D a height map too.

    Args:
        solid_fraction: (y, x) or (z, y, x).
        spacing: cell size [m].
        layers: as given to `solve`; three can be told apart.
        z: where to cut (z, y, x) [m].

    Raises:
        InputError: a batch of surfaces, or a section outside the box.
    """
    fraction, plane = _cells(solid_fraction, spacing, z)
    shares = [layer.fraction.detach().expand(solid_fraction.shape).cpu().double().numpy() for layer in layers]
    colours = [to_rgb(_LAYER_COLOURS[index % len(_LAYER_COLOURS)]) for index in range(len(shares))]
    section, shares = (fraction, shares) if plane is None else (fraction[plane], [share[plane] for share in shares])
    filling = (1 - sum(shares, np.zeros_like(section)))[..., None] * np.array(to_rgb(LIQUID))
    for share, colour in zip(shares, colours, strict=True):
        filling = filling + share[..., None] * np.array(colour)
    picture = section[..., None] * np.array(to_rgb(METAL)) + (1 - section[..., None]) * filling

    figure, (axes,) = _panels(
        1, 1 if plane is None else 2, section.shape, fraction.shape[0] if plane is not None else 0
    )
    if plane is not None:
        depth, width = 1e9 * spacing * fraction.shape[0], 1e9 * spacing * fraction.shape[2]
        image = axes[0].imshow(
            1e9 * spacing * _height(fraction), origin="lower", extent=(0, width, 0, depth), cmap="cividis", vmin=0
        )
        axes[0].axhline(1e9 * spacing * (plane + 0.5), color="white", linewidth=1, linestyle="--")
        _frame(axes[0], xlabel="x, along the shear [nm]", ylabel="z [nm]")
        _colour_bar(figure, image, axes[:1], "height [nm]")
    axis = axes[-1]
    axis.imshow(picture.clip(0, 1), origin="lower", extent=_extent(section, spacing), interpolation="nearest")
    _frame(axis, xlabel="x, along the shear [nm]", ylabel="height [nm]")
    handles = [Patch(color=METAL, label="metal"), Patch(color=LIQUID, label="liquid")]
    handles += [
        Patch(color=colour, label=f"layer, {layer.density:g} kg/m³")
        for layer, colour in zip(layers, colours, strict=True)
    ]
    figure.legend(handles=handles, fontsize=7, frameon=False, ncols=len(handles), loc="outside lower center")
    return figure


def velocity_figure(
    velocity: Tensor,
    solid_fraction: Tensor,
    spacing: float,
    overtones: Sequence[int],
    *,
    z: float | None = None,
) -> Figure:
    """Amplitude and phase of the velocity along the shear, relative to the crystal's; one row per overtone.

    Args:
        velocity: from `velocity_amplitude`, complex (overtone, component, [z,] y, x).
        solid_fraction: (y, x) or (z, y, x); cells more than half metal are drawn as metal.
        spacing: cell size [m].
        overtones: odd orders n.
        z: where to cut (z, y, x) [m].

    Raises:
        InputError: a velocity that does not fit the surface, or the orders; a section outside the box.
    """
    fraction, plane = _cells(solid_fraction, spacing, z)
    if velocity.ndim != fraction.ndim + 2 or velocity.shape[2:] != fraction.shape or len(velocity) != len(overtones):
        raise InputError(
            f"velocity must be (overtone, component, cells) of {len(overtones)} overtones and cells {fraction.shape}, "
            f"got shape {tuple(velocity.shape)}"
        )
    along = velocity[:, 0].detach().cpu().numpy()
    section, along = (fraction, along) if plane is None else (fraction[plane], along[:, plane])
    metal = np.broadcast_to(section >= 0.5, along.shape)
    # from the crystal upwards, where the phase starts at 0
    phase = np.degrees(np.unwrap(np.angle(along), axis=-2))
    quantities = (
        (np.ma.array(np.abs(along), mask=metal), "viridis", "velocity |u|, crystal = 1"),
        (np.ma.array(phase, mask=metal), "cividis", "phase [°]"),
    )
    figure, axes = _panels(len(overtones), 2, section.shape)
    for column, (values, colours, label) in enumerate(quantities):
        lowest = 0.0 if column == 0 else float(values.min())
        for axis, value, order in zip(axes[:, column], values, overtones, strict=True):
            image = axis.imshow(
                value,
                origin="lower",
                extent=_extent(section, spacing),
                cmap=colours,
                vmin=lowest,
                vmax=float(values.max()),
                interpolation="nearest",
            )
            axis.set_facecolor(METAL)
            _outline(axis, section, spacing)
            _frame(axis)
            axis.set_title(f"n = {order}", fontsize=7, loc="left", pad=2)
        axes[-1, column].set_xlabel("x, along the shear [nm]", fontsize=8)
        _colour_bar(figure, image, axes[:, column], label)
    figure.supylabel("height [nm]", fontsize=8)
    return figure


def _cells(solid_fraction: Tensor, spacing: float, z: float | None) -> tuple[FloatArray, int | None]:
    """Fractions of one surface and, in three dimensions, the plane of the section."""
    if solid_fraction.ndim not in (2, 3):
        raise InputError(f"give one surface, (y, x) or (z, y, x), got shape {tuple(solid_fraction.shape)}")
    fraction = solid_fraction.detach().cpu().double().numpy()
    if fraction.ndim == 2:
        return fraction, None
    if z is None:
        return fraction, int(_height(fraction).max(axis=1).argmax())
    if not 0 <= z < fraction.shape[0] * spacing:
        raise InputError(f"the box is {fraction.shape[0] * spacing:g} m deep, no section at z = {z:g} m")
    return fraction, int(z / spacing)


def _height(fraction: FloatArray) -> FloatArray:
    """Height of the topmost metal in every column [cells], (z, x)."""
    rows = np.arange(fraction.shape[1])[:, None]
    return np.where(fraction > 0, rows + fraction, 0.0).max(axis=1)


def _extent(section: FloatArray, spacing: float) -> tuple[float, float, float, float]:
    rows, columns = section.shape
    return 0.0, 1e9 * spacing * columns, 0.0, 1e9 * spacing * rows


def _panels(
    rows: int, columns: int, cells: tuple[int, ...], least_cells_high: int = 0
) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Figure with panels of equal scale that fit the width of a page; axes (rows, columns)."""
    width = (WIDTH - 0.9) / columns - (0.7 if columns > 1 else 0.0)
    high, wide = max(cells[0], least_cells_high), cells[1]
    height = min(width * high / wide, _TALLEST)
    panel = min(width, height * wide / high)
    figure = Figure(
        figsize=(min(WIDTH, max((panel + 0.9) * columns + 0.7, 3.4)), rows * (max(height, 0.35) + 0.25) + 0.75),
        layout="constrained",
    )
    return figure, figure.subplots(rows, columns, squeeze=False)


def _frame(axis: Axes, xlabel: str = "", ylabel: str = "") -> None:
    style_axis(axis, xlabel, ylabel, framed=True)
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _outline(axis: Axes, section: FloatArray, spacing: float) -> None:
    if min(section.shape) < 2 or not section.min() < 0.5 < section.max():
        return
    y, x = ((np.arange(cells) + 0.5) * 1e9 * spacing for cells in section.shape)
    axis.contour(x, y, section, levels=[0.5], colors="black", linewidths=0.8)


def _colour_bar(figure: Figure, image: AxesImage, axes: npt.NDArray[np.object_], label: str) -> None:
    bar = figure.colorbar(image, ax=list(axes), shrink=0.9, pad=0.02, aspect=15 * math.sqrt(len(axes)))
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7, length=2.5, width=0.6)
    bar.outline.set_linewidth(0.6)
