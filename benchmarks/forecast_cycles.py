"""Each cycle of a recording, forecast from the end of the one before under the current and potential recorded.

    NUMBA_NUM_THREADS=2 OMP_NUM_THREADS=1 python benchmarks/forecast_cycles.py qcmd.xlsx echem.xlsx --air AIR.xlsx \
        --chains 10

Without files the model's own recording. Prints, as markdown, how much of a cycle its 90 % intervals hold and how wrong
the median is, per cycle and over all. Chance: how often a draw of the forecast itself, in the place of the truth, has
80 to 97 % of its values in the intervals.
"""

from __future__ import annotations

import argparse
import tempfile

import arviz
import numpy as np
import xarray as xr
from recording_options import add_recording, recording_and_model

from hmm_plating import PlatingModel, filter_recording, forecast_recording
from hmm_plating.forecast_recording import final_states
from hmm_plating.report.cycles import Cycle, plating_cycles
from hmm_plating.report.result import credible_interval
from hmm_plating.report.table import Table

CHANNELS = ("frequency_shift", "dissipation_shift")
COVERED = (0.80, 0.97)


def predicted_cycle(
    recording: xr.Dataset, model: PlatingModel, cycle: Cycle, options: argparse.Namespace, folder: str
) -> arviz.InferenceData:
    """Forecast of a cycle, from filters that go on from the cycle before."""
    result = filter_recording(
        recording.isel(time=slice(cycle.start)),
        model,
        particles=options.particles,
        chains=options.chains,
        seed=options.seed,
        checkpoint=folder,
        resume=cycle.number > options.first,
    )
    drive = recording.isel(time=slice(cycle.stop))
    return forecast_recording(result, final_states(folder, result), model, drive, seed=options.seed)


def held(draws: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which values lie in the 90 % interval of the draws (draw, …)."""
    interval = credible_interval(draws)
    return (values >= interval.lower) & (values <= interval.upper)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_recording(parser)
    parser.add_argument("--particles", type=int, default=32)
    parser.add_argument("--chains", type=int, default=10)
    parser.add_argument("--first", type=int, default=3, help="the first cycle to forecast")
    options = parser.parse_args()
    recording, model = recording_and_model(options)
    cycles = plating_cycles(recording["time"].values, recording["current_density"].values)
    inside: dict[str, list[np.ndarray]] = {channel: [] for channel in CHANNELS}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for cycle in cycles[options.first - 1 :]:
            predictions = predicted_cycle(recording, model, cycle, options, folder)["predictions"]
            row, chance = [str(cycle.number)], []
            for channel, unit in zip(CHANNELS, (1 / recording["overtone"].values, 1e6), strict=True):
                draws = predictions[channel].stack(all=("chain", "draw")).transpose("all", "time", "overtone").values
                truth = recording[channel].transpose("time", "overtone").values[cycle.start : cycle.stop]
                inside[channel].append(held(draws, truth)[np.isfinite(truth)])
                own = np.array([held(draws, draw).mean() for draw in draws[:: max(1, len(draws) // 100)]])
                chance.append(f"{np.mean((own >= COVERED[0]) & (own <= COVERED[1])):.0%}")
                error = np.sqrt(np.nanmean((unit * (np.median(draws, 0) - truth)) ** 2, 0))
                spread = np.mean(unit * draws.std(0))
                row += [f"{inside[channel][-1].mean():.1%}", f"{error.min():.2g} to {error.max():.2g}", f"{spread:.2g}"]
            both = np.concatenate([inside[channel][-1] for channel in CHANNELS]).mean()
            rows.append((*row, f"{both:.1%}", ", ".join(chance)))
            print(*rows[-1], flush=True)
    whole = [np.concatenate(values).mean() for values in inside.values()]
    both = np.concatenate([value for values in inside.values() for value in values]).mean()
    rows.append(("all", f"{whole[0]:.1%}", "", "", f"{whole[1]:.1%}", "", "", f"{both:.1%}", ""))
    header = (
        "cycle",
        "Δf in 90 %",
        "RMSE Δf/n [Hz]",
        "σ",
        "ΔD in 90 %",
        "RMSE ΔD [1e-6]",
        "σ",
        "both",
        "chance Δf, ΔD",
    )
    print(Table(header, tuple(rows)).markdown())


if __name__ == "__main__":
    main()
