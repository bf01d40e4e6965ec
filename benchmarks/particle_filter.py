"""Throughput of the bootstrap filter on a scalar linear-Gaussian series, side by side with its peers, one thread.

    OMP_NUM_THREADS=1 python benchmarks/particle_filter.py --peers PYTHON

x_t = 0.9 x_{t−1} + N(0, 1), y_t = x_t + N(0, 0.2²), T = 1000, systematic resampling below half of N. The same Pyro
program runs in this filter and in `pyro.infer.SMCFilter` (which resamples likewise); PYTHON has Chopin's `particles`.
All take turns; nothing but the log evidence is recorded. Times are those of the process (user and system), so that
other work on the machine counts less.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SMCFilter
from torch import Tensor

from hmm_plating.inference import ParticleFilter


class LinearGauss:
    """The Pyro program; `dtype` is that of its state."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.origin = torch.zeros((), dtype=dtype)

    def init(self, state: dict[str, Tensor]) -> None:
        state["x"] = pyro.sample("x_0", dist.Normal(self.origin, 1.0))

    def step(self, state: dict[str, Tensor], y: Tensor) -> None:
        state["x"] = pyro.sample("x", dist.Normal(0.9 * state["x"], 1.0))
        pyro.sample("y", dist.Normal(state["x"], 0.2), obs=y)


class NoGuide(LinearGauss):
    """SMCFilter wants a guide: the model's own draws."""

    def init(self, state: dict[str, Tensor]) -> None:
        pyro.sample("x_0", dist.Normal(self.origin, 1.0))

    def step(self, state: dict[str, Tensor], y: Tensor) -> None:
        pyro.sample("x", dist.Normal(0.9 * state["x"], 1.0))


def ours(series: Tensor, count: int, dtype: torch.dtype) -> tuple[float, float]:
    particle_filter = ParticleFilter(LinearGauss(dtype), count, predictive_draws=0, posterior_draws=0)
    begin = time.process_time()
    state = particle_filter.init(seed=1)
    for y in series.to(dtype):
        state, _ = particle_filter.update(state, y)
    return time.process_time() - begin, state.log_evidence


def smcfilter(series: Tensor, count: int) -> tuple[float, float]:
    dtype = torch.float64
    algorithm = SMCFilter(LinearGauss(dtype), NoGuide(dtype), count, max_plate_nesting=0, ess_threshold=0.5)
    begin = time.process_time()
    with torch.no_grad():
        algorithm.init()
        try:
            for y in series.to(dtype):
                algorithm.step(y)
        except IndexError:  # its resampling returns index N now and then
            return math.inf, math.nan
    return time.process_time() - begin, math.nan


def simulated(steps: int) -> Tensor:
    generator, x, series = np.random.default_rng(1), 0.0, []
    for _ in range(steps):
        x = 0.9 * x + generator.normal()
        series.append(x + 0.2 * generator.normal())
    return torch.tensor(series, dtype=torch.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="interpreter of an environment with `particles`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    series = simulated(options.steps)
    contestants = {
        "this filter": lambda count: ours(series, count, torch.float64),
        "this filter, float32 program": lambda count: ours(series, count, torch.float32),
        "SMCFilter": lambda count: smcfilter(series, count),
    }
    if options.peers:
        script = Path(__file__).with_name("particle_filter_peers.py")
        peer = subprocess.Popen([options.peers, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert peer.stdin is not None
        assert peer.stdout is not None
        to_peer, from_peer = peer.stdin, peer.stdout
        print(json.dumps(series.tolist()), file=to_peer, flush=True)

        def particles(count: int) -> tuple[float, float]:
            print(count, file=to_peer, flush=True)
            seconds, log_evidence = json.loads(from_peer.readline())
            return seconds, log_evidence

        contestants["particles"] = particles
    for count in (10_000, 100_000):
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(options.rounds + 1):
            for name, run in contestants.items():
                taken, log_evidence = run(count)
                if turn:  # the first compiles
                    rates[name].append(count * options.steps / taken / 1e6)
                elif name != "SMCFilter":
                    print(f"N = {count}, {name}: log evidence {log_evidence:.2f}", flush=True)
        reference = np.median(rates["this filter"])
        for name, values in rates.items():
            failed = sum(value == 0 for value in values)
            values = [value for value in values if value > 0]
            if failed:
                print(f"N = {count}, {name}: {failed} of {failed + len(values)} runs ended in an error")
            if not values:
                continue
            print(
                f"N = {count}, {name}: {np.median(values):.2f} (best {max(values):.2f}) million particle-steps/s, "
                f"this filter is {reference / np.median(values):.2f} times as fast",
                flush=True,
            )


if __name__ == "__main__":
    main()
