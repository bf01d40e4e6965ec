"""Velocity of the liquid, from the populations that the solver returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission.closed_form import Overtones
from hmm_plating.emission.lattice import D2Q9, D3Q19
from hmm_plating.emission.media import ViscoelasticLayer, distinct_mixtures, media
from hmm_plating.emission.problem import SOLID
from hmm_plating.emission.saturation import bubble
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator


def velocity_amplitude(
    field: Tensor,
    solid_fraction: Tensor,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
    *,
    layers: Sequence[ViscoelasticLayer] = (),
    dimensions: int = 2,
) -> Tensor:
    """Velocity of every cell's centre in units of the crystal's, amplitude of e^{iωt}; metal has 1 along the shear.

    It is the mean of the momenta before and after the collision: (1 + m)/2 j of the momentum j that arrives in liquid,
    B + (1 − B)(1 + m)/2 j where a cell is held with saturation B. Above a flat wall it is e^{−ky} to round-off but for
    a factor, the slip of half-way bounce-back: 1 + (kΔx)²/72, off by 0.04 % at eight cells per penetration depth.

    Args:
        field: of `solve(..., keep_gradient=True)`, which has the liquid above the highest metal too; populations
            (..., overtone, 18, y, x), in three dimensions (..., overtone, 38, z, y, x).
        solid_fraction, spacing, overtones, electrolyte, resonator, layers, dimensions: those of that solve.

    Returns:
        complex (..., overtone, component, [z,] y, x) [1], components x (along the shear), y (normal) and, in three
        dimensions, z.

    Raises:
        InputError: a field that does not fit the surfaces, or without the liquid above the metal.
    """
    lattice = D2Q9 if dimensions == 2 else D3Q19
    *batch, orders, planes = field.shape[:-dimensions]
    cells = solid_fraction.shape[-dimensions:]
    expected = (*solid_fraction.shape[:-dimensions], len(torch.as_tensor(overtones).reshape(-1)))
    if (*batch, orders) != expected or planes != 2 * len(lattice.weights) or field.shape[-dimensions:] != cells:
        raise InputError(
            f"field of shape {tuple(field.shape)} is not that of surfaces {tuple(solid_fraction.shape)} at "
            f"{expected[-1]} overtones in {dimensions} dimensions"
        )
    if cells[-2] > 1 and bool((field[..., -1, :] == field[..., -2, :]).all()):
        raise InputError("field lacks the liquid above the metal: give solve keep_gradient=True")
    populations = torch.complex(*field.to(torch.float64).unflatten(-dimensions - 1, (2, -1)).unbind(-dimensions - 2))
    directions = torch.as_tensor(lattice.velocities.T, dtype=torch.complex128)
    momentum = torch.einsum("ci,...ik->...ck", directions, populations.flatten(-dimensions)).unflatten(-1, cells)

    fraction = solid_fraction.detach().to("cpu", torch.float64).numpy()
    index, mixtures = distinct_mixtures(tuple(layers), solid_fraction.shape)
    partial = (fraction > 0) & (fraction <= SOLID)
    held = np.isin(np.arange(len(mixtures)), index[partial])
    saturation = np.empty((orders, *fraction.shape), complex)
    factor = np.empty_like(saturation)
    for order, matter in enumerate(media(mixtures, tuple(layers), held, spacing, overtones, electrolyte, resonator)):
        terms = torch.from_numpy(matter.saturation[index]).unbind(-1)
        held_beyond, _ = bubble(torch.from_numpy(fraction), terms)
        saturation[order] = np.where(fraction > SOLID, 1, fraction + held_beyond.numpy())
        factor[order] = (1 + matter.relaxation[index, 0]) / 2
    share, free = (
        torch.from_numpy(part).movedim(0, -dimensions - 1).unsqueeze(-dimensions - 1)
        for part in (saturation, (1 - saturation) * factor)
    )
    along_shear = torch.zeros(lattice.dimensions, *(1,) * dimensions)
    along_shear[0] = 1
    return share * along_shear + free * momentum
