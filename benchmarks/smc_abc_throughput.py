"""Simulations per second of one core's time, SMC-ABC with default settings on a simulator that costs nothing.

Processor time, as the other threads of a shared machine are not the method's.

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
            start = time.process_time()
            method.run(torch.tensor([0.5]), simulations=simulations, seed=seed)
            rates.append(simulations / (time.process_time() - start))
        print(f"{simulations} simulations: {np.median(rates[1:]):.3g} per second")


if __name__ == "__main__":
    main()
