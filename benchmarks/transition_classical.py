"""Speed of the classical phase field, and FiPy's anisotropic dendrite beside the same equations on its stencils.

    python benchmarks/transition_classical.py [--peers PYTHON]

Million cell updates per second in double precision, of whole calls of `classical_step`.
`PYTHON` is the interpreter of an environment with FiPy (`transition_peers.py`).
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import torch
from numba import njit
from transition_peers import (
    ALPHA,
    ANISOTROPY,
    CELLS,
    DURATION,
    EXAMPLE_STEP,
    FOLD,
    HEAT_DIFFUSIVITY,
    KAPPA1,
    KAPPA2,
    ORIENTATION,
    REFINEMENT,
    SPACING,
    TAU,
    UNDERCOOLING,
    area_and_tip,
    seed,
)
from turns import seconds

from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.transition import Interface, Parameters, Transport
from hmm_plating.transition.classical import ClassicalParameters, ClassicalState, classical_step, stable_time_step
from hmm_plating.transition.classical_kernels import (
    anisotropic_laplacian,
    fill_halo,
    laplacian_row,
    padded,
    row_work,
)

ROUNDS, UPDATES = 9, 20_000_000
WATER = Electrolyte(density=997.05, viscosity=0.890e-3)


def case(box: tuple[int, ...], dimensions: int, transported: bool, strength: float) -> tuple[Callable[[], object], int]:
    """Copper islands of 20 cells in a box, growing, and the cell updates of a call."""
    interface = Interface(4e-6, 1e-6, dimensions)
    surface = Parameters.from_materials(Metal.copper(), WATER, interface, anisotropy_strength=strength)
    transport = Transport(1000.0, 1e-9, 1e-4) if transported else None
    parameters = ClassicalParameters(surface, 1e-4, 0.05, transport)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) - n // 2 for n in box[-dimensions:]), indexing="ij")
    xi = torch.sigmoid(20.0 - torch.stack(axes).norm(dim=0)).expand(box).contiguous()
    state = ClassicalState(xi, torch.ones_like(xi) if transported else None)
    step = 0.999 * float(stable_time_step(state, -0.05, parameters).min())
    steps = max(4, UPDATES // xi.numel())
    return lambda: classical_step(state, -0.05, steps * step, parameters, time_step=step), steps * xi.numel()


def print_speeds() -> None:
    numba.set_num_threads(1)
    print("| one thread, million cell updates per second, median (best) | ξ | ξ and c̃ | ξ, anisotropic | all |")
    print("|---" * 5 + "|")
    for box in ((64, 64), (64, 128), (256, 256), (64, 64, 64)):
        cases = [case(box, len(box), *kind) for kind in ((False, 0.0), (True, 0.0), (False, 0.05), (True, 0.05))]
        taken = seconds(ROUNDS, *(action for action, _ in cases))
        rates = [updates / times / 1e6 for (_, updates), times in zip(cases, taken, strict=True)]
        shown = " | ".join(f"{np.median(rate):.0f} ({rate.max():.0f})" for rate in rates)
        print(f"| {' × '.join(map(str, box[::-1]))} | {shown} |", flush=True)


def print_scaling() -> None:
    """64 particles on one thread and on two."""
    action, updates = case((64, 64, 64), 2, True, 0.0)

    def on(threads: int) -> None:
        numba.set_num_threads(threads)
        action()

    rates = updates / seconds(ROUNDS, lambda: on(1), lambda: on(2)).min(1) / 1e6
    print(f"\n64 particles of 64 × 64, ξ and c̃: {rates[0]:.0f} on one thread, {rates[1]:.0f} on two (best; ", end="")
    print(f"{rates[1] / rates[0]:.2f} times)", flush=True)


@njit(error_model="numpy", fastmath={"contract"})
def arctan_row(out, x):
    """arctan in a form that the compiler vectorises (S. L. Moshier, Methods and Programs for Mathematical Functions,
    1989)."""
    for i in range(out.size):
        size = abs(x[i])
        large, middle = size > 2.414213562373095, size > 0.4142135623730951
        t = (-1.0 if large else (size - 1.0 if middle else size)) / (size if large else (size + 1.0 if middle else 1.0))
        z = t * t
        p = (((-0.8750608600031904 * z - 16.15753718733365) * z - 75.00855792314705) * z - 122.88666844901361) * z
        q = ((((z + 24.858464901423062) * z + 165.02700983169885) * z + 432.88106049129027) * z + 485.3903996359137) * z
        angle = t + t * z * (p - 64.85021904942025) / (q + 194.5506571482614)
        angle += 0.5 * math.pi if large else (0.25 * math.pi if middle else 0.0)
        out[i] = angle if x[i] > 0 else -angle


@njit(error_model="numpy", fastmath={"contract"})
def change_row(change, phase, angle, curvature, gradient, reaction):
    for i in range(change.size):
        v = phase[i]
        change[i] = gradient * curvature[i] + reaction * v * (1 - v) * (v - 0.5 - KAPPA1 / math.pi * angle[i])


@njit(error_model="numpy", fastmath={"contract"})
def heat_row(new, old, laplacian, change, heat):
    for i in range(new.size):
        new[i] = old[i] + heat * laplacian[i] + change[i]


@njit(error_model="numpy")
def add_row(phase, change):
    for i in range(phase.size):
        v = phase[i] + change[i]
        phase[i] = v if v > 1e-16 else 0.0


@njit(error_model="numpy")
def dendrite(phase, temperature, steps, time_step):
    """FiPy's two equations, explicit, with the project's anisotropic stencil for ∇·D∇φ, in place (1, y, x).

    Its reaction, φ(1 − φ)(φ − ½ − (κ1/π) arctan κ2ΔT), is not the classical form's. Its κ = α²(1 + c cos 6ψ)² is
    α²(1 + ½ c² + 2c cos 6ψ) but for a twelvefold term of 2e-4. φ below 1e-16 is set to 0. Periodic in x, where FiPy's
    box is closed.
    """
    rows, columns = phase.shape[1:]
    mean = 1 + 0.5 * ANISOTROPY**2
    turn = FOLD * (ORIENTATION - 0.5 * math.pi)  # its angle runs from x to y, the project's from y to x
    gradient = time_step / TAU * ALPHA**2 * mean / SPACING**2 / 4
    reaction, heat = time_step / TAU, time_step * HEAT_DIFFUSIVITY / SPACING**2
    phi, t, t_new = padded(phase), padded(temperature), padded(temperature)
    curvature, row, work = np.empty((1, rows, columns)), np.empty(columns), row_work(columns)
    change, angle = np.empty(columns), np.empty(columns)
    for _ in range(steps):
        fill_halo(phi, math.nan)
        fill_halo(t, math.nan)
        anisotropic_laplacian(curvature, phi, work, 2 * ANISOTROPY / mean, math.cos(turn), math.sin(turn), FOLD)
        for j in range(rows):
            p, old = phi[0, j + 1, 1:-1], t[0, j + 1, 1:-1]
            arctan_row(angle, KAPPA2 * old)
            change_row(change, p, angle, curvature[0, j], gradient, reaction)
            laplacian_row(row, t, 0, j + 1)
            heat_row(t_new[0, j + 1, 1:-1], old, row, change, heat)
            add_row(p, change)
        t, t_new = t_new, t
    phase[:] = phi[:, 1:-1, 1:-1]
    temperature[:] = t[:, 1:-1, 1:-1]


def print_peers(python: str) -> None:
    step = EXAMPLE_STEP / REFINEMENT
    steps, phase = round(DURATION / step), np.empty((1, CELLS, CELLS))
    noise = 1e-3 * np.random.default_rng(1).random(phase.shape)

    def ours(noise: np.ndarray | float) -> None:
        phase[:] = seed() + noise
        dendrite(phase, np.full_like(phase, UNDERCOOLING), steps, step)

    rough, per_step = np.median(seconds(ROUNDS, lambda: ours(noise), lambda: ours(0.0)), axis=1) / steps
    rows = [{"peer": "the project's stencils", "time_step": step, "seconds": per_step}]
    rows[0]["area"], rows[0]["tip"] = area_and_tip(phase[0])
    script = Path(__file__).with_name("transition_peers.py")
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    output = subprocess.run([python, script], capture_output=True, text=True, check=True, env=one_thread).stdout
    rows += [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    print(f"\nFiPy's anisotropic dendrite, {CELLS}², to t = {DURATION:g}, one thread.\n{inspect.getdoc(dendrite)}\n")
    print("| | time step | s per step | cell updates per second | s per unit time | solid area | tip |")
    print("|---" * 7 + "|")
    for row in rows:
        rate, whole = CELLS**2 / row["seconds"], row["seconds"] / row["time_step"]
        print(f"| {row['peer']} | {row['time_step']:.3g} | {row['seconds']:.2g} | {rate:.2g} | {whole:.3g} | ", end="")
        print(f"{row['area']:.4f} | {row['tip']:.4f} |")
    first, last = rows[0], rows[-1]
    print(f"\nSame time step: {last['seconds'] / first['seconds']:.0f} times the cell updates per second ", end="")
    print(f"({last['seconds'] / rough:.0f} times where no row is uniform), ", end="")
    print(f"area {first['area'] / last['area'] - 1:+.1%}, tip {first['tip'] / last['tip'] - 1:+.1%}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter of an environment with FiPy")
    options = parser.parse_args()
    print_speeds()
    if numba.config.NUMBA_NUM_THREADS > 1:
        print_scaling()
    if options.peers:
        print_peers(options.peers)


if __name__ == "__main__":
    main()
