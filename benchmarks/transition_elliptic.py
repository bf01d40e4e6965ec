"""Iterations and time of the transition's elliptic solve on one thread, from far and from the last sub-step's solution.

    python benchmarks/transition_elliptic.py [--peers]

Surfaces of the four kinds that plating makes, 4 cells wide interfaces; "warm" is from the solution before the surface
advanced by 0.1 cell. Storage is in units of a face's conductance. `--peers` adds, in two dimensions, the iterations of
conjugate gradients with other preconditioners: the diagonal, and the problem with laterally averaged coefficients,
scaled to the true diagonal, which a Fourier transform solves.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy.sparse import csc_matrix, diags
from scipy.sparse.linalg import LinearOperator, cg, splu
from turns import seconds

from hmm_plating.transition.kernels import elliptic

KINDS = ("flat film", "bumps", "dendrites", "islands")
SHAPES = ((1, 64, 128), (32, 32, 32), (64, 64, 64))
STORAGES, TOLERANCES = (1e-6, 1.0, 100.0), (1e-6, 1e-10)
WIDTH, KINETICS, ADVANCE, MOST = 4.0, 0.05, 0.1, 500

Problem = tuple[np.ndarray, float, np.ndarray, np.ndarray, float, np.ndarray]


def order_parameter(kind: str, shape: tuple[int, int, int], advance: float) -> np.ndarray:
    """ξ (z, y, x) of a surface that has advanced by so many cells."""
    generator = np.random.default_rng(3)
    depth, rows, columns = shape
    z, y, x = np.meshgrid(*(np.arange(count) + 0.5 for count in shape), indexing="ij")

    def beside(at_x: float, at_z: float) -> np.ndarray:
        across_x, across_z = x - at_x, z - at_z
        across_x -= columns * np.round(across_x / columns)
        across_z -= depth * np.round(across_z / depth)
        return np.hypot(across_x, across_z if depth > 1 else 0.0)

    if kind == "flat film":
        distance = 0.3 * rows - y
    elif kind == "bumps":  # from 20 to 80 % of the height
        height = np.zeros((depth, 1, columns))
        for wave_x in range(1, 9):
            for wave_z in range(-3, 4) if depth > 1 else (0,):
                phase = 2 * np.pi * (wave_x * x[:, :1] / columns + wave_z * z[:, :1] / depth)
                amplitude = generator.normal() / (wave_x + abs(wave_z))
                height += amplitude * np.cos(phase + generator.uniform(0, 2 * np.pi))
        height = rows * (0.2 + 0.6 * (height - height.min()) / np.ptp(height))
        slope = (np.roll(height, -1, 2) - np.roll(height, 1, 2)) / 2
        distance = (height - y) / np.sqrt(1 + slope**2)
    else:
        distance = 4 - y if kind == "dendrites" else np.full(shape, -np.inf)
        for _ in range(6 if kind == "dendrites" else 10):
            across = beside(generator.uniform(0, columns), generator.uniform(0, depth))
            if kind == "dendrites":
                tip, radius = generator.uniform(0.4, 0.8) * rows, generator.uniform(2, 4)
                distance = np.maximum(distance, radius - np.hypot(across, np.maximum(y - tip, 0)))
            else:
                distance = np.maximum(distance, generator.uniform(3, min(rows, columns) / 5) - np.hypot(across, y))
    return 0.5 * (1 + np.tanh(2 * (distance + advance) / WIDTH))


def problem(kind: str, shape: tuple[int, int, int], storage: float, advance: float = 0.0) -> Problem:
    """What `elliptic.solve` takes, with a linearised reaction on the interface."""
    metal = order_parameter(kind, shape, advance)
    sink = KINETICS * 4 / WIDTH * metal * (1 - metal)
    mobility = 1 - metal
    return mobility, storage, sink, np.full(shape, storage), 1.0, 2 * (mobility[:, -1] + elliptic.LEAK)


def solve(start: np.ndarray, case: Problem, tolerance: float, work: tuple) -> tuple[np.ndarray, int]:
    u = start.copy()
    iterations, residual = elliptic.solve(u, *case, tolerance, MOST, work)
    if not residual <= tolerance:
        raise ArithmeticError(f"residual {residual:.1e} after {iterations} iterations")
    return u, iterations


def print_solves(rounds: int) -> None:
    print("iterations, least time in ns per cell; error: largest in the liquid\n")
    print("| | surface | storage | tolerance | cold | warm | error |\n" + "|---" * 7 + "|")
    for shape in SHAPES:
        cells, work = int(np.prod(shape)), elliptic.workspace(*shape)
        for kind in KINDS:
            for storage in STORAGES:
                before, after = problem(kind, shape, storage), problem(kind, shape, storage, ADVANCE)
                exact, _ = solve(np.ones(shape), after, 1e-13, work)
                for tolerance in TOLERANCES:
                    one = np.ones(shape)
                    start, cold = solve(one, before, tolerance, work)
                    end, warm = solve(start, after, tolerance, work)
                    error = np.abs((end - exact)[after[0] > 0.5]).max()
                    actions: list[Callable[[], object]] = [
                        lambda one=one, before=before, tolerance=tolerance, work=work: solve(
                            one, before, tolerance, work
                        ),
                        lambda start=start, after=after, tolerance=tolerance, work=work: solve(
                            start, after, tolerance, work
                        ),
                    ]
                    taken = seconds(max(3, rounds * 8192 // cells), *actions).min(1) / cells * 1e9
                    print(
                        f"| {' × '.join(map(str, shape))} | {kind} | {storage:g} | {tolerance:g} "
                        f"| {cold}, {taken[0]:.1f} | {warm}, {taken[1]:.1f} | {error:.0e} |",
                        flush=True,
                    )


def matrix(mobility: np.ndarray, storage: float, sink: np.ndarray, top_conductance: np.ndarray) -> csc_matrix:
    """A of a section (y, x)."""
    number = np.arange(mobility.size).reshape(mobility.shape)
    total = csc_matrix((mobility.size, mobility.size))
    for a, b, here, there in (
        (mobility, np.roll(mobility, -1, 1), number, np.roll(number, -1, 1)),
        (mobility[:-1], mobility[1:], number[:-1], number[1:]),
    ):
        face = (0.5 * (a + b) + elliptic.LEAK).ravel()
        i, j = here.ravel(), there.ravel()
        rows, columns = np.concatenate([i, j, i, j]), np.concatenate([i, j, j, i])
        total = total + csc_matrix((np.concatenate([face, face, -face, -face]), (rows, columns)), total.shape)
    diagonal = storage + sink
    diagonal[-1] += top_conductance
    return (total + diags(diagonal.ravel())).tocsc()


def print_peers() -> None:
    print("\niterations in 64 × 128 from far, tolerance " + " / ".join(f"{tolerance:g}" for tolerance in TOLERANCES))
    print("\n| surface | storage | diagonal | lateral mean | multigrid |\n" + "|---" * 5 + "|")
    shape = SHAPES[0]
    for kind in KINDS:
        for storage in STORAGES:
            case = problem(kind, shape, storage)
            mobility, _, sink, source, top_value, top = case
            a = matrix(mobility[0], storage, sink[0], top[0])
            level = [np.repeat(field[0].mean(1, keepdims=True), shape[2], 1) for field in (mobility, sink)]
            mean = matrix(level[0], storage, level[1], np.full(shape[2], top.mean()))
            inverse, scale = splu(mean), np.sqrt(a.diagonal() / mean.diagonal())
            arriving = source[0].copy()
            arriving[-1] += top[0] * top_value
            counts: list[list[int]] = [[], [], []]
            for tolerance in TOLERANCES:
                for index, action in enumerate(
                    (lambda r, a=a: r / a.diagonal(), lambda r, s=scale, m=inverse: m.solve(r / s) / s)
                ):
                    steps: list[int] = []
                    preconditioner = LinearOperator(a.shape, action)
                    start = np.ones(a.shape[0])
                    cg(
                        a,
                        arriving.ravel(),
                        start,
                        rtol=tolerance,
                        M=preconditioner,
                        callback=lambda _, s=steps: s.append(1),
                    )
                    counts[index].append(len(steps))
                counts[2].append(solve(np.ones(shape), case, tolerance, elliptic.workspace(*shape))[1])
            shown = (" / ".join(map(str, count)) for count in counts)
            print(f"| {kind} | {storage:g} | {' | '.join(shown)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="of the smallest grid")
    parser.add_argument("--peers", action="store_true", help="iterations with other preconditioners too")
    options = parser.parse_args()
    print_solves(options.rounds)
    if options.peers:
        print_peers()


if __name__ == "__main__":
    main()
