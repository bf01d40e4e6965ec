"""One transition step: the metal between two observations, driven by the recorded current or potential."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.transition import reference, rollout
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.moving_window import shift_window
from hmm_plating.transition.state import State, thickness

Backend = Literal["numba", "torch"]


def step(
    state: State,
    current_density: Tensor | float,
    duration: float,
    noise: Tensor,
    parameters: Parameters,
    backend: Backend = "numba",
) -> State:
    """Plate (current < 0), rest (0) or strip (> 0) for a while at a given current: galvanostatic.

    In every sub-step the one overpotential is solved that makes the metal's growth match the charge, regularising terms
    and noise included, so the books of `State` close to round-off. Metal is stripped down to the bare crystal; what
    current flows on then is booked as side charge. On a crystal without metal a cathodic charge is deferred until
    `add_metal` places nuclei.

    Args:
        state: of the surface; fields (..., y, x) or (..., z, y, x), as `parameters.interface` has dimensions.
        current_density: [A/m² of crystal], broadcast to (...,).
        duration: [s].
        noise: standard normal, of the shape of the order parameter, held constant over the sub-steps and scaled by
            1/sqrt(duration), so that neither their number nor the splitting of the duration changes its strength.
        parameters: those with tensors broadcast to (...,).
        backend: "numba", kernels threaded over particles, the same for any number of threads; or "torch", the plain
            form of the same arithmetic, on the device of the state. Autograd differentiates both.

    Raises:
        InputError: shapes that do not match, values that are not finite, a duration that is not positive, or a deposit
            that outgrows the box.
    """
    current = _per_particle("current_density", current_density, state)
    efficiency = _per_particle("current_efficiency", parameters.current_efficiency, state)
    charge_per_volume = _per_particle("charge_per_volume", parameters.charge_per_volume, state)
    cathodic = -current * duration
    metal_charge = torch.where(cathodic > 0, cathodic * efficiency, cathodic)
    owed = state.deferred_charge + metal_charge
    # nuclei placed ahead of their charge wait for it; a resting surface neither grows nor dissolves
    demand = torch.where(current < 0, owed.clamp(min=0), torch.where(current > 0, owed.clamp(max=0), 0 * owed))
    after = _advance(state, demand / charge_per_volume, None, duration, noise, parameters, backend)
    grown = charge_per_volume * (_thickness(after, parameters) - _thickness(state, parameters))
    left = owed - grown
    gone = (current > 0) & ~_has_metal(after)
    side = state.side_charge + cathodic - metal_charge + torch.where(gone, left.clamp(max=0), 0 * left)
    return after._replace(deferred_charge=torch.where(gone, left.clamp(min=0), left), side_charge=side)


def potentiostatic_step(
    state: State,
    overpotential: Tensor | float,
    duration: float,
    noise: Tensor,
    parameters: Parameters,
    backend: Backend = "numba",
) -> State:
    """As `step`, at a given overpotential [V] instead of a current; the metal's growth tells the charge that flowed."""
    held = state._replace(overpotential=_per_particle("overpotential", overpotential, state))
    return _advance(held, 0 * held.overpotential, held.overpotential, duration, noise, parameters, backend)


def _per_particle(name: str, value: Tensor | float, state: State) -> Tensor:
    field = state.order_parameter
    value = torch.as_tensor(value, dtype=field.dtype, device=field.device)
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"{name} must be finite, got {value.tolist()!r}: interpolate gaps of the recording first")
    try:
        return value.expand(state.base_thickness.shape)
    except RuntimeError:
        raise InputError(
            f"{name} of shape {tuple(value.shape)} does not broadcast to the batch {tuple(state.base_thickness.shape)}"
        ) from None


def _thickness(state: State, parameters: Parameters) -> Tensor:
    return state.base_thickness + thickness(state.order_parameter, parameters.interface)


def _has_metal(state: State) -> Tensor:
    batch = state.base_thickness.ndim
    return (state.order_parameter > 0).flatten(batch).any(-1) | (state.base_thickness > 0)


def _check(state: State, duration: float, noise: Tensor, dimensions: int, backend: Backend) -> None:
    shape = state.order_parameter.shape
    if noise.shape != shape:
        raise InputError(f"noise must have the shape {tuple(shape)} of the order parameter, got {tuple(noise.shape)}")
    for name, value in state._asdict().items():
        if name != "order_parameter" and value.shape != shape[:-dimensions]:
            raise InputError(
                f"State.{name} must have the batch shape {tuple(shape[:-dimensions])}, got {tuple(value.shape)}"
            )
    if not (isinstance(duration, int | float) and math.isfinite(duration) and duration > 0):
        raise InputError(f"duration must be a positive number of seconds, got {duration!r}")
    if not bool(torch.isfinite(noise).all() & torch.isfinite(state.order_parameter).all()):
        raise InputError("noise and order_parameter must be finite")
    particles = state.order_parameter.flatten(-dimensions)
    interior = (particles * (1 - particles)).amax(-1) > reference.ACTIVE
    if bool(((particles > 0.5).any(-1) & ~interior).any()):
        raise InputError("order_parameter is a sharp field of 0 and 1: give the interface its width (morphology.film)")
    if backend not in ("numba", "torch"):
        raise InputError(f'backend must be "numba" or "torch", got {backend!r}')


def _advance(
    state: State,
    demand: Tensor,
    overpotential: Tensor | None,
    duration: float,
    noise: Tensor,
    parameters: Parameters,
    backend: Backend,
) -> State:
    """Run sub-steps and window shifts until every particle's time is up; demand is the thickness to deposit [m]."""
    grid = parameters.interface
    _check(state, duration, noise, grid.dimensions, backend)
    spacing, width = grid.spacing, grid.width
    batch, cells = (
        state.order_parameter.shape[: -grid.dimensions],
        state.order_parameter.shape[-grid.dimensions :],
    )
    field = state.order_parameter.reshape(-1, *cells)
    c = reference.coefficients(parameters, batch, duration, field)
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
