"""What the pictures of grown deposits share: the film they start from, a row of descriptors, a panel."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes

from hmm_plating.morphology import dendrite_height, film, roughness, solid_volume_fraction, thickness
from hmm_plating.transition import Interface, State

HEADING = "| thickness | roughness | highest tip | solid fraction | time |"


def waves(
    box: tuple[int, int], interface: Interface, height: float, rms: float, shortest: float, generator: torch.Generator
) -> torch.Tensor:
    """A film of a mean height with random waves no shorter than `shortest`, (y, x) = `box` cells; all lengths [m]."""
    rows, columns = box
    spectrum = torch.fft.rfft(torch.randn(columns, generator=generator, dtype=torch.float64))
    spectrum[0] = 0
    spectrum[int(columns * interface.spacing / shortest) + 1 :] = 0
    relief = torch.fft.irfft(spectrum, columns)
    return film(height + rms * relief / relief.std(), rows, interface.width, interface.spacing)


def row(state: State, spacing: float, seconds: float) -> str:
    """The columns of `HEADING`."""
    xi = state.order_parameter
    lengths = thickness(xi, spacing, state.base_thickness), roughness(xi, spacing), dendrite_height(xi, spacing)
    shown = " | ".join(f"{float(length) * 1e9:.0f} nm" for length in lengths)
    return f"| {shown} | {float(solid_volume_fraction(xi, spacing, state.base_thickness)):.2f} | {seconds:.0f} s |"


def draw(panel: Axes, state: State, spacing: float, title: str) -> None:
    """Metal in black, lines of equal concentration in the electrolyte."""
    xi = state.order_parameter
    extent = (0, xi.shape[-1] * spacing * 1e6, 0, xi.shape[-2] * spacing * 1e6)
    panel.imshow(1 - xi, origin="lower", cmap="gray", vmin=-0.3, vmax=1, extent=extent)
    liquid = state.concentration.where(xi < 0.5, torch.nan)
    panel.contour(liquid, levels=8, extent=extent, linewidths=0.6, cmap="viridis")
    panel.set_title(title, fontsize=9)
    panel.set(xlabel="x [µm]", ylabel="y [µm]")
    panel.label_outer()
