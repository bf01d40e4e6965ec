"""How far a network strays from the simulated trajectories when it goes on by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hmm_plating import morphology
from hmm_plating.emulator.displacement import move
from hmm_plating.emulator.features import redistanced, tanh_profile
from hmm_plating.emulator.multiscale_network import MultiscaleNetwork
from hmm_plating.emulator.trajectories import Trajectories


@torch.no_grad()
def roll_out(networks: Sequence[MultiscaleNetwork], trajectories: Trajectories, noise: Tensor | None = None) -> Tensor:
    """Signed distances that networks predict from the start on (frame + 1, particle, [z,] y, x) [cells].

    Args:
        networks: trained.
        trajectories: whose start, charges and parameters it takes.
        noise: instead of that of the trajectories, of its shape.
    """
    c, given = trajectories.coefficients, trajectories.noise if noise is None else noise
    distance = trajectories.distance[0].double()
    predicted = [distance]
    for frame, agitation in enumerate(given):
        metal = trajectories.metal[frame + 1]
        moved = move(networks, distance, metal, agitation, trajectories.duration, c)
        distance = redistanced(moved.distance, c.dimensions)
        predicted.append(distance)
    return torch.stack(predicted)


def field(distance: Tensor, width: float) -> Tensor:
    """ξ of a signed distance [cells], ℓ = `width` cells."""
    return tanh_profile(distance.double(), width)


def errors(predicted: Tensor, trajectories: Trajectories, spacing: float) -> dict[str, Tensor]:
    """Relative errors of predicted distances by name, each (frame, particle), frames from the first step on.

    "field" is the L2 norm of the difference over that of the true field; the others are differences of descriptors
    over the true ones: mean thickness, solid fraction, Sq and dendrite height.
    """
    c = trajectories.coefficients
    width, dimensions = c.width, c.dimensions
    ours, true = field(predicted[1:], width), field(trajectories.distance[1:], width)
    axes = tuple(range(-dimensions, 0))

    def described(xi: Tensor) -> dict[str, Tensor]:
        return {
            "mean thickness": morphology.thickness(xi, spacing, dimensions=dimensions),
            "solid fraction": morphology.solid_volume_fraction(xi, spacing, dimensions=dimensions),
            "Sq": morphology.roughness(xi, spacing, dimensions),
            "dendrite height": morphology.dendrite_height(xi, spacing, dimensions),
        }

    found, wanted = described(ours), described(true)
    distance = torch.linalg.vector_norm(ours - true, dim=axes) / torch.linalg.vector_norm(true, dim=axes)
    return {"field": distance} | {name: (found[name] - wanted[name]) / wanted[name] for name in wanted}
