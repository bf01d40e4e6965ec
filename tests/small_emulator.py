"""An emulator of the transition that was never trained, for the small source and the small model."""

from __future__ import annotations

import torch
from small_source import small_source

from hmm_plating.emulator import EmulatedStep, ModelCard
from hmm_plating.emulator.features import CHANNELS
from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork
from hmm_plating.emulator.trajectories import card_ranges
from hmm_plating.emulator.transition_emulator import DESCRIPTORS
from hmm_plating.emulator.trust import Trust


def small_emulator(dimensions: int = 2, size: float = 1.0) -> EmulatedStep:
    """Untrained, trusted anywhere; it adds much to the first guess where `size` is large, and nothing where it is 0."""
    torch.manual_seed(0)
    architecture = {"dimensions": dimensions, "inputs": CHANNELS, "scales": 3, "hidden": 8, "layers": 3}
    networks = tuple(MultiscaleNetwork(Architecture(**architecture)).requires_grad_(False) for _ in range(2))
    for network in networks:
        for parameter in network.parameters():
            parameter.mul_(size)
    everywhere = Trust.empty(DESCRIPTORS)._replace(distance=torch.tensor(1e9), spread=torch.tensor(1e9))
    ranges = card_ranges(small_source()) | {"duration": (0.5, 5.0), "current_density": (-100.0, 100.0)}
    card = ModelCard("transition", architecture | {"networks": 2}, "nothing", 4e-9, ranges)
    return EmulatedStep(networks, card, everywhere)
