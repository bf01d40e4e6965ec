"""Growth of the metal for a while, by a given demand or at a given overpotential, with the shifts of the window."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor

from hmm_plating.errors import ConvergenceError
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import diffusion_layer, kernels, reference, rollout
from hmm_plating.transition.coefficients import coefficients, per_cell
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.moving_window import follow_window, shift_window
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
) -> tuple[State, Tensor]:
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

    Returns:
        The state, and by how much Σ c̃ times the cell's height has risen in the box [m] (...,): ions that went neither
        into metal nor out of it.

    Raises:
        DepletionError: no cation is left at the surface.
        ConvergenceError: concentration or potential were not found.
    """
    grid = parameters.interface
    spacing, width = grid.spacing, grid.width
    batch, cells = (
        state.order_parameter.shape[: -grid.dimensions],
        state.order_parameter.shape[-grid.dimensions :],
    )
    field = state.order_parameter.reshape(-1, *cells)
    c = coefficients(parameters, batch, duration, field, supply)
    galvanostatic = overpotential is None
    kinetic_voltage = torch.as_tensor(parameters.kinetic_voltage, dtype=field.dtype).expand(batch)
    start = (state.overpotential.detach() if overpotential is None else overpotential) / kinetic_voltage
    inside, stored = _inside(state, parameters), 0 * demand.reshape(-1)
    progress = reference.Progress(
        field,
        demand.reshape(-1) / spacing,
        torch.full_like(demand.reshape(-1), float(duration)),
        start.reshape(-1),
        torch.zeros_like(demand.reshape(-1)),
        torch.zeros_like(demand.reshape(-1)),
        inside,
    )
    base = state.base_thickness.reshape(-1) / spacing
    flat_noise = noise.reshape(-1, *cells)
    run = rollout.advance if backend == "numba" else reference.advance
    interface_rows = math.ceil(width / spacing)
    while True:
        before = progress.inside
        progress = run(progress, flat_noise, c, galvanostatic, base, interface_rows)
        _check_status(progress, demand, duration, parameters)
        if progress.inside is not None and before is not None:
            stored = stored + thickness(progress.inside[:, 0] - before[:, 0], grid)
        shifted, base, rise = shift_window(progress.order_parameter, base, interface_rows, spacing)
        progress = progress._replace(order_parameter=shifted)
        if not bool((rise != 0).any()):
            break
        if progress.inside is not None:
            fill = torch.stack([c.supply, 0 * c.supply], -1)
            inside = torch.stack([follow_window(progress.inside[:, k], rise, fill[:, k]) for k in range(2)], 1)
            progress = progress._replace(inside=inside)
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
    field = field * (1 - per_cell(fraction, c))
    final = torch.where(metal, progress.overpotential, 0 * progress.overpotential).reshape(batch) * kinetic_voltage
    grown = state._replace(
        order_parameter=field.reshape(state.order_parameter.shape),
        base_thickness=base.reshape(batch) * spacing,
        overpotential=(final if overpotential is None else overpotential),
    )
    if progress.inside is not None:
        concentration, potential = progress.inside.unbind(1)
        shape = state.order_parameter.shape
        grown = grown._replace(concentration=concentration.reshape(shape), potential=potential.reshape(shape))
    return grown, stored.reshape(batch)


def _inside(state: State, parameters: Parameters) -> Tensor | None:
    """c̃ and ψ in the box (particle, 2, …), those at its top if the state has none; None where they are not resolved."""
    if parameters.transport is None or not parameters.transport.resolved:
        return None
    cells = state.order_parameter.shape[-parameters.interface.dimensions :]
    concentration, potential = state.concentration, state.potential
    if concentration.shape[-1] == 0:
        top = state.diffusion_layer[..., 0].reshape(-1, *[1] * len(cells))
        concentration, potential = top.expand(-1, *cells), torch.zeros_like(state.order_parameter)
    return torch.stack([concentration.reshape(-1, *cells), potential.reshape(-1, *cells)], 1)


def _check_status(progress: reference.Progress, demand: Tensor, duration: float, parameters: Parameters) -> None:
    """Raise what stopped a particle."""
    if bool((progress.status == kernels.NOT_CONVERGED).any()):
        raise ConvergenceError("concentration or potential in the box did not converge")
    depleted = progress.status == kernels.DEPLETED
    if bool(depleted.any()) and parameters.transport is not None:
        time = torch.where(depleted, duration - progress.time_left, math.inf).reshape(demand.shape)
        ions = parameters.charge_per_volume / (parameters.valence * FARADAY_CONSTANT)
        transport, grid = parameters.transport, parameters.interface
        if transport.resolved:  # the liquid of the box lengthens the way to the bulk
            field = progress.order_parameter.detach()
            liquid = (field.shape[-2] * grid.spacing - thickness(field, grid)).reshape(demand.shape)
            transport = dataclasses.replace(transport, layer_thickness=transport.layer_thickness + liquid)
        raise diffusion_layer.depletion_error(time, demand * ions / duration, duration, transport, parameters.valence)


def exchange_rates(state: State, overpotential: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Thickness that the surface gains per time at c̃ = 1 at the top, and loses [m/s], at an overpotential [V].

    Where the box is resolved, in series with steady diffusion from its top to the mean surface.
    """
    grid = parameters.interface
    batch, field = (
        overpotential.shape,
        state.order_parameter.reshape(-1, *state.order_parameter.shape[-grid.dimensions :]),
    )
    c = coefficients(parameters, batch, 1.0, field)
    weight, _, weighted, *_ = reference.geometry(field, c)
    y = per_cell((overpotential / parameters.kinetic_voltage).reshape(-1), c)
    y = y + per_cell(c.capillary_length, c) * weighted
    alpha, velocity = per_cell(c.transfer_coefficient, c), c.exchange_velocity
    inside = _inside(state, parameters)
    if inside is not None:
        y = y - inside[:, 1]
    rates = (weight * torch.exp(-alpha * y), weight * torch.exp((1 - alpha) * y))
    plating, stripping = (velocity * thickness(rate, grid) / grid.spacing for rate in rates)  # cells/s
    passed: Tensor | float = 1.0
    if inside is not None:
        liquid = field.shape[-2] - thickness(field, grid) / grid.spacing
        passed = 1 / (1 + plating * c.consumption * liquid / c.diffusivity)
    plating, stripping = ((rate * passed * grid.spacing).reshape(batch) for rate in (plating, stripping))
    return plating, stripping
