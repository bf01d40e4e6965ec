"""From sharp-interface quantities to the parameters of one transition step.

Users speak of exchange current density, surface energy and anisotropy; the interface width ℓ is numerical. With
ξ = ½[1 − tanh(2d/ℓ)] across a front at distance d, the classical coefficients are κ = 1.5 γ ℓ and W = 12 γ/ℓ
(Chen et al., J. Power Sources 300 (2015) 376, with the profile's energy sqrt(2κW)/6 set equal to γ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.materials import FARADAY_CONSTANT, GAS_CONSTANT, Electrolyte, Metal
from hmm_plating.transition.transport import Transport

MINIMUM_CELLS_PER_WIDTH = 4
LONGEST = 0.5  # m, of an interface: beyond, it was given in another unit; dimensionless benchmarks are below
# (name, lowest, highest plausible value, what a value outside suggests)
_MAGNITUDES = (
    ("temperature", 100.0, 3000.0, "give K, not °C"),
    ("surface_energy", 0.0, 50.0, "give J/m², not mJ/m²"),
    ("exchange_current_density", 1e-12, 1e8, "give A/m²; 1 mA/cm² is 10 A/m²"),
)


@dataclass(frozen=True)
class Interface:
    """The diffuse interface and the grid that resolves it.

    Attributes:
        width: ℓ of ξ = ½[1 − tanh(2d/ℓ)] [m].
        spacing: edge of a grid cell [m].
        dimensions: 2 for sections (y, x), 3 for volumes (z, y, x).

    Raises:
        InputError: a length is not positive or of another unit, the dimensions are neither 2 nor 3, or fewer than 4
            cells lie across ℓ (the front would be pinned to the grid).
    """

    width: float
    spacing: float
    dimensions: int = 2

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("spacing", self.spacing)):
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise InputError(f"Interface.{name} must be a positive length in m, got {value!r}")
            if value > LONGEST:
                raise InputError(f"Interface.{name} = {value:g} m is no interface's: give m, 16 nm are 16e-9 m")
        if self.dimensions not in (2, 3):
            raise InputError(f"Interface.dimensions must be 2 or 3, got {self.dimensions!r}")
        if self.width < MINIMUM_CELLS_PER_WIDTH * self.spacing * (1 - 1e-9):
            raise InputError(
                f"Interface.width = {self.width:g} m is {self.width / self.spacing:.2g} cells of {self.spacing:g} m; "
                f"fewer than {MINIMUM_CELLS_PER_WIDTH} pin the front: widen it or refine the grid"
            )

    def gradient_energy(self, surface_energy: float) -> float:
        """κ = 1.5 γ ℓ [J/m] of the classical form."""
        return 1.5 * surface_energy * self.width

    def well_height(self, surface_energy: float) -> float:
        """W = 12 γ/ℓ [J/m³] of the classical form."""
        return 12 * surface_energy / self.width


@dataclass(frozen=True)
class Parameters:
    """What one transition step needs to know. Where a tensor is allowed, it has (or broadcasts to) the batch's shape.

    Attributes:
        interface: the diffuse interface and its grid.
        charge_per_volume: n F c_s [C/m³].
        valence: electrons per deposited ion.
        temperature: [K].
        surface_energy: γ [J/m²].
        transfer_coefficient: cathodic α, in (0, 1).
        exchange_current_density: j0 [A/m²].
        anisotropy_strength: δ_a of γ(θ) = γ [1 + δ_a cos(ω_a (θ − θ_0))] in a section, θ from the crystal's normal; in
            a volume of the cubic γ(n) = γ [1 + δ_a (4 Σ n_i⁴ − 3)], which for n_z = 0 is that of a section. Above
            1/(ω_a² − 1) some orientations have a negative stiffness, γ + γ'' or a principal one of Herring's tensor;
            it is taken as 0 there.
        anisotropy_fold: ω_a; 4 in a volume, where nothing else is defined.
        crystal_orientation: θ_0 [rad], by which the crystal is turned in the plane (y, x), about z.
        current_efficiency: part of a cathodic current that deposits metal; stripping takes its whole current from the
            metal.
        noise_amplitude: strength of the interface noise relative to the thermal one (fluctuation–dissipation at
            equilibrium, for a section as deep as the interface is wide).
        transport: of the cation from the bulk; None where it never lacks (c̃ = 1).

    Raises:
        InputError: a value is not finite, outside its range, or of a magnitude that suggests another unit; or an
            anisotropic volume is not cubic.
    """

    interface: Interface
    charge_per_volume: Tensor | float
    valence: int
    temperature: Tensor | float
    surface_energy: Tensor | float
    transfer_coefficient: Tensor | float
    exchange_current_density: Tensor | float
    anisotropy_strength: Tensor | float = 0.0
    anisotropy_fold: int = 4
    crystal_orientation: Tensor | float = 0.0
    current_efficiency: Tensor | float = 1.0
    noise_amplitude: Tensor | float = 0.0
    transport: Transport | None = None

    def __post_init__(self) -> None:
        for name, low, high, open_interval in (
            ("charge_per_volume", 0, math.inf, True),
            ("valence", 0, math.inf, True),
            ("temperature", 0, math.inf, True),
            ("surface_energy", 0, math.inf, False),
            ("transfer_coefficient", 0, 1, True),
            ("exchange_current_density", 0, math.inf, True),
            ("anisotropy_strength", 0, 1, False),
            ("anisotropy_fold", 0, math.inf, True),
            ("crystal_orientation", -math.inf, math.inf, False),
            ("current_efficiency", 0, math.inf, True),
            ("noise_amplitude", 0, math.inf, False),
        ):
            value = torch.as_tensor(getattr(self, name), dtype=torch.float64).detach()
            inside = (value > low) & (value < high) if open_interval else (value >= low) & (value < high)
            if not bool((inside & torch.isfinite(value)).all()):
                brackets = f"({low}, {high})" if open_interval else f"[{low}, {high})"
                raise InputError(
                    f"Parameters.{name} must be finite and in {brackets} (SI units), got {value.tolist()!r}"
                )
        for name, lowest, highest, hint in _MAGNITUDES:
            value = torch.as_tensor(getattr(self, name), dtype=torch.float64).detach()
            if not bool(((value >= lowest) & (value <= highest)).all()):
                raise InputError(f"Parameters.{name} = {value.tolist()!r} is of an unlikely magnitude: {hint}")
        if self.interface.dimensions == 3 and self.anisotropy_fold != 4:
            strength = torch.as_tensor(self.anisotropy_strength)
            if strength.requires_grad or bool((strength > 0).any()):
                raise InputError(
                    f"Parameters.anisotropy_fold = {self.anisotropy_fold} has no meaning in three dimensions, where "
                    "anisotropy is a cubic crystal's: give the Metal anisotropy_fold=4, or anisotropy_strength=0"
                )

    @classmethod
    def from_materials(
        cls,
        metal: Metal,
        electrolyte: Electrolyte,
        interface: Interface,
        *,
        exchange_current_density: Tensor | float | None = None,
        anisotropy_strength: Tensor | float | None = None,
        crystal_orientation: Tensor | float = 0.0,
        current_efficiency: Tensor | float = 1.0,
        noise_amplitude: Tensor | float = 0.0,
        transport: Transport | None = None,
    ) -> Parameters:
        """The parameters of a metal in an electrolyte; what is given (per particle, say) replaces the metal's own."""
        return cls(
            interface=interface,
            charge_per_volume=metal.charge_per_volume,
            valence=metal.valence,
            temperature=electrolyte.temperature,
            surface_energy=metal.surface_energy,
            transfer_coefficient=metal.transfer_coefficient,
            exchange_current_density=(
                metal.exchange_current_density if exchange_current_density is None else exchange_current_density
            ),
            anisotropy_strength=metal.anisotropy_strength if anisotropy_strength is None else anisotropy_strength,
            anisotropy_fold=metal.anisotropy_fold,
            crystal_orientation=crystal_orientation,
            current_efficiency=current_efficiency,
            noise_amplitude=noise_amplitude,
            transport=transport,
        )

    @property
    def kinetic_voltage(self) -> Tensor | float:
        """RT/(zF), the voltage in units of which the Butler–Volmer law counts [V]."""
        return GAS_CONSTANT * self.temperature / (self.valence * FARADAY_CONSTANT)

    @property
    def capillary_length(self) -> Tensor | float:
        """γ/(nFc_s) · zF/RT [m]: times the curvature, the Gibbs–Thomson shift in units of RT/(zF)."""
        return self.surface_energy / (self.charge_per_volume * self.kinetic_voltage)
