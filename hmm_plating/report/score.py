"""How well one-step-ahead predictions did, beside predictions that need no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte
from hmm_plating.report import baselines
from hmm_plating.report.cycles import plating_cycles
from hmm_plating.report.result import (
    FloatArray,
    constant,
    credible_interval,
    pooled,
    recorded_electrolyte,
    resonator,
    variable,
    withheld,
)
from hmm_plating.report.table import Table, number

COVERAGE_TOLERANCE = 0.05  # or three standard deviations of the count, where these are more


@dataclass(frozen=True)
class ChannelScore:
    """One overtone of Δf_n/n or ΔD_n.

    Attributes:
        channel: "frequency_shift" or "dissipation_shift".
        overtone: n.
        withheld: the filter never saw it; the others predict it at the same time.
        steps: observations scored.
        coverage: fraction of them inside the central interval.
        error: root mean square error of the predictive mean, of Δf_n/n [Hz] or ΔD_n [1].
        baselines: name and error of what it is compared with, on the same steps.
    """

    channel: str
    overtone: int
    withheld: bool
    steps: int
    coverage: float
    error: float
    baselines: tuple[tuple[str, float], ...]

    @property
    def ratio(self) -> float:
        """Error over that of the best baseline: below 1 the model predicts better. NaN without a baseline."""
        known = [error for _, error in self.baselines if np.isfinite(error)]
        return self.error / min(known) if known else float("nan")

    def calibration(self, probability: float) -> str:
        """ "ok", "too narrow" or "too wide": whether the interval held as often as it said."""
        scatter = 3 * np.sqrt(probability * (1 - probability) / max(self.steps, 1))
        excess = self.coverage - probability
        if not np.isfinite(excess) or abs(excess) <= max(COVERAGE_TOLERANCE, scatter):
            return "ok"
        return "too narrow" if excess < 0 else "too wide"


@dataclass(frozen=True)
class Score:
    """The scores of all overtones; `print` shows them as a table.

    Attributes:
        channels: Δf of every overtone, then ΔD.
        probability: of the interval.
        scope: which part of the recording was scored, in words.
    """

    channels: tuple[ChannelScore, ...]
    probability: float
    scope: str

    def table(self) -> Table:
        """One line per overtone and baseline."""
        rows = []
        for channel in self.channels:
            frequency = channel.channel == "frequency_shift"
            scale, decimals = (1.0, 2) if frequency else (1e6, 3)
            first = (
                f"{'Δf/n' if frequency else 'ΔD'} {channel.overtone}" + (" withheld" if channel.withheld else ""),
                str(channel.steps),
                number(100 * channel.coverage, 1),
                channel.calibration(self.probability),
                number(scale * channel.error, decimals),
            )
            for index, (name, error) in enumerate(channel.baselines or (("none", float("nan")),)):
                ratio = channel.error / error if error > 0 else float("nan")
                verdict = "–" if not np.isfinite(ratio) else "better" if ratio < 1 else "worse"
                left = first if index == 0 else ("",) * len(first)
                rows.append((*left, name, number(scale * error, decimals), number(ratio, 2), verdict))
        header = (
            "Δf/n [Hz], ΔD [1e-6]",
            "steps",
            f"in {100 * self.probability:.0f} % [%]",
            "interval",
            "RMSE",
            "baseline",
            "its RMSE",
            "ratio",
            "model",
        )
        return Table(header, tuple(rows))

    def __str__(self) -> str:
        return f"One-step-ahead predictions, {self.scope}\n{self.table().text()}"


def score(
    result: InferenceData, first_cycle: int = 2, probability: float = 0.9, electrolyte: Electrolyte | None = None
) -> Score:
    """Score the one-step-ahead predictions of a result from one plating cycle to the end of the recording.

    Overtones that the filter saw are compared with their last value plus the fitted charge step (Δf) and with their
    last value (ΔD); withheld ones with interpolation between the others and with a Brinkman layer fitted to them.

    Args:
        result: with posterior_predictive and observed_data; a recording with fewer than two cycles, or without a
            current, is scored from its start.
        first_cycle: number of the first cycle that counts.
        probability: of the central predictive interval.
        electrolyte: for the Brinkman layer; default: attributes electrolyte_density and electrolyte_viscosity. Without
            either this baseline is left out.

    Raises:
        InputError: a group is missing, or the recording has cycles but not `first_cycle`.
    """
    frequency = variable(result, "observed_data", "frequency_shift").transpose("time", "overtone")
    dissipation = variable(result, "observed_data", "dissipation_shift").transpose("time", "overtone")
    overtones = [int(n) for n in frequency["overtone"].values]
    orders = np.asarray(overtones, dtype=float)
    observed = {
        "frequency_shift": np.asarray(frequency.values, dtype=float) / orders,
        "dissipation_shift": np.asarray(dissipation.values, dtype=float),
    }
    hidden = withheld(result)
    scored, scope = _scored_steps(result, frequency["time"].values, first_cycle)
    compared = _baselines(result, observed, overtones, hidden, scored, electrolyte or recorded_electrolyte(result))
    rows = []
    for channel, values in observed.items():
        draws = pooled(variable(result, "posterior_predictive", channel).transpose(..., "time", "overtone"))
        if channel == "frequency_shift":
            draws = draws / orders
        predictive, mean = credible_interval(draws, probability), draws.mean(0)
        inside = (values >= predictive.lower) & (values <= predictive.upper)
        for index, order in enumerate(overtones):
            predictions = compared[channel, order]
            steps = scored & np.isfinite(values[:, index]) & np.isfinite(mean[:, index])
            for prediction in predictions.values():  # every error is taken on the same steps
                steps &= np.isfinite(prediction)
            truth = values[steps, index]
            rows.append(
                ChannelScore(
                    channel,
                    order,
                    bool(hidden[index]),
                    int(steps.sum()),
                    float(inside[steps, index].mean()) if steps.any() else float("nan"),
                    _root_mean_square(mean[steps, index] - truth),
                    tuple((name, _root_mean_square(values_[steps] - truth)) for name, values_ in predictions.items()),
                )
            )
    return Score(tuple(rows), probability, scope)


def _scored_steps(result: InferenceData, time: FloatArray, first_cycle: int) -> tuple[npt.NDArray[np.bool_], str]:
    """Steps from `first_cycle` on, shape (time,), and what they are in words."""
    current = constant(result, "current_density")
    cycles = plating_cycles(time, current) if current is not None else ()
    if len(cycles) < 2:
        found = "no current was recorded" if current is None else f"the recording has {len(cycles)} plating cycle(s)"
        return np.ones(len(time), dtype=bool), f"whole recording ({found})"
    if not 1 <= first_cycle <= len(cycles):
        raise InputError(f"first_cycle = {first_cycle}, but the recording has cycles 1 to {len(cycles)}")
    scored = np.arange(len(time)) >= cycles[first_cycle - 1].start
    return scored, f"cycles {first_cycle} to {len(cycles)} (from {time[scored][0]:.0f} s)"


def _baselines(
    result: InferenceData,
    observed: dict[str, FloatArray],
    overtones: list[int],
    hidden: npt.NDArray[np.bool_],
    scored: npt.NDArray[np.bool_],
    electrolyte: Electrolyte | None,
) -> dict[tuple[str, int], dict[str, FloatArray]]:
    """Baselines by (channel, overtone) and name, each a prediction of Δf_n/n or ΔD_n, shape (time,)."""
    orders = [n for n, flag in zip(overtones, hidden, strict=True) if flag]
    frequency, dissipation = observed["frequency_shift"], observed["dissipation_shift"]
    charge = constant(result, "charge_density")
    stepped = {"last value": baselines.persistence(frequency)}
    if charge is not None:
        stepped = {"last value + charge": baselines.charge_step(frequency, charge, scored)[0]}
    held = {"last value": baselines.persistence(dissipation)}
    table: dict[tuple[str, int], dict[str, FloatArray]] = {}
    for index, order in enumerate(overtones):
        table["frequency_shift", order] = {name: values[:, index] for name, values in stepped.items()}
        table["dissipation_shift", order] = {name: values[:, index] for name, values in held.items()}
    if orders:
        noise = [constant(result, f"{channel}_noise") for channel in observed]
        predictions = baselines.withheld_predictions(
            frequency, dissipation, overtones, orders, electrolyte, resonator(result), *noise
        )
        for column, order in enumerate(orders):
            for channel, part in (("frequency_shift", 0), ("dissipation_shift", 1)):
                table[channel, order] = {name: both[part][:, column] for name, both in predictions.items()}
    return table


def _root_mean_square(error: FloatArray) -> float:
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")
