"""A result as a table of numbers over time: one row per step, in the units of the figures."""

from __future__ import annotations

import pandas as pd
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.report.figures.over_time import QUANTITIES
from hmm_plating.report.result import (
    Interval,
    attributes,
    constant,
    credible_interval,
    group,
    pooled,
    variable,
    withheld,
)

_DRIVE = {  # constant_data: column and factor from SI
    "current_density": ("current density [mA/cm²]", 0.1),
    "charge_density": ("charge density [mC/cm²]", 0.1),
    "potential": ("potential [V]", 1.0),
}
_SHIFTS = {  # group variable: symbol, unit, factor from SI, whether it is divided by n
    "frequency_shift": ("Δf{0}/{0}", "Hz", 1.0, True),
    "dissipation_shift": ("ΔD{0}", "1e-6", 1e6, False),
}
_STATISTICS = {"effective_sample_size": "effective sample size"}


def time_series(result: InferenceData, probability: float = 0.9) -> pd.DataFrame:
    """Drive, measured and predicted shifts and inferred quantities over time, each with its median and interval.

    Args:
        result: of a filter.
        probability: that an interval holds.

    Returns:
        indexed by "time [s]"; an inferred or predicted quantity has three columns, the median under its name and the
        ends of the interval with " low" and " high". Withheld overtones are named so.

    Raises:
        InputError: a probability outside (0, 1), or the result has no posterior over time.
    """
    if not 0 < probability < 1:
        raise InputError(f"the probability of an interval must lie between 0 and 1, got {probability!r}")
    times = variable(result, "posterior", "thickness")["time"].values
    columns: dict[str, object] = {}

    def add(name: str, interval: Interval, scale: float) -> None:
        for suffix, values in zip(("", " low", " high"), interval, strict=True):
            columns[name + suffix] = values * scale

    for name, (column, scale) in _DRIVE.items():
        if (values := constant(result, name)) is not None:
            columns[column] = values * scale
    observed, predicted = result["observed_data"], group(result, "posterior_predictive")
    hidden = withheld(result)
    for name, (symbol, unit, scale, per_order) in _SHIFTS.items():
        for index, order in enumerate(observed["overtone"].values.tolist()):
            factor = scale / order if per_order else scale
            title = f"{symbol.format(order)}{' (withheld)' if hidden[index] else ''}"
            columns[f"{title} measured [{unit}]"] = observed[name].values[:, index] * factor
            if predicted is not None:
                draws = pooled(predicted[name].isel(overtone=index))
                add(f"{title} predicted [{unit}]", credible_interval(draws, probability), factor)
    for name, quantity in QUANTITIES.items():
        if name in result["posterior"] and result["posterior"][name].dims == ("chain", "draw", "time"):
            draws = pooled(result["posterior"][name])
            add(quantity.label, credible_interval(draws, probability), quantity.scale)
    statistics = group(result, "filter_stats")
    for name, title in _STATISTICS.items():
        if statistics is not None and name in statistics:
            columns[title] = statistics[name].sum("chain").values
    return pd.DataFrame(columns, index=pd.Index(times, name="time [s]"))


def settings(result: InferenceData) -> dict[str, str]:
    """What the result says of how it came about: command, seed, versions, materials, text of the model file."""
    return {name: str(value) for name, value in sorted(attributes(result).items())}
