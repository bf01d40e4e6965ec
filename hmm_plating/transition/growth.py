"""Growth of the metal for a while, by a given demand or at a given overpotential, with the shifts of the window."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from hmm_plating.transition import reference, rollout
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.moving_window import shift_window
from hmm_plating.transition.state import State, thickness

Backend = Literal["numba", "torch"]


def grow(
    state: State,
    demand: Tensor,
    overpotential: Tensor | None,
    duration: float,
    noise: Tensor,
    parameters: Parameters,
    supply: Tensor | float = 1.0,
    backend: Backend = "numba",
) -> State:
    """Run sub-steps and window shifts until every particle's time is up, or its surface is gone.

    Args:
        state: of the surface.
        demand: thickness to deposit [m] (...,), negative to dissolve.
        overpotential: [V] (...,) to hold instead, or None.
        duration: [s].
        noise: of the shape of the order parameter, in units of its root mean square over `duration`.
        parameters: of the step.
        supply: c̃, concentration of the cation at the surface relative to the bulk's, (...,) or a number.
        backend: as in `step`.
    """
    grid = parameters.interface
    spacing, width = grid.spacing, grid.width
    batch, cells = (
        state.order_parameter.shape[: -grid.dimensions],
        state.order_parameter.shape[-grid.dimensions :],
    )
    field = state.order_parameter.reshape(-1, *cells)
    c = reference.coefficients(parameters, batch, duration, field, supply)
    galvanostatic = overpotential is None
    kinetic_voltage = torch.as_tensor(parameters.kinetic_voltage, dtype=field.dtype).expand(batch)
    start = 0 * demand if overpotential is None else overpotential / kinetic_voltage
    progress = reference.Progress(
        field,
        demand.reshape(-1) / spacing,
        torch.full_like(demand.reshape(-1), float(duration)),
        start.reshape(-1),
        torch.zeros_like(demand.reshape(-1)),
    )
    base = state.base_thickness.reshape(-1) / spacing
    flat_noise = noise.reshape(-1, *cells)
    run = rollout.advance if backend == "numba" else reference.advance
    interface_rows = math.ceil(width / spacing)
    while True:
        progress = run(progress, flat_noise, c, galvanostatic, base, interface_rows)
        shifted, base, moved = shift_window(progress.order_parameter, base, interface_rows, spacing)
        progress = progress._replace(order_parameter=shifted)
        if not moved:
            break
    field, unmet = progress.order_parameter, progress.demand
    metal = (field > 0.5).flatten(1).any(-1)
    # too little metal for a surface: what is left dissolves evenly, as far as the charge or the potential asks for it
    rest = thickness(field, grid) / spacing
    lost = (
        -unmet / torch.where(rest > 0, rest, torch.ones_like(rest))
        if galvanostatic
        else (start.reshape(-1) > 0) + 0 * rest
    )
    fraction = torch.where(metal | (rest == 0), 0 * rest, lost).clamp(0, 1)
    field = field * (1 - reference.per_cell(fraction, c))
    final = torch.where(metal, progress.overpotential, 0 * progress.overpotential).reshape(batch) * kinetic_voltage
    return state._replace(
        order_parameter=field.reshape(state.order_parameter.shape),
        base_thickness=base.reshape(batch) * spacing,
        overpotential=(final if overpotential is None else overpotential),
    )


def exchange_rates(state: State, overpotential: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Thickness that the present surface gains per time at c̃ = 1, and loses, at an overpotential [V] (...,) [m/s]."""
    grid = parameters.interface
    batch, field = (
        overpotential.shape,
        state.order_parameter.reshape(-1, *state.order_parameter.shape[-grid.dimensions :]),
    )
    c = reference.coefficients(parameters, batch, 1.0, field)
    weight, curvature, stiffness, _ = reference.geometry(field, c)
    y = reference.per_cell((overpotential / parameters.kinetic_voltage).reshape(-1), c)
    y = y + reference.per_cell(c.capillary_length, c) * stiffness * curvature
    alpha, velocity = reference.per_cell(c.transfer_coefficient, c), (c.exchange_velocity * grid.spacing).reshape(batch)
    rates = (weight * torch.exp(-alpha * y), weight * torch.exp((1 - alpha) * y))
    plating, stripping = (velocity * thickness(rate, grid).reshape(batch) / grid.spacing for rate in rates)
    return plating, stripping
