"""FiPy's anisotropic dendrite (its examples/phase/anisotropy.py; Warren et al., Acta Mater. 51 (2003) 6035): as JSON.

Run by `transition_classical.py` with the interpreter of an environment with FiPy (`pip install fipy`).
The problem's constants are FiPy's; the grid is 256² of its cells.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

CELLS, SPACING, SEED_RADIUS = 256, 0.025, 5 * 0.025
HEAT_DIFFUSIVITY, ALPHA, ANISOTROPY, FOLD, ORIENTATION = 2.25, 0.015, 0.02, 6, np.pi / 8
TAU, KAPPA1, KAPPA2, UNDERCOOLING = 3e-4, 0.9, 20.0, -0.5
EXAMPLE_STEP, DURATION, REFINEMENT = 5e-4, 0.01, 8  # an explicit step must be 8 times shorter than the example's


def seed() -> np.ndarray:
    """Solid disc in the middle of the box (y, x)."""
    x = (np.arange(CELLS) + 0.5 - CELLS / 2) * SPACING
    return (x**2 + x[:, None] ** 2 < SEED_RADIUS**2).astype(float)


def area_and_tip(phase: np.ndarray) -> tuple[float, float]:
    """Solid area and largest distance from the centre at which φ crosses ½ between two cells of a row."""
    left, right = phase[:, :-1], phase[:, 1:]
    row, column = np.nonzero((left > 0.5) != (right > 0.5))
    a, b = left[row, column], right[row, column]
    x = column + 0.5 + (a - 0.5) / (a - b) - CELLS / 2
    return float(phase.sum()) * SPACING**2, float(np.hypot(x, row + 0.5 - CELLS / 2).max()) * SPACING


def fipy(time_step: float) -> dict[str, float | str]:
    import fipy
    from fipy import CellVariable, DiffusionTerm, Grid2D, ImplicitSourceTerm, TransientTerm, Variable, numerix

    mesh = Grid2D(dx=SPACING, dy=SPACING, nx=CELLS, ny=CELLS)
    phase, undercooling = (CellVariable(mesh=mesh, hasOld=True) for _ in range(2))
    heat = TransientTerm() == DiffusionTerm(HEAT_DIFFUSIVITY) + (phase - phase.old) / time_step
    angle = ORIENTATION + numerix.arctan2(phase.faceGrad[1], phase.faceGrad[0])
    half = numerix.tan(FOLD * angle / 2)
    beta, slope = (1 - half**2) / (1 + half**2), -FOLD * 2 * half / (1 + half**2)
    along, across = Variable(value=((1, 0), (0, 1))), Variable(value=((0, -1), (1, 0)))
    tensor = ALPHA**2 * (1 + ANISOTROPY * beta) * ((1 + ANISOTROPY * beta) * along + ANISOTROPY * slope * across)
    drive = phase - 0.5 - KAPPA1 / np.pi * numerix.arctan(KAPPA2 * undercooling)
    order = TransientTerm(TAU) == DiffusionTerm(tensor) + ImplicitSourceTerm(drive * (1 - phase))
    phase.setValue(seed().ravel())
    undercooling.setValue(UNDERCOOLING)
    times = []
    for _ in range(round(DURATION / time_step)):
        begin = time.perf_counter()
        phase.updateOld()
        undercooling.updateOld()
        order.solve(phase, dt=time_step)
        heat.solve(undercooling, dt=time_step)
        times.append(time.perf_counter() - begin)
    area, tip = area_and_tip(phase.value.reshape(CELLS, CELLS))
    version = f"FiPy {fipy.__version__}, {fipy.solvers.solver_suite}"
    return {"peer": version, "time_step": time_step, "seconds": float(np.median(times)), "area": area, "tip": tip}


def main() -> None:
    for time_step in (EXAMPLE_STEP, EXAMPLE_STEP / REFINEMENT):
        print(json.dumps(fipy(time_step)), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
