"""Simulations per second of SMC-ABC with default settings on a simulator that costs nothing, one thread.

python benchmarks/smc_abc_throughput.py
"""

from __future__ import annotations

import time

import numpy as np
import torch
from pyro import distributions as dist

from hmm_plating.inference import SMCABC


def main() -> None:
    torch.set_num_threads(1)
    method = SMCABC(dist.Normal(torch.zeros(1), 1.0).to_event(1), lambda theta: theta + torch.randn_like(theta))
    for simulations in (100_000, 1_000_000):
        rates = []
        for seed in range(4):
            start = time.perf_counter()
            method.run(torch.tensor([0.5]), simulations=simulations, seed=seed)
            rates.append(simulations / (time.perf_counter() - start))
        print(f"{simulations} simulations: {np.median(rates[1:]):.3g} per second")


if __name__ == "__main__":
    main()
