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

from hmm_plating.transition import box_torch
from hmm_plating.transition.anisotropy_torch import weighted_curvature
from hmm_plating.transition.butler_volmer import galvanostatic_overpotential
from hmm_plating.transition.coefficients import Coefficients, per_cell
from hmm_plating.transition.kernels import DEPLETED
from hmm_plating.transition.kernels.curvature import FLAT_SLOPE
from hmm_plating.transition.kernels.geometry import ACTIVE, CLIP
from hmm_plating.transition.kernels.substep import PROFILE_RELAXATION, largest_substep
from hmm_plating.transition.moving_window import must_shift

# the kernels' own rule, which tensors obey as well; compilation may be switched off
_largest_substep = getattr(largest_substep, "py_func", largest_substep)


class Progress(NamedTuple):
    """How far a step has come: tensors with the leading dimension (particle,), lengths in cells."""

    order_parameter: Tensor  # (particle, y, x) or (particle, z, y, x)
    demand: Tensor  # thickness still to deposit (galvanostatic)
    time_left: Tensor
    overpotential: Tensor  # zFη/RT
    substeps: Tensor
    status: Tensor  # 0, or what stopped it: DEPLETED, NOT_CONVERGED, STIFF
    inside: Tensor | None  # c̃ and ψ in the box (particle, 2, …), None where they are those at its top


def padded_cells(field: Tensor, dimensions: int) -> Tensor:
    """One cell more on each side: mirrored at bottom and top, periodic laterally."""
    field = torch.cat([field[..., :1, :], field, field[..., -1:, :]], -2)
    for axis in (-1, -3)[: dimensions - 1]:
        size = field.shape[axis]
        field = torch.cat([field.narrow(axis, size - 1, 1), field, field.narrow(axis, 0, 1)], axis)
    return field


def _inner(padded: Tensor, *axes: int) -> Tensor:
    """Without the padding along some axes."""
    for axis in axes:
        padded = padded.narrow(axis, 1, padded.shape[axis] - 2)
    return padded


def _pair(padded: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Every but the last, and every but the first, along an axis."""
    size = padded.shape[axis] - 1
    return padded.narrow(axis, 0, size), padded.narrow(axis, 1, size)


def laplacian(field: Tensor, dimensions: int) -> Tensor:
    """Nine- or nineteen-point Laplacian in cells, isotropic to fourth order; mirrored along y, else periodic."""
    axes = range(-dimensions, 0)
    padded = padded_cells(field, dimensions)

    def neighbours(values: Tensor, axis: int) -> Tensor:
        size = values.shape[axis] - 2
        return values.narrow(axis, 0, size) + values.narrow(axis, 2, size)

    faces, edges = torch.zeros_like(field), torch.zeros_like(field)
    for axis in axes:
        faces = faces + neighbours(_inner(padded, *(other for other in axes if other != axis)), axis)
    for first in axes:
        for second in range(first + 1, 0):
            rest = _inner(padded, *(other for other in axes if other not in (first, second)))
            edges = edges + neighbours(neighbours(rest, first), second)
    if dimensions == 2:
        return (4 * faces + edges - 20 * field) / 6
    return (2 * faces + edges - 24 * field) / 6


def profile_force(order_parameter: Tensor, width: float, dimensions: int) -> Tensor:
    """∇²ξ − f(ξ) in cells: zero on ξ = ½[1 − tanh(2d/ℓ)] sampled on a grid, wherever the front lies in its cell."""
    t2 = math.tanh(2 / width) ** 2
    phi = 2 * order_parameter - 1
    return laplacian(order_parameter, dimensions) + t2 * phi * (1 - phi**2) / (1 - t2 * phi**2)


def curvature_cancelling(order_parameter: Tensor, weight: Tensor, curvature: Tensor, width: float) -> Tensor:
    """wκ as the nine-point Laplacian has it, κ(w + w''/6) in cells.

    Without w'' a relaxed front of 4 cells keeps 3 % of its curvature motion.
    """
    return weight * curvature * (1 + 8 / (3 * width**2) * (1 - 6 * order_parameter * (1 - order_parameter)))


def front_curvature(padded: Tensor, width: float, dimensions: int) -> Tensor:
    """κ = −∇·n in cells, positive where metal is convex, within ±2/ℓ per lateral direction.

    In three dimensions κ gets the mixed fourth differences by which the nineteen-point Laplacian differs from the
    seven-point one. Without them `curvature_cancelling` would take away more of a short diagonal wave's curvature
    motion than the Laplacian makes, and at a strong drive the wave would grow.

    Args:
        padded: signed distance by `padded_cells`.
        width: ℓ.
        dimensions: 2 or 3.
    """
    axes = range(-dimensions, 0)
    distance = _inner(padded, *axes)
    divergence = torch.zeros_like(distance)
    if dimensions == 3:
        divergence = laplacian(distance, 3) - sum(
            _inner(padded, *(a for a in axes if a != axis)).diff(n=2, dim=axis) for axis in axes
        )
    for axis in axes:
        others = [other for other in axes if other != axis]
        near, far = _pair(_inner(padded, *others), axis)
        along = far - near
        square = along * along
        for other in others:
            size = padded.shape[other] - 2
            central = padded.narrow(other, 2, size) - padded.narrow(other, 0, size)
            near, far = _pair(_inner(central, *(rest for rest in others if rest != other)), axis)
            square = square + (0.25 * (near + far)) ** 2
        near, far = _pair(along / torch.sqrt(square + FLAT_SLOPE**2), axis)
        divergence = divergence + (far - near)
    limit = 2 * (dimensions - 1) / width
    return -divergence.clamp(-limit, limit)


class Geometry(NamedTuple):
    """Of the interface, per cell and in cells; zero off the interface. Fields as the order parameter."""

    weight: Tensor  # w = |∇ξ|
    curvature: Tensor  # positive where metal is convex, within ±2/ℓ per lateral direction
    weighted_curvature: Tensor  # what drives the surface, (γ + γ'')/γ κ in a section
    stiffness: Tensor  # (γ + γ'')/γ, at least 0; in a volume the larger of both
    live: Tensor  # rows near the interface, in which alone ξ moves


def geometry(order_parameter: Tensor, c: Coefficients) -> Geometry:
    """Weight, curvatures and capillary stiffness of the diffuse interface."""
    xi, width = order_parameter, c.width
    active = xi * (1 - xi) > ACTIVE
    clipped = xi.clamp(CLIP, 1 - CLIP)
    padded = padded_cells(0.25 * width * torch.log(clipped / (1 - clipped)), c.dimensions)
    limit = 2 * (c.dimensions - 1) / width
    zero = torch.zeros((), dtype=xi.dtype, device=xi.device)
    curvature = torch.where(active, front_curvature(padded, width, c.dimensions), zero)
    weight = torch.where(active, 4 / width * xi * (1 - xi), zero)
    weighted, stiffness = (
        torch.where(active, value, zero) for value in weighted_curvature(padded, curvature, limit, c)
    )
    return Geometry(weight, curvature, weighted, stiffness, _live(active, c.dimensions))


def _live(active: Tensor, dimensions: int) -> Tensor:
    """Rows with, or next to, a row with an active cell, (…, 1) for every x."""
    rows = active.any(-1, keepdim=True)
    rows = (
        rows
        | torch.cat([rows[..., 1:, :], rows[..., :1, :] & False], -2)
        | torch.cat([rows[..., :1, :] & False, rows[..., :-1, :]], -2)
    )
    return rows if dimensions == 2 else rows | rows.roll(1, -3) | rows.roll(-1, -3)


def advance(
    progress: Progress, noise: Tensor, c: Coefficients, galvanostatic: bool, base_rows: Tensor, margin: int
) -> Progress:
    """Sub-step every particle until its time is up, its surface is gone, or it must shift its window.

    Args:
        progress: where each particle stands.
        noise: as the order parameter, held constant over the sub-steps.
        c: coefficients.
        galvanostatic: solve for the overpotential that meets the demand; else keep the given one.
        base_rows: (particle,) rigid metal below row 0.
        margin: rows across the interface width, see `must_shift`.
    """
    xi, demand, time_left, overpotential, substeps, status, inside = progress
    alpha, beta, width = c.transfer_coefficient, 1 - c.transfer_coefficient, c.width
    axes, sites = tuple(range(-c.dimensions, 0)), xi[0].numel() // xi.shape[-2]
    one = torch.ones((), dtype=xi.dtype, device=xi.device)
    noise_velocity = per_cell(c.noise_velocity, c) * noise
    t2 = math.tanh(2 / width) ** 2
    well_slope = 4 * t2 / (1 - t2)

    def thickness(field: Tensor) -> Tensor:
        return field.sum(axes) / sites

    while True:
        too_high, too_low = must_shift(xi.detach(), base_rows, margin)
        running = (time_left > 0) & (xi.detach() > 0.5).flatten(1).any(-1) & ~too_high & ~too_low & (status == 0)
        if not bool(running.any()):
            return Progress(xi, demand, time_left, overpotential, substeps, status, inside)
        weight, curvature, weighted, stiffness, live = geometry(xi, c)
        shift = per_cell(c.capillary_length, c) * weighted
        supply = per_cell(c.supply, c)
        richest = c.supply
        if inside is not None:
            supply, potential = inside.unbind(1)
            shift = shift - torch.where(weight > 0, potential, 0 * one)
            richest = torch.where(weight > 0, supply, 0 * one).amax(axes)
        attraction = torch.exp(-per_cell(alpha, c) * shift)
        cathodic_factor = supply * attraction
        anodic_factor = torch.exp(per_cell(beta, c) * shift)
        force = profile_force(xi, width, c.dimensions) + curvature_cancelling(xi, weight, curvature, width)
        force = torch.where(live, force, 0 * one)
        cathodic = c.exchange_velocity * thickness(weight * cathodic_factor)
        status = torch.where(running & (cathodic <= 0), DEPLETED * one, status)
        running = running & (status == 0)
        cathodic = torch.where(running, cathodic, one)
        anodic = torch.where(running, c.exchange_velocity * thickness(weight * anodic_factor), one)
        noise_rate, force_rate = thickness(weight * noise_velocity), thickness(force)
        rate = demand / torch.where(running, time_left, one)
        y = overpotential
        if galvanostatic:
            y = galvanostatic_overpotential(cathodic, anodic, rate - noise_rate, alpha)
        low, high = shift.amin(axes), shift.amax(axes)
        interface_noise = c.noise_velocity * torch.where(weight > 0, noise.abs(), 0 * one).amax(axes)
        plating = [c.exchange_velocity * richest * torch.exp(-alpha * (y + s)) for s in (low, high)]
        stripping = [c.exchange_velocity * torch.exp(beta * (y + s)) for s in (low, high)]
        speeds = [(p - s).abs() for p, s in zip(plating, stripping, strict=True)]
        slopes = [alpha * p + beta * s for p, s in zip(plating, stripping, strict=True)]
        speed = torch.maximum(*speeds) + interface_noise
        diffusivity = c.capillary_length * stiffness.amax(axes) * torch.maximum(*slopes)
        relaxation = PROFILE_RELAXATION * width * speed + diffusivity
        with torch.no_grad():
            limit = _largest_substep(relaxation, speed, diffusivity, width, well_slope, c.dimensions - 2)
            count = torch.ceil(torch.where(running, time_left / limit, one)).clamp(min=1)
        if inside is not None:
            taken = torch.where(running, time_left / count, one)
            stiff = running & box_torch.is_stiff(low, y, taken, c, xi.shape[-c.dimensions :])
            if bool(stiff.any()):
                affinity, backward = weight * attraction, weight * anodic_factor
                reacting = box_torch.react(inside[:, 0], xi, affinity, backward, weight * noise_velocity, y, taken, c)
                cathodic_factor = torch.where(per_cell(stiff, c), reacting, supply) * attraction
                cathodic = torch.where(running, c.exchange_velocity * thickness(weight * cathodic_factor), one)
        if galvanostatic:
            y = galvanostatic_overpotential(cathodic, anodic, rate - noise_rate - relaxation * force_rate, alpha)
        substep = torch.where(running, time_left / count, 0 * one)
        deposition = (
            per_cell(c.exchange_velocity * torch.exp(-alpha * y), c) * cathodic_factor
            - per_cell(c.exchange_velocity * torch.exp(beta * y), c) * anodic_factor
            + noise_velocity
        )
        driven = per_cell(substep, c) * weight * deposition
        updated = (xi + driven + per_cell(substep * relaxation, c) * force).clamp(0, 1)
        change = torch.where(per_cell(running, c), updated - xi, 0 * one)
        demand = demand - thickness(change)
        xi = torch.where(per_cell(running, c), updated, xi)
        if inside is not None:
            growth = box_torch.growth(change, driven, weight * cathodic_factor)
            after = box_torch.advance(inside, xi, growth, torch.where(running, substep, one), c)
            inside = torch.where(per_cell(running, c)[:, None], after, inside)
            status = torch.where(running & box_torch.is_depleted(inside[:, 0], xi), DEPLETED * one, status)
            running = running & (status == 0)
        overpotential = torch.where(running, y, overpotential)
        time_left = torch.where(running & (count > 1), time_left - substep, torch.where(running, 0 * one, time_left))
        substeps = substeps + running
