"""Guided against bootstrap filter on simulated platings: effective sample size at equal N, error at equal time.

    OMP_NUM_THREADS=1 python benchmarks/particle_filter_guided.py --recordings 6 [--cases 4 --reference 512]

Cases: the zinc model as it is; its surface seen through an instrument that is known but for 2 % and the baselines; the
same at five times the current, and with a current efficiency that fluctuates within seconds. Noise is that of the zinc
recording, per overtone. "Adapted" is guided and auxiliary. Errors are those of the posterior mean against the truth,
most of which is the posterior's own width, and against the mean of an adapted filter with many particles: the filter's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyro.distributions as dist
import xarray as xr

import hmm_plating as hp
from hmm_plating.filter_recording import drives, observations
from hmm_plating.inference import ParticleFilter, SecantProposal
from hmm_plating.model_file import load_model_file

OVERTONES = (3, 5, 7, 9, 11)
FREQUENCY_NOISE = (0.23, 0.39, 0.66, 0.80, 0.64)  # of Δf/n [Hz], as `hmm_plating.recording` estimates it
DISSIPATION_NOISE = (0.51e-7, 1.07e-7, 1.98e-7, 2.86e-7, 1.61e-7)
GRID = hp.Grid(width=256e-9, height=256e-9, spacing=4e-9, interface_width=16e-9, coarsening=2)
KNOWN = hp.InstrumentResponse(
    terms=(
        hp.LinearTerm("sensitivity", "frequency", 0.02, 4e5, lambda s, d: s.frequency, mean=1.0),
        hp.LinearTerm("baseline", "frequency", 5.0, 2000.0, lambda s, d: 1.0),
        hp.LinearTerm("sensitivity", "dissipation", 0.02, 4e5, lambda s, d: s.dissipation, 1.0),
        hp.LinearTerm("baseline", "dissipation", 1e-6, 2000.0, lambda s, d: 1.0),
    ),
    side_mass_deviation=1e-7,
    side_mass_rate_deviation=1e-10,
    side_mass_rate_time=6.0,
    lag_times=(2.0,),
)
GUIDE = SecantProposal(["current_efficiency"])
FILTERS: dict[str, dict[str, Any]] = {
    "bootstrap": {},
    "guided": {"guide": GUIDE},
    "adapted": {"guide": GUIDE, "auxiliary": True},
}
PLATED = slice(2, None)  # steps
Build = Callable[[xr.Dataset], hp.PlatingModel]


class Case(NamedTuple):
    """A model, and the current density that it is plated at [A/m²]."""

    build: Build
    current_density: float


def cases() -> dict[str, Case]:
    zinc = load_model_file(str(Path(__file__).parents[1] / "models" / "zinc.py"))

    def with_noise(model: hp.PlatingModel) -> hp.PlatingModel:
        frequency = tuple(n * sigma for n, sigma in zip(OVERTONES, FREQUENCY_NOISE, strict=True))
        return replace(model, grid=GRID, frequency_noise=frequency, dissipation_noise=DISSIPATION_NOISE)

    def known(correlation_time: float) -> Build:
        surface = {
            "nucleation_density": 1 / 100e-9**2,
            "nucleus_radius": 9e-9,
            "nucleus_radius_spread": 0.1,
            "current_efficiency": hp.Wandering(dist.Normal(0.79, 0.04), correlation_time=correlation_time),
            "noise_amplitude": 1.0,
        }
        return lambda recording: with_noise(replace(zinc(recording), parameters=surface, instrument=KNOWN))

    return {
        "models/zinc.py": Case(lambda recording: with_noise(zinc(recording)), 10.0),
        "known instrument": Case(known(60.0), 10.0),
        "known instrument, efficiency within 4 s": Case(known(4.0), 10.0),
        "known instrument, 5 mA/cm²": Case(known(60.0), 50.0),
        "known instrument, 5 mA/cm², efficiency within 4 s": Case(known(4.0), 50.0),
    }


class Outcome(NamedTuple):
    """Of one run, from the first plating step on: ESS fractions, mean thickness and roughness [nm], seconds."""

    fractions: list[float]
    means: np.ndarray  # (quantity, time)
    seconds: float


def run(model: hp.PlatingModel, simulated: xr.Dataset, particles: int, options: dict[str, Any], seed: int) -> Outcome:
    imposed, seen = drives(simulated, model.instrument.lag_times), observations(simulated)
    begin = time.process_time()
    result = ParticleFilter(model, particles, predictive_draws=0, **options).run(seen, imposed, seed=seed)
    taken = time.process_time() - begin
    fractions = result.filter_stats["effective_sample_size"].values[0, PLATED] / particles
    return Outcome(fractions.tolist(), plated(result.posterior.isel(chain=0).mean("draw")), taken)


def plated(states: xr.Dataset) -> np.ndarray:
    """Thickness and roughness [nm], (quantity, time)."""
    return 1e9 * np.stack([states[name].values[PLATED] for name in ("thickness", "roughness")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=6)
    parser.add_argument("--particles", type=int, default=64)
    parser.add_argument("--cases", type=int, nargs="*", help="numbers of the cases, from 0; default all")
    parser.add_argument("--reference", type=int, default=0, help="particles of the reference, 0 for none")
    options = parser.parse_args()
    for number, (name, (build, current_density)) in enumerate(cases().items()):
        if options.cases and number not in options.cases:
            continue
        protocol = hp.Protocol(
            cycles=0,
            sampling=2.0,
            rest_time=4.0,
            plating_time=30.0,
            overtones=OVERTONES,
            current_density=current_density,
        )
        outcomes: dict[str, list[Outcome]] = {}
        true, reference = [], []
        for seed in range(options.recordings):
            simulated, truth = hp.simulate_recording(build, protocol, seed)
            case = build(simulated), simulated
            found = {label: run(*case, options.particles, chosen, seed + 1000) for label, chosen in FILTERS.items()}
            as_many = round(options.particles * found["adapted"].seconds / found["bootstrap"].seconds)
            found["bootstrap, equal time"] = run(*case, as_many, {}, seed + 1000)
            for label, outcome in found.items():
                outcomes.setdefault(label, []).append(outcome)
            true.append(plated(truth))
            if options.reference:
                reference.append(run(*case, options.reference, FILTERS["adapted"], seed + 2000).means)
        print(f"\n{name}")
        for label, runs in outcomes.items():
            fractions = [fraction for outcome in runs for fraction in outcome.fractions]
            means = [outcome.means for outcome in runs]
            errors = f"RMSE of thickness and roughness {root_mean_square(means, true)} nm"
            if reference:
                errors += f", from the reference {root_mean_square(means, reference)} nm"
            seconds = np.median([outcome.seconds for outcome in runs])
            print(f"  {label}: median ESS fraction {np.median(fractions):.3f}, {errors}, {seconds:.1f} s", flush=True)


def root_mean_square(means: list[np.ndarray], expected: list[np.ndarray]) -> str:
    """Over recordings and times, of both quantities."""
    thickness, roughness = np.sqrt(np.mean((np.stack(means) - np.stack(expected)) ** 2, (0, 2)))
    return f"{thickness:.3f}, {roughness:.3f}"


if __name__ == "__main__":
    main()
