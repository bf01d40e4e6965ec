"""Does an emulator drift? Classic against autoregressive training over a cycle of plating and stripping.

    python benchmarks/emulator_drift.py --folder FOLDER --figure docs/images/emulator-drift.png

Trains the network of the transition for models/zinc.py once with either training and every seed, on the same
trajectories and for the same number of optimiser steps, and lets it go on by itself over the 28 frames of 64
trajectories with seeds, currents and parameters that it has not seen. The folder keeps the trainings, so that a run
that was cut off goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from hmm_plating import Protocol
from hmm_plating.emulator.evaluation import errors, roll_out
from hmm_plating.emulator.train_transition import new_network, source_of
from hmm_plating.emulator.training import Settings, train
from hmm_plating.emulator.trajectories import simulate_trajectories
from hmm_plating.model_file import load_model_file

NAMES = ("mean thickness", "solid fraction", "field", "Sq")
TRAININGS = {"first guess": None, "classic": 1, "autoregressive": 28}
TEST_SEED, TEST_PARTICLES = 987654321, 64


def curves(folder: Path, seeds: int, rounds: int, particles: int) -> dict[str, np.ndarray]:
    """Root mean square relative error over the trajectories: by training (seed, name, frame)."""
    model = load_model_file(Path(__file__).parents[1] / "models" / "zinc.py")(Protocol().recording())
    source = source_of(model)
    test = simulate_trajectories(source, TEST_PARTICLES, TEST_SEED)
    found: dict[str, list[np.ndarray]] = {name: [] for name in TRAININGS}
    for seed in range(seeds):
        for name, horizon in TRAININGS.items():
            network = new_network(model.grid.dimensions, seed)
            if horizon is None:
                with torch.no_grad():
                    for parameter in network.parameters():
                        parameter.zero_()
            else:
                begin = time.monotonic()
                settings = Settings(rounds, particles=particles, horizon=horizon, seed=seed)
                train(network, source, settings, checkpoint=folder / f"{name}-{seed}.npz", resume=True)
                print(f"{name} {seed}: {time.monotonic() - begin:.0f} s", flush=True)
            measured = errors(roll_out([network], test), test, source.grid.spacing)
            found[name].append(np.stack([measured[one].square().mean(1).sqrt().numpy() for one in NAMES]))
    return {name: np.stack(values) for name, values in found.items()}


def print_table(found: dict[str, np.ndarray]) -> None:
    frames = next(iter(found.values())).shape[-1]
    shown = [0, frames // 4, frames // 2, 3 * frames // 4, frames - 1]
    print("| error | training | " + " | ".join(f"frame {frame + 1}" for frame in shown) + " |")
    print("|---" * (2 + len(shown)) + "|")
    for index, quantity in enumerate(NAMES):
        for name, values in found.items():
            cells = [f"{values[:, index, k].mean():.2%} ({values[:, index, k].max():.2%})" for k in shown]
            print(f"| {quantity} | {name} | {' | '.join(cells)} |")


def draw(found: dict[str, np.ndarray], path: Path) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for axis, quantity in zip(axes, NAMES[1:], strict=True):
        index = NAMES.index(quantity)
        for name, values in found.items():
            series = 100 * values[:, index]
            frames = np.arange(1, series.shape[-1] + 1)
            (line,) = axis.plot(frames, series.mean(0), label=name)
            axis.fill_between(frames, series.min(0), series.max(0), color=line.get_color(), alpha=0.25, lw=0)
        axis.set(title=f"{quantity}, relative error in %", xlabel="frame", ylim=(0, None))
    axes[0].legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--particles", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(exist_ok=True)
    result = curves(options.folder, options.seeds, options.rounds, options.particles)
    print_table(result)
    if options.figure is not None:
        draw(result, options.figure)
