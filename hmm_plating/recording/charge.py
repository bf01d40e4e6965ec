"""The charge curve of a potentiostat's recording: as it was recorded, or the integral of the current."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.integrate import cumulative_trapezoid

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Potentiostat


class Charge(NamedTuple):
    """A potentiostat's recording on its own clock, shape (points,): [s], [C] since its start, [V]."""

    time: np.ndarray
    charge: np.ndarray
    potential: np.ndarray
    assumptions: tuple[str, ...] = ()


def charge_curve(name: str, recorded: Potentiostat, sampling: float | None = None) -> Charge:
    """Charge since the start; potential NaN where it was not recorded.

    Args:
        sampling: interval between points [s]; default their median.

    Raises:
        InputError: fewer than two numbers, or a charge that is not the integral of the current.
    """
    assumptions: tuple[str, ...] = ()
    time, current, charge = recorded.time, recorded.current, recorded.charge
    if charge is None:
        assert current is not None
        known = np.isfinite(current)
        if known.sum() < 2:
            raise InputError(f"{name}: the current has fewer than two numbers")
        charge = np.full(len(time), np.nan)
        if recorded.averaged:  # of the time since the previous point
            charge[known] = np.cumsum(current[known] * np.diff(time[known], prepend=time[known][0]))
        else:
            charge[known] = cumulative_trapezoid(current[known], time[known], initial=0.0)
        assumptions = ("charge integrated from the current",)
    elif np.isfinite(charge).sum() < 2:
        raise InputError(f"{name}: the charge has fewer than two numbers")
    elif current is None:
        assumptions = ("current from the charge, for it was not recorded",)
    else:
        _check_charge(name, time, charge, current)
    potential = np.full(len(time), np.nan) if recorded.potential is None else recorded.potential
    if not np.isfinite(potential).any():
        assumptions += ("no potential was recorded",)
    known = np.isfinite(charge) if current is None else np.isfinite(charge) & np.isfinite(current)
    if not known.any():
        raise InputError(f"{name}: no point has both a charge and a current")
    first = int(np.flatnonzero(known)[0])
    sampling = float(np.median(np.diff(time))) if sampling is None else sampling
    lead = charge[first] / current[first] if current is not None and current[first] != 0 else math.inf
    if (
        recorded.charge is not None and 0 <= lead <= 2 * sampling
    ):  # the first point was written a little after the current had started
        time, charge, potential = (
            np.insert(time, 0, time[first] - lead - 1e-9),
            np.insert(charge, 0, 0.0),
            np.insert(potential, 0, np.nan),
        )
    else:  # counted from an earlier technique
        charge = charge - charge[first]
    return Charge(time, charge, potential, assumptions)


def _check_charge(name: str, time: np.ndarray, charge: np.ndarray, current: np.ndarray) -> None:
    """InputError where dQ/dt is not the current: a wrong unit or sign of one of them."""
    strong = np.abs(current[1:]) > 0.1 * np.nanmax(np.abs(current), initial=0.0)
    steps = current[1:] * np.diff(time)
    strong &= steps != 0
    ratio = np.diff(charge)[strong] / steps[strong]
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) and not 0.8 < np.median(ratio) < 1.25:
        raise InputError(
            f"{name}: the charge grows by {np.median(ratio):.3g} times the current: "
            "one of the columns (Q-Qo)/mC and I/mA has another unit or sign than its header says"
        )
