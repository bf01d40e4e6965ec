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
from hmm_plating.materials import Electrolyte, Resonator


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


def require_viscosity(dataset: xr.Dataset, electrolyte: Electrolyte, resonator: Resonator) -> None:
    """Raise InputError where a stated viscosity [Pa s] contradicts how the liquid damps the crystal by a factor of 100.

    D of the crystal in a Newtonian liquid is 2/(π n Z_q) sqrt(ω_n ρ η/2) (Kanazawa and Gordon, Anal. Chim. Acta
    175 (1985) 99); mounting and roughness add some ten per cent to what a recording with absolute values states. So
    only a unit goes that wrong: mPa s for Pa s, g/cm³ for kg/m³.
    """
    if "reference_dissipation" not in dataset:
        return
    density, viscosity = electrolyte.density, electrolyte.viscosity
    overtones, measured = dataset["overtone"].values, dataset["reference_dissipation"].values
    angular_frequency = np.array([resonator.angular_frequency(int(n)) for n in overtones])
    expected = 2 / (math.pi * overtones * resonator.impedance) * np.sqrt(angular_frequency * density * viscosity / 2)
    known = np.isfinite(measured) & (measured > 0)
    ratio = float(np.median(measured[known] / expected[known])) if known.any() else 1.0
    if not 0.1 < ratio < 10:
        raise InputError(
            f"a density of {density:g} kg/m³ and a viscosity of {viscosity:g} Pa s would give the crystal a D of "
            f"{float(np.median(expected)):.2g} in the liquid, where the recording has "
            f"{float(np.median(measured[known])):.2g}, as of {viscosity * ratio**2:.2g} Pa s: state both in SI units "
            "(water: 997, 0.89e-3), or give the crystal in air (--air FILE)"
        )


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
