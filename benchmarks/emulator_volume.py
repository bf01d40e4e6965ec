"""The same network in three dimensions: trained in small boxes, run in boxes of 32 × 32 × 32 cells.

    python benchmarks/emulator_volume.py [--rounds 60] [--duration 1 5]

Zinc in boxes of 16 × 32 × 16 cells (z, y, x), 12 frames of plating and stripping; errors over a cycle that the network
has not seen, in such boxes and in 32³, against those of its first guess, and the time of a frame, simulated and
emulated in turns.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from turns import seconds

from hmm_plating import Protocol, transition
from hmm_plating.emulator.displacement import move
from hmm_plating.emulator.evaluation import errors, field, roll_out
from hmm_plating.emulator.features import CHANNELS, signed_distance
from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork
from hmm_plating.emulator.train_transition import source_of
from hmm_plating.emulator.training import Settings, train
from hmm_plating.emulator.trajectories import Source, simulate_trajectories
from hmm_plating.model_file import load_model_file

FRAMES, PARTICLES = 12, 4


def boxes(source: Source, cells: tuple[int, int, int], duration: tuple[float, float]) -> Source:
    depth, height, width = (count * source.grid.spacing for count in cells)
    ranges = replace(source.ranges, nucleus_spacing=(60e-9, 120e-9), remaining=(0.2, 0.6), duration=duration)
    grid = replace(source.grid, width=width, height=height, depth=depth)
    return replace(source, grid=grid, ranges=ranges, frames=FRAMES)


def main(rounds: int, duration: tuple[float, float]) -> None:
    source = source_of(load_model_file(Path(__file__).parents[1] / "models" / "zinc.py")(Protocol().recording()))
    torch.manual_seed(0)
    network = MultiscaleNetwork(Architecture(3, CHANNELS, scales=3, hidden=8, layers=3))
    guess = MultiscaleNetwork(network.architecture)
    with torch.no_grad():
        for parameter in guess.parameters():
            parameter.zero_()
    begin = time.monotonic()
    train(network, boxes(source, (16, 32, 16), duration), Settings(rounds, particles=PARTICLES, horizon=FRAMES))
    print(f"trained in {time.monotonic() - begin:.0f} s\n")
    print("| box | | field, frame 1 | 6 | 12 | Sq, 6 | 12 | mean thickness, 12 |")
    print("|---" * 8 + "|")
    for cells, count in (((16, 32, 16), 16), ((32, 32, 32), 6)):
        case = boxes(source, cells, duration)
        test = simulate_trajectories(case, count, 987654321)
        for name, one in (("first guess", guess), ("autoregressive", network)):
            found = errors(roll_out([one], test), test, case.grid.spacing)
            shown = (("field", 0), ("field", 5), ("field", 11), ("Sq", 5), ("Sq", 11), ("mean thickness", 11))
            values = [f"{float(found[quantity][k].square().nanmean().sqrt()):.2%}" for quantity, k in shown]
            print(f"| {' × '.join(map(str, cells))} | {name} | {' | '.join(values)} |", flush=True)
    print(f"\n32³, {count} particles, frames of {test.duration:.1f} s, ms per particle, median of 7 turns")
    for frame in (1, FRAMES // 2):
        state = transition.initial_state(field(test.distance[frame], test.coefficients.width), 3)
        noise, metal = test.noise[frame].double(), test.metal[frame + 1]
        with torch.no_grad():
            taken = seconds(
                7,
                lambda s=state, n=noise, f=frame: transition.step(
                    s, test.current[f], test.duration, n, test.parameters
                ),
                lambda s=state, n=noise, m=metal: move(
                    [network],
                    signed_distance(s.order_parameter, test.coefficients.width, 3),
                    m,
                    n,
                    test.duration,
                    test.coefficients,
                ),
            )
        simulated, emulated = 1e3 * np.median(taken, 1) / count
        print(
            f"frame {frame + 1}: simulated {simulated:.1f}, emulated {emulated:.1f}, ratio {simulated / emulated:.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--duration", type=float, nargs=2, default=(1.0, 5.0), help="of a frame, from and to [s]")
    torch.set_num_threads(1)
    options = parser.parse_args()
    main(options.rounds, tuple(options.duration))
