"""A loss without simulated trajectories: how far predictions are from surfaces that minimise what a step does.

Butler–Volmer kinetics displace the diffuse interface by D + σν, by what the charge asks for and by noise, to ξ_d. From
there curvature and the repair of the profile go downhill: the step ends at the ξ' that minimises the incremental
potential

    P(ξ') = ½ ‖ξ' − ξ_d‖² + R G(ξ') − ∫ (R − m) w κ ξ',     G = ∫ ½|∇ξ|² + W(ξ),

at the amount of metal of the charge. It is a minimising movement (De Giorgi; Ambrosio, Gigli and Savaré, Gradient
Flows, 2nd ed., ch. 2) of the free energy: G holds the profile together at the rate R = b Δt of `transition.reference`,
the last term takes away the curvature motion that comes with it, and leaves that of surface energy, m of
`features.step_lengths`. Concentration, potential and κ of the last term are frozen. Energies are taken at the end of
the step by two thirds and after an even displacement by one, between the trapezoidal rule and implicit Euler: what
decays by half, or by all, in a step is then right to some percent. Losses of this kind: E and Yu, Deep Ritz, Commun.
Math. Stat. 6 (2018) 1.

The loss is the distance from that surface and not P itself, whose slopes are steepest for ripples across the interface,
which matter least. Newton's method finds the surface, from the prediction on. Each minimum is the start of the next
step: a network that has gone astray is drawn back to the movement, and not to what its own surface would do next.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hmm_plating.emulator.conservation import conserving_shift
from hmm_plating.emulator.displacement import move
from hmm_plating.emulator.features import Lengths, redistanced, tanh_profile
from hmm_plating.emulator.multiscale_network import MultiscaleNetwork
from hmm_plating.emulator.trajectories import Trajectories
from hmm_plating.transition.coefficients import each_tensor
from hmm_plating.transition.kernels.geometry import ACTIVE
from hmm_plating.transition.kernels.substep import PROFILE_RELAXATION
from hmm_plating.transition.reference import (
    curvature_cancelling,
    front_curvature,
    laplacian,
    padded_cells,
    profile_force,
)

AT_END = 2 / 3  # of repair and curvature motion, the rest is that after an even displacement
_CONJUGATE_GRADIENTS = 8  # per Newton step
_FAINTEST = 1e-6  # of ξ and 1 − ξ, beyond which no distance is read off


@torch.no_grad()
def minimising_movements(network: MultiscaleNetwork, drawn: Trajectories) -> Trajectories:
    """Trajectories with surfaces each of which minimises the incremental potential of a step from the one before.

    Args:
        network: from whose prediction of each surface Newton's method starts.
        drawn: not yet simulated.
    """
    c = each_tensor(drawn.coefficients, Tensor.float)
    surfaces = [drawn.distance[0]]
    for metal, noise in zip(drawn.metal[1:], drawn.noise, strict=True):
        before, wanted = surfaces[-1], metal.to(surfaces[-1].dtype)
        moved = move((network,), before, wanted, noise, drawn.duration, c)
        after = minimising_surface(before, moved.distance, noise, moved.lengths, wanted, c.width)
        surfaces.append(redistanced(after, c.dimensions))
    return drawn._replace(distance=torch.stack(surfaces))


@torch.no_grad()
def minimising_surface(
    before: Tensor,
    prediction: Tensor,
    noise: Tensor,
    lengths: Lengths,
    metal: Tensor,
    width: float,
    newton_steps: int = 3,
) -> Tensor:
    """Signed distance of the surface that minimises the incremental potential, as the argument `prediction` [cells].

    Args:
        before: signed distance at the start of the step (particle, [z,] y, x) [cells].
        prediction: of that at its end, where Newton's method starts.
        noise: standard normal, of that shape.
        lengths: of the step.
        metal: Σξ after the step (particle,).
        width: ℓ [cells].
        newton_steps: three from a trained network's prediction, eight from an even displacement.
    """
    dimensions = before.ndim - 1

    def per_cell(value: Tensor) -> Tensor:
        return value.to(before).reshape(-1, *[1] * dimensions)

    even, pushed, smoothing = (
        per_cell(lengths.displacement),
        per_cell(lengths.noise) * noise,
        per_cell(lengths.smoothing),
    )
    steady = tanh_profile(before, width)
    loudest = torch.where(steady * (1 - steady) > ACTIVE, pushed.abs(), 0.0).flatten(1).amax(1)
    repair = PROFILE_RELAXATION * width * (even.abs() + per_cell(loudest)) + smoothing
    falling = downhill(before + even, repair, smoothing, width)
    start = tanh_profile(before + even + pushed, width) + (1 - AT_END) * falling
    after = prediction
    for _ in range(newton_steps):
        xi = tanh_profile(after, width)
        residual = xi - start - AT_END * downhill(after, repair, smoothing, width)
        found = (xi - newton_step(residual, xi, AT_END * repair, width)).clamp(_FAINTEST, 1 - _FAINTEST)
        near = torch.maximum(xi * (1 - xi), found * (1 - found)) > 10 * _FAINTEST
        after = torch.where(near, 0.25 * width * torch.logit(found), after)
        after = after + per_cell(conserving_shift(after, metal, width))
    return after


def downhill(distance: Tensor, repair: Tensor, smoothing: Tensor, width: float) -> Tensor:
    """R (∇²ξ − f(ξ) + wκ) − m w κ: the change of ξ by repair of the profile and by surface energy.

    Args:
        distance: signed (particle, [z,] y, x) [cells].
        repair: R, to multiply it [cells²].
        smoothing: m, likewise.
        width: ℓ [cells].
    """
    dimensions, xi = distance.ndim - 1, tanh_profile(distance, width)
    active = xi * (1 - xi) > ACTIVE
    weight = torch.where(active, 4 / width * xi * (1 - xi), 0.0)
    curvature = torch.where(active, front_curvature(padded_cells(distance, dimensions), width, dimensions), 0.0)
    force = profile_force(xi, width, dimensions) + curvature_cancelling(xi, weight, curvature, width)
    return repair * force - smoothing * weight * curvature


def newton_step(residual: Tensor, order_parameter: Tensor, repair: Tensor, width: float) -> Tensor:
    """δ of (1 + R (W'' − ∇²)) δ = residual by conjugate gradients, κ frozen."""
    dimensions = residual.ndim - 1
    axes = tuple(range(1, residual.ndim))
    stiffness = well_curvature(order_parameter, width)

    def product(one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum(axes, keepdim=True)

    step, left = torch.zeros_like(residual), residual
    direction, size = left, product(left, left)
    for _ in range(_CONJUGATE_GRADIENTS):
        image = direction + repair * (stiffness * direction - laplacian(direction, dimensions))
        along = size / product(direction, image).clamp(min=1e-30)
        step, left = step + along * direction, left - along * image
        before, size = size, product(left, left)
        direction = left + size / before.clamp(min=1e-30) * direction
    return step


def well_curvature(order_parameter: Tensor, width: float) -> Tensor:
    """W''(ξ) of the double well in `profile_force` [cells⁻²]."""
    t2 = math.tanh(2 / width) ** 2
    square = (2 * order_parameter - 1) ** 2
    slack = 1 - t2 * square
    return -2 * t2 * ((1 - 3 * square) * slack + 2 * t2 * square * (1 - square)) / slack**2
