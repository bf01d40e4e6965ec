"""The nonlinear phase field of the literature, for comparison with it (Liang et al., Phys. Rev. E 86 (2012) 051609).

    ∂ξ/∂t = −L_σ δF/δξ − L_η h'(ξ) Γ,     Γ = exp[(1 − α) zFη/RT] − exp[−α zFη/RT]
    F = ∫ W ξ²(1 − ξ)² + ½ κ(θ) |∇ξ|²,    h = ξ³(6ξ² − 15ξ + 10),    κ(θ) = κ0 [1 + δ_a cos ω_a(θ − θ_0)]

The surface energy varies as sqrt(κ(θ)). A planar front moves at 1.5 ℓ L_η |Γ| while L_η |Γ| ≪ L_σ W, and a circle
shrinks by d(R²)/dt = −2 L_σ κ. At the drive of a real recording the term h'Γ distorts the profile; `step` does not have
this limit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.transition.interface import Parameters


def free_energy(order_parameter: Tensor, parameters: Parameters) -> Tensor:
    """F per depth of a section [J/m] (...,); order_parameter (..., y, x), mirrored at bottom and top, periodic
    laterally.

    The gradient energy of a cell is the mean over its four corners, each with its own one-sided differences; without
    anisotropy its variation is the five-point Laplacian. Torque terms follow by differentiation.
    """
    spacing = parameters.interface.spacing
    xi = order_parameter
    right = (torch.roll(xi, -1, -1) - xi) / spacing
    left = torch.roll(right, 1, -1)
    rise = (xi[..., 1:, :] - xi[..., :-1, :]) / spacing
    up = torch.nn.functional.pad(rise, (0, 0, 0, 1))
    down = torch.nn.functional.pad(rise, (0, 0, 1, 0))
    kappa = parameters.interface.gradient_energy(parameters.surface_energy)
    well = parameters.interface.well_height(parameters.surface_energy)
    density = well * xi**2 * (1 - xi) ** 2
    strength, orientation = (
        torch.as_tensor(value, dtype=xi.dtype, device=xi.device)[..., None, None]
        for value in (parameters.anisotropy_strength, parameters.crystal_orientation)
    )
    for gx in (left, right):
        for gy in (down, up):
            square = gx**2 + gy**2
            energy = 0.5 * kappa * square
            if bool((strength > 0).any()):
                flat = square == 0
                angle = torch.atan2(-gx, torch.where(flat, torch.ones_like(gy), -gy)) - orientation
                energy = energy * (1 + strength * torch.cos(parameters.anisotropy_fold * angle))
            density = density + 0.25 * energy
    return density.sum((-2, -1)) * spacing**2


def classical_step(
    order_parameter: Tensor,
    overpotential: float,
    duration: float,
    interface_mobility: float,
    reaction_rate: float,
    parameters: Parameters,
) -> Tensor:
    """Advance ξ (..., y, x) by explicit sub-steps within the stability limit of the Laplacian.

    Args:
        order_parameter: ξ (..., y, x).
        overpotential: η [V].
        duration: [s].
        interface_mobility: L_σ [m³/(J s)].
        reaction_rate: L_η [1/s].
        parameters: surface energy, interface, anisotropy, transfer coefficient; the kinetics come from `reaction_rate`.

    Raises:
        InputError: a duration that is not positive.
    """
    if not (math.isfinite(duration) and duration > 0):
        raise InputError(f"duration must be a positive number of seconds, got {duration!r}")
    spacing = parameters.interface.spacing
    alpha, y = parameters.transfer_coefficient, overpotential / parameters.kinetic_voltage
    drive = math.exp((1 - alpha) * y) - math.exp(-alpha * y)
    strongest = 1 + float(torch.as_tensor(parameters.anisotropy_strength).max()) * parameters.anisotropy_fold**2
    kappa = parameters.interface.gradient_energy(parameters.surface_energy)
    fastest = interface_mobility * (
        4 * strongest * kappa / spacing**2 + 2 * parameters.interface.well_height(parameters.surface_energy)
    ) + 6 * reaction_rate * abs(drive)
    substeps = math.ceil(duration * fastest / 0.8)
    xi = order_parameter
    for _ in range(substeps):
        with torch.enable_grad():
            variable = xi.detach().requires_grad_()
            (variation,) = torch.autograd.grad(free_energy(variable, parameters).sum(), variable)
        force = interface_mobility * variation / spacing**2 + reaction_rate * drive * 30 * xi**2 * (1 - xi) ** 2
        xi = xi - duration / substeps * force
    return xi
