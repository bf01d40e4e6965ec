"""Deposits by current and anisotropy, as pictures with descriptors: compact far below the limiting current, branching
near it.

    python benchmarks/growth_phase_diagram.py [--output PICTURE.png]

Copper from 0.1 mol/l, plated on bumps of 0.2 µm in a box of 13 µm, the current given relative to the limiting one, the
diffusion layer relaxed beforehand.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import hmm_plating as hp
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.morphology import dendrite_height, film, roughness, solid_volume_fraction, thickness
from hmm_plating.transition import Interface, Parameters, State, initial_state, step
from hmm_plating.transition.diffusion_layer import relaxed_profile

INTERFACE = Interface(400e-9, 100e-9)
ROWS, COLUMNS, STEPS, PLATED, START = 144, 128, 60, 4.5e-6, 1.5e-6
CURRENTS, STRENGTHS = (0.1, 0.5, 0.8, 0.95), (0.0, 0.03, 0.06)
TRANSPORT = hp.Transport(concentration=100.0, diffusivity=5e-10, layer_thickness=10e-6, conductivity=5.0)


def bumps(generator: torch.Generator) -> torch.Tensor:
    """A film with waves longer than 1.3 µm, rms 0.2 µm."""
    spectrum = torch.fft.rfft(torch.randn(COLUMNS, generator=generator, dtype=torch.float64))
    spectrum[0] = 0
    spectrum[11:] = 0
    height = torch.fft.irfft(spectrum, COLUMNS)
    height = START + 0.2e-6 * height / height.std()
    return film(height, ROWS, INTERFACE.width, INTERFACE.spacing)


def deposit(share: float, strength: float) -> State:
    """The state after `PLATED` of metal at a share of the limiting current."""
    p = Parameters.from_materials(
        hp.Metal.copper(),
        hp.Electrolyte(997.0, 0.89e-3),
        INTERFACE,
        exchange_current_density=30.0,
        anisotropy_strength=strength,
        noise_amplitude=10.0,
        transport=TRANSPORT,
    )
    generator = torch.Generator().manual_seed(0)
    state = initial_state(bumps(generator))
    gap = ROWS * INTERFACE.spacing - START
    limit = TRANSPORT.limiting_current_density(2) * TRANSPORT.layer_thickness / (TRANSPORT.layer_thickness + gap)
    current = share * float(limit)
    state = state._replace(diffusion_layer=relaxed_profile(current / (2 * FARADAY_CONSTANT), TRANSPORT))
    duration = PLATED * p.charge_per_volume / current / STEPS
    for _ in range(STEPS):
        noise = torch.randn(state.order_parameter.shape, generator=generator, dtype=torch.float64)
        state = step(state, -current, duration, noise, p)
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("growth-phase-diagram.png"))
    options = parser.parse_args()
    print("| of the limiting current | anisotropy | thickness | roughness | highest tip | solid fraction | time |")
    print("|---" * 7 + "|")
    figure, axes = plt.subplots(len(STRENGTHS), len(CURRENTS), figsize=(10, 7.6), sharex=True, sharey=True)
    extent = (0, COLUMNS * INTERFACE.spacing * 1e6, 0, ROWS * INTERFACE.spacing * 1e6)
    for row, strength in enumerate(STRENGTHS):
        for column, share in enumerate(CURRENTS):
            began = time.perf_counter()
            state = deposit(share, strength)
            xi, spacing = state.order_parameter, INTERFACE.spacing
            print(
                f"| {share:g} | {strength:g} | {float(thickness(xi, spacing, state.base_thickness)) * 1e6:.2f} µm "
                f"| {float(roughness(xi, spacing)) * 1e9:.0f} nm | {float(dendrite_height(xi, spacing)) * 1e9:.0f} nm "
                f"| {float(solid_volume_fraction(xi, spacing, state.base_thickness)):.2f} "
                f"| {time.perf_counter() - began:.1f} s |",
                flush=True,
            )
            panel = axes[row, column]
            panel.imshow(1 - xi, origin="lower", cmap="gray", vmin=-0.3, vmax=1, extent=extent)
            liquid = state.concentration.where(xi < 0.5, torch.nan)
            panel.contour(liquid, levels=8, extent=extent, linewidths=0.6, cmap="viridis")
            panel.set_title(f"{share:g} j_lim, δ_a = {strength:g}", fontsize=9)
    for panel in axes[-1]:
        panel.set_xlabel("x [µm]")
    for panel in axes[:, 0]:
        panel.set_ylabel("y [µm]")
    figure.tight_layout()
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
