"""The multiscale network: small convolutional networks on ever coarser grids, the coarse prediction fed to the finer.

Santos, Xu, Landry, Prodanović and Marcato: MSNet, Transp. Porous Media 140 (2021) 241; autoregressive for a battery's
discharge in Marcato, Boccardo and Marchisio, Energy Storage Mater. 63 (2023) 102927.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hmm_plating.errors import InputError


@dataclass(frozen=True)
class Architecture:
    """What builds a network; sections and boxes alike.

    Attributes:
        dimensions: 2 or 3.
        inputs: channels that it sees.
        scales: grids, each half as fine along every axis as the one before.
        hidden: channels between the layers.
        layers: convolutions of three cells on each scale.

    Raises:
        InputError: other dimensions, or a count below 1 (layers: 2).
    """

    dimensions: int
    inputs: int
    scales: int = 3
    hidden: int = 8
    layers: int = 3

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise InputError(f"Architecture.dimensions must be 2 or 3, got {self.dimensions!r}")
        for name, least in (("inputs", 1), ("scales", 1), ("hidden", 1), ("layers", 2)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= least):
                raise InputError(f"Architecture.{name} must be a whole number of at least {least}, got {value!r}")

    @property
    def multiple(self) -> int:
        """Cells along every axis must be a multiple of this."""
        return 2 ** (self.scales - 1)


class MultiscaleNetwork(nn.Module):
    """A field from fields of the same grid, on grids of any size: laterally periodic, mirrored at bottom and top."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        inputs = [architecture.inputs + 1] * (architecture.scales - 1) + [architecture.inputs]
        self.scales = nn.ModuleList(_Convolutions(architecture, channels) for channels in inputs)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Predictions of all scales (particle, [z,] y, x) on their own grids, the finest first.

        Each is the one of the next coarser grid, refined, plus what this scale adds.

        Args:
            features: (particle, inputs, [z,] y, x).

        Raises:
            InputError: cells that the coarsest grid does not divide.
        """
        multiple, cells = self.architecture.multiple, tuple(features.shape[2:])
        if any(count % multiple for count in cells):
            raise InputError(
                f"the network's {self.architecture.scales} scales need multiples of {multiple} cells, got {cells}"
            )
        pyramid = [features]
        for _ in range(self.architecture.scales - 1):
            pyramid.append(coarsened(pyramid[-1]))
        predictions: list[Tensor] = []
        for scale, seen in zip(reversed(self.scales), reversed(pyramid), strict=True):
            if predictions:
                coarse = refined(predictions[-1])
                predictions.append(coarse + scale(torch.cat([seen, coarse], 1)))
            else:
                predictions.append(scale(seen))
        return [prediction[:, 0] for prediction in reversed(predictions)]


def coarsened(field: Tensor) -> Tensor:
    """Means over 2 cells along every axis (particle, channel, [z,] y, x)."""
    pool = nn.functional.avg_pool2d if field.ndim == 4 else nn.functional.avg_pool3d
    return pool(field, 2)


def refined(field: Tensor) -> Tensor:
    """Every cell's value in the 2 cells along every axis that it stands for: the mean is kept."""
    return nn.functional.interpolate(field, scale_factor=2, mode="nearest")


class _Convolutions(nn.Module):
    """The network of one scale; at first its prediction is nearly zero."""

    def __init__(self, architecture: Architecture, inputs: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if architecture.dimensions == 2 else nn.Conv3d
        hidden = [architecture.hidden] * (architecture.layers - 1)
        widths = [inputs, *hidden, 1]
        layers = [convolution(before, after, 3) for before, after in itertools.pairwise(widths)]
        with torch.no_grad():
            for layer in layers:
                if layer.bias is not None:
                    layer.bias.zero_()
            layers[-1].weight.mul_(0.1 / math.sqrt(architecture.scales))
        self.layers = nn.ModuleList(layers)

    def forward(self, field: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            field = nn.functional.celu(layer(_padded(field)))
        return self.layers[-1](_padded(field))


def _padded(field: Tensor) -> Tensor:
    """One cell more on each side: periodic laterally, mirrored at bottom and top."""
    if field.ndim == 4:
        return nn.functional.pad(nn.functional.pad(field, (1, 1, 0, 0), "circular"), (0, 0, 1, 1), "replicate")
    periodic = nn.functional.pad(field, (1, 1, 0, 0, 1, 1), "circular")
    return nn.functional.pad(periodic, (0, 0, 1, 1, 0, 0), "replicate")
