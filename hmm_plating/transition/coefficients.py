"""A step's parameters in the units of the grid, cells and seconds, one row per particle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition.interface import Parameters

BOLTZMANN_CONSTANT = 1.380649e-23  # J/K


class Coefficients(NamedTuple):
    """A step's parameters in the units of the grid (cells, seconds): tensors (particle,), then numbers."""

    exchange_velocity: Tensor  # j0/(nF c_s), cells/s
    anisotropy_strength: Tensor
    orientation_cosine: Tensor  # cos, sin of ω_a θ_0
    orientation_sine: Tensor
    noise_velocity: Tensor  # cells/s per unit of noise
    capillary_length: Tensor  # cells
    transfer_coefficient: Tensor
    supply: Tensor  # c̃ at the box top
    diffusivity: Tensor  # cells²/s
    consumption: Tensor  # (1 − t₊) c_s/c0, fall of c̃ where ξ rises by 1
    ohmic: Tensor  # zF/(RT) zF c_s/σ, s/cell²: curvature of ψ per rate of ξ
    anisotropy_fold: int
    width: float  # ℓ in cells
    dimensions: int


def coefficients(
    parameters: Parameters, batch: torch.Size, duration: float, like: Tensor, supply: Tensor | float = 1.0
) -> Coefficients:
    """Broadcast a step's parameters to one row per particle and express them in cells and seconds."""

    def rows(value: Tensor | float) -> Tensor:
        return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(batch).reshape(-1)

    grid = parameters.interface
    exchange, temperature, charge = (
        rows(value)
        for value in (parameters.exchange_current_density, parameters.temperature, parameters.charge_per_volume)
    )
    # velocity noise of an interface of mobility M = dv/d(pressure): <v v'> = 2 k_B T M δ(area) δ(t), in a section as
    # deep as ℓ. Noise in w n displaces the front, once its profile is that of equilibrium again, by the part along w,
    # ∫w² n/∫w² (what is orthogonal decays), of variance ∫w⁴/(∫w²)² = 36/(35ℓ) per area and unit of white noise
    mobility = exchange / (rows(parameters.kinetic_voltage) * charge**2)
    depth = grid.width if grid.dimensions == 2 else grid.spacing
    cell = grid.spacing**2 * depth / grid.width
    thermal = torch.sqrt(35 / 18 * BOLTZMANN_CONSTANT * temperature * mobility / (duration * cell))
    transport, ohmic, consumption = parameters.transport, 0 * exchange, 0 * exchange
    if transport is not None:
        density = charge / (parameters.valence * FARADAY_CONSTANT)  # c_s
        consumption = (1 - rows(transport.transference_number)) * density / rows(transport.concentration)
        ohmic = charge * grid.spacing**2 / (rows(parameters.kinetic_voltage) * rows(transport.conductivity))
    angle = parameters.anisotropy_fold * rows(parameters.crystal_orientation)
    return Coefficients(
        exchange_velocity=exchange / charge / grid.spacing,
        anisotropy_strength=rows(parameters.anisotropy_strength),
        orientation_cosine=torch.cos(angle),
        orientation_sine=torch.sin(angle),
        noise_velocity=rows(parameters.noise_amplitude) * thermal / grid.spacing,
        capillary_length=rows(parameters.capillary_length) / grid.spacing,
        transfer_coefficient=rows(parameters.transfer_coefficient),
        supply=rows(supply),
        diffusivity=rows(1.0 if transport is None else transport.diffusivity) / grid.spacing**2,
        consumption=consumption,
        ohmic=ohmic,
        anisotropy_fold=parameters.anisotropy_fold,
        width=grid.width / grid.spacing,
        dimensions=grid.dimensions,
    )


def each_tensor(c: Coefficients, function: Callable[[Tensor], Tensor]) -> Coefficients:
    """The coefficients with a function applied to those that are tensors."""
    changed: dict[str, Any] = {
        name: function(value) for name, value in c._asdict().items() if isinstance(value, Tensor)
    }
    return c._replace(**changed)


def anisotropic(c: Coefficients) -> bool:
    """Whether the stiffness, or its derivative, is wanted."""
    return c.anisotropy_strength.requires_grad or bool((c.anisotropy_strength > 0).any())


def per_cell(value: Tensor, c: Coefficients) -> Tensor:
    """(particle,) as (particle, 1, …), to multiply fields."""
    return value.reshape(-1, *[1] * c.dimensions)
