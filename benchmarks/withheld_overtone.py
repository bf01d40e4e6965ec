"""How well an overtone that was never seen can be predicted, and how well the next step: baselines, and a result.

    python benchmarks/withheld_overtone.py qcmd.xlsx --electrochemistry echem.xlsx --air quartz_in_air.xlsx \
        --area 0.785e-4 --density 1322.8 --withhold 7 [--result OUT.nc]

prints, as markdown, the root mean square errors from the second plating cycle on. "Less its mean" leaves out a constant
offset, which for a withheld overtone is the noise of the one moment that its shift refers to. `--result` adds the
score of a run of `hmm-plating filter --withhold 7` on the same recording.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.inference.arviz_export import load
from hmm_plating.materials import Electrolyte, Resonator
from hmm_plating.recording import read, resample, viscosity_from_air
from hmm_plating.report.baselines import brinkman_prediction, charge_step, persistence, withheld_predictions
from hmm_plating.report.cycles import plating_cycles
from hmm_plating.report.score import score
from hmm_plating.report.table import Table, number

SAME_FOR_ALL = (1.5, 0.2e-6)  # Δf_n/n [Hz] and ΔD_n: a second weighting of the Brinkman fit


def withheld_table(
    recording: xr.Dataset, order: int, electrolyte: Electrolyte, resonator: Resonator, scored: np.ndarray
) -> Table:
    """Errors of every way to predict overtone `order` from the others at the same time."""
    overtones = [int(n) for n in recording["overtone"].values]
    shift = recording["frequency_shift"].values / overtones
    dissipation = recording["dissipation_shift"].values
    noise = [recording[f"{channel}_noise"].values for channel in ("frequency_shift", "dissipation_shift")]
    predictions = withheld_predictions(shift, dissipation, overtones, [order], electrolyte, resonator, *noise)
    equal = [np.multiply(SAME_FOR_ALL[0], overtones), np.full(len(overtones), SAME_FOR_ALL[1])]
    for name, deviations in (("noise alone", noise), ("1.5 Hz and 0.2e-6", equal)):
        frequency, dissipated = brinkman_prediction(
            shift * overtones,
            dissipation,
            overtones,
            [order],
            electrolyte,
            resonator,
            *deviations,
            sensitivity_spread=0,
        )
        predictions[f"Brinkman layer, weights of {name}"] = frequency / order, dissipated
    index = overtones.index(order)
    rows = []
    for name, (frequency, dissipated) in predictions.items():
        differences = frequency[:, 0] - shift[:, index], 1e6 * (dissipated[:, 0] - dissipation[:, index])
        errors = [_error(difference, scored) for difference in differences]
        shapes = [_error(difference - np.nanmean(difference[scored]), scored) for difference in differences]
        rows.append((name, *(number(value, 2) for value in (*errors, *shapes))))
    header = (f"overtone {order} from the others", "Δf/n [Hz]", "ΔD [1e-6]", "Δf/n, less its mean", "ΔD, less its mean")
    return Table(header, tuple(rows))


def next_step_table(recording: xr.Dataset, scored: np.ndarray) -> Table:
    """Errors of the last value plus the charge step (Δf/n) and of the last value (ΔD), per overtone."""
    overtones = recording["overtone"].values
    shift, dissipation = recording["frequency_shift"].values / overtones, recording["dissipation_shift"].values
    stepped, factor = charge_step(shift, recording["charge_density"].values, scored)
    change = persistence(dissipation) - dissipation
    rows = tuple(
        (
            str(order),
            number(_error((stepped - shift)[:, index], scored), 2),
            number(factor[index], 3),
            number(1e6 * _error(change[:, index], scored), 3),
        )
        for index, order in enumerate(overtones)
    )
    header = ("next step, overtone", "Δf/n, last + charge [Hz]", "factor [Hz m²/C]", "ΔD, last value [1e-6]")
    return Table(header, rows)


def _error(difference: np.ndarray, scored: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(difference[scored] ** 2)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qcmd", metavar="QCMD", help="recording, as for hmm-plating filter")
    parser.add_argument("--electrochemistry", metavar="FILE", required=True)
    parser.add_argument("--air", metavar="FILE", help="crystal in air: gives f0, and the viscosity")
    parser.add_argument("--area", type=float, required=True, help="electrode area [m²]")
    parser.add_argument("--density", type=float, required=True, help="of the electrolyte [kg/m³]")
    parser.add_argument("--viscosity", type=float, help="[Pa s]; default: from the step from air to liquid")
    parser.add_argument("--withhold", type=int, default=7, metavar="N")
    parser.add_argument("--interval", type=float, default=2.0, help="length of a step [s]")
    parser.add_argument("--first-cycle", type=int, default=2)
    parser.add_argument("--result", metavar="OUT.nc", help="result of hmm-plating filter, scored below the baselines")
    return parser.parse_args()


def main() -> int:
    given = _arguments()
    try:
        raw = read(given.qcmd, given.electrochemistry, given.air, area=given.area)
        resonator = Resonator(raw.attrs["fundamental_frequency"])
        viscosity = given.viscosity or viscosity_from_air(raw, given.density, resonator).value
        electrolyte = Electrolyte(given.density, viscosity)
        recording = resample(raw, given.interval).transpose("time", "overtone", ...)
        cycles = plating_cycles(recording["time"].values, recording["current_density"].values)
        if not 1 <= given.first_cycle <= len(cycles):
            raise InputError(f"--first-cycle {given.first_cycle}: the recording has cycles 1 to {len(cycles)}")
        scored = np.arange(recording.sizes["time"]) >= cycles[given.first_cycle - 1].start
        print(
            f"Cycles {given.first_cycle} to {len(cycles)}, {int(scored.sum())} steps of {given.interval:g} s; "
            f"electrolyte {given.density:g} kg/m³, {1e3 * viscosity:.2f} mPa s; root mean square errors.\n"
        )
        print(withheld_table(recording, given.withhold, electrolyte, resonator, scored).markdown(), end="\n\n")
        print(next_step_table(recording, scored).markdown())
        if given.result:
            scores = score(load(given.result), given.first_cycle, electrolyte=electrolyte)
            print(f"\n{given.result}: {scores.scope}\n\n{scores.table().markdown()}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
