"""The same recording filtered with the true solver alone and with a surrogate in front of it, chain by chain in turns.

    NUMBA_NUM_THREADS=2 OMP_NUM_THREADS=1 python benchmarks/filter_with_surrogate.py WEIGHTS QCMD.xlsx ECHEM.xlsx \
        --air AIR.xlsx --model models/zinc.py --chains 10

Without files the model's own recording. Prints times, log evidences, how far the posterior means are apart in posterior
standard deviations, the same between the halves of the true chains, and the scores of both.
"""

from __future__ import annotations

import argparse
import time

import arviz
import numpy as np
import xarray as xr
from recording_options import recording_and_model, surrogate_parser

from hmm_plating import PlatingModel, filter_recording
from hmm_plating.emulator import EmissionSurrogate
from hmm_plating.errors import InputError
from hmm_plating.inference import concatenate
from hmm_plating.inference.chains import chain_seed
from hmm_plating.report.result import solver_share
from hmm_plating.report.score import score
from hmm_plating.report.table import Table
from hmm_plating.surrogate_options import with_surrogate

QUANTITIES = ("thickness", "roughness", "solid_volume_fraction")


def chains_in_turns(
    models: dict[str, PlatingModel], recording: xr.Dataset, options: argparse.Namespace
) -> tuple[dict[str, arviz.InferenceData], dict[str, float]]:
    """Results and seconds, the first call of each left out of the latter where there are several."""
    results: dict[str, list[arviz.InferenceData]] = {name: [] for name in models}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for chain in range(options.chains):
        for name, model in models.items():
            begin = time.perf_counter()
            one = filter_recording(
                recording,
                model,
                particles=options.particles,
                chains=1,
                seed=chain_seed(options.seed, chain),
                correct=options.correct,
            )
            results[name].append(one)
            seconds[name].append(time.perf_counter() - begin)
    joined = {name: concatenate(parts, attrs=parts[0].attrs) for name, parts in results.items()}
    return joined, {name: float(np.median(taken[len(taken) > 1 :])) for name, taken in seconds.items()}


def apart(one: xr.Dataset, other: xr.Dataset) -> dict[str, np.ndarray]:
    """|difference of the means| over the posterior standard deviation of both, at every time that has metal."""
    found = {}
    for name in QUANTITIES:
        mean = [part[name].mean(("chain", "draw")).values for part in (one, other)]
        spread = np.sqrt(np.mean([part[name].var(("chain", "draw")).values for part in (one, other)], 0))
        metal = one["thickness"].mean(("chain", "draw")).values > 1e-9
        some = metal & (spread > 0)
        found[name] = np.abs(mean[0] - mean[1])[some] / spread[some]
    return found


def main() -> None:
    parser = surrogate_parser(__doc__)
    parser.add_argument("--particles", type=int, default=32)
    parser.add_argument("--chains", type=int, default=10)
    parser.add_argument("--correct", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=0, help="only so many steps (all)")
    options = parser.parse_args()
    recording, true = recording_and_model(options)
    if options.steps:
        recording = recording.isel(time=slice(0, options.steps))
    models = {"true solver": true, "surrogate": with_surrogate(true, EmissionSurrogate.load(options.weights))}
    results, seconds = chains_in_turns(models, recording, options)
    recorded = float(recording.attrs["interval"]) * recording.sizes["time"]
    rows = []
    for name, result in results.items():
        evidence = result["filter_stats"]["log_evidence_increment"].sum("time").values
        share = solver_share(result)
        rows.append(
            (
                name,
                f"{seconds[name]:.1f} s",
                f"{recorded / seconds[name]:.1f}",
                "100 %" if share is None else f"{100 * share:.0f} %",
                f"{np.logaddexp.reduce(evidence) - np.log(len(evidence)):.1f}",
                f"{evidence.mean():.1f} ± {evidence.std(ddof=1) if len(evidence) > 1 else np.nan:.1f}",
            )
        )
    header = ("", "a chain", "real-time factor", "loads solved", "log evidence", "of a chain")
    print(Table(header, tuple(rows)).markdown(), end="\n\n")
    posteriors = [results[name]["posterior"] for name in models]
    half = options.chains // 2
    compared = {"surrogate against true": apart(*posteriors)}
    if half:
        parts = (slice(0, half), slice(half, 2 * half))
        compared["halves of the true chains"] = apart(*(posteriors[0].isel(chain=part) for part in parts))
    rows = [
        (f"{label}, {name}", *(f"{value:.2f}" for value in (np.median(v), np.quantile(v, 0.95), v.max())))
        for label, found in compared.items()
        for name, v in found.items()
    ]
    print(Table(("posterior means apart [standard deviations]", "median", "95 %", "most"), tuple(rows)).markdown())
    for name, result in results.items():
        try:
            print(f"\n{name}\n\n{score(result).table().markdown()}")
        except InputError as error:
            print(f"\n{name}: {error}")


if __name__ == "__main__":
    main()
