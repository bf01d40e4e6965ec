"""The same network in three dimensions: trained in small boxes, run in boxes of 32 × 32 × 32 cells.

    python benchmarks/emulator_volume.py [--rounds 60]

Zinc in boxes of 16 × 32 × 16 cells (z, y, x), 12 frames of plating and stripping; errors over a cycle that the network
has not seen, in such boxes and in 32³, against those of an even displacement, and the time of a frame.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from hmm_plating import Protocol, transition
from hmm_plating.emulator.evaluation import errors, roll_out
from hmm_plating.emulator.features import CHANNELS
from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork
from hmm_plating.emulator.train_transition import source_of
from hmm_plating.emulator.training import Settings, train
from hmm_plating.emulator.trajectories import Source, simulate_trajectories
from hmm_plating.model_file import load_model_file

FRAMES, PARTICLES = 12, 4


def boxes(source: Source, cells: tuple[int, int, int]) -> Source:
    depth, height, width = (count * source.grid.spacing for count in cells)
    ranges = replace(source.ranges, nucleus_spacing=(60e-9, 120e-9), remaining=(0.2, 0.6))
    grid = replace(source.grid, width=width, height=height, depth=depth)
    return replace(source, grid=grid, ranges=ranges, frames=FRAMES)


def main(rounds: int) -> None:
    source = source_of(load_model_file(Path(__file__).parents[1] / "models" / "zinc.py")(Protocol().recording()))
    torch.manual_seed(0)
    network = MultiscaleNetwork(Architecture(3, CHANNELS, scales=3, hidden=8, layers=3))
    even = MultiscaleNetwork(network.architecture)
    with torch.no_grad():
        for parameter in even.parameters():
            parameter.zero_()
    begin = time.monotonic()
    train(network, boxes(source, (16, 32, 16)), Settings(rounds, particles=PARTICLES, horizon=FRAMES))
    print(f"trained in {time.monotonic() - begin:.0f} s\n")
    print("| box | | field, frame 1 | 6 | 12 | Sq, 6 | 12 | mean thickness, 12 |")
    print("|---" * 8 + "|")
    for cells, count in (((16, 32, 16), 16), ((32, 32, 32), 6)):
        case = boxes(source, cells)
        test = simulate_trajectories(case, count, 987654321)
        for name, one in (("even displacement", even), ("autoregressive", network)):
            start = time.monotonic()
            predicted = roll_out([one], test)
            taken = (time.monotonic() - start) / (count * FRAMES)
            found = errors(predicted, test, case.grid.spacing)
            shown = (("field", 0), ("field", 5), ("field", 11), ("Sq", 5), ("Sq", 11), ("mean thickness", 11))
            values = [f"{float(found[quantity][k].square().nanmean().sqrt()):.2%}" for quantity, k in shown]
            print(f"| {' × '.join(map(str, cells))} | {name} | {' | '.join(values)} |", flush=True)
    state = transition.initial_state(test.start, 3)
    start = time.monotonic()
    transition.step(state, test.current[0], test.duration, test.noise[0].double(), test.parameters)
    simulated = (time.monotonic() - start) / count
    print(f"\n32³, ms per particle and frame: simulated {1e3 * simulated:.0f}, emulated {1e3 * taken:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    torch.set_num_threads(1)
    main(parser.parse_args().rounds)
