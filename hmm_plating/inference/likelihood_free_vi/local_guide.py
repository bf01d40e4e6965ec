"""Amortised guide q(z | x, β) of the local latent variables: a Gaussian whose mean and scale a network gives,

    q(z | x, β) = N(z; A (x, β) + a(x, β), diag s(x, β)²)

linear part and network learned together; exact for conjugate Gaussian models.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal


class LocalGuide(nn.Module):
    """q(z | y, b) in whitened coordinates.

    Args:
        local_size, data_size, parameter_size: lengths of z, y and b.
        hidden: widths of the layers of the network.
    """

    def __init__(self, local_size: int, data_size: int, parameter_size: int, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        widths = [data_size + parameter_size, *hidden]
        layers = [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.SiLU())]
        self.linear = nn.Linear(widths[0], 2 * local_size)
        last = nn.Linear(widths[-1], 2 * local_size)
        for layer in (self.linear, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.network = nn.Sequential(*layers, last)

    def forward(self, data: Tensor, parameters: Tensor) -> Independent:
        """Distribution of z given y (…, data_size) and b (…, parameter_size)."""
        inputs = torch.cat([data, parameters], -1)
        location, log_scale = (self.linear(inputs) + self.network(inputs)).chunk(2, -1)
        return Independent(Normal(location, log_scale.clamp(-12, 6).exp(), validate_args=False), 1, validate_args=False)
