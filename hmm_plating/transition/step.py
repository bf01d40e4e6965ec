"""One transition step: the metal between two observations, driven by the recorded current or potential."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import diffusion_layer, reference
from hmm_plating.transition.butler_volmer import butler_volmer
from hmm_plating.transition.growth import Backend, grow
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.state import State, thickness
from hmm_plating.transition.transport import Transport

LARGEST_CHANGE = 0.05  # of the surface concentration, relative to itself, within which it is taken as constant


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
    `add_metal` places nuclei. With `parameters.transport` the concentration at the surface follows from the diffusion
    layer, and so does the concentration overpotential.

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
        DepletionError: with `parameters.transport`, more current than diffusion can carry.
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


def _advance(
    state: State,
    demand: Tensor,
    overpotential: Tensor | None,
    duration: float,
    noise: Tensor,
    parameters: Parameters,
    backend: Backend,
) -> State:
    """`grow`, with the diffusion layer beside it in pieces within which the surface concentration hardly changes."""
    _check(state, duration, noise, parameters.interface.dimensions, backend)
    transport = parameters.transport
    if transport is None:
        return grow(state, demand, overpotential, duration, noise, parameters, 1.0, backend)
    valence = parameters.valence
    ions = _per_particle("charge_per_volume", parameters.charge_per_volume, state) / (valence * FARADAY_CONSTANT)
    if overpotential is None:  # where depletion comes, the message tells when in the whole step
        diffusion_layer.advance(state.diffusion_layer, demand * ions / duration, duration, transport, valence)
    rest = duration
    while rest > 0:
        profile = state.diffusion_layer
        flux = demand * ions / duration if overpotential is None else _held_flux(state, overpotential, parameters)
        piece = _longest_piece(profile, flux, rest, transport, valence)
        share = piece / duration
        supply = profile[..., 0]
        if overpotential is None:
            supply = diffusion_layer.advance(profile, flux, piece, transport, valence)[..., 0]
        # the noise velocity is held over the whole step
        after = grow(state, demand * share, overpotential, piece, noise * math.sqrt(share), parameters, supply, backend)
        flux = ions * (_thickness(after, parameters) - _thickness(state, parameters)) / piece
        layer = diffusion_layer.advance(profile, flux, piece, transport, valence)
        state, rest = after._replace(diffusion_layer=layer), rest - piece if piece < rest else 0.0
    return state


def _held_flux(state: State, overpotential: Tensor, parameters: Parameters) -> Tensor:
    """Cation flux [mol/(m² s)] into a flat surface at a given overpotential, to choose how far to go."""
    voltage, exchange, alpha = (
        _per_particle(name, getattr(parameters, name), state)
        for name in ("kinetic_voltage", "exchange_current_density", "transfer_coefficient")
    )
    shifted = overpotential + voltage * torch.log(state.diffusion_layer[..., 0])  # c̃ e^{−αy} − e^{(1 − α)y}
    current = butler_volmer(shifted, exchange, alpha, voltage) * state.diffusion_layer[..., 0] ** (1 - alpha)
    return -current.detach() / (parameters.valence * FARADAY_CONSTANT)


@torch.no_grad()
def _longest_piece(profile: Tensor, flux: Tensor, rest: float, transport: Transport, valence: int) -> float:
    """Largest of rest, rest/2, rest/4 … within which the surface concentration changes little in every particle."""
    piece = rest
    while True:
        depleted = diffusion_layer.depletion_time(profile, flux, piece, transport)
        if not bool((depleted < math.inf).any()):
            top = diffusion_layer.advance(profile, flux, piece, transport, valence)[..., 0]
            if bool(((top - profile[..., 0]).abs() <= LARGEST_CHANGE * torch.minimum(top, profile[..., 0])).all()):
                return piece
        if piece < 1e-9 * rest:
            raise diffusion_layer.depletion_error(depleted, flux, piece, transport, valence)
        piece /= 2


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
        expected = (*shape[:-dimensions], diffusion_layer.NODES) if name == "diffusion_layer" else shape[:-dimensions]
        if name != "order_parameter" and value.shape != expected:
            raise InputError(f"State.{name} must have the shape {tuple(expected)}, got {tuple(value.shape)}")
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
