"""Deposits by current and anisotropy, as pictures with descriptors: compact far below the limiting current, branching
near it.

    python benchmarks/growth_phase_diagram.py [--output PICTURE.png]

Copper from 0.1 mol/l on slight waves in a box 1 µm wide, under a diffusion layer of 0.3 µm. The current is kept at a
share of the limiting one, zFDc0 over the distance from the mean surface to the bulk, so that the surface concentration
over its gradient, Λ, falls no further while the deposit grows.
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
from hmm_plating.morphology import thickness
from hmm_plating.transition import Interface, State, initial_state, step
from hmm_plating.transition.diffusion_layer import relaxed_profile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "transition"))
from held_potential import TRANSPORT, conductance, copper  # a test grows from the same salt

INTERFACE = Interface(32e-9, 8e-9)
ROWS, COLUMNS, STEPS, PLATED, START, WAVES, SHORTEST = 176, 128, 40, 400e-9, 120e-9, 4e-9, 80e-9
SHARES, STRENGTHS = (0.1, 0.5, 0.9, 0.97), (0.0, 0.03, 0.06)


def distance_to_bulk(state: State) -> float:
    """From the mean surface [m]."""
    metal = float(thickness(state.order_parameter, INTERFACE.spacing, state.base_thickness))
    return ROWS * INTERFACE.spacing - metal + float(TRANSPORT.layer_thickness)


def deposit(share: float, strength: float, seed: int = 0) -> State:
    """The state after `PLATED` of metal at a share of the limiting current."""
    p = copper(INTERFACE, strength, exchange_current_density=30.0, noise_amplitude=3.0)
    generator = torch.Generator().manual_seed(seed)
    state = initial_state(waves((ROWS, COLUMNS), INTERFACE, START, WAVES, SHORTEST, generator))
    start = share * conductance(p) / distance_to_bulk(state) / (p.valence * FARADAY_CONSTANT)
    state = state._replace(diffusion_layer=relaxed_profile(start, TRANSPORT))
    for _ in range(STEPS):
        current = share * conductance(p) / distance_to_bulk(state)
        noise = torch.randn(state.order_parameter.shape, generator=generator, dtype=torch.float64)
        state = step(state, -current, PLATED / STEPS * p.charge_per_volume / current, noise, p)
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("growth-phase-diagram.png"))
    options = parser.parse_args()
    print(f"| of the limiting current | anisotropy {HEADING}")
    print("|---" * 7 + "|")
    figure, axes = plt.subplots(len(STRENGTHS), len(SHARES), figsize=(10, 10), sharex=True, sharey=True)
    for line, strength in enumerate(STRENGTHS):
        for column, share in enumerate(SHARES):
            began = time.perf_counter()
            state = deposit(share, strength)
            print(
                f"| {share:g} | {strength:g} {row(state, INTERFACE.spacing, time.perf_counter() - began)}", flush=True
            )
            draw(axes[line, column], state, INTERFACE.spacing, f"{share:g} j_lim, δ_a = {strength:g}")
    figure.tight_layout()
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
