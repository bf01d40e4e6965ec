"""Materials of the experiment: the plated metal, the electrolyte and the quartz resonator, in SI units."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from hmm_plating.errors import InputError

FARADAY_CONSTANT = 96485.33212  # C/mol, CODATA 2018
GAS_CONSTANT = 8.314462618  # J/(mol K), CODATA 2018


def _require_positive(instance: object, *names: str) -> None:
    """Raise InputError unless every named numeric field of a dataclass is finite and positive."""
    for name in names:
        value = getattr(instance, name)
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise InputError(f"{type(instance).__name__}.{name} must be a positive number in SI units, got {value!r}")


@dataclass(frozen=True)
class Metal:
    """A plated metal and its electrode reaction M^{z+} + z e⁻ ⇌ M.

    Densities and atomic weights are those of the CRC Handbook of Chemistry and Physics; surface energies those of
    Tyson and Miller, Surf. Sci. 62 (1977) 267. Exchange current densities depend on the electrolyte by decades:
    the presets give the order of magnitude that a model should replace by its own.

    Attributes:
        name: for messages and plots.
        density: mass density [kg/m³].
        molar_mass: [kg/mol].
        valence: electrons per deposited ion, z.
        surface_energy: γ of the metal/liquid interface [J/m²].
        exchange_current_density: j0 [A/m²].
        transfer_coefficient: cathodic α of the Butler–Volmer law, in (0, 1).
        anisotropy_strength: δ_a of γ(θ) = γ [1 + δ_a cos(ω_a θ)], in [0, 1).
        anisotropy_fold: ω_a, rotational symmetry of the crystal in the plane of the section; in a volume 4, the cubic
            form, is the only one (`transition.Parameters`).
    """

    name: str
    density: float
    molar_mass: float
    valence: int
    surface_energy: float
    exchange_current_density: float
    transfer_coefficient: float = 0.5
    anisotropy_strength: float = 0.0
    anisotropy_fold: int = 4

    def __post_init__(self) -> None:
        _require_positive(self, "density", "molar_mass", "valence", "surface_energy", "exchange_current_density")
        if not 0 < self.transfer_coefficient < 1:
            raise InputError(f"Metal.transfer_coefficient must lie in (0, 1), got {self.transfer_coefficient!r}")
        if not 0 <= self.anisotropy_strength < 1:
            raise InputError(f"Metal.anisotropy_strength must lie in [0, 1), got {self.anisotropy_strength!r}")
        _require_positive(self, "anisotropy_fold")

    @property
    def molar_volume(self) -> float:
        """Volume of a mole of metal [m³/mol]."""
        return self.molar_mass / self.density

    @property
    def charge_per_volume(self) -> float:
        """Charge that deposits a volume of metal, zF/V_m = n F c_s [C/m³] (Faraday's law)."""
        return self.valence * FARADAY_CONSTANT / self.molar_volume

    @classmethod
    def zinc(cls) -> Metal:
        """Zinc; j0 of mildly acidic zinc sulfate with a polymer inhibitor."""
        return cls("zinc", 7140.0, 65.38e-3, 2, 0.99, 0.3, anisotropy_fold=6)

    @classmethod
    def copper(cls) -> Metal:
        """Copper; j0 of acid copper sulfate (Newman and Thomas-Alyea, Electrochemical Systems, 3rd ed., ch. 8)."""
        return cls("copper", 8960.0, 63.546e-3, 2, 1.79, 10.0)

    @classmethod
    def lithium(cls) -> Metal:
        """Lithium; j0 of LiPF6 in carbonates."""
        return cls("lithium", 534.0, 6.941e-3, 1, 0.525, 30.0)

    @classmethod
    def silver(cls) -> Metal:
        """Silver; j0 of acid silver nitrate."""
        return cls("silver", 10490.0, 107.8682e-3, 1, 1.25, 100.0)


@dataclass(frozen=True)
class Electrolyte:
    """A Newtonian electrolyte.

    Attributes:
        density: ρ [kg/m³].
        viscosity: dynamic viscosity η [Pa s].
        temperature: [K].
    """

    density: float
    viscosity: float
    temperature: float = 298.15

    def __post_init__(self) -> None:
        _require_positive(self, *(field.name for field in fields(self)))
        if self.viscosity > 1e3:
            raise InputError(f"Electrolyte.viscosity = {self.viscosity:g} Pa s is that of pitch; give Pa s, not mPa s")
        if self.density < 100:
            raise InputError(f"Electrolyte.density = {self.density:g} kg/m³ is not a liquid's; give kg/m³, not g/cm³")

    @property
    def thermal_voltage(self) -> float:
        """RT/F [V]."""
        return GAS_CONSTANT * self.temperature / FARADAY_CONSTANT

    def penetration_depth(self, angular_frequency: float) -> float:
        """Depth δ = sqrt(2η/(ρω)) at which the shear wave has decayed to 1/e [m]."""
        return math.sqrt(2 * self.viscosity / (self.density * angular_frequency))


@dataclass(frozen=True)
class Resonator:
    """An AT-cut quartz crystal.

    Attributes:
        fundamental_frequency: f0 [Hz].
        impedance: shear-wave impedance of quartz Z_q [Pa s/m].
    """

    fundamental_frequency: float = 5e6
    impedance: float = 8.84e6

    def __post_init__(self) -> None:
        _require_positive(self, *(field.name for field in fields(self)))

    def angular_frequency(self, overtone: int) -> float:
        """ω_n = 2π n f0 [rad/s]."""
        return 2 * math.pi * overtone * self.fundamental_frequency
