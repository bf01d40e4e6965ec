"""Speed of the emission's operator on one thread, beside the machine's copy bandwidth and other lattice codes.

    python benchmarks/emission_kernel.py [--peers PYTHON]

An application streams and collides every cell of a complex field once. Three forms of it: in two passes, as
the solver does, with all that a step of the Lanczos recurrence adds (two inner products, three vectors), and in one
pass with two arrays. Beside the copy bandwidth stands a bound of any application with plain stores: the shifted reads
and writes of all populations in blocks, without a collision.
`PYTHON` is the interpreter of an environment with the peers (`emission_peers.py`); they compute in real arithmetic.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from emission_cases import spacing
from emission_steps import fused_steps, problem, recurrence_loads, split_steps, stream_steps
from numba import njit
from turns import seconds

ROUNDS, UPDATES = 7, 2_000_000
FORMS = ("two passes", "step of the recurrence", "one pass")
# Reals per cell that each moves at least: populations read and written once; a step of the recurrence reads v, C v and
# the former vector and writes that in its first pass, reads both vectors and writes the new one and its collision in
# the second, with 7 factors of the cell.
BESIDE_COPY = {"streaming alone": 36, "one pass": 36, "two passes": 36, "step of the recurrence": 8 * 18 + 7}


@njit(nogil=True)
def copy(target: np.ndarray, source: np.ndarray) -> None:
    for index in range(source.size):
        target[index] = source[index]


def forms(cells: tuple[int, ...], real: type) -> tuple[list[Callable[[], object]], int]:
    """The three forms over a flat crystal, then streaming alone, and the cell updates of each."""
    flat = torch.zeros(*cells[:-2], cells[-2] + 1, cells[-1], dtype=torch.float64)
    flat[..., -2, 0] = 1e-13  # a trace of metal: a box ends above the highest
    case = problem(flat, spacing(12, 3), real=real)
    lattice, box = case.operator[:2]
    steps = max(4, UPDATES // int(np.prod(cells)))
    planes = [np.zeros((2 * len(lattice.weights), box.slots), real) for _ in range(2)]
    vectors, history = [case.residual.copy() for _ in range(2)], np.empty(steps, complex)

    def recurrence() -> None:
        vectors[0][:] = case.residual
        recurrence_loads(*case.operator, *vectors, planes[1], case.load, history)

    one = lambda: fused_steps(*case.operator, *planes, steps)  # noqa: E731
    two = lambda: split_steps(*case.operator, case.start, planes[0], steps)  # noqa: E731
    alone = lambda: stream_steps(lattice, box, *planes, steps)  # noqa: E731
    return [two, recurrence] if len(cells) == 3 else [two, recurrence, one, alone], steps * int(np.prod(cells))


def print_speeds() -> None:
    print("| million cells per second, median (best) | | " + " | ".join(FORMS) + " |\n" + "|---" * 5 + "|")
    for cells in ((64, 64), (64, 128), (1024, 1024), (32, 32, 32)):
        for real, name in ((np.float64, "complex128"), (np.float32, "complex64")):
            actions, updates = forms(cells, real)
            rates = updates / seconds(ROUNDS, *actions[: len(FORMS)]) / 1e6
            shown = [f"{np.median(rate):.0f} ({rate.max():.0f})" for rate in rates]
            shown += [""] * (len(FORMS) - len(shown))
            print(f"| {' × '.join(map(str, cells[::-1]))} | {name} | {' | '.join(shown)} |", flush=True)


def print_bandwidth(threads: int) -> None:
    """1024² beside a copy, on as many threads as given, each with arrays of its own."""
    arrays = [(np.zeros(20_000_000), np.ones(20_000_000)) for _ in range(threads)]
    for real, name in ((np.float64, "complex128"), (np.float32, "complex64")):
        each = [forms((1024, 1024), real) for _ in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            taken = seconds(
                ROUNDS,
                lambda: list(pool.map(copy, *zip(*arrays, strict=True))),
                *(lambda form=form, each=each: [*pool.map(lambda one: one[0][form](), each)] for form in (3, 2, 0, 1)),
            )
        copied = np.median(threads * 2 * arrays[0][0].nbytes / taken[0]) / 1e9
        moved = [
            np.median(threads * each[0][1] * reals * real().nbytes / times) / 1e9
            for reals, times in zip(BESIDE_COPY.values(), taken[1:], strict=True)
        ]
        shown = " | ".join(f"{rate:.1f} ({rate / copied:.0%})" for rate in moved)
        print(f"| {name} | {threads} | {copied:.1f} | {shown} |", flush=True)


def print_peers(python: str) -> None:
    script = Path(__file__).with_name("emission_peers.py")
    output = subprocess.run([python, script], capture_output=True, text=True, check=True).stdout
    rows: dict[tuple[str, str], dict[str, str]] = {}
    failed: set[str] = set()
    for line in output.splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            if "error" in found:
                failed.add(f"{found['peer']} does not run: {found['error']}")
                continue
            row = rows.setdefault((f"{found['peer']} {found['version']}", found["precision"]), {})
            row[found["grid"]] = f"{found['rate']:.0f}"
    for peer in sorted(failed):
        print(peer)
    if not rows:
        return
    grids = next(iter(rows.values()))
    print("| peer, real arithmetic, million cells per second | | " + " | ".join(grids) + " |\n" + "|---" * 5 + "|")
    for (peer, precision), row in rows.items():
        print(f"| {peer} | {precision} | " + " | ".join(row.values()) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter of an environment with the peers")
    options = parser.parse_args()
    print_speeds()
    print(
        "\n| 1024 × 1024, GB/s (of the copy) | threads | copy | " + " | ".join(BESIDE_COPY) + " |\n" + "|---" * 7 + "|"
    )
    for threads in (1, 2):
        print_bandwidth(threads)
    if options.peers:
        print()
        print_peers(options.peers)


if __name__ == "__main__":
    main()
