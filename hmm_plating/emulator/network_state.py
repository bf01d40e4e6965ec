"""A network in training and its optimiser as entries of `inference.state_file`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def entries_of(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """What both hold, for `save_state`."""
    state = {
        str(index): {name: torch.as_tensor(value) for name, value in entry.items()}
        for index, entry in optimiser.state_dict()["state"].items()
    }
    return {"network": dict(network.state_dict()), "optimiser": state}


def take_up(saved: Mapping[str, Any], network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put into both what `saved_state` read of `entries_of`."""
    network.load_state_dict(saved["network"])
    state = {int(index): dict(entry) for index, entry in saved["optimiser"].items()}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
