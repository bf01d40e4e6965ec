"""Copper in a dilute salt, the potential at which Λ = zFDc0/K has a length, and a nucleus that grows at it."""

from __future__ import annotations

import math

import torch
from scipy.spatial import ConvexHull

import hmm_plating as hp
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import Interface, Parameters, State, initial_state, potentiostatic_step

TRANSPORT = hp.Transport(concentration=100.0, diffusivity=5e-10, layer_thickness=0.3e-6)
NUCLEUS = Interface(32e-9, 8e-9)  # grid on which it grows
RADIUS = 80e-9  # of the nucleus [m]
LARGEST_CHANGE = 0.6  # of ξ in a step, whose duration follows
FIRST_STEP = 1e-5  # s


def copper(
    interface: Interface, strength: float, exchange_current_density: float, noise_amplitude: float
) -> Parameters:
    """Copper with an anisotropy, under the dilute salt of `TRANSPORT`."""
    return Parameters.from_materials(
        hp.Metal.copper(),
        hp.Electrolyte(997.0, 0.89e-3),
        interface,
        exchange_current_density=exchange_current_density,
        anisotropy_strength=strength,
        noise_amplitude=noise_amplitude,
        transport=TRANSPORT,
    )


def held(length: float, strength: float, interface: Interface) -> tuple[Parameters, float]:
    """Parameters of copper with an anisotropy, and the potential [V] at which Λ is `length`."""
    p = copper(interface, strength, exchange_current_density=300.0, noise_amplitude=10.0)
    rate = conductance(p) / length / p.exchange_current_density
    return p, -float(p.kinetic_voltage) / float(p.transfer_coefficient) * math.log(rate)


def conductance(p: Parameters) -> float:
    """zFDc0 [A/m]."""
    return p.valence * FARADAY_CONSTANT * TRANSPORT.diffusivity * TRANSPORT.concentration


def grown_nucleus(length: float, strength: float, shape: tuple[int, int], highest: float, seed: int) -> State:
    """The state when the tip of a nucleus in a box of (rows, columns) has risen to `highest` [m]."""
    p, potential = held(length, strength, NUCLEUS)
    (rows, columns), cell, generator = shape, NUCLEUS.spacing, torch.Generator().manual_seed(seed)
    x, y = torch.arange(columns).double() + 0.5 - columns / 2, torch.arange(rows).double()[:, None] + 0.5
    depth = RADIUS / cell - torch.hypot(x, y)
    state, duration = initial_state(torch.sigmoid(4 * cell / NUCLEUS.width * depth)), FIRST_STEP
    while int((state.order_parameter > 0.5).any(-1).sum()) * cell < highest:
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        after = potentiostatic_step(state, potential, duration, noise, p)
        change = float((after.order_parameter - state.order_parameter).abs().max())
        state, duration = after, duration * min(max(LARGEST_CHANGE / max(change, 1e-3), 0.5), 2.0)
    return state


def solidity(metal: torch.Tensor) -> float:
    """Area of the metal, bool (y, x), over that of its convex hull."""
    corners = torch.cat([metal.nonzero() + torch.tensor(corner) for corner in ((0, 0), (0, 1), (1, 0), (1, 1))])
    return float(metal.sum()) / ConvexHull(corners.numpy()).volume
