"""A nucleus at a held potential: compact while kinetics limit it, with side branches near the limiting current.

At a held potential the cathodic rate is K c̃, and Λ = zFDc0/K the length below which tips gain nothing from fresher
electrolyte. With surface energy the smallest growing wave is 2π sqrt(α d0 Λ) (Mullins and Sekerka, J. Appl. Phys. 35
(1964) 444), 60 nm for Λ = 40 nm.
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial import ConvexHull

import hmm_plating as hp
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import Interface, Parameters, State, initial_state, potentiostatic_step

INTERFACE = Interface(32e-9, 8e-9)
ROWS, COLUMNS, RADIUS, HIGHEST = 176, 280, 80e-9, 1.3e-6
TRANSPORT = hp.Transport(concentration=100.0, diffusivity=5e-10, layer_thickness=0.3e-6)


def grown(length: float, strength: float) -> State:
    """The state when the tip has reached `HIGHEST`; Λ = `length`."""
    p = Parameters.from_materials(
        hp.Metal.copper(),
        hp.Electrolyte(997.0, 0.89e-3),
        INTERFACE,
        exchange_current_density=300.0,
        anisotropy_strength=strength,
        noise_amplitude=10.0,
        transport=TRANSPORT,
    )
    rate = p.valence * FARADAY_CONSTANT * TRANSPORT.diffusivity * TRANSPORT.concentration / length
    potential = -2 * float(p.kinetic_voltage) * math.log(rate / float(p.exchange_current_density))
    x, y = torch.arange(COLUMNS).double() + 0.5 - COLUMNS / 2, torch.arange(ROWS).double()[:, None] + 0.5
    depth = RADIUS / INTERFACE.spacing - torch.hypot(x, y)
    state, generator, duration = initial_state(torch.sigmoid(depth)), torch.Generator().manual_seed(3), 1e-5
    while int((state.order_parameter > 0.5).any(-1).sum()) * INTERFACE.spacing < HIGHEST:
        noise = torch.randn(ROWS, COLUMNS, generator=generator, dtype=torch.float64)
        after = potentiostatic_step(state, potential, duration, noise, p)
        change = float((after.order_parameter - state.order_parameter).abs().max())
        state, duration = after, duration * min(max(0.6 / max(change, 1e-3), 0.5), 2.0)
    return state


def solidity(metal: torch.Tensor) -> float:
    """Area over that of the convex hull."""
    corners = torch.cat([metal.nonzero() + torch.tensor(corner) for corner in ((0, 0), (0, 1), (1, 0), (1, 1))])
    return float(metal.sum()) / ConvexHull(corners.numpy()).volume


def overhang(metal: torch.Tensor) -> int:
    """Cells by which the metal above some row is wider than in it: 0 of anything convex, the arms of side branches."""
    width = metal.sum(-1)
    return int((width.flip(0).cummax(0).values.flip(0) - width).max())


@pytest.mark.slow
def test_a_nucleus_branches_near_the_limiting_current_and_not_far_below() -> None:
    compact, dendrite = (grown(length, 0.05).order_parameter > 0.5 for length in (2e-6, 40e-9))
    assert solidity(compact) > 0.985
    assert overhang(compact) <= 1
    assert solidity(dendrite) < 0.95
    assert overhang(dendrite) >= 3
