"""The transition in plain torch: the reference of the kernels, the source of gradients, and the path on a GPU.

    ∂ξ/∂t = w v + b [∇²ξ − f(ξ) + w κ],     w = 4ξ(1 − ξ)/ℓ = |∇ξ| on the kept profile

v is Butler–Volmer at the local overpotential, so the front moves as in the sharp-interface problem at any drive; the
bracket keeps the tanh profile, and + wκ cancels its own curvature motion (Folch, Casademunt, Hernández-Machado and
Ramírez-Piscina, Phys. Rev. E 60 (1999) 1724; Sun and Beckermann, J. Comput. Phys. 220 (2007) 626). Normals and
curvature κ (positive where metal is convex) come from the signed distance ψ = (ℓ/4) ln(ξ/(1 − ξ)), which is smooth
where ξ is steep. f is the double well in the form of which the sampled tanh is an exact equilibrium on the grid
(Speight and Ward, Nonlinearity 7 (1994) 475), so that a front is neither widened by the grid nor pinned to it.

The coefficient b = ½ ℓ max|v| + γ/(nFc_s) max|∂v/∂η| follows the front: where nothing moves there is nothing to
repair. Above ¼ ℓ max|v| the bulk phases are stable under the drive; the second part holds together a profile whose
inner side is more curved than its outer one. The sub-step is the longest for which the explicit update is sure to
keep ξ in [0, 1].
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.transition.butler_volmer import galvanostatic_overpotential
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.moving_window import must_shift

PROFILE_RELAXATION = 0.5  # b / (ℓ max|v|)
ACTIVE = 1e-6  # ξ(1 − ξ) above which a cell belongs to the interface
CLIP = 1e-8  # of ξ before the logarithm
FLAT_SLOPE = 1e-3  # |∇ψ| far below its 1: where fronts meet, the normal vanishes
BOLTZMANN_CONSTANT = 1.380649e-23  # J/K


class Coefficients(NamedTuple):
    """A step's parameters, one row per particle: tensors (particle,) and numbers in the units of the grid (cells)."""

    exchange_velocity: Tensor  # j0/(nF c_s), cells/s
    anisotropy_strength: Tensor
    orientation_cosine: Tensor  # cos, sin of ω_a θ_0
    orientation_sine: Tensor
    noise_velocity: Tensor  # cells/s per unit of noise
    capillary_length: float  # cells
    transfer_coefficient: float
    anisotropy_fold: int
    width: float  # ℓ in cells


class Progress(NamedTuple):
    """How far a step has come: tensors with the leading dimension (particle,), lengths in cells."""

    order_parameter: Tensor  # (particle, y, x)
    demand: Tensor  # thickness still to deposit (galvanostatic)
    time_left: Tensor
    overpotential: Tensor  # zFη/RT
    substeps: Tensor


def coefficients(parameters: Parameters, batch: torch.Size, duration: float, like: Tensor) -> Coefficients:
    """Broadcast a step's parameters to one row per particle and express them in cells and seconds."""

    def rows(value: Tensor | float) -> Tensor:
        return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(batch).reshape(-1)

    spacing = parameters.interface.spacing
    charge = parameters.charge_per_volume
    exchange = rows(parameters.exchange_current_density)
    # velocity noise of an interface of mobility M = dv/d(pressure): <v v'> = 2 k_B T M δ(area) δ(t), in a section as
    # deep as ℓ; a front averages the cells that it crosses with weights w, and ∫w² dn = 2/(3ℓ)
    mobility = exchange / (parameters.kinetic_voltage * charge**2)
    thermal = torch.sqrt(3 * BOLTZMANN_CONSTANT * parameters.temperature * mobility / duration) / spacing
    angle = parameters.anisotropy_fold * rows(parameters.crystal_orientation)
    return Coefficients(
        exchange_velocity=exchange / charge / spacing,
        anisotropy_strength=rows(parameters.anisotropy_strength),
        orientation_cosine=torch.cos(angle),
        orientation_sine=torch.sin(angle),
        noise_velocity=rows(parameters.noise_amplitude) * thermal / spacing,
        capillary_length=parameters.capillary_length / spacing,
        transfer_coefficient=parameters.transfer_coefficient,
        anisotropy_fold=parameters.anisotropy_fold,
        width=parameters.interface.width / spacing,
    )


def largest_substep(relaxation, speed, capillary_diffusivity, width, well_slope):
    """Time within which every weight of the explicit update stays positive (cells, seconds; tensors or numbers).

    10/3 is the centre weight of the nine-point Laplacian, 4 that of the curvature's; |κ| ≤ 2/ℓ.
    """
    rate = relaxation * (10 / 3 + well_slope + 8 / width**2) + 4 * speed / width + 4 * capillary_diffusivity
    return 0.9 / rate


def _pad(field: Tensor) -> Tensor:
    """One cell more on each side: mirrored at bottom and top, periodic laterally."""
    field = torch.cat([field[..., :1, :], field, field[..., -1:, :]], -2)
    return torch.cat([field[..., -1:], field, field[..., :1]], -1)


def laplacian(field: Tensor) -> Tensor:
    """Nine-point Laplacian, isotropic to fourth order, in cells; mirror at bottom and top, periodic laterally."""
    f = _pad(field)
    axial = f[..., 1:-1, :-2] + f[..., 1:-1, 2:] + f[..., :-2, 1:-1] + f[..., 2:, 1:-1]
    diagonal = f[..., :-2, :-2] + f[..., :-2, 2:] + f[..., 2:, :-2] + f[..., 2:, 2:]
    return (4 * axial + diagonal - 20 * field) / 6


def profile_force(order_parameter: Tensor, width: float) -> Tensor:
    """∇²ξ − f(ξ) in cells: zero on ξ = ½[1 − tanh(2d/ℓ)] sampled on a grid, wherever the front lies in its cell."""
    t2 = math.tanh(2 / width) ** 2
    phi = 2 * order_parameter - 1
    return laplacian(order_parameter) + t2 * phi * (1 - phi**2) / (1 - t2 * phi**2)


def curvature_cancelling(order_parameter: Tensor, weight: Tensor, curvature: Tensor, width: float) -> Tensor:
    """wκ as the nine-point Laplacian has it, κ(w + w''/6) in cells.

    Without w'' a relaxed front of 4 cells keeps 3 % of its curvature motion.
    """
    return weight * curvature * (1 + 8 / (3 * width**2) * (1 - 6 * order_parameter * (1 - order_parameter)))


class Geometry(NamedTuple):
    """Of the interface, per cell and in cells; zero off the interface. Fields (particle, y, x)."""

    weight: Tensor  # w = |∇ξ|
    curvature: Tensor  # positive where metal is convex, within ±2/ℓ
    stiffness: Tensor  # (γ + γ'')/γ, at least 0


def geometry(order_parameter: Tensor, c: Coefficients) -> Geometry:
    """Weight, curvature and capillary stiffness of the diffuse interface."""
    xi, width = order_parameter, c.width
    active = xi * (1 - xi) > ACTIVE
    clipped = xi.clamp(CLIP, 1 - CLIP)
    p = _pad(0.25 * width * torch.log(clipped / (1 - clipped)))
    # faces between x and x+1 (one more than cells), then between y and y+1
    gx = p[..., 1:-1, 1:] - p[..., 1:-1, :-1]
    gy = 0.25 * (p[..., 2:, 1:] + p[..., 2:, :-1] - p[..., :-2, 1:] - p[..., :-2, :-1])
    nx = gx / torch.sqrt(gx * gx + gy * gy + FLAT_SLOPE**2)
    gy = p[..., 1:, 1:-1] - p[..., :-1, 1:-1]
    gx = 0.25 * (p[..., 1:, 2:] + p[..., :-1, 2:] - p[..., 1:, :-2] - p[..., :-1, :-2])
    ny = gy / torch.sqrt(gx * gx + gy * gy + FLAT_SLOPE**2)
    divergence = (nx[..., 1:] - nx[..., :-1]) + (ny[..., 1:, :] - ny[..., :-1, :])
    curvature = (-divergence).clamp(-2 / width, 2 / width)
    weight = 4 / width * xi * (1 - xi)
    zero = torch.zeros((), dtype=xi.dtype, device=xi.device)
    return Geometry(*(torch.where(active, value, zero) for value in (weight, curvature, _stiffness(p, c))))


def _stiffness(padded: Tensor, c: Coefficients) -> Tensor:
    """1 + δ_a(1 − ω_a²) cos ω_a(θ − θ_0), θ between the outward normal and y; missing orientations have none."""
    gx = 0.5 * (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2])
    gy = 0.5 * (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1])
    slope = torch.sqrt(gx * gx + gy * gy + FLAT_SLOPE**2)
    cosine, sine = -gy / slope, -gx / slope
    real, imaginary = cosine, sine
    for _ in range(c.anisotropy_fold - 1):  # (cos θ + i sin θ)^ω
        real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
    strength, cos0, sin0 = (
        value[:, None, None] for value in (c.anisotropy_strength, c.orientation_cosine, c.orientation_sine)
    )
    return (1 + strength * (1 - c.anisotropy_fold**2) * (real * cos0 + imaginary * sin0)).clamp(min=0)


def advance(
    progress: Progress, noise: Tensor, c: Coefficients, galvanostatic: bool, base_rows: Tensor, margin: int
) -> Progress:
    """Sub-step every particle until its time is up, its surface is gone, or it must shift its window.

    Args:
        progress: where each particle stands.
        noise: (particle, y, x), held constant over the sub-steps.
        c: coefficients.
        galvanostatic: solve for the overpotential that meets the demand; else keep the given one.
        base_rows: (particle,) rigid metal below row 0.
        margin: rows across the interface width, see `must_shift`.
    """
    xi, demand, time_left, overpotential, substeps = progress
    alpha, beta, width = c.transfer_coefficient, 1 - c.transfer_coefficient, c.width
    columns = xi.shape[-1]
    well_slope = 4 * math.tanh(2 / width) ** 2 / (1 - math.tanh(2 / width) ** 2)
    one = torch.ones((), dtype=xi.dtype, device=xi.device)
    noise_velocity = c.noise_velocity[:, None, None] * noise

    def thickness(field: Tensor) -> Tensor:
        return field.sum((-2, -1)) / columns

    def velocity(y: Tensor, shift: Tensor) -> Tensor:
        return c.exchange_velocity * (torch.exp(-alpha * (y + shift)) - torch.exp(beta * (y + shift)))

    while True:
        too_high, too_low = must_shift(xi.detach(), base_rows, margin)
        running = (time_left > 0) & (xi.detach() > 0.5).flatten(1).any(-1) & ~too_high & ~too_low
        if not bool(running.any()):
            return Progress(xi, demand, time_left, overpotential, substeps)
        weight, curvature, stiffness = geometry(xi, c)
        shift = c.capillary_length * stiffness * curvature
        cathodic_factor, anodic_factor = torch.exp(-alpha * shift), torch.exp(beta * shift)
        force = profile_force(xi, width) + curvature_cancelling(xi, weight, curvature, width)
        cathodic = torch.where(running, c.exchange_velocity * thickness(weight * cathodic_factor), one)
        anodic = torch.where(running, c.exchange_velocity * thickness(weight * anodic_factor), one)
        noise_rate, force_rate = thickness(weight * noise_velocity), thickness(force)
        rate = demand / torch.where(running, time_left, one)
        y = overpotential
        if galvanostatic:
            y = galvanostatic_overpotential(cathodic, anodic, rate - noise_rate, alpha)
        low, high = shift.amin((-2, -1)), shift.amax((-2, -1))
        interface_noise = torch.where(weight > 0, noise_velocity.abs(), 0 * one).amax((-2, -1))
        speed = torch.maximum(velocity(y, low).abs(), velocity(y, high).abs()) + interface_noise
        slopes = [
            c.exchange_velocity * (alpha * torch.exp(-alpha * (y + s)) + beta * torch.exp(beta * (y + s)))
            for s in (low, high)
        ]
        diffusivity = c.capillary_length * stiffness.amax((-2, -1)) * torch.maximum(*slopes)
        relaxation = PROFILE_RELAXATION * width * speed + diffusivity
        with torch.no_grad():
            limit = largest_substep(relaxation, speed, diffusivity, width, well_slope)
            count = torch.ceil(torch.where(running, time_left / limit, one)).clamp(min=1)
        if galvanostatic:
            y = galvanostatic_overpotential(cathodic, anodic, rate - noise_rate - relaxation * force_rate, alpha)
        substep = torch.where(running, time_left / count, 0 * one)
        deposition = (
            (c.exchange_velocity * torch.exp(-alpha * y))[:, None, None] * cathodic_factor
            - (c.exchange_velocity * torch.exp(beta * y))[:, None, None] * anodic_factor
            + noise_velocity
        )
        change = substep[:, None, None] * (weight * deposition + relaxation[:, None, None] * force)
        updated = (xi + change).clamp(0, 1)
        demand = demand - torch.where(running, thickness(updated) - thickness(xi), 0 * one)
        xi = torch.where(running[:, None, None], updated, xi)
        overpotential = torch.where(running, y, overpotential)
        time_left = torch.where(running & (count > 1), time_left - substep, torch.where(running, 0 * one, time_left))
        substeps = substeps + running
