"""Transport of the depositing cation: bulk concentration, diffusivity, conductivity and the diffusion layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.materials import FARADAY_CONSTANT

# (name, lowest, highest plausible value, unit, what a value outside suggests)
_MAGNITUDES = (
    ("concentration", 1e-3, 3e4, "mol/m³", "1 mol/l is 1000 mol/m³"),
    ("diffusivity", 1e-14, 1e-7, "m²/s", "1e-5 cm²/s is 1e-9 m²/s"),
    ("conductivity", 1e-5, 1e3, "S/m", "10 mS/cm is 1 S/m"),
    ("layer_thickness", 1e-7, 1e-2, "m", "100 µm is 1e-4 m"),
)


def _extremes(value: Tensor | float) -> tuple[float, ...]:
    """Lowest and highest value of a tensor (NaN where it holds one), or the number itself."""
    if not isinstance(value, Tensor):
        return (value,)
    return tuple(extreme.item() for extreme in torch.aminmax(value.detach()))


@dataclass(frozen=True)
class Transport:
    """How the cation reaches the surface (Newman and Thomas-Alyea, Electrochemical Systems, ch. 11).

    Each is a number, or a tensor with one value per particle.

    Attributes:
        concentration: c0, of the cation in the bulk [mol/m³].
        diffusivity: D, of the salt, or of the cation where a supporting electrolyte carries the current [m²/s].
        layer_thickness: of the Nernst diffusion layer between surface and bulk [m].
        conductivity: σ, of the electrolyte [S/m]; infinite: no ohmic drop.
        transference_number: t₊, the cation's share of the current in the bulk, in [0, 1); 0 with a supporting
            electrolyte.
        resolved: solve for concentration and potential inside the box of the phase field, too; otherwise they are those
            at its top, which is right while the current is far below zFDc0 over the height of the box.

    Raises:
        InputError: a value is not positive, or of a magnitude that suggests another unit.
    """

    concentration: Tensor | float
    diffusivity: Tensor | float
    layer_thickness: Tensor | float
    conductivity: Tensor | float = math.inf
    transference_number: Tensor | float = 0.0
    resolved: bool = True

    def __post_init__(self) -> None:
        for name, low, high, unit, hint in _MAGNITUDES:
            for value in _extremes(getattr(self, name)):
                if name == "conductivity" and value == math.inf:
                    continue
                if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                    raise InputError(f"Transport.{name} must be a positive number of {unit}, got {value!r}")
                if not low <= value <= high:
                    raise InputError(f"Transport.{name} = {value:g} {unit} is not an electrolyte's: {hint}")
        for value in _extremes(self.transference_number):
            if not 0 <= value < 1:
                raise InputError(f"Transport.transference_number must lie in [0, 1), got {value!r}")

    def limiting_current_density(self, valence: int) -> Tensor | float:
        """Largest steady cathodic current density, zFDc0/((1 − t₊)δ) [A/m²], as a positive number."""
        flux = self.diffusivity * self.concentration / self.layer_thickness
        return valence * FARADAY_CONSTANT * flux / (1 - self.transference_number)

    def sand_time(self, current_density: Tensor | float, valence: int) -> Tensor | float:
        """Time until a constant current depletes the surface of a deep electrolyte [s].

        t_S = πD [zFc0/(2j(1 − t₊))]² (Sand, Phil. Mag. 1 (1901) 45).
        """
        charge = valence * FARADAY_CONSTANT * self.concentration
        return math.pi * self.diffusivity * (charge / (2 * current_density * (1 - self.transference_number))) ** 2
