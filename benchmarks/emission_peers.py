"""Real-valued D2Q9 collide-and-stream of other lattice Boltzmann codes, one thread: million cells per second as JSON.

Run by `emission_kernel.py` with the interpreter of an environment in which they are installed:

    pip install lbmpy cython xlb warp-lang==1.7.0
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
ROUNDS, UPDATES = 5, 4_000_000
DISTRIBUTION = {"lettuce": "lettucecfd"}


def rate(advance: Callable[[int], object], cells: int, updates: int = UPDATES) -> float:
    """Best of some rounds [million cells per second]."""
    steps = max(1, updates // cells)
    advance(steps)
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        advance(steps)
        times.append(time.perf_counter() - begin)
    return cells * steps / min(times) / 1e6


def lbmpy(width: int, height: int, precision: str) -> float:
    """Linear-equilibrium TRT, generated and compiled by gcc; pull scheme with two arrays."""
    import numpy as np
    import pystencils
    from lbmpy import LBMConfig, LBMOptimisation, LBStencil, Method, Stencil
    from lbmpy.creationfunctions import create_lb_update_rule

    source, target = pystencils.fields(f"src(9), dst(9): {precision}[{width + 2},{height + 2}]", layout="fzyx")
    config = LBMConfig(
        stencil=LBStencil(Stencil.D2Q9), method=Method.TRT, relaxation_rates=[1.4, 1.1], equilibrium_order=1
    )
    arrays = LBMOptimisation(symbolic_field=source, symbolic_temporary_field=target)
    rule = create_lb_update_rule(lbm_config=config, lbm_optimisation=arrays)
    options = pystencils.CreateKernelConfig(target=pystencils.Target.GenericCPU, default_dtype=precision)
    compiled = pystencils.create_kernel(rule, options).compile()
    fields = [np.full((9, height + 2, width + 2), 0.1, precision).transpose(2, 1, 0) for _ in range(2)]

    def advance(steps: int) -> None:
        for _ in range(steps):
            compiled(src=fields[0], dst=fields[1])
            fields.reverse()

    return rate(advance, width * height)


def xlb(width: int, height: int, precision: str) -> float:
    """BGK with the JAX backend, compiled by XLA."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    import xlb
    from xlb.compute_backend import ComputeBackend
    from xlb.operator.collision import BGK
    from xlb.operator.equilibrium import QuadraticEquilibrium
    from xlb.operator.macroscopic import Macroscopic
    from xlb.operator.stream import Stream
    from xlb.precision_policy import PrecisionPolicy
    from xlb.velocity_set import D2Q9

    policy = PrecisionPolicy.FP64FP64 if precision == "float64" else PrecisionPolicy.FP32FP32
    velocities = D2Q9(precision_policy=policy, compute_backend=ComputeBackend.JAX)
    xlb.init(velocity_set=velocities, default_backend=ComputeBackend.JAX, default_precision_policy=policy)
    stream, collide, equilibrium, macroscopic = Stream(), BGK(), QuadraticEquilibrium(), Macroscopic()

    def step(_, f):
        f = stream(f)
        density, velocity = macroscopic(f)
        return collide(f, equilibrium(density, velocity), density, velocity, 1.4)

    many = jax.jit(lambda f, steps: jax.lax.fori_loop(0, steps, step, f))
    f = jnp.full((9, width, height), 0.1, precision)
    return rate(lambda steps: many(f, steps).block_until_ready(), width * height, UPDATES // 10)


def lettuce(width: int, height: int, precision: str) -> float:
    """BGK with periodic boundaries in torch."""
    import lettuce
    import torch

    torch.set_num_threads(1)
    context = lettuce.Context("cpu", getattr(torch, precision), use_native=False)
    flow = lettuce.TaylorGreenVortex(context, [width, height], 100, 0.05, lettuce.D2Q9())
    simulation = lettuce.Simulation(flow, lettuce.BGKCollision(flow.units.relaxation_parameter_lu), [])
    return rate(simulation, width * height, UPDATES // 10)


def main() -> None:
    for peer in (lbmpy, xlb, lettuce):
        for precision in ("float64", "float32"):
            for width, height in ((64, 64), (128, 64), (1024, 1024)):
                result = {"peer": peer.__name__, "precision": precision, "grid": f"{width} × {height}"}
                try:
                    result["rate"] = peer(width, height, precision)
                    result["version"] = importlib.metadata.version(DISTRIBUTION.get(peer.__name__, peer.__name__))
                except Exception as error:  # whatever keeps a peer from running here is part of the result
                    result["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
                print(json.dumps(result), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
