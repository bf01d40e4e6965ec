"""The nonlinear phase field of the literature, for comparison with it (Liang et al., Phys. Rev. E 86 (2012) 051609;
Chen et al., J. Power Sources 300 (2015) 376), with a supporting electrolyte: no migration, one overpotential.

    ∂ξ/∂t = −L_σ δF/δξ − L_η h'(ξ) Γ,     Γ = exp[(1 − α) zFη/RT] − c̃ exp[−α zFη/RT]
    ∂c̃/∂t = ∇·D(ξ)∇c̃ − (c_s/c0) ∂ξ/∂t,   D = D_l (1 − h) + D_s h
    F = ∫ W ξ²(1 − ξ)² + ½ κ |∇ξ|²,        h = ξ³(6ξ² − 15ξ + 10)
    κ = κ0 [1 + δ_a cos ω_a(θ − θ_0)] in a section,  κ0 [1 + δ_a(4 Σ n_i⁴ − 3)] in a volume

with n along the axes of a cubic crystal, turned by θ_0 about z: for n_z = 0 that of a section with ω_a = 4. The surface
energy varies as sqrt(κ). Above δ_a = 1/(½ω_a² − 1) some orientations are unstable. A planar front moves at
1.5 ℓ L_η |Γ| while L_η |Γ| ≪ L_σ W, and a circle shrinks by d(R²)/dt = −2 L_σ κ, a sphere by −4 L_σ κ. At the drive of
a real recording the term h'Γ distorts the profile; `step` does not have this limit.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import classical_kernels
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.transport import Transport


class ClassicalState(NamedTuple):
    """Fields (..., y, x) or, in three dimensions, (..., z, y, x): y normal to the crystal, x and z periodic."""

    order_parameter: Tensor  # ξ, 1 in metal
    concentration: Tensor | None = None  # c̃ = c/c0; None: 1 everywhere and always


@dataclass(frozen=True)
class ClassicalParameters:
    """Coefficients of the classical form.

    Attributes:
        surface: interface, surface energy, anisotropy, transfer coefficient; its exchange current density does not
            count, the kinetics come from `reaction_rate`.
        interface_mobility: L_σ [m³/(J s)].
        reaction_rate: L_η [1/s]; j0 = nF c_s · 1.5 ℓ L_η.
        transport: c0 and D_l of the cation; None where c̃ is not followed.
        metal_diffusivity: D_s [m²/s].
        top_concentration: c̃ held on the upper face of the box; None: a closed box.

    Raises:
        InputError: a value outside its range.
    """

    surface: Parameters
    interface_mobility: float
    reaction_rate: float = 0.0
    transport: Transport | None = None
    metal_diffusivity: float = 0.0
    top_concentration: float | None = None

    def __post_init__(self) -> None:
        for name in ("interface_mobility", "reaction_rate", "metal_diffusivity", "top_concentration"):
            value = getattr(self, name)
            if name == "top_concentration" and value is None:
                continue
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"ClassicalParameters.{name} must be finite and at least 0 (SI units), got {value!r}")

    @property
    def concentration_ratio(self) -> float:
        """c_s/c0 of metal and bulk electrolyte; 0 without transport."""
        if self.transport is None:
            return 0.0
        ions = float(self.surface.charge_per_volume) / (self.surface.valence * FARADAY_CONSTANT)
        return ions / float(self.transport.concentration)


def free_energy(order_parameter: Tensor, surface: Parameters) -> Tensor:
    """F (...,) of a section [J per m of depth] or a box [J]; ξ (..., y, x) or (..., z, y, x), mirrored at bottom and
    top, periodic laterally.

    The gradient energy of a cell is the mean over its corners, each with its own one-sided differences; without
    anisotropy its variation is the five- or seven-point Laplacian. Torque terms follow by differentiation: the
    reference of the kernels.
    """
    xi, spacing, dimensions = order_parameter, surface.interface.spacing, surface.interface.dimensions
    axes = tuple(range(-dimensions, 0))
    periodic = {axis: (torch.roll(xi, -1, axis) - xi) / spacing for axis in axes if axis != -2}
    differences = {axis: (right, torch.roll(right, 1, axis)) for axis, right in periodic.items()}
    rise = (xi[..., 1:, :] - xi[..., :-1, :]) / spacing
    differences[-2] = torch.nn.functional.pad(rise, (0, 0, 0, 1)), torch.nn.functional.pad(rise, (0, 0, 1, 0))
    kappa, well = _energy_coefficients(surface)
    strength, orientation = (
        _cells(torch.as_tensor(value, dtype=xi.dtype, device=xi.device), dimensions)
        for value in (surface.anisotropy_strength, surface.crystal_orientation)
    )
    density = well * xi**2 * (1 - xi) ** 2
    for corner in itertools.product(*(differences[axis] for axis in axes)):
        *gz, gy, gx = corner
        square = torch.stack(corner).square().sum(0)
        energy = 0.5 * kappa * square
        if bool((strength > 0).any()):
            flat = square == 0  # there the orientation has no derivative
            one = torch.ones_like(gy)
            if gz:
                cosine, sine = torch.cos(orientation), torch.sin(orientation)
                along = torch.stack([cosine * gx - sine * gy, cosine * gy + sine * gx, *gz])
                quartic = along.pow(4).sum(0) / torch.where(flat, one, square) ** 2
                harmonic = torch.where(flat, 0 * one, 4 * quartic - 3)
            else:
                angle = torch.atan2(-gx, torch.where(flat, one, -gy)) - orientation
                harmonic = torch.where(flat, 0 * one, torch.cos(surface.anisotropy_fold * angle))
            energy = energy * (1 + strength * harmonic)
        density = density + energy / 2**dimensions
    return density.sum(axes) * spacing**dimensions


def _energy_coefficients(surface: Parameters) -> tuple[float, float]:
    """κ0 [J/m] and W [J/m³]."""
    interface, gamma = surface.interface, float(surface.surface_energy)
    return interface.gradient_energy(gamma), interface.well_height(gamma)


def stable_time_step(state: ClassicalState, overpotential: Tensor | float, parameters: ClassicalParameters) -> Tensor:
    """Longest explicit step (...,) [s]: without anisotropy it surely keeps ξ in [0, 1] and c̃ from oscillating.

    Up to it every weight of the update is positive; h'' ≤ 6, h' ≤ 15/8, g'' ≤ 2, and the reaction itself brings c̃ no
    higher than exp(zFη/RT).
    """
    surface, cells = parameters.surface, tuple(range(-parameters.surface.interface.dimensions, 0))
    kappa, well = _energy_coefficients(surface)
    per_cell = 1 / surface.interface.spacing**2
    anodic, cathodic = _reaction_factors(state, overpotential, parameters)
    xi = state.order_parameter
    drive, carried = (anodic - cathodic).abs(), torch.zeros_like(anodic)
    if state.concentration is not None and parameters.transport is not None:
        highest = state.concentration.to(torch.float64).amax(cells).clamp(min=1)
        drive = torch.maximum(anodic, (anodic - cathodic * highest).abs())
        neighbours = 2 * parameters.surface.interface.dimensions + (parameters.top_concentration is not None)
        diffusivity = max(parameters.transport.diffusivity, parameters.metal_diffusivity)
        consumption = 1.875 * parameters.concentration_ratio * parameters.reaction_rate * cathodic
        carried = neighbours * diffusivity * per_cell + consumption
    strength = _per_particle(surface.anisotropy_strength, xi, parameters)
    stiffest = 1 + max(0.5 * surface.anisotropy_fold**2, 1.0) * strength  # bounds ∂²e/∂∇ξ²
    relaxed = 2 * parameters.surface.interface.dimensions * kappa * stiffest * per_cell + 2 * well
    return 1 / torch.maximum(parameters.interface_mobility * relaxed + 6 * parameters.reaction_rate * drive, carried)


def classical_step(
    state: ClassicalState,
    overpotential: Tensor | float,
    duration: float,
    parameters: ClassicalParameters,
    *,
    time_step: float | None = None,
    source: Tensor | None = None,
) -> ClassicalState:
    """Advance ξ and, with transport, c̃ by explicit Euler steps; the mean of c̃ + (c_s/c0) ξ in a closed box stays.

    On the CPU, in double precision, without gradients; one particle per thread.

    Args:
        state: fields (..., y, x) or (..., z, y, x); leading dimensions are particles.
        overpotential: η [V], a number or (...,).
        duration: [s].
        parameters: coefficients.
        time_step: longest step [s]; None: `stable_time_step` of each particle.
        source: added to ∂ξ/∂t [1/s], with the shape of ξ.

    Raises:
        InputError: a duration or time step that is not positive, a time step above the stability limit, fields of
            different shape, or a concentration without transport or the other way round.
    """
    for name, value in (("duration", duration), ("time_step", time_step)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive number of seconds, got {value!r}")
    if (state.concentration is None) != (parameters.transport is None):
        raise InputError("a state with concentration needs ClassicalParameters.transport, and the other way round")
    xi = state.order_parameter
    for name, field in (("concentration", state.concentration), ("source", source)):
        if field is not None and field.shape != xi.shape:
            raise InputError(f"{name} has the shape {tuple(field.shape)}, the order parameter {tuple(xi.shape)}")
    limit = stable_time_step(state, overpotential, parameters)
    if time_step is not None:
        if time_step > float(limit.min()):
            raise InputError(f"time_step = {time_step:g} s is not stable: at most {float(limit.min()):g} s is")
        limit = torch.full_like(limit, time_step)
    substeps = torch.ceil(duration / limit).clamp(min=1)  # nothing moves: the limit is infinite
    substep = duration / substeps
    depth, rows, columns = (xi.shape[-3] if parameters.surface.interface.dimensions == 3 else 1), *xi.shape[-2:]
    advanced, concentration, added = (
        np.empty((substep.numel(), 0, 0, 0))
        if field is None
        else np.array(field.detach().numpy(), np.float64, order="C").reshape(-1, depth, rows, columns)
        for field in (xi, state.concentration, source)
    )
    classical_kernels.advance(
        advanced,
        concentration,
        added,
        _coefficients(state, overpotential, parameters, substep).numpy(),
        substeps.reshape(-1).to(torch.int64).numpy(),
        parameters.surface.anisotropy_fold,
    )
    c = state.concentration
    return ClassicalState(_as_before(advanced, xi), None if c is None else _as_before(concentration, c))


def _as_before(values: np.ndarray, field: Tensor) -> Tensor:
    return torch.from_numpy(values).reshape(field.shape).to(field.dtype)


def _coefficients(
    state: ClassicalState, overpotential: Tensor | float, parameters: ClassicalParameters, substep: Tensor
) -> Tensor:
    """Of `classical_kernels.advance` (particle, 12), in cells and sub-steps."""
    surface, xi = parameters.surface, state.order_parameter
    kappa, well = _energy_coefficients(surface)
    anodic, cathodic = _reaction_factors(state, overpotential, parameters)
    diffusivity = 0.0 if parameters.transport is None else parameters.transport.diffusivity
    per_cell = substep / surface.interface.spacing**2
    mobility, reaction = parameters.interface_mobility * substep, 30 * parameters.reaction_rate * substep
    angle = surface.anisotropy_fold * _per_particle(surface.crystal_orientation, xi, parameters)
    top = math.nan if parameters.top_concentration is None else parameters.top_concentration
    columns = (
        parameters.interface_mobility * kappa * per_cell,
        2 * well * mobility,
        reaction * anodic,
        reaction * cathodic,
        torch.full_like(substep, parameters.concentration_ratio),
        0.5 * diffusivity * per_cell,
        0.5 * parameters.metal_diffusivity * per_cell,
        torch.full_like(substep, top),
        _per_particle(surface.anisotropy_strength, xi, parameters),
        torch.cos(angle),
        torch.sin(angle),
        substep,
    )
    return torch.stack([column.reshape(-1) for column in columns], -1).contiguous()


def _reaction_factors(
    state: ClassicalState, overpotential: Tensor | float, parameters: ClassicalParameters
) -> tuple[Tensor, Tensor]:
    """exp[(1 − α) zFη/RT] and exp[−α zFη/RT] (...,)."""
    alpha = parameters.surface.transfer_coefficient
    y = _per_particle(overpotential, state.order_parameter, parameters) / parameters.surface.kinetic_voltage
    return torch.exp((1 - alpha) * y), torch.exp(-alpha * y)


def _per_particle(value: Tensor | float, order_parameter: Tensor, parameters: ClassicalParameters) -> Tensor:
    """Broadcast to the batch (...,), in double precision."""
    batch = order_parameter.shape[: -parameters.surface.interface.dimensions]
    return torch.as_tensor(value, dtype=torch.float64).detach().expand(batch)


def _cells(value: Tensor, dimensions: int) -> Tensor:
    """From one per particle to one per cell."""
    return value[(...,) + (None,) * dimensions]
