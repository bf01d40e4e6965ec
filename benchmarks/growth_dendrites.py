"""Dendrites at a held potential, by Λ and anisotropy, as pictures with descriptors.

    python benchmarks/growth_dendrites.py [--lengths 60e-9 …] [--output PICTURE.png]

Copper from 0.1 mol/l on slight waves in a box 1.5 µm wide, under a diffusion layer of 0.3 µm. At a held potential the
cathodic rate is K c̃ with the same K everywhere, and so is Λ = c̃/|∇c̃| = zFDc0/K at the surface, on tips and in fjords:
the nearer to the limiting current, the smaller. A tip narrower than Λ gains nothing from the fresher electrolyte.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from growth_pictures import HEADING, draw, row, waves

from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.morphology import dendrite_height, thickness
from hmm_plating.transition import Interface, State, initial_state, potentiostatic_step
from hmm_plating.transition.diffusion_layer import relaxed_profile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "transition"))
from held_potential import TRANSPORT, conductance, held  # a test grows dendrites so too

INTERFACE = Interface(16e-9, 4e-9)
ROWS, COLUMNS, STEPS, PLATED, START, WAVES, SHORTEST = 448, 384, 200, 1.2e-6, 150e-9, 6e-9, 62e-9
LENGTHS, STRENGTHS = (1e-6, 200e-9, 60e-9), (0.0, 0.06)
HIGHEST = ROWS * INTERFACE.spacing - 160e-9


def deposit(length: float, strength: float, seed: int = 0) -> State:
    """The state when `PLATED` of metal is there, or the highest tip 160 nm below the top of the box."""
    p, potential = held(length, strength, INTERFACE)
    generator = torch.Generator().manual_seed(seed)
    state = initial_state(waves((ROWS, COLUMNS), INTERFACE, START, WAVES, SHORTEST, generator))
    above = ROWS * INTERFACE.spacing + TRANSPORT.layer_thickness
    start = conductance(p) / (above - START + length) / (p.valence * FARADAY_CONSTANT)
    state = state._replace(diffusion_layer=relaxed_profile(start, TRANSPORT))
    while True:
        metal = float(thickness(state.order_parameter, INTERFACE.spacing, state.base_thickness))
        tip = metal + float(dendrite_height(state.order_parameter, INTERFACE.spacing))
        if metal >= START + PLATED or tip >= HIGHEST:
            return state
        current = conductance(p) / (above - tip + length)
        noise = torch.randn(state.order_parameter.shape, generator=generator, dtype=torch.float64)
        state = potentiostatic_step(state, potential, PLATED / STEPS * p.charge_per_volume / current, noise, p)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=float, nargs="+", default=list(LENGTHS), help="Λ [m]")
    parser.add_argument("--output", type=Path, default=Path("growth-dendrites.png"))
    options = parser.parse_args()
    print(f"| Λ | anisotropy {HEADING}")
    print("|---" * 7 + "|")
    figure, axes = plt.subplots(
        len(STRENGTHS), len(options.lengths), figsize=(10, 8), sharex=True, sharey=True, squeeze=False
    )
    for line, strength in enumerate(STRENGTHS):
        for column, length in enumerate(options.lengths):
            began = time.perf_counter()
            state = deposit(length, strength)
            shown = f"{length * 1e9:.0f} nm"
            print(f"| {shown} | {strength:g} {row(state, INTERFACE.spacing, time.perf_counter() - began)}", flush=True)
            draw(axes[line, column], state, INTERFACE.spacing, f"Λ = {shown}, δ_a = {strength:g}")
    figure.tight_layout()
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
