"""Variance of the log evidence with the instrument's linear response marginalised and with it sampled.

    OMP_NUM_THREADS=1 python benchmarks/rao_blackwell.py --runs 20

One simulated plating; the same particles, seeds and surface in both.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from hmm_plating import Grid, PlatingModel, Protocol, simulate_recording
from hmm_plating.filter_recording import drives, observations
from hmm_plating.inference import LinearPart, ParticleFilter, observe_linear, start_linear
from hmm_plating.model import State
from hmm_plating.model_file import load_model_file


class Sampled(PlatingModel):
    """The plating model whose linear response is drawn instead of marginalised."""

    def init(self, state: State) -> None:
        super().init(state)
        belief = self.instrument.initial(self.overtones)
        start_linear(state, "coefficient", *belief, len(state["step"]), marginalise=False)

    def _observe(self, state: State, observation: Tensor | None, part: LinearPart) -> Tensor:
        return observe_linear(state, "coefficient", "observation", observation, part, marginalise=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--particles", type=int, default=32)
    options = parser.parse_args()
    build = load_model_file(str(Path(__file__).parents[1] / "models" / "zinc.py"))
    protocol = Protocol(cycles=0, sampling=2.0, rest_time=4.0, plating_time=16.0)
    simulated, _ = simulate_recording(build, protocol, seed=1)
    small = Grid(width=256e-9, height=128e-9, spacing=4e-9, interface_width=16e-9, coarsening=2)
    model = replace(build(simulated), grid=small)
    fields = {name: getattr(model, name) for name in model.__dataclass_fields__}
    imposed, seen = drives(simulated, model.instrument.lag_times), observations(simulated)
    for name, candidate in {"marginalised": model, "sampled": Sampled(**fields)}.items():
        values, begin = [], time.perf_counter()
        for seed in range(options.runs):
            particle_filter = ParticleFilter(candidate, options.particles, predictive_draws=0, posterior_draws=0)
            values.append(particle_filter.run(seen, imposed, seed=seed).attrs["log_evidence"])
        print(
            f"{name}: log evidence {np.mean(values):.2f}, variance {np.var(values, ddof=1):.4g}, "
            f"{time.perf_counter() - begin:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
