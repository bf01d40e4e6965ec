"""Reading a result: its groups and attributes, and intervals of its draws."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator

FloatArray = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Median and equal-tailed interval, arrays of one shape, in the units of the draws."""

    median: FloatArray
    lower: FloatArray
    upper: FloatArray


def group(result: InferenceData, name: str) -> xr.Dataset | None:
    """A group of the result, or None where the result does not have it."""
    return result[name] if name in result.groups() else None


def variable(result: InferenceData, group_name: str, name: str) -> xr.DataArray:
    """A variable that a computation cannot do without.

    Raises:
        InputError: the result has no such group or variable.
    """
    dataset = group(result, group_name)
    if dataset is None or name not in dataset:
        raise InputError(f"the result has no {group_name}.{name}; write it with `hmm-plating filter`")
    return dataset[name]


def attributes(result: InferenceData) -> dict[str, Any]:
    """Attributes of the result; those of its root win over those of its posterior."""
    posterior = group(result, "posterior")
    return {**(posterior.attrs if posterior is not None else {}), **result.attrs}


def resonator(result: InferenceData) -> Resonator:
    """The crystal that the attributes describe; what they leave out keeps its default."""
    given = attributes(result)
    default = Resonator()
    return Resonator(
        float(given.get("fundamental_frequency", default.fundamental_frequency)),
        float(given.get("resonator_impedance", default.impedance)),
    )


def recorded_electrolyte(result: InferenceData) -> Electrolyte | None:
    """The liquid that the attributes describe, None where they leave out its density or viscosity."""
    given = attributes(result)
    if "electrolyte_density" not in given or "electrolyte_viscosity" not in given:
        return None
    return Electrolyte(float(given["electrolyte_density"]), float(given["electrolyte_viscosity"]))


def solver_share(result: InferenceData) -> float | None:
    """Share of the particles whose load the true solver found, None where there was no surrogate."""
    statistics, particles = group(result, "filter_stats"), attributes(result).get("particles")
    if statistics is None or "full_evaluations" not in statistics or particles is None:
        return None
    return float(statistics["full_evaluations"].mean()) / float(particles)


def simulated_share(result: InferenceData) -> float | None:
    """Share of the surfaces' steps that the simulated transition did, None where there was no emulator."""
    posterior = group(result, "posterior")
    return None if posterior is None or "simulated_step" not in posterior else float(posterior["simulated_step"].mean())


def pooled(draws: xr.DataArray) -> FloatArray:
    """Draws of all chains as one axis, shape (chain · draw, ...); every draw has the same weight."""
    others = [dimension for dimension in draws.dims if dimension not in ("chain", "draw")]
    values = np.asarray(draws.transpose("chain", "draw", *others).values, dtype=np.float64)
    return values.reshape(-1, *values.shape[2:])


def credible_interval(samples: npt.ArrayLike, probability: float = 0.9) -> Interval:
    """Median and equal-tailed interval over the first axis; NaN draws are left out.

    Args:
        samples: shape (draws, ...).
        probability: that the interval holds.

    Returns:
        three arrays of shape (...), NaN where no draw is finite.
    """
    tail = (1 - probability) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN columns are meant to give NaN
        lower, median, upper = np.nanquantile(np.asarray(samples, dtype=np.float64), [tail, 0.5, 1 - tail], axis=0)
    return Interval(median, lower, upper)


def constant(result: InferenceData, name: str) -> FloatArray | None:
    """A variable of constant_data as a float array, or None where it was not recorded."""
    dataset = group(result, "constant_data")
    if dataset is None or name not in dataset or not np.isfinite(dataset[name].values.astype(float)).any():
        return None
    return np.asarray(dataset[name].values, dtype=np.float64)


def withheld(result: InferenceData) -> npt.NDArray[np.bool_]:
    """Which overtones the filter never saw, shape (overtone,)."""
    overtones = variable(result, "observed_data", "frequency_shift").sizes["overtone"]
    flags = constant(result, "withheld")
    return np.zeros(overtones, dtype=bool) if flags is None else flags.astype(bool)
