"""The trained transition emulator against the simulated step: distributions, larger boxes, time.

    python benchmarks/emulator_transition.py WEIGHTS.safetensors [errors] [statistics] [size] [time]

errors: over the 28 frames of 192 trajectories that no training has seen, a quarter of them films, of the networks
alone, and as they are used: steps that they do not know are simulated.
statistics: 200 runs through 14 frames of plating and 9 of stripping, emulated, against 200 simulated with other seeds:
Kolmogorov and Smirnov's test of Sq and dendrite height; of the model, and of noise alone on the same nuclei.
size: the error in boxes of 32 × 64, 64 × 128 and 128 × 512 cells, root mean square over trajectories from nuclei.
time: a frame of 4 s for batches of islands, emulated and simulated in turns, on as many threads as torch has.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pyro
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from turns import seconds

from hmm_plating import Grid, Protocol, morphology, transition
from hmm_plating.emulator import EmulatedStep
from hmm_plating.emulator.evaluation import errors, roll_out
from hmm_plating.emulator.features import signed_distance
from hmm_plating.emulator.train_transition import source_of
from hmm_plating.emulator.trajectories import Trajectories, simulate_trajectories
from hmm_plating.model_file import load_model_file

RUNS, CURRENT, DURATION, EFFICIENCY = 200, 10.0, 4.0, 0.79
PLATING, STRIPPING = 14, 9
MODEL = load_model_file(Path(__file__).parents[1] / "models" / "zinc.py")(Protocol().recording())
GRID: Grid = MODEL.grid


def parameters() -> transition.Parameters:
    return transition.Parameters.from_materials(
        MODEL.metal, MODEL.electrolyte, GRID.interface, noise_amplitude=37.0, current_efficiency=EFFICIENCY
    )


def islands(runs: int, generator: torch.Generator, shape: tuple[int, int] = GRID.shape) -> transition.State:
    """Nuclei of the model, 240 nm apart, ahead of their charge."""
    uniform = 1 - torch.rand(runs, 64, generator=generator, dtype=torch.float64)
    normal = torch.randn(runs, 64, generator=generator, dtype=torch.float64)
    nuclei = morphology.nuclei(uniform, normal, 1 / 240e-9, 9e-9, 0.1, shape, GRID.interface_width, GRID.spacing)
    return transition.add_metal(transition.initial_state(0 * nuclei), nuclei, parameters())


def described(order_parameter: Tensor) -> dict[str, Tensor]:
    return {
        "Sq": morphology.roughness(order_parameter, GRID.spacing),
        "dendrite height": morphology.dendrite_height(order_parameter, GRID.spacing),
    }


def noisy_runs(step: transition.Step, seed: int) -> list[dict[str, Tensor]]:
    """Descriptors (run,) at the end of plating and of stripping: the same nuclei and parameters, noise of their own."""
    state = islands(1, torch.Generator().manual_seed(5))
    state = transition.State(*(value.expand(RUNS, *value.shape[1:]).contiguous() for value in state))
    generator, found = torch.Generator().manual_seed(seed), []
    for frame in range(PLATING + STRIPPING):
        noise = torch.randn(state.order_parameter.shape, generator=generator, dtype=torch.float64)
        state = step(state, -CURRENT if frame < PLATING else CURRENT, DURATION, noise, parameters())
        if frame + 1 in (PLATING, PLATING + STRIPPING):
            found.append(described(state.order_parameter))
    return found


def model_runs(step: transition.Step, seed: int) -> list[dict[str, Tensor]]:
    """The same of models/zinc.py from the bare crystal: nuclei, wandering parameters and noise of their own."""
    model, state, found = replace(MODEL, transition_step=step), {}, []
    torch.manual_seed(seed)
    with pyro.plate("particles", RUNS, dim=-1):
        model.init(state)
        for frame in range(PLATING + STRIPPING):
            model.grow(state, -CURRENT if frame < PLATING else CURRENT, DURATION)
            if frame + 1 in (PLATING, PLATING + STRIPPING):
                found.append(described(state["order_parameter"]))
    return found


def print_statistics(emulated: EmulatedStep) -> None:
    print(f"| {RUNS} runs | after | | simulated, mean ± sd [nm] | emulated | KS | p |")
    print("|---" * 7 + "|")
    for case, runs in (("of the model", model_runs), ("noise alone", noisy_runs)):
        for when, a, b in zip(("plating", "stripping"), runs(transition.step, 1), runs(emulated, 2), strict=True):
            for name in a:
                test = ks_2samp(a[name].numpy(), b[name].numpy())
                shown = " | ".join(f"{1e9 * x[name].mean():.2f} ± {1e9 * x[name].std():.2f}" for x in (a, b))
                print(f"| {case} | {when} | {name} | {shown} | {test.statistic:.3f} | {test.pvalue:.3g} |", flush=True)


def as_used(emulated: EmulatedStep, test: Trajectories) -> tuple[Tensor, Tensor]:
    """Signed distances as of `roll_out`, and which steps were simulated (frame, particle)."""
    state, distance, simulated = transition.initial_state(test.start), [test.distance[0].double()], []
    for current, noise in zip(test.current, test.noise, strict=True):
        state, doubtful = emulated.checked(state, current, test.duration, noise.double(), test.parameters)
        distance.append(signed_distance(state.order_parameter, GRID.interface_width / GRID.spacing, 2))
        simulated.append(doubtful)
    return torch.stack(distance), torch.stack(simulated)


def print_errors(emulated: EmulatedStep) -> None:
    source = source_of(MODEL)
    tests = [simulate_trajectories(source, 48, seed) for seed in (987654321, 55, 4321, 20261122)]
    used = [as_used(emulated, test) for test in tests]
    found = {
        "networks alone": [roll_out(emulated.networks, test) for test in tests],
        "as used": [distance for distance, _ in used],
    }
    shown = (1, 8, 14, 21, 25, 28)
    print("| relative error | " + " | ".join(f"frame {frame}" for frame in shown) + " |")
    print("|---" * (1 + len(shown)) + "|")
    for how, distances in found.items():
        each = [errors(distance, test, GRID.spacing) for distance, test in zip(distances, tests, strict=True)]
        for name in ("field", "solid fraction", "Sq", "dendrite height"):
            sizes = torch.cat([one[name] for one in each], 1).abs()
            for label, values in (
                ("root mean square", sizes.square().nanmean(1).sqrt()),
                ("median", sizes.nanmedian(1).values),
                ("95 %", sizes.nanquantile(0.95, 1)),
            ):
                cells = " | ".join(f"{float(values[k - 1]):.2%}" for k in shown)
                print(f"| {how}: {name}, {label} | {cells} |", flush=True)
    shares = torch.cat([steps for _, steps in used], 1).double().mean(1)
    print(f"\nas used, {float(shares.mean()):.2%} of the steps are simulated, of the last {float(shares[-1]):.1%}")


def print_sizes(emulated: EmulatedStep) -> None:
    print("\n| cells | trajectories | field, middle | field, last | Sq, middle | Sq, last |")
    print("|---" * 6 + "|")
    source = source_of(MODEL)
    # currents that do not fill the smallest box either: sizes differ in size alone
    source = replace(source, ranges=replace(source.ranges, current_density=(4.0, 8.0), duration=(4.0, 4.0)))
    for rows, columns, count in ((32, 64, 64), (64, 128, 64), (128, 512, 32)):
        grid = replace(GRID, width=columns * GRID.spacing, height=rows * GRID.spacing)
        test = simulate_trajectories(replace(source, grid=grid), count, 4321)
        measured = errors(roll_out(emulated.networks, test), test, grid.spacing)
        nuclei = count - count // 4
        cells = [
            f"{float(measured[name][frame, :nuclei].square().nanmean().sqrt()):.2%}"
            for name in ("field", "Sq")
            for frame in (13, 27)
        ]
        print(f"| {rows} × {columns} | {nuclei} | {' | '.join(cells)} |", flush=True)


def print_times(emulated: EmulatedStep) -> None:
    threads = torch.get_num_threads()
    numba.set_num_threads(threads)
    print(f"\n{threads} threads, median of 7 turns")
    print("| cells | particles | frame | simulated [ms per particle] | emulated | ratio |")
    print("|---" * 6 + "|")
    p = parameters()
    for shape, particles in (((64, 128), 1), ((64, 128), 32), ((64, 128), 128), ((128, 512), 8)):
        generator = torch.Generator().manual_seed(1)
        state = islands(particles, generator, shape)
        for frame in range(10):
            noise = torch.randn(state.order_parameter.shape, generator=generator, dtype=torch.float64)
            if frame in (2, 9):
                with torch.no_grad():
                    taken = seconds(
                        7,
                        lambda now=state, n=noise: transition.step(now, -CURRENT, DURATION, n, p),
                        lambda now=state, n=noise: emulated(now, -CURRENT, DURATION, n, p),
                    )
                true, ours = 1e3 * np.median(taken, 1) / particles
                cells = f"{shape[0]} × {shape[1]} | {particles} | {frame + 1}"
                print(f"| {cells} | {true:.2f} | {ours:.2f} | {true / ours:.2f} |", flush=True)
            state = transition.step(state, -CURRENT, DURATION, noise, p)


if __name__ == "__main__":
    step = EmulatedStep.load(sys.argv[1])
    parts = {"errors": print_errors, "statistics": print_statistics, "size": print_sizes, "time": print_times}
    with torch.no_grad():
        for part in sys.argv[2:] or parts:
            parts[part](step)
