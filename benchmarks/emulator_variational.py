"""What the variational loss is good for: trainings with all, a tenth or none of the trajectories.

    python benchmarks/emulator_variational.py [--rounds 60] [--seed 0]

The network of the transition for models/zinc.py, trained for the same number of rounds against 120 trajectories,
against 12, against 12 with the variational loss on surfaces that are only drawn, and by that loss alone. Errors, root
mean square and median, on 96 trajectories of islands and films that none has seen. Then, for each, the sharp-interface
cases: the decay of a wave by curvature at rest and under plating (M γ q²), a planar front (Faraday) and its profile.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Tensor

from hmm_plating import Protocol, transition
from hmm_plating.emulator.conservation import conserving_shift
from hmm_plating.emulator.displacement import move
from hmm_plating.emulator.evaluation import errors, field, roll_out
from hmm_plating.emulator.features import redistanced, step_lengths
from hmm_plating.emulator.multiscale_network import MultiscaleNetwork
from hmm_plating.emulator.train_transition import new_network, source_of
from hmm_plating.emulator.training import Settings, train
from hmm_plating.emulator.trajectories import simulate_trajectories
from hmm_plating.model_file import load_model_file
from hmm_plating.transition.coefficients import coefficients

PARTICLES, HORIZON = 6, 28
TRAININGS = {
    "none (first guess)": None,
    "120 trajectories": {"pool": 20},
    "12 trajectories": {"pool": 2},
    # the twelve are seen again and again: with the weight of new ones they are learned by heart
    "12 trajectories and variational": {"pool": 2, "data": 0.1, "variational": 1.0},
    "variational alone": {"data": 0.0, "variational": 1.0},
}
WAVELENGTH, AMPLITUDE, FRAMES = 32, 1.0, 10  # cells, cells, number


def wave_decay(network: MultiscaleNetwork, parameters: transition.Parameters, displacement: float) -> float:
    """Rate of decay of a wave over FRAMES steps of 4 s, relative to m q² per step, m of `step_lengths`."""
    duration, rows = 4.0, 48
    c = coefficients(parameters, torch.Size([1]), duration, torch.zeros(1, dtype=torch.float64))
    x = torch.arange(2 * WAVELENGTH, dtype=torch.float64)
    y = torch.arange(rows, dtype=torch.float64)[:, None] + 0.5
    wave = torch.cos(2 * math.pi * x / WAVELENGTH)
    distance = redistanced((14 + AMPLITUDE * wave - y)[None], 2)

    def amplitude(one: Tensor) -> float:
        heights = field(one, c.width).sum(-2)[0]
        return float(2 * (heights * wave).mean())

    before = amplitude(distance)
    for _ in range(FRAMES):
        metal = field(distance + displacement, c.width).flatten(1).sum(-1)
        distance = redistanced(move([network], distance, metal, 0 * distance, duration, c).distance, 2)
    smoothing = float(step_lengths(torch.tensor([displacement], dtype=torch.float64), duration, c).smoothing)
    return -math.log(amplitude(distance) / before) / (FRAMES * smoothing * (2 * math.pi / WAVELENGTH) ** 2)


def planar_front(network: MultiscaleNetwork, parameters: transition.Parameters) -> tuple[float, float]:
    """After 10 frames of one cell each: largest error of the front's height [cells] and of its profile."""
    c = coefficients(parameters, torch.Size([1]), 4.0, torch.zeros(1, dtype=torch.float64))
    y = torch.arange(48, dtype=torch.float64)[:, None] + 0.5
    distance = redistanced((14 - y).expand(48, 32)[None], 2)
    columns = distance.shape[-1]
    metal = field(distance, c.width).flatten(1).sum(-1)
    for _ in range(FRAMES):
        metal = metal + columns
        distance = redistanced(move([network], distance, metal, 0 * distance, 4.0, c).distance, 2)
    wanted = redistanced((14 + FRAMES - y).expand(48, 32)[None], 2)
    height = field(distance, c.width).sum(-2) - field(wanted, c.width).sum(-2)
    shifted = distance + conserving_shift(distance, metal, c.width)
    return float(height.abs().max()), float((field(shifted, c.width) - field(wanted, c.width)).abs().max())


def main(rounds: int, seed: int) -> None:
    model = load_model_file(Path(__file__).parents[1] / "models" / "zinc.py")(Protocol().recording())
    source = source_of(model)
    test = simulate_trajectories(source, 96, 987654321)
    parameters = transition.Parameters.from_materials(model.metal, model.electrolyte, model.grid.interface)
    heading = "trained on", "field, frame 1", "14", "28", "Sq, 14", "28", "decay at rest", "plating", "height [cells]"
    print(f"| {' | '.join(heading)} | profile | s |")
    print("|---" * 11 + "|")
    for name, changes in TRAININGS.items():
        network, begin = new_network(2, seed), time.monotonic()
        if changes is None:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.zero_()
        else:
            train(network, source, Settings(rounds, particles=PARTICLES, horizon=HORIZON, seed=seed, **changes))
        taken = time.monotonic() - begin
        with torch.no_grad():
            measured = errors(roll_out([network], test), test, source.grid.spacing)
            rates = [wave_decay(network, parameters, displacement) for displacement in (0.0, 0.5)]
            height, profile = planar_front(network, parameters)
        cells = []
        for one, frame in (("field", 0), ("field", 13), ("field", 27), ("Sq", 13), ("Sq", 27)):
            error = measured[one][frame].abs()
            cells.append(f"{float(error.square().nanmean().sqrt()):.2%}, {float(error.nanmedian()):.2%}")
        cells += [f"{rate:.2f}" for rate in rates] + [f"{height:.3f}", f"{profile:.3f}", f"{taken:.0f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of networks and trajectories trained on")
    torch.set_num_threads(1)
    main(**vars(parser.parse_args()))
