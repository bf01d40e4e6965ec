"""A nucleus at a held potential: compact while kinetics limit it, with side branches near the limiting current.

At a held potential the cathodic rate is K c̃, and Λ = zFDc0/K the length below which tips gain nothing from fresher
electrolyte. With surface energy the smallest growing wave is 2π sqrt(α d0 Λ) (Mullins and Sekerka, J. Appl. Phys. 35
(1964) 444), 60 nm for Λ = 40 nm.
"""

from __future__ import annotations

import pytest
import torch
from held_potential import grown_nucleus, solidity

SHAPE, HIGHEST = (176, 280), 1.3e-6


def overhang(metal: torch.Tensor) -> int:
    """Cells by which the metal above some row is wider than in it: 0 of anything convex, the arms of side branches."""
    width = metal.sum(-1)
    return int((width.flip(0).cummax(0).values.flip(0) - width).max())


@pytest.mark.slow
def test_a_nucleus_branches_near_the_limiting_current_and_not_far_below() -> None:
    compact, dendrite = (
        grown_nucleus(length, 0.05, SHAPE, HIGHEST, seed=3).order_parameter > 0.5 for length in (2e-6, 40e-9)
    )
    assert solidity(compact) > 0.985
    assert overhang(compact) <= 1
    assert solidity(dendrite) < 0.95
    assert overhang(dendrite) >= 3
