"""Does the posterior cover the truth? Simulated recordings, filtered, and their final thickness and roughness.

    python benchmarks/simulated_coverage.py --recordings 20

prints, per recording, the truth and the 90 % interval, then how many intervals cover. Under a calibrated filter the
counts are binomial(recordings, 0.9) up to the Monte Carlo error of the intervals.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from hmm_plating import Protocol, filter_recording, recording, simulate_recording
from hmm_plating.filter_recording import DEFAULT_CHAINS, DEFAULT_PARTICLES
from hmm_plating.model_file import load_model_file

QUANTITIES = {"thickness": 1e9, "roughness": 1e9, "solid_volume_fraction": 1.0}


def run(
    model: str, seed: int, particles: int, chains: int, protocol: Protocol
) -> dict[str, tuple[float, float, float]]:
    """Truth, lower and upper end of the 90 % interval of each quantity at the end of one recording."""
    build = load_model_file(model)
    simulated, truth = simulate_recording(build, protocol, seed)
    with tempfile.TemporaryDirectory() as folder:  # through the files, as a user would
        files = recording.write(simulated, folder)
        raw = recording.read(*files, area=protocol.area)
    resampled = recording.resample(raw)
    posterior = filter_recording(
        resampled, build(resampled), particles=particles, chains=chains, seed=seed + 1000
    ).posterior
    final = truth.interp(time=float(resampled["time"][-1]))
    return {
        name: (float(final[name]), *np.quantile(posterior[name].isel(time=-1), [0.05, 0.95])) for name in QUANTITIES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(Path(__file__).parents[1] / "models" / "zinc.py"))
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--particles", type=int, default=DEFAULT_PARTICLES)
    parser.add_argument("--chains", type=int, default=DEFAULT_CHAINS)
    parser.add_argument("--cycles", type=int, default=1, help="plate/strip cycles before the last plating")
    options = parser.parse_args()
    protocol = Protocol(cycles=options.cycles)
    covered = dict.fromkeys(QUANTITIES, 0)
    for seed in range(options.first_seed, options.first_seed + options.recordings):
        cells = []
        for name, (truth, low, high) in run(options.model, seed, options.particles, options.chains, protocol).items():
            covered[name] += low <= truth <= high
            scale = QUANTITIES[name]
            mark = " " if low <= truth <= high else "*"
            cells.append(f"{name} {truth * scale:.3g}{mark} [{low * scale:.3g}, {high * scale:.3g}]")
        print(f"{seed:3d}  " + "   ".join(cells), flush=True)
    print("covered:", ", ".join(f"{name} {count}/{options.recordings}" for name, count in covered.items()))


if __name__ == "__main__":
    main()
