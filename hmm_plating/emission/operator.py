"""Plain torch form of the operator: the reference that the kernels are checked against, and differentiable by autograd.

Arriving populations f obey f = S C f + β: C collides (partly solid cells hold their liquid), S streams (half-way
bounce-back at crystal and solid cells, half space above the top row), β is the motion of crystal and metal. The load is

    Z = constant + ⅓ βᵀ G f,   G = W⁻¹PC,   A = I − SC,   GA = (GA)ᵀ

with W the weights and P reversal; its correction ⅓ hᵀ G (β − Ah) makes it second order in the error of any h.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission.lattice import D2Q9, D3Q19, Lattice, Relaxation, collision_matrix


class Operator(NamedTuple):
    """One frozen surface at one overtone.

    Attributes:
        lattice: D2Q9 where cells are (y, x), D3Q19 where they are (z, y, x).
        collision: C of the liquid, complex (population, population).
        reflection: R of the half space, complex ([z,] x, lane, lane).
        saturation: B, complex ([z,] y, x), 0 in solid cells.
        solid: bool ([z,] y, x), cells without unknowns; none in the top row.
    """

    lattice: Lattice
    collision: Tensor
    reflection: Tensor
    saturation: Tensor
    solid: Tensor

    def per_population(self, values: np.ndarray) -> Tensor:
        """One number per population, shaped to multiply fields ([z,] y, x)."""
        return torch.as_tensor(values).reshape(-1, *(1,) * self.lattice.dimensions)

    def upstream(self, field: Tensor) -> Tensor:
        """Field (population, [z,] row, x) read one velocity upstream, periodic in every direction."""
        axes = (-1, -2, -3)[: self.lattice.dimensions]  # of x, y, z
        return torch.stack(
            [f.roll(tuple(c), axes) for f, c in zip(field, self.lattice.velocities.tolist(), strict=True)]
        )


def operator(relaxation: Relaxation, reflection: Tensor, saturation: Tensor, solid: Tensor) -> Operator:
    """Assemble the operator of one surface; arguments as the attributes of Operator."""
    lattice = D2Q9 if solid.ndim == 2 else D3Q19
    return Operator(lattice, torch.as_tensor(collision_matrix(lattice, relaxation)), reflection, saturation, solid)


def collide(system: Operator, arriving: Tensor) -> Tensor:
    """C f, complex (population, [z,] y, x)."""
    liquid = torch.einsum("ij,j...->i...", system.collision, arriving)
    held = system.saturation * (arriving[system.lattice.opposite] - liquid)
    return torch.where(system.solid, 0, liquid + held)


def bounced(system: Operator) -> Tensor:
    """Links whose upstream cell is solid or crystal, bool (population, [z,] y, x)."""
    row = torch.ones_like(system.solid[..., :1, :])
    closed = torch.cat([row, system.solid, ~row], -2)
    links = system.upstream(closed.expand(len(system.lattice.weights), *closed.shape))[..., 1:-1, :]
    links[0] = False
    return links & ~system.solid


def stream(system: Operator, leaving: Tensor) -> Tensor:
    """S F, complex (population, [z,] y, x)."""
    upward, downward, opposite = system.lattice.upward, system.lattice.downward, system.lattice.opposite
    lateral = tuple(range(1, system.lattice.dimensions))
    arriving = system.upstream(torch.nn.functional.pad(leaving, (0, 0, 1, 1)))[..., 1:-1, :]
    rising = torch.fft.fftn(leaving[upward][..., -1, :], dim=lateral)
    top = torch.zeros_like(arriving)
    reflected = torch.einsum("...ij,j...->i...", system.reflection, rising)
    top[..., -1, :][downward] = torch.fft.ifftn(reflected, dim=lateral)
    falling = torch.zeros_like(arriving, dtype=torch.bool)
    falling[..., -1, :][downward] = True
    arriving = torch.where(falling, top, arriving)
    arriving = torch.where(bounced(system), leaving[opposite], arriving)
    return torch.where(system.solid, 0, arriving)


def bilinear(system: Operator, left: Tensor, right: Tensor) -> Tensor:
    """Leftᵀ W⁻¹P right (no conjugation)."""
    return (left / system.per_population(system.lattice.weights) * right[system.lattice.opposite]).sum()


def motion(system: Operator) -> tuple[Tensor, Tensor]:
    """Source β, complex (population, [z,] y, x), and the constant of the load."""
    weights = system.per_population(system.lattice.weights)
    push = 6 * weights * system.per_population(system.lattice.velocities[:, 0])
    cells = torch.where(system.solid, 0, push * system.saturation)
    links = torch.where(bounced(system), push, 0).to(cells.dtype)
    source = stream(system, cells) + links
    constant = (
        2 * torch.where(system.solid, 0, system.saturation).sum()
        + (links**2 / (6 * weights)).sum()
        + (bilinear(system, cells, source) + bilinear(system, cells, links)) / 3
    )
    return source, constant


def corrected_load(system: Operator, field: Tensor) -> Tensor:
    """Lattice load of any field, with an error quadratic in that of the field; complex scalar."""
    source, constant = motion(system)
    leaving = collide(system, field)
    residual = source - field + stream(system, leaving)
    return constant + (bilinear(system, source, leaving) + bilinear(system, residual, leaving)) / 3
