"""Plain torch form of the operator: the reference that the kernels are checked against, and differentiable by autograd.

Arriving populations f obey f = S C f + β: C collides (partly solid cells hold their liquid), S streams (half-way
bounce-back at crystal and solid cells, half space above the top row), β is the motion of crystal and metal. The load is

    Z = constant + ⅓ βᵀ G f,   G = W⁻¹PC,   A = I − SC,   GA = (GA)ᵀ

with W the weights and P reversal; its correction ⅓ hᵀ G (β − Ah) makes it second order in the error of any h.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.emission.lattice import DOWNWARD, OPPOSITE, UPWARD, VELOCITIES, WEIGHTS, Relaxation, collision_matrix


class Operator(NamedTuple):
    """One frozen surface at one overtone.

    Attributes:
        collision: C of the liquid, complex (9, 9).
        reflection: R of the half space, complex (x, 3, 3).
        saturation: B, complex (y, x), 0 in solid cells.
        solid: bool (y, x), cells without unknowns; none in the top row.
    """

    collision: Tensor
    reflection: Tensor
    saturation: Tensor
    solid: Tensor


def operator(relaxation: Relaxation, reflection: Tensor, saturation: Tensor, solid: Tensor) -> Operator:
    """Assemble the operator of one surface; arguments as the attributes of Operator."""
    return Operator(torch.as_tensor(collision_matrix(relaxation)), reflection, saturation, solid)


def collide(system: Operator, arriving: Tensor) -> Tensor:
    """C f, complex (9, y, x)."""
    liquid = torch.einsum("ij,jyx->iyx", system.collision, arriving)
    return torch.where(system.solid, 0, liquid + system.saturation * (arriving[OPPOSITE] - liquid))


def bounced(system: Operator) -> Tensor:
    """Links whose upstream cell is solid or crystal, bool (9, y, x)."""
    width = system.solid.shape[1]
    closed = torch.cat([torch.ones(1, width, dtype=torch.bool), system.solid, torch.zeros(1, width, dtype=torch.bool)])
    links = torch.stack([closed.roll((int(c[1]), int(c[0])), (0, 1))[1:-1] for c in VELOCITIES])
    links[0] = False
    return links & ~system.solid


def stream(system: Operator, leaving: Tensor) -> Tensor:
    """S F, complex (9, y, x)."""
    padded = torch.nn.functional.pad(leaving, (0, 0, 1, 1))
    arriving = torch.stack([padded[i].roll((int(c[1]), int(c[0])), (0, 1))[1:-1] for i, c in enumerate(VELOCITIES)])
    response = torch.einsum("qij,jq->iq", system.reflection, torch.fft.fft(leaving[UPWARD, -1]))
    top = torch.zeros_like(arriving)
    top[DOWNWARD, -1] = torch.fft.ifft(response)
    falling = torch.zeros(9, 1, 1, dtype=torch.bool)
    falling[DOWNWARD] = True
    highest = torch.zeros_like(system.solid)
    highest[-1] = True
    arriving = torch.where(falling & highest, top, arriving)
    arriving = torch.where(bounced(system), leaving[OPPOSITE], arriving)
    return torch.where(system.solid, 0, arriving)


def bilinear(left: Tensor, right: Tensor) -> Tensor:
    """Leftᵀ W⁻¹P right (no conjugation)."""
    return (left / torch.as_tensor(WEIGHTS)[:, None, None] * right[OPPOSITE]).sum()


def motion(system: Operator) -> tuple[Tensor, Tensor]:
    """Source β, complex (9, y, x), and the constant of the load."""
    push = torch.as_tensor(6 * WEIGHTS * VELOCITIES[:, 0])[:, None, None]
    cells = torch.where(system.solid, 0, push * system.saturation)
    links = torch.where(bounced(system), push, 0).to(cells.dtype)
    source = stream(system, cells) + links
    constant = (
        2 * torch.where(system.solid, 0, system.saturation).sum()
        + (links**2 / torch.as_tensor(6 * WEIGHTS)[:, None, None]).sum()
        + (bilinear(cells, source) + bilinear(cells, links)) / 3
    )
    return source, constant


def corrected_load(system: Operator, field: Tensor) -> Tensor:
    """Lattice load of any field, with an error quadratic in that of the field; complex scalar."""
    source, constant = motion(system)
    leaving = collide(system, field)
    residual = source - field + stream(system, leaving)
    return constant + (bilinear(source, leaving) + bilinear(residual, leaving)) / 3
