"""Time of whole solves of the emission: batches of particles, single large surfaces, three dimensions, the gradient.

    NUMBA_NUM_THREADS=2 OMP_NUM_THREADS=1 taskset -c 0,1 python benchmarks/emission_throughput.py

To 1e-3 of the excess, without an absolute tolerance, after compilation; median (best) of some rounds.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from emission_cases import PER_CELL, QUARTZ, WATER, below, random_profile, rough
from torch import Tensor
from turns import seconds

from hmm_plating.emission import load_impedance, solve
from hmm_plating.materials import Electrolyte, Resonator

OVERTONES, SPACING, ROUNDS = [3, 5, 7, 9, 11], 8e-9, 5
TO_ONE_PER_MILLE: dict[str, Any] = {"tolerance": 1e-3, "absolute_tolerance": 1e-30}
PARTICLES, ROWS, WIDTH, RMS, CORRELATION, GROWTH = 128, 32, 64, 4, 4, 0.1
IN_THREE = {"large": (64, 32, 64)}


def measured(times: np.ndarray) -> str:
    return f"{np.median(times):.3g} s ({times.min():.3g})"


def particles(growth: float) -> Tensor:
    """Random surfaces over the whole height of the box, one row of liquid on top."""
    profiles = [random_profile(WIDTH, RMS, CORRELATION, seed) for seed in range(PARTICLES)]
    return torch.stack(
        [below(np.clip(p - p.max() + ROWS - 1 - GROWTH + growth, growth, ROWS - 1), ROWS) for p in profiles]
    )


def print_batch() -> None:
    old, new = particles(0), particles(GROWTH)
    print(
        f"| {PARTICLES} particles × {len(OVERTONES)} overtones, {ROWS} × {WIDTH} | time | applications |\n|---|---|---|"
    )
    for precision in ("double", "single"):
        options = TO_ONE_PER_MILLE | {"precision": precision}
        started = solve(old, SPACING, OVERTONES, WATER, QUARTZ, **options).field
        runs = {
            "cold, load alone": {"keep_field": False},
            "cold, with the field": {},
            "warm, load alone": {"keep_field": False, "initial_guess": started},
            "warm, with the field": {"initial_guess": started},
            "warm from single-precision field, with the field": {"initial_guess": started.float()},
        }
        actions = {
            name: lambda run=run, options=options: solve(new, SPACING, OVERTONES, WATER, QUARTZ, **options, **run)
            for name, run in runs.items()
        }
        for (name, action), times in zip(actions.items(), seconds(ROUNDS, *actions.values()), strict=True):
            count = action().applications.double()
            print(f"| {name}, {precision} | {measured(times)} | {count.mean():.0f} ({int(count.max())}) |", flush=True)


def print_gradient() -> None:
    surfaces = particles(0)[:16]

    def value() -> Tensor:
        return load_impedance(surfaces, SPACING, OVERTONES, WATER, QUARTZ, **TO_ONE_PER_MILLE)

    def gradient() -> Tensor:
        tracked = surfaces.clone().requires_grad_()
        load = load_impedance(tracked, SPACING, OVERTONES, WATER, QUARTZ, **TO_ONE_PER_MILLE)
        return torch.autograd.grad(load.abs().sum(), tracked)[0]

    times = seconds(ROUNDS, *[value, gradient] * 3).reshape(3, 2, -1).swapaxes(0, 1).reshape(2, -1)
    ratio = f"{np.median(times[1] / times[0]):.2f} ({times[1].min() / times[0].min():.2f})"
    print("\n| 16 particles | value | value and gradient | ratio |\n|---|---|---|---|")
    print(f"| | {measured(times[0])} | {measured(times[1])} | {ratio} |", flush=True)


def print_single() -> None:
    print("\n| one surface | overtones | time | applications |\n|---|---|---|---|")
    for rows, width, rms, length in ((128, 256, 8, 4), (128, 256, 16, 16)):
        arguments = rough(rows, width, rms, length, seed=0), SPACING, OVERTONES, WATER, QUARTZ
        run = functools.partial(solve, *arguments, **TO_ONE_PER_MILLE, keep_field=False)
        count = run().applications.max()
        name = f"{rows} × {width}, rms {rms}, length {length}"
        print(f"| {name} | {len(OVERTONES)} | {measured(seconds(ROUNDS, run)[0])} | {int(count)} |", flush=True)


def cap() -> Tensor:
    """Sphere of radius 5 nm centred 0.5 nm above the crystal, cells of 1 nm, 17 × 12 × 17."""
    per_cell = PER_CELL
    lateral, normal = ((np.arange(n * per_cell) + 0.5) / per_cell - shift for n, shift in ((17, 8.5), (12, 0.5)))
    inside = lateral[:, None, None] ** 2 + normal[:, None] ** 2 + lateral**2 < 25
    return torch.from_numpy(inside.reshape(17, per_cell, 12, per_cell, 17, per_cell).mean(axis=(1, 3, 5)))


def print_cap() -> None:
    surface, medium, crystal = cap(), Electrolyte(1e3, 1e-3), Resonator(5e6, 8.8e6)
    options = TO_ONE_PER_MILLE | {"dimensions": 3, "keep_field": False}
    times = seconds(ROUNDS, lambda: solve(surface, 1e-9, OVERTONES, medium, crystal, **options))[0]
    count = solve(surface, 1e-9, OVERTONES, medium, crystal, **options).applications
    per = f"{np.median(times) / len(OVERTONES):.2g} s"
    print(f"| rigid cap, 17 × 12 × 17 | {len(OVERTONES)} | {measured(times)}, {per} each | {max(count.tolist())} |")


def rough_plane(depth: int, rows: int, width: int, rms: float, correlation: float) -> Tensor:
    """Random surface in three dimensions, one height per cell."""
    generator = np.random.default_rng(0)
    waves = (2 * np.pi * np.fft.fftfreq(n) for n in (depth, width))
    square = sum(np.meshgrid(*(wave**2 for wave in waves), indexing="ij"))
    profile = np.fft.ifft2(np.fft.fft2(generator.normal(size=(depth, width))) * np.exp(-square * correlation**2 / 8))
    height = rows / 2 + rms * (profile.real - profile.real.mean()) / profile.real.std()
    height = np.minimum(height, rows - 1)
    return torch.from_numpy(np.clip(height[:, None] - np.arange(rows)[:, None], 0, 1))


def megabytes(entry: str) -> float:
    """VmRSS or VmHWM, the memory in use now and at its peak (`getrusage` would count the parent's)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[entry].split()[0]) * 1024e-6


def volume(precision: str) -> None:
    """Run in a process of its own, for its peak memory."""
    options = TO_ONE_PER_MILLE | {"precision": precision, "dimensions": 3, "keep_field": False}
    solve(rough_plane(4, 8, 4, 1, 2), SPACING, [3], WATER, QUARTZ, **options)
    surface = rough_plane(64, 32, 64, 4, 6)
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before, begin = megabytes("VmRSS"), time.perf_counter()
    count = solve(surface, SPACING, [3], WATER, QUARTZ, **options).applications
    taken, used = time.perf_counter() - begin, megabytes("VmHWM") - before
    print(f"| 64 × 64 × 32, rms 4, length 6, {precision}, {used:.0f} MB | 1 | {taken:.2g} s | {int(count)} |")


def main() -> None:
    if len(sys.argv) == 2:
        volume(sys.argv[1])
        return
    print_batch()
    print_gradient()
    print_single()
    print_cap()
    sys.stdout.flush()
    for precision in ("double", "single"):
        subprocess.run([sys.executable, __file__, precision], check=True)


if __name__ == "__main__":
    main()
