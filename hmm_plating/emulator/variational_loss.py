"""A loss without trajectories: what a step minimises.

A surface that deposits metal by Butler–Volmer kinetics moves, in a short time Δt, so as to minimise

    Λ A(ξ') + ∫ Δt Φ(u/Δt − ν) dA,     Φ'(v) = p,  v = v0 (c̃ e^{p/2} − e^{−p/2})

over surfaces with the metal that the charge gives: A is the area, Λ the capillary length, u the normal displacement and
ν the velocity noise. It is the minimising movement (De Giorgi; Ambrosio, Gigli and Savaré, Gradient Flows, 2nd ed.,
ch. 2) whose metric is the kinetics' own: the even part of the drive is the multiplier of the charge. Losses of this
kind: E and Yu, Deep Ritz, Commun. Math. Stat. 6 (2018) 1. Concentration is frozen within the step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.transition.coefficients import Coefficients


def incremental_potential(
    before: Tensor, after: Tensor, middle: Tensor, noise: Tensor, duration: float, c: Coefficients
) -> Tensor:
    """What the step should minimise, per cell of interface (particle,) [cells²].

    Its excess over the minimum is half the mean square error of the displacement, where errors are long waves.

    Args:
        before, after: signed distance at the ends of the step (particle, [z,] y, x) [cells].
        middle: where the displacement is measured, signed distance between both, without a gradient.
        noise: standard normal, of that shape.
        duration: [s].
        c: coefficients of the step, of isotropic surface energy and transfer coefficient ½.

    Raises:
        InputError: other kinetics.
    """
    if bool((c.transfer_coefficient != 0.5).any()) or bool((c.anisotropy_strength > 0).any()):
        raise InputError("the variational loss is for a transfer coefficient of ½ and an isotropic surface energy")
    axes, per_cell = tuple(range(1, before.ndim)), (-1, *[1] * (before.ndim - 1))
    inside = torch.sigmoid(4 / c.width * middle)
    # of ∫w dy = 1 across the interface; squared, as a front whose profile is kept averages what drives it
    weight = 24 / c.width * (inside * (1 - inside)) ** 2
    length = weight.sum(axes).clamp(min=1)
    velocity = (after - before) / duration - c.noise_velocity.reshape(per_cell) * noise
    mean = (weight * velocity).sum(axes).detach() / length
    exchange = c.exchange_velocity * c.supply.sqrt()
    dissipated = dissipation(velocity, exchange.reshape(per_cell))
    stiffness = 2 / torch.sqrt(mean**2 + 4 * exchange**2) / duration  # Φ''/Δt
    potential = c.capillary_length * interface_area(after, c.width) + duration * (weight * dissipated).sum(axes)
    return potential / (length * stiffness)


def dissipation(velocity: Tensor, exchange: Tensor) -> Tensor:
    """Φ with Φ'(v) = 2 asinh(v/2v0), 0 at rest: the force that a symmetric Butler–Volmer law needs for a velocity.

    ln c̃ of the force is even over the surface, as the multiplier of the charge is, and left out with it.
    """
    return 2 * velocity * torch.asinh(velocity / (2 * exchange)) - 2 * (
        torch.sqrt(velocity**2 + 4 * exchange**2) - 2 * exchange
    )


def interface_area(distance: Tensor, width: float) -> Tensor:
    """Free energy over γ (particle,) [cells, cells²]: the interface's length or area where its profile is the tanh.

    ∫ ¾ℓ|∇ξ|² + (12/ℓ) ξ²(1 − ξ)², differences between neighbours, mirrored at bottom and top.
    """
    axes = tuple(range(1, distance.ndim))
    xi = torch.sigmoid(4 / width * distance)
    well = (12 / width * (xi * (1 - xi)) ** 2).sum(axes)
    steps = [xi.diff(dim=-2), *(xi.roll(-1, axis) - xi for axis in axes if axis != xi.ndim - 2)]
    return well + 0.75 * width * sum(step.square().sum(axes) for step in steps)
