"""A single nucleus at a held potential, by Λ and anisotropy: compact, split at its tips, or with side branches.

    python benchmarks/growth_nucleus.py [--lengths 2e-6 40e-9] [--output PICTURE.png]

Copper from 0.1 mol/l on a crystal that is bare but for one nucleus, under a diffusion layer of 0.3 µm. Its tip has the
whole electrolyte beside it, as the columns of `growth_dendrites.py` have not, which stand side by side: so noise on its
flanks grows into branches. Solidity is the area of the metal's section over that of its convex hull.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from growth_dendrites import held
from growth_pictures import draw
from scipy.spatial import ConvexHull

from hmm_plating.transition import Interface, State, initial_state, potentiostatic_step

INTERFACE = Interface(32e-9, 8e-9)
ROWS, COLUMNS, RADIUS, HIGHEST = 360, 600, 80e-9, 2.5e-6
LENGTHS, STRENGTHS = (2e-6, 40e-9), (0.0, 0.05)
LARGEST_CHANGE = 0.6  # of ξ in a step, whose duration follows
FIRST_STEP = 1e-5  # s


def dendrite(
    length: float, strength: float, rows: int = ROWS, columns: int = COLUMNS, highest: float = HIGHEST, seed: int = 0
) -> State:
    """The state when the tip of the nucleus has risen to `highest` [m]."""
    p, potential = held(length, strength, INTERFACE)
    cell, generator = INTERFACE.spacing, torch.Generator().manual_seed(seed)
    x, y = torch.arange(columns) + 0.5 - columns / 2, torch.arange(rows)[:, None] + 0.5
    depth = RADIUS / cell - torch.hypot(x.double(), y.double())
    state = initial_state(torch.sigmoid(4 * cell * depth / INTERFACE.width))
    duration = FIRST_STEP
    while True:
        noise = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
        after = potentiostatic_step(state, potential, duration, noise, p)
        change = float((after.order_parameter - state.order_parameter).abs().max())
        state = after
        if int((state.order_parameter > 0.5).any(-1).sum()) * cell >= highest:
            return state
        duration *= min(max(LARGEST_CHANGE / max(change, 1e-3), 0.5), 2.0)


def solidity(state: State) -> float:
    """Area of the metal over that of its convex hull."""
    metal = state.order_parameter > 0.5
    corners = torch.cat([metal.nonzero() + torch.tensor(corner) for corner in ((0, 0), (0, 1), (1, 0), (1, 1))])
    return float(metal.sum()) / ConvexHull(corners.numpy()).volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=float, nargs="+", default=list(LENGTHS), help="Λ [m]")
    parser.add_argument("--output", type=Path, default=Path("growth-nucleus.png"))
    options = parser.parse_args()
    print("| Λ | anisotropy | solidity | time |\n|---|---|---|---|")
    figure, axes = plt.subplots(
        len(STRENGTHS), len(options.lengths), figsize=(10, 7), sharex=True, sharey=True, squeeze=False
    )
    for line, strength in enumerate(STRENGTHS):
        for column, length in enumerate(options.lengths):
            began = time.perf_counter()
            state = dendrite(length, strength)
            shown = f"{length * 1e9:.0f} nm"
            print(
                f"| {shown} | {strength:g} | {solidity(state):.2f} | {time.perf_counter() - began:.0f} s |", flush=True
            )
            draw(axes[line, column], state, INTERFACE.spacing, f"Λ = {shown}, δ_a = {strength:g}")
    figure.tight_layout()
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
