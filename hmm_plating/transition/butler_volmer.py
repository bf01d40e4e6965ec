"""Butler–Volmer kinetics and the galvanostat's inverse problem: which overpotential carries the current.

    j = j0 {exp[(1 − α) zFη/RT] − exp[−α zFη/RT]}           (Newman and Thomas-Alyea, Electrochemical Systems, eq. 8.21)

Summed over a surface whose every point has its own Gibbs–Thomson shift, the plating rate is
A e^{−αy} − B e^{(1−α)y} with y = zFη/RT of the whole electrode and two positive sums A and B.
"""

from __future__ import annotations

import math

import torch
from numba import njit
from torch import Tensor

_NEWTON_ITERATIONS = 60


def butler_volmer(
    overpotential: Tensor, exchange_current_density: Tensor | float, transfer_coefficient: float, kinetic_voltage: float
) -> Tensor:
    """Current density [A/m²], negative (cathodic) at a negative overpotential [V]; kinetic_voltage is RT/(zF) [V]."""
    y = overpotential / kinetic_voltage
    return exchange_current_density * (torch.exp((1 - transfer_coefficient) * y) - torch.exp(-transfer_coefficient * y))


def galvanostatic_overpotential(cathodic: Tensor, anodic: Tensor, rate: Tensor, transfer_coefficient: float) -> Tensor:
    """Dimensionless overpotential y with cathodic·e^{−αy} − anodic·e^{(1−α)y} = rate; all (...,), differentiable.

    For α = ½ a quadratic in e^{y/2}; otherwise Newton's method, safeguarded by a bracket in closed form.
    """
    if transfer_coefficient == 0.5:
        root = torch.sqrt(rate**2 + 4 * cathodic * anodic)
        # the form of the root that does not cancel
        return 2 * torch.where(
            rate > 0, torch.log(2 * cathodic / (rate.abs() + root)), torch.log((rate.abs() + root) / (2 * anodic))
        )
    alpha, beta = transfer_coefficient, 1 - transfer_coefficient
    with torch.no_grad():
        y = torch.stack(
            [
                torch.tensor(solve_overpotential(*triple, alpha), dtype=rate.dtype)
                for triple in zip(
                    cathodic.flatten().tolist(), anodic.flatten().tolist(), rate.flatten().tolist(), strict=True
                )
            ]
        ).reshape(rate.shape)
        slope = -alpha * cathodic * torch.exp(-alpha * y) - beta * anodic * torch.exp(beta * y)
    # one more Newton step carries the gradient (implicit function theorem)
    return y - (cathodic * torch.exp(-alpha * y) - anodic * torch.exp(beta * y) - rate) / slope


@njit(cache=True, error_model="numpy")
def solve_overpotential(cathodic: float, anodic: float, rate: float, transfer_coefficient: float) -> float:
    """Scalar twin of `galvanostatic_overpotential` for the kernel."""
    if transfer_coefficient == 0.5:
        root = math.sqrt(rate * rate + 4 * cathodic * anodic)
        if rate > 0:
            return 2 * math.log(2 * cathodic / (rate + root))
        return 2 * math.log((root - rate) / (2 * anodic))
    alpha, beta = transfer_coefficient, 1 - transfer_coefficient
    rest = math.log(cathodic / anodic)  # where the rate is 0
    exchange = cathodic * math.exp(-alpha * rest)
    low, high = rest, rest
    if rate > 0:
        low = -math.log((rate + exchange) / cathodic) / alpha
    else:
        high = math.log((exchange - rate) / anodic) / beta
    y = low if rate > 0 else high
    for _ in range(_NEWTON_ITERATIONS):
        forward, backward = cathodic * math.exp(-alpha * y), anodic * math.exp(beta * y)
        excess = forward - backward - rate
        if excess > 0:
            low = y
        else:
            high = y
        step = excess / (alpha * forward + beta * backward)
        following = y + step
        if not (low <= following <= high):
            following = 0.5 * (low + high)
        if abs(following - y) <= 1e-15 * (1 + abs(y)):
            return following
        y = following
    return y
