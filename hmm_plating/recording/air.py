"""The step from air to liquid: what the recording itself says about the liquid's viscosity.

    Δf_n = −(f0 / π Z_q) sqrt(ω_n ρ η / 2)        (Kanazawa and Gordon, Anal. Chim. Acta 175 (1985) 99)

Δf_n is used rather than ΔD_n: mounting and gasket damp the crystal differently in air and in liquid.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.materials import Resonator


class Viscosity(NamedTuple):
    """Viscosity of a liquid [Pa s].

    Attributes:
        value: median over the overtones.
        uncertainty: standard deviation over the overtones (NaN for a single one): they differ by more than their noise.
        by_overtone: shape (overtones,); NaN where not measured.
    """

    value: float
    uncertainty: float
    by_overtone: np.ndarray


def viscosity_from_air(dataset: xr.Dataset, density: float, resonator: Resonator) -> Viscosity:
    """Viscosity of a Newtonian liquid of known density [kg/m³] from the air-to-liquid step of Δf_n.

    It scales as Z_q²/f0³, so `resonator` should carry the recording's own fundamental frequency.

    Raises:
        InputError: the recording has no usable air-to-liquid step, or the density is not positive.
    """
    if not (math.isfinite(density) and density > 0):
        raise InputError(f"liquid density must be a positive number of kg/m³, got {density!r}")
    if "air_to_liquid_frequency_shift" not in dataset:
        raise InputError(
            f"recording {dataset.attrs.get('source', '')} has no air-to-liquid step: "
            "give the file of the crystal in air (--air FILE)"
        )
    step = dataset["air_to_liquid_frequency_shift"].values
    known = np.isfinite(step)
    if not np.any(known):
        raise InputError("the air-to-liquid step of Δf is missing for every overtone")
    if np.any(step[known] >= 0):
        overtones = dataset["overtone"].values[known & ~(step < 0)].tolist()
        raise InputError(
            f"Δf does not fall from air to liquid at overtones {overtones}: are the air file's values right?"
        )
    angular_frequency = np.array([resonator.angular_frequency(int(n)) for n in dataset["overtone"].values])
    load = math.pi * resonator.impedance * step / resonator.fundamental_frequency
    viscosity = 2 * load**2 / (angular_frequency * density)
    spread = float(np.std(viscosity[known], ddof=1)) if known.sum() > 1 else math.nan
    return Viscosity(float(np.median(viscosity[known])), spread, viscosity)
