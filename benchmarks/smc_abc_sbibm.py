"""Accuracy of SMC-ABC on five tasks of sbibm: classifier two-sample tests against the reference posteriors.

    python benchmarks/smc_abc_sbibm.py --published ../shared/data/published/sbibm_c2st.csv

All tasks have the default settings, with one rule that knows only the shapes: where data outnumber the parameters,
summaries are learned. The two-sample test by neural network takes half a minute and more per result, so all of it takes
hours on one core; needs the extra `benchmark`.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import torch
from sbibm_tasks import TASKS, c2st, case

from hmm_plating.inference import SMCABC
from hmm_plating.inference.smc_abc import PosteriorMoments, euclidean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--observations", nargs="+", type=int, help="default 1 2 3; 1 to 10 for two_moons")
    parser.add_argument("--simulations", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--classifier-seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--published", type=Path, help="sbibm's own results, to compare with")
    given = parser.parse_args()
    published = _published(given.published)
    for simulations in given.simulations:
        for task in given.tasks:
            observations = given.observations or list(range(1, 11 if task == "two_moons" else 4))
            scores, theirs = [], []
            for observation in observations:
                observed, reference = case(task, observation)
                start = time.perf_counter()
                draws = posterior(task, observed, simulations, observation)
                seconds = time.perf_counter() - start
                scores.append(sum(c2st(reference, draws, seed) for seed in given.classifier_seeds))
                scores[-1] /= len(given.classifier_seeds)
                theirs.append(published.get((task, simulations, observation), float("nan")))
                print(
                    f"{task:17} {simulations:7d} observation {observation:2d}: {scores[-1]:.3f} (published "
                    f"{theirs[-1]:.3f}), {seconds:.1f} s",
                    flush=True,
                )
            mean, their_mean = sum(scores) / len(scores), sum(theirs) / len(theirs)
            print(f"{task:17} {simulations:7d} mean: {mean:.3f} (published {their_mean:.3f})", flush=True)


def posterior(task: str, observed: torch.Tensor, simulations: int, seed: int) -> torch.Tensor:
    """10 000 draws (draws, d)."""
    prior, simulator = TASKS[task]
    method = SMCABC(prior, simulator, draws=10_000)
    if observed.numel() > prior.event_shape.numel():
        method = SMCABC(prior, simulator, draws=10_000, learned_summary=PosteriorMoments(), distance=euclidean)
    result = method.run(observed, simulations=simulations, seed=seed)
    return torch.from_numpy(result.posterior.theta.values[0])


def _published(path: Path | None) -> dict[tuple[str, int, int], float]:
    if path is None:
        return {}
    with open(path) as file:
        return {
            (row["task"], int(row["num_simulations"]), int(row["num_observation"])): float(row["C2ST"])
            for row in csv.DictReader(file)
            if row["algorithm"] == "SMC-ABC"
        }


if __name__ == "__main__":
    main()
