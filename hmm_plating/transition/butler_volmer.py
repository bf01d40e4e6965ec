"""Butler–Volmer kinetics and the galvanostat's inverse problem: which overpotential carries the current.

    j = j0 {exp[(1 − α) zFη/RT] − exp[−α zFη/RT]}           (Newman and Thomas-Alyea, Electrochemical Systems, eq. 8.21)

Summed over a surface whose every point has its own Gibbs–Thomson shift, the plating rate is
A e^{−αy} − B e^{(1−α)y} with y = zFη/RT of the whole electrode and two positive sums A and B.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NEWTON_ITERATIONS = 60


def butler_volmer(
    overpotential: Tensor,
    exchange_current_density: Tensor | float,
    transfer_coefficient: Tensor | float,
    kinetic_voltage: Tensor | float,
) -> Tensor:
    """Current density [A/m²], negative (cathodic) at a negative overpotential [V]; kinetic_voltage is RT/(zF) [V]."""
    y = overpotential / kinetic_voltage
    return exchange_current_density * (torch.exp((1 - transfer_coefficient) * y) - torch.exp(-transfer_coefficient * y))


def galvanostatic_overpotential(
    cathodic: Tensor, anodic: Tensor, rate: Tensor, transfer_coefficient: Tensor | float
) -> Tensor:
    """Dimensionless overpotential y with cathodic·e^{−αy} − anodic·e^{(1−α)y} = rate; all (...,), differentiable.

    Newton's method, safeguarded by a bracket in closed form.
    """
    alpha = torch.as_tensor(transfer_coefficient, dtype=rate.dtype, device=rate.device)
    with torch.no_grad():
        rest = torch.log(cathodic / anodic)  # where the rate is 0
        exchange = cathodic * torch.exp(-alpha * rest)
        plating = rate > 0
        low = torch.where(plating, -torch.log((rate.clamp(min=0) + exchange) / cathodic) / alpha, rest)
        high = torch.where(plating, rest, torch.log((exchange - rate.clamp(max=0)) / anodic) / (1 - alpha))
        y = torch.where(plating, low, high)
        for _ in range(_NEWTON_ITERATIONS):
            forward, backward = cathodic * torch.exp(-alpha * y), anodic * torch.exp((1 - alpha) * y)
            excess = forward - backward - rate
            low, high = torch.where(excess > 0, y, low), torch.where(excess > 0, high, y)
            following = y + excess / (alpha * forward + (1 - alpha) * backward)
            following = torch.where((following < low) | (following > high), 0.5 * (low + high), following)
            settled = bool(((following - y).abs() <= 1e-15 * (1 + y.abs())).all())
            y = following
            if settled:
                break
        slope = -alpha * cathodic * torch.exp(-alpha * y) - (1 - alpha) * anodic * torch.exp((1 - alpha) * y)
    # one more Newton step carries the gradient (implicit function theorem)
    return y - (cathodic * torch.exp(-alpha * y) - anodic * torch.exp((1 - alpha) * y) - rate) / slope
