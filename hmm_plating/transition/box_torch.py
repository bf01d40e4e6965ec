"""Concentration and potential inside the box in plain torch: the twins of `kernels.box` and `kernels.reaction`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hmm_plating.transition.coefficients import Coefficients
from hmm_plating.transition.elliptic_torch import elliptic_solve
from hmm_plating.transition.kernels.box import LEAST_CONCENTRATION, TOLERANCE
from hmm_plating.transition.kernels.geometry import ACTIVE
from hmm_plating.transition.kernels.reaction import FEEDBACK


@torch.no_grad()
def is_stiff(low: Tensor, overpotential: Tensor, substep: Tensor, c: Coefficients, cells: torch.Size) -> Tensor:
    """As `kernels.reaction.is_stiff`; (particle,) each, and the shape of the box ([z,] y, x)."""
    lateral = [size for size in cells[:-2] if size > 1] + [cells[-1]]
    least = min(0.5 * math.pi / cells[-2], *(2 * math.pi / size for size in lateral))
    plating = c.consumption * c.exchange_velocity * torch.exp(-c.transfer_coefficient * (overpotential + low))
    excess = (plating / (FEEDBACK * c.diffusivity) - least).clamp(min=0)
    return c.diffusivity * substep * excess * excess > 1


def react(
    concentration: Tensor,
    order_parameter: Tensor,
    affinity: Tensor,
    backward: Tensor,
    noise: Tensor,
    overpotential: Tensor,
    substep: Tensor,
    c: Coefficients,
) -> Tensor:
    """c̃* of `kernels.reaction`; fields (particle, [z,] y, x), overpotential and sub-step (particle,).

    `noise`: what it adds to ξ per time.
    """
    fields = (concentration, order_parameter, affinity, backward, noise)
    concentration, xi, affinity, backward, noise = (_volume(value, c) for value in fields)
    storage, alpha = 1 / (c.diffusivity * substep), c.transfer_coefficient
    taken = c.consumption / c.diffusivity
    factor = taken * c.exchange_velocity
    plate, strip = factor * torch.exp(-alpha * overpotential), factor * torch.exp((1 - alpha) * overpotential)
    keep, plate, strip, taken = (value[:, None, None, None] for value in (storage, plate, strip, taken))
    source, start = keep * concentration + strip * backward - taken * noise, concentration.detach()
    found = elliptic_solve(1 - xi, storage, plate * affinity, source, c.supply, None, start, TOLERANCE)
    return found.squeeze(-3) if c.dimensions == 2 else found


def growth(change: Tensor, driven: Tensor, cathodic: Tensor) -> Tensor:
    """G of `kernels.box` from Δξ, the part of it that reaction and noise drive, and cathodic rates ([z,] y, x)."""
    axes = tuple(range(1, change.ndim))
    total = cathodic.sum(axes, keepdim=True)
    share = cathodic / torch.where(total > 0, total, torch.ones_like(total))  # particles that have stopped have none
    return driven + share * (change - driven).sum(axes, keepdim=True)


@torch.no_grad()
def is_depleted(concentration: Tensor, order_parameter: Tensor) -> Tensor:
    """As `kernels.box.is_depleted`; fields (particle, [z,] y, x)."""
    surface = (order_parameter < 0.5) & (order_parameter * (1 - order_parameter) > ACTIVE)
    return (surface & (concentration < LEAST_CONCENTRATION)).flatten(1).any(-1)


def advance(inside: Tensor, order_parameter: Tensor, growth: Tensor, substep: Tensor, c: Coefficients) -> Tensor:
    """c̃ and ψ (particle, 2, [z,] y, x) after a sub-step (particle,) with a growth G (particle, [z,] y, x)."""
    xi, growth, inside = _volume(order_parameter, c), _volume(growth, c), _volume(inside, c)
    storage, none = 1 / (c.diffusivity * substep), torch.zeros_like(xi)
    cells = [value[:, None, None, None] for value in (storage, c.consumption, c.ohmic / substep)]
    concentration, potential = inside.unbind(1)
    source = cells[0] * (concentration - cells[1] * growth)
    after = [
        elliptic_solve(1 - xi, storage, none, source, c.supply, None, concentration.detach(), TOLERANCE),
        potential,
    ]
    if bool((c.ohmic > 0).any()):
        source = -cells[2] * growth
        after[1] = elliptic_solve(1 - xi, 0.0, none, source, 0.0, None, potential.detach(), TOLERANCE)
    found = torch.stack(after, 1)
    return found.squeeze(-3) if c.dimensions == 2 else found


def _volume(field: Tensor, c: Coefficients) -> Tensor:
    """(…, y, x) as (…, 1, y, x)."""
    return field.unsqueeze(-3) if c.dimensions == 2 else field
