"""How many operator applications the load of a rough surface takes, and how many steps ring-in of the same operator.

    python benchmarks/emission_applications.py

The error counts against a solve to 1e-6, relative to the excess over the flat surface. "Needed": from there on it
stays below; "stops": where the solver's own estimate lets it stop, with the error there, the largest of the seeds.
Random surfaces: mean (largest) of the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from emission_cases import QUARTZ, WATER, rough, sinusoid, spacing
from emission_steps import Problem, problem, recurrence_loads, ring_in_loads
from torch import Tensor

from hmm_plating.emission import solve

OVERTONE, TOLERANCES = 3, (1e-2, 1e-3)
RING_IN_LIMIT, EVERY, CHUNK = 100_000, 5, 200


class Case(NamedTuple):
    """Surfaces (one, or one per seed) of one box and penetration depth [cells]."""

    name: str
    surfaces: Sequence[Tensor]
    depth: float

    @property
    def box(self) -> str:
        rows, width = self.surfaces[0].shape
        return f"{rows} × {width}"


def waves(rows: int, width: int, amplitude: float, depth: float) -> Case:
    return Case(f"sinusoid of {amplitude:g}", [sinusoid(rows, width, amplitude)], depth)


def random(rows: int, width: int, rms: float, correlation: float, depth: float, seeds: int = 4) -> Case:
    surfaces = [rough(rows, width, rms, correlation, seed) for seed in range(seeds)]
    return Case(f"random, rms {rms:g}, length {correlation:g}", surfaces, depth)


NAMED = (waves(32, 64, 6, 12), random(64, 64, 8, 4, 10, seeds=16))
VARIED = (
    waves(32, 64, 6, 6),
    waves(32, 64, 6, 24),
    waves(32, 128, 6, 12),
    waves(32, 256, 6, 12),
    random(64, 64, 2, 4, 10),
    random(64, 64, 4, 4, 10),
    random(64, 64, 8, 4, 5),
    random(64, 64, 8, 4, 20),
    random(128, 64, 8, 4, 10),
    random(64, 128, 8, 4, 10),
    random(256, 256, 8, 4, 10),
    random(128, 128, 16, 8, 20),
    random(256, 256, 32, 16, 40),
    random(256, 256, 32, 8, 20),
)


def history(surface: Tensor, depth: float) -> tuple[Problem, np.ndarray, complex]:
    """The recurrence's load after 1, 2, … applications, and the load it converges to."""
    case = problem(surface, spacing(depth, OVERTONE))
    most = stops(surface, depth, 1e-6)
    loads = np.empty(most, complex)
    leaving = np.zeros((2 * len(case.operator[0].weights), case.operator[1].slots))
    recurrence_loads(*case.operator, case.residual.copy(), np.empty_like(case.start), leaving, case.load, loads)
    return case, loads, loads[-1]


def stops(surface: Tensor, depth: float, tolerance: float) -> int:
    options = {"tolerance": tolerance, "absolute_tolerance": 1e-30, "keep_field": False}
    return int(solve(surface, spacing(depth, OVERTONE), [OVERTONE], WATER, QUARTZ, **options).applications)


def error(case: Problem, loads: np.ndarray, converged: complex) -> np.ndarray:
    return np.abs(loads - converged) / abs(converged - case.flat)


def needed(case: Problem, loads: np.ndarray, converged: complex, tolerance: float) -> int:
    above = np.flatnonzero(error(case, loads, converged) > tolerance)
    return int(above[-1]) + 2 if len(above) else 1


def ring_in(case: Problem, converged: complex, tolerance: float) -> tuple[int | None, int | None]:
    """Steps until the plain and the corrected load first come within the tolerance; None beyond the limit."""
    field, reached = case.start.copy(), [None, None]
    accepted = tolerance * abs(converged - case.flat)
    for first in range(0, RING_IN_LIMIT, CHUNK * EVERY):
        loads = np.empty((2, CHUNK), complex)
        ring_in_loads(*case.operator, field, case.source, case.constant, EVERY, *loads)
        for kind in range(2):
            within = np.flatnonzero(np.abs(loads[kind] - converged) <= accepted)
            if reached[kind] is None and len(within):
                reached[kind] = first + EVERY * int(within[0]) + 1
        if None not in reached:
            break
    return reached[0], reached[1]


def spread(counts: Sequence[int | None]) -> str:
    """Mean (largest), or the one."""
    if None in counts:
        found = [count for count in counts if count is not None]
        return f"{len(found)} of {len(counts)} within {RING_IN_LIMIT}" if found else f"> {RING_IN_LIMIT}"
    return f"{np.mean(counts):.0f} ({max(counts)})" if len(counts) > 1 else f"{counts[0]}"


def main() -> None:
    heads = [f"{word}, {tolerance:g}" for tolerance in TOLERANCES for word in ("needed", "stops", "error there")]
    print("| surface [cells] | box | δ | " + " | ".join(heads) + " |\n" + "|---" * 9 + "|")
    for case in (*NAMED, *VARIED):
        runs = [history(surface, case.depth) for surface in case.surfaces]
        shown = []
        for tolerance in TOLERANCES:
            stopped = [stops(surface, case.depth, tolerance) for surface in case.surfaces]
            errors = [error(*run)[count - 1] for run, count in zip(runs, stopped, strict=True)]
            shown += [spread([needed(*run, tolerance) for run in runs]), spread(stopped), f"{max(errors):.1e}"]
        print(f"| {case.name} | {case.box} | {case.depth:g} | " + " | ".join(shown) + " |", flush=True)

    heads = [f"{load}, {tolerance:g}" for tolerance in TOLERANCES for load in ("plain", "corrected")]
    print("\n| ring-in | box | δ | " + " | ".join(heads) + " |\n" + "|---" * 7 + "|")
    for case in (NAMED[0], *(random(64, 64, rms, 4, 10) for rms in (2, 8))):
        pairs = []
        for surface in case.surfaces:
            prepared, _, converged = history(surface, case.depth)
            pairs.append([count for tolerance in TOLERANCES for count in ring_in(prepared, converged, tolerance)])
        counts = [spread(column) for column in zip(*pairs, strict=True)]
        print(f"| {case.name} | {case.box} | {case.depth:g} | " + " | ".join(counts) + " |", flush=True)


if __name__ == "__main__":
    main()
