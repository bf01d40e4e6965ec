"""A single nucleus at a held potential, by Λ and anisotropy: compact, split at its tips, or with side branches.

    python benchmarks/growth_nucleus.py [--lengths 2e-6 40e-9] [--output PICTURE.png]

Copper from 0.1 mol/l on a crystal that is bare but for one nucleus, under a diffusion layer of 0.3 µm. Its tip has the
whole electrolyte beside it, as the columns of `growth_dendrites.py` have not, which stand side by side: so noise on its
flanks grows into branches. Solidity is the area of the metal's section over that of its convex hull.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
from growth_pictures import draw

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "transition"))
from held_potential import NUCLEUS, grown_nucleus, solidity  # a test grows a smaller one

SHAPE, HIGHEST = (360, 600), 2.5e-6
LENGTHS, STRENGTHS = (2e-6, 40e-9), (0.0, 0.05)


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
            state = grown_nucleus(length, strength, SHAPE, HIGHEST, seed=0)
            shown = f"{length * 1e9:.0f} nm"
            filled = solidity(state.order_parameter > 0.5)
            print(f"| {shown} | {strength:g} | {filled:.2f} | {time.perf_counter() - began:.0f} s |", flush=True)
            draw(axes[line, column], state, NUCLEUS.spacing, f"Λ = {shown}, δ_a = {strength:g}")
    figure.tight_layout()
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
