"""One transition step: the metal between two observations, driven by the recorded current or potential."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import diffusion_layer, reference
from hmm_plating.transition.growth import Backend, exchange_rates, grow
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.state import State, thickness
from hmm_plating.transition.transport import Transport

LARGEST_CHANGE = 0.05  # of concentration or flux over half a piece of a step, within which it is taken as constant
MOST_PIECES = 1024
LARGEST_CURRENT_DENSITY = 1e7  # A/m²
LARGEST_OVERPOTENTIAL = 5.0  # V


class Step(Protocol):
    """What a model knows of a transition: a function with the arguments of `step`."""

    def __call__(
        self, state: State, current_density: Tensor | float, duration: float, noise: Tensor, parameters: Parameters, /
    ) -> State: ...


@runtime_checkable
class CheckedStep(Protocol):
    """A step that leaves some surfaces to `step` and tells which, bool (...,)."""

    def checked(
        self, state: State, current_density: Tensor | float, duration: float, noise: Tensor, parameters: Parameters, /
    ) -> tuple[State, Tensor]: ...


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

    def advance(state: State, demand: Tensor) -> State:
        return _advance(state, demand, None, duration, noise, parameters, backend)

    return by_charge(state, current_density, duration, parameters, advance)


def by_charge(
    state: State,
    current_density: Tensor | float,
    duration: float,
    parameters: Parameters,
    advance: Callable[[State, Tensor], State],
) -> State:
    """Keep the charge books of a step around `advance(state, thickness to deposit [m] (...,))`, which moves the metal.

    Raises:
        InputError: a current that is not finite, too large, or of another batch; and what `advance` raises.
    """
    current = _per_particle("current_density", current_density, state)
    if bool((current.abs() > LARGEST_CURRENT_DENSITY).any()):
        raise InputError(
            f"current_density = {current.abs().max().item():g} A/m²: give A/m² of crystal, 1 mA/cm² is 10 A/m²; "
            "divide a current in A by the electrode's area"
        )
    efficiency = _per_particle("current_efficiency", parameters.current_efficiency, state)
    charge_per_volume = _per_particle("charge_per_volume", parameters.charge_per_volume, state)
    cathodic = -current * duration
    metal_charge = torch.where(cathodic > 0, cathodic * efficiency, cathodic)
    owed = state.deferred_charge + metal_charge
    # nuclei placed ahead of their charge wait for it; a resting surface neither grows nor dissolves
    demand = torch.where(current < 0, owed.clamp(min=0), torch.where(current > 0, owed.clamp(max=0), 0 * owed))
    after = advance(state, demand / charge_per_volume)
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
    if bool((held.overpotential.abs() > LARGEST_OVERPOTENTIAL).any()):
        raise InputError(f"overpotential = {held.overpotential.abs().max().item():g} V: give V, not mV")
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
    """`grow`, with the diffusion layer beside it, in pieces within which concentration or flux hardly change."""
    check_step(state, duration, noise, parameters.interface.dimensions)
    if backend not in ("numba", "torch"):
        raise InputError(f'backend must be "numba" or "torch", got {backend!r}')
    transport = parameters.transport
    if transport is None:
        return grow(state, demand, overpotential, duration, noise, parameters, 1.0, backend)[0]
    valence = parameters.valence
    ions = _per_particle("charge_per_volume", parameters.charge_per_volume, state) / (valence * FARADAY_CONSTANT)
    rest = duration
    while rest > 0:
        profile = state.diffusion_layer
        if overpotential is None:
            flux = demand * ions / duration
            piece, supply = _driven(profile, flux, rest, transport, valence)
        else:
            plating, stripping = (ions * rate for rate in exchange_rates(state, overpotential, parameters))
            piece, supply = _held(profile, plating, stripping, rest, transport, valence)
            flux = plating * supply - stripping
        # the noise velocity is held over the whole step
        own_noise = noise * math.sqrt(piece / duration)
        # without resolving the box, the flux is known as well as the overpotential, and safe from depletion
        given = overpotential if transport.resolved else None
        after, stored = grow(state, flux * piece / ions, given, piece, own_noise, parameters, supply, backend)
        consumed = ions * (_thickness(after, parameters) - _thickness(state, parameters))
        flux = (consumed + transport.concentration * stored / (1 - transport.transference_number)) / piece
        layer = diffusion_layer.advance(profile, flux, piece, transport, valence)
        state, rest = after._replace(diffusion_layer=layer), rest - piece if piece < rest else 0.0
    return state if overpotential is None else state._replace(overpotential=overpotential)


def _driven(profile: Tensor, flux: Tensor, rest: float, transport: Transport, valence: int) -> tuple[float, Tensor]:
    """How far to go at a given cation flux, and the surface concentration there."""

    def supply(piece: float) -> Tensor:
        return diffusion_layer.advance(profile, flux, piece, transport, valence)[..., 0]

    piece = _longest(supply, rest)
    return piece, supply(piece)


def _held(
    profile: Tensor, plating: Tensor, stripping: Tensor, rest: float, transport: Transport, valence: int
) -> tuple[float, Tensor]:
    """How far to go at a given overpotential, and the surface concentration there.

    The flux is plating · c̃ − stripping, and the layer answers to it linearly.
    """

    def supply(piece: float) -> Tensor:
        relaxed = diffusion_layer.advance(profile, 0.0, piece, transport, valence)[..., 0]
        small = 1e-3 * relaxed.detach() * transport.limiting_current_density(valence) / (valence * FARADAY_CONSTANT)
        response = (relaxed - diffusion_layer.advance(profile, small, piece, transport, valence)[..., 0]) / small
        return (relaxed + response * stripping) / (1 + response * plating)

    piece = _longest(lambda piece: plating * supply(piece) - stripping, rest)
    return piece, supply(piece)


@torch.no_grad()
def _longest(value: Callable[[float], Tensor], rest: float) -> float:
    """Largest of rest, rest/2, rest/4 … whose half gives nearly the same value for every particle."""
    piece, least = rest, rest / MOST_PIECES
    last = value(piece)
    while piece > least:
        half = value(piece / 2)
        if bool(((half - last).abs() <= LARGEST_CHANGE * torch.maximum(half.abs(), last.abs())).all()):
            break
        piece, last = piece / 2, half
    return piece


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


def check_step(state: State, duration: float, noise: Tensor, dimensions: int) -> None:
    """Raise InputError unless state, duration and noise make a step."""
    shape = state.order_parameter.shape
    if noise.shape != shape:
        raise InputError(f"noise must have the shape {tuple(shape)} of the order parameter, got {tuple(noise.shape)}")
    batch = shape[:-dimensions]
    shapes: dict[str, list[tuple[int, ...]]] = {
        "order_parameter": [shape],
        "diffusion_layer": [(*batch, diffusion_layer.NODES)],
        "concentration": [shape, (*batch, 0)],
        "potential": [shape, (*batch, 0)],
    }
    for name, value in state._asdict().items():
        allowed = shapes.get(name, [batch])
        if tuple(value.shape) not in [tuple(expected) for expected in allowed]:
            raise InputError(f"State.{name} must have the shape {tuple(allowed[0])}, got {tuple(value.shape)}")
    if not (isinstance(duration, int | float) and math.isfinite(duration) and duration > 0):
        raise InputError(f"duration must be a positive number of seconds, got {duration!r}")
    if not bool(torch.isfinite(noise).all() & torch.isfinite(state.order_parameter).all()):
        raise InputError("noise and order_parameter must be finite")
    particles = state.order_parameter.flatten(-dimensions)
    interior = (particles * (1 - particles)).amax(-1) > reference.ACTIVE
    if bool(((particles > 0.5).any(-1) & ~interior).any()):
        raise InputError("order_parameter is a sharp field of 0 and 1: give the interface its width (morphology.film)")
