"""Surfaces and parameters that the tests of the classical form share."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.transition import Interface, Parameters, Transport

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
WIDTH = 4e-6  # ℓ [m]
TRANSPORT = Transport(concentration=1000.0, diffusivity=1e-9, layer_thickness=1e-4)


def surface(cells=4, fold=4, dimensions=2, **changes) -> Parameters:
    """Copper with so many cells across the interface."""
    found = Parameters.from_materials(Metal.copper(), WATER, Interface(WIDTH, WIDTH / cells, dimensions), **changes)
    return dataclasses.replace(found, anisotropy_fold=fold)


def ball(radius: float, edge: float, p: Parameters) -> Tensor:
    """ξ of a disc or sphere in the middle of a box."""
    n = round(edge / p.interface.spacing)
    x = (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) * p.interface.spacing
    distance = torch.stack(torch.meshgrid(*[x] * p.interface.dimensions, indexing="ij")).norm(dim=0)
    return torch.sigmoid(4 * (radius - distance) / p.interface.width)


def random_field(*shape: int, seed=0) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
