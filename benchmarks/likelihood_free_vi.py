"""Likelihood-free VI against exact answers: gaussian linear in 2 and 10 dimensions, and sbibm's two moons.

    python benchmarks/likelihood_free_vi.py                      # everything, five seeds
    python benchmarks/likelihood_free_vi.py two-moons --seeds 1 --observations 1

Gaussian linear: KL(q ‖ p) [nats] to the exact posterior. Two moons: sbibm's classifier two-sample test (C2ST, .5 is
indistinguishable), mean over classifier seeds, against the reference posterior in the `sbibm` wheel, which is put into
a cache and read as a zip file, never installed; and the part of the draws in the smaller of the two modes.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pyro.distributions as dist
import torch
from sbibm_tasks import TASKS, c2st, case
from torch import Tensor

from hmm_plating.inference.likelihood_free_vi import LFVI, FlowGuide, NormalGuide

VARIANCE = 0.1


def gaussian_linear(dimension: int, simulations: int, seed: int) -> float:
    """KL(q ‖ p) of sbibm's gaussian_linear, θ ~ N(0, 0.1), x ~ N(θ, 0.1), in any dimension, at data of this seed."""
    prior = dist.Normal(torch.zeros(dimension), VARIANCE**0.5).to_event(1)

    def simulator(theta: Tensor) -> Tensor:
        return theta + VARIANCE**0.5 * torch.randn_like(theta)

    torch.manual_seed(1000 + seed)
    observed = simulator(prior.sample())
    result = LFVI((prior, simulator), NormalGuide, draws=20_000).run(observed, simulations=simulations, seed=seed)
    exact = dist.Normal(observed / 2, (VARIANCE / 2) ** 0.5).to_event(1)
    draws = torch.as_tensor(result.posterior["theta"].values[0])
    log_guide = torch.as_tensor(result.sample_stats["log_guide"].values[0])
    return float((log_guide - exact.log_prob(draws)).mean())


def two_moons(observation: int, simulations: int, seed: int, classifier_seeds: int) -> tuple[list[float], float, str]:
    """C2ST per classifier seed, part of the draws in the smaller mode, and what LFVI cautions about."""
    observed, reference = case("two_moons", observation)
    run = LFVI(TASKS["two_moons"], FlowGuide, draws=len(reference)).run
    result = run(observed, simulations=simulations, seed=seed)
    draws = torch.as_tensor(result.posterior["theta"].values[0])
    right = float((draws.sum(-1) > 0).double().mean())
    scores = [c2st(reference, draws, 1 + number) for number in range(classifier_seeds)]
    return scores, min(right, 1 - right), result.attrs["cautions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=["gaussian-linear", "two-moons"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--simulations", type=int, default=100_000, help="of two moons")
    parser.add_argument("--observations", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--classifier-seeds", type=int, default=3)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    warnings.simplefilter("ignore", RuntimeWarning)
    if "gaussian-linear" in options.tasks:
        for dimension, simulations in ((2, 10_000), (10, 20_000)):
            found = []
            for seed in seeds:
                start = time.perf_counter()
                found.append(gaussian_linear(dimension, simulations, seed))
                elapsed = time.perf_counter() - start
                print(
                    f"gaussian linear d={dimension} seed {seed}: KL {found[-1]:.5f} nats, {elapsed:.0f} s", flush=True
                )
            print(
                f"gaussian linear d={dimension}, {simulations} simulations: worst KL {max(found):.5f} nats", flush=True
            )
    if "two-moons" in options.tasks:
        worst = []
        for observation in options.observations:
            for seed in seeds:
                start = time.perf_counter()
                scores, smaller, cautions = two_moons(observation, options.simulations, seed, options.classifier_seeds)
                worst.append(float(np.mean(scores)))
                print(
                    f"two moons observation {observation} seed {seed}: C2ST {worst[-1]:.3f} "
                    f"({', '.join(f'{score:.3f}' for score in scores)}), smaller mode {smaller:.2f}, "
                    f"{time.perf_counter() - start:.0f} s {cautions}",
                    flush=True,
                )
        print(f"two moons, {options.simulations} simulations: worst C2ST {max(worst):.3f}")


if __name__ == "__main__":
    main()
