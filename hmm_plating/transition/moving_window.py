"""The box follows the deposit: solid rows leave at the bottom and become rigid metal, or come back under stripping."""

from __future__ import annotations

import torch
from torch import Tensor

from hmm_plating.errors import InputError

SOLID = 1e-3  # a row whose every 1 − ξ is below this may leave


def must_shift(order_parameter: Tensor, base_rows: Tensor, margin: int) -> tuple[Tensor, Tensor]:
    """Which particles have metal within two margins of the top, and which liquid within one of the rigid metal below.

    Args:
        order_parameter: (particle, y, x) or (particle, z, y, x).
        base_rows: rigid metal below row 0, in rows (particle,).
        margin: rows across the interface width.
    """
    metal = order_parameter > 0.5
    rows = order_parameter.shape[-2]
    too_high = metal[..., max(rows - 2 * margin, 0) :, :].flatten(1).any(-1)
    too_low = (~metal[..., :margin, :]).flatten(1).any(-1) & (base_rows > 0)
    return too_high, too_low


def shift_window(
    order_parameter: Tensor, base_rows: Tensor, margin: int, spacing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Move the window of each particle that needs it; the metal, Σξ plus base, is conserved to round-off.

    Args:
        order_parameter: (particle, y, x) or (particle, z, y, x).
        base_rows: rigid metal below row 0, in rows (particle,).
        margin: rows across the interface width.
        spacing: [m], for the message.

    Returns:
        The new order parameter and base, and by how many rows each window moved up (particle,).

    Raises:
        InputError: a deposit spans the box, so that no solid row can leave or no metal can come back.
    """
    too_high, too_low = must_shift(order_parameter, base_rows, margin)
    if not bool((too_high | too_low).any()):
        return order_parameter, base_rows, torch.zeros_like(too_high, dtype=torch.int64)
    if order_parameter.ndim == 4:  # rows of (z, x)
        particles, depth, height, width = order_parameter.shape
        rows_first = order_parameter.transpose(1, 2).reshape(particles, height, depth * width)
        shifted, base_rows, rise = shift_window(rows_first, base_rows, margin, spacing)
        return shifted.reshape(particles, height, depth, width).transpose(1, 2), base_rows, rise
    rows, columns = order_parameter.shape[1:]
    index = torch.arange(rows, device=order_parameter.device)
    metal_row = (order_parameter > 0.5).any(-1)
    top = torch.where(metal_row, index + 1, 0).amax(-1)
    solid_row = (order_parameter >= 1 - SOLID).all(-1)
    solid = torch.cumprod(solid_row.to(torch.int64), -1).sum(-1)  # whole solid rows from the bottom
    whole_base = torch.ceil(base_rows.detach() - 1e-12).to(torch.int64)
    free = (rows - 2 * margin - top + 1).clamp(min=0) // 2
    leaving = torch.where(too_high, solid, 0)
    entering = torch.where(too_low & ~too_high, torch.minimum(whole_base, free), 0)
    stuck = (too_high & (leaving == 0)) | (too_low & ~too_high & (entering == 0)) | (too_high & too_low)
    if bool(stuck.any()):
        particle = int(stuck.nonzero()[0, 0])
        needed = 1.5 * (int(top[particle] - solid[particle]) + 4 * margin) * spacing
        raise InputError(
            f"box too low for this deposit: particle {particle} has liquid down to row "
            f"{int(solid[particle])} and metal up to row {int(top[particle])} of {rows}; "
            f"make the box at least {needed:.3g} m high"
        )
    source = index + (leaving - entering)[:, None]
    shifted = torch.gather(order_parameter, 1, source.clamp(0, rows - 1)[..., None].expand(-1, -1, columns))
    complete = entering >= whole_base
    filling = torch.where(complete, base_rows / whole_base.clamp(min=1), torch.ones_like(base_rows)).clamp(max=1)
    shifted = torch.where((source < 0)[..., None], filling[:, None, None], shifted)
    shifted = torch.where((source >= rows)[..., None], torch.zeros_like(shifted), shifted)
    # the traces of ξ in rows that drop off at the top stay in the top row
    dropped = torch.where((index >= rows - entering[:, None])[..., None], order_parameter, 0 * order_parameter).sum(-2)
    shifted = torch.cat([shifted[:, :-1], (shifted[:, -1] + dropped)[:, None]], 1)
    left = (
        torch.where((index < leaving[:, None])[..., None], order_parameter, 0 * order_parameter).sum((-2, -1)) / columns
    )
    base_rows = torch.where(entering > 0, torch.where(complete, 0 * base_rows, base_rows - entering), base_rows + left)
    return shifted, base_rows, leaving - entering


def follow_window(field: Tensor, rise: Tensor, fill: Tensor) -> Tensor:
    """Another field (particle, …, y, x) in the moved window; rows new in it take the value `fill` (particle,).

    Args:
        field: of any dimensions between particle and y.
        rise: of `shift_window`.
        fill: for liquid and metal alike.
    """
    rows = field.shape[-2]
    source = torch.arange(rows, device=field.device) + rise[:, None]
    shape = (len(rise), *[1] * (field.ndim - 3), rows, 1)
    moved = field.gather(-2, source.clamp(0, rows - 1).reshape(shape).expand(field.shape))
    inside = ((source >= 0) & (source < rows)).reshape(shape)
    return torch.where(inside, moved, fill.reshape(-1, *[1] * (field.ndim - 1)))
