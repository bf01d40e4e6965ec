"""Static parameters of a scalar linear-Gaussian model: distance from the exact posterior, evidence and time.

    PYTHONPATH=tests/inference python benchmarks/static_parameters.py

Model, prior and the posterior on a grid are those of `tests/inference/two_parameters.py`; 50 observations.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from arviz import InferenceData
from two_parameters import Autoregression, GridPosterior, prior, simulate

from hmm_plating.inference import PMMH, SMC2, liu_west

SEEDS = range(5)


def methods() -> dict[str, Callable[[torch.Tensor, int], InferenceData]]:
    return {
        "PMMH, 64 chains of 370 proposals, 48 particles": lambda y, seed: PMMH(
            Autoregression, prior, 48, chains=64, warmup=120
        ).run(y, draws=250, seed=seed),
        "SMC², 2000 parameter values, 48 particles": lambda y, seed: SMC2(Autoregression, prior, 2000, 48).run(
            y, seed=seed
        ),
        "Liu–West, 10 000 particles": lambda y, seed: liu_west(Autoregression, prior, 10_000).run(y, seed=seed),
    }


def main() -> None:
    torch.set_num_threads(1)
    y = simulate(50, seed=1)
    exact = GridPosterior(y)
    print("| method | distance, rho | distance, q | error of the log evidence | time |\n|---|---|---|---|---|")
    for name, run in methods().items():
        distances, errors, times = {"rho": [], "q": []}, [], []
        for seed in SEEDS:
            start = time.perf_counter()
            result = run(y, seed)
            times.append(time.perf_counter() - start)
            errors.append(result.attrs.get("log_evidence", np.nan) - exact.log_evidence)
            for parameter in distances:
                draws = result.posterior[parameter]
                draws = draws.isel(time=-1) if "time" in draws.dims else draws
                distances[parameter].append(exact.distance(parameter, draws.values))
        worst = " | ".join(f"{max(values):.3f}" for values in distances.values())
        error = "" if np.isnan(errors).any() else f"{np.mean(errors):+.2f} ± {np.std(errors):.2f}"
        print(f"| {name} | {worst} | {error} | {np.median(times):.1f} s |", flush=True)


if __name__ == "__main__":
    main()
