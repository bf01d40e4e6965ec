"""A surrogate of the small model's emission that was never trained: wrong, but smooth, and of the right shape."""

from __future__ import annotations

import torch

from hmm_plating import PlatingModel
from hmm_plating.emulator import EmissionSurrogate, ModelCard
from hmm_plating.emulator.emission_surrogate import DESCRIPTORS, CorrectionNetwork
from hmm_plating.emulator.trust import Trust

ROWS, COLUMNS, SPACING = 12, 16, 8e-9  # of the small model's emission cells


def small_surrogate(networks: int = 2, wrong: float = 0.1, trusted: bool = True) -> EmissionSurrogate:
    """Networks whose g scatters by about `wrong`; it trusts itself everywhere, or nowhere."""
    torch.manual_seed(7)
    made = []
    for _ in range(networks):
        network = CorrectionNetwork(ROWS, COLUMNS, channels=6, layers=2)
        torch.nn.init.normal_(network.head[2].weight, std=wrong)
        made.append(network.requires_grad_(False))
    shape = {"rows": ROWS, "columns": COLUMNS, "channels": 6, "layers": 2, "networks": networks}
    card = ModelCard("emission", shape, "nothing", SPACING, {"penetration_depth": (50e-9, 400e-9)})
    limit = torch.tensor(1e9 if trusted else -1.0)
    return EmissionSurrogate(tuple(made), card, Trust.empty(DESCRIPTORS)._replace(distance=limit, spread=limit))


def fits(model: PlatingModel) -> bool:
    """Whether the model is the one that the surrogate is for."""
    return (model.grid.shape[0] // 2, model.grid.shape[1] // 2, model.surface_load.spacing) == (ROWS, COLUMNS, SPACING)
