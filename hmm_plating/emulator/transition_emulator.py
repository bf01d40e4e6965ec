"""The emulated transition: a function with the arguments of `transition.step` that a network moves the surface in.

Where an even front would go is computed; the network tells by how much every place differs from it, and a last even
displacement makes the metal's growth exactly that of the charge. Books, diffusion layer, moving window and
overpotential are those of the simulated step.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.emulator.conservation import conserving_shift
from hmm_plating.emulator.features import CHANNELS, Lengths, features, mean_along_normal, signed_distance, step_lengths
from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork
from hmm_plating.emulator.weights import ModelCard, load_weights, restore
from hmm_plating.errors import InputError
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import diffusion_layer
from hmm_plating.transition.butler_volmer import galvanostatic_overpotential
from hmm_plating.transition.coefficients import Coefficients, coefficients, each_tensor
from hmm_plating.transition.growth import exchange_rates
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.moving_window import shift_window
from hmm_plating.transition.state import State
from hmm_plating.transition.step import by_charge, check_step

LARGEST_DISPLACEMENT = 8.0  # cells: a step that asks for more, as one that strips the last metal does, is even
PIECE = 2**16  # cells that are moved at a time

# of a step's parameters, those that a card must know the range of
CHECKED = (
    "surface_energy",
    "exchange_current_density",
    "transfer_coefficient",
    "anisotropy_strength",
    "temperature",
    "noise_amplitude",
)


class Move(NamedTuple):
    """What the network makes of a surface: tensors (particle, …), in cells."""

    distance: Tensor  # signed, after the step and the conserving shift (particle, [z,] y, x)
    lengths: Lengths
    coarse: list[Tensor]  # signed distance that the coarser scales alone predict, before the shift; finest first


def move(
    network: MultiscaleNetwork, distance: Tensor, metal: Tensor, noise: Tensor, duration: float, c: Coefficients
) -> Move:
    """Displace a surface to a given amount of metal; differentiable in everything but the even displacement.

    Args:
        network: whose output times the step's size is the difference from an even displacement.
        distance: signed (particle, [z,] y, x) [cells]; its type is that of the projection.
        metal: Σξ after the step (particle,), above 0 and below the number of cells.
        noise: standard normal, of the shape of the distance.
        duration: [s].
        c: coefficients of the step.
    """
    width, dimensions = c.width, distance.ndim - 1
    even = conserving_shift(distance, metal, width)
    moderate = even.detach().clamp(-LARGEST_DISPLACEMENT, LARGEST_DISPLACEMENT)
    with torch.no_grad():
        lengths = step_lengths(moderate, duration, c)
    kind = next(network.parameters()).dtype
    own, agitation = distance.to(kind), noise.to(kind)
    single = Lengths(*(length.to(kind) for length in lengths))
    pushed = mean_along_normal(agitation, own, single.displacement, width, dimensions)
    seen = features(own, agitation, pushed, single, width, dimensions)
    per_cell = (-1, *[1] * dimensions)
    scale = torch.where(even.abs() > LARGEST_DISPLACEMENT, 0 * even, lengths.scale).reshape(per_cell)
    predicted = network(seen)
    steady = distance + even.reshape(per_cell) + (lengths.noise.reshape(per_cell) * pushed).to(distance.dtype)
    moved = [steady + scale * torch.tanh(_on_finest(one, k)).to(distance.dtype) for k, one in enumerate(predicted)]
    shift = conserving_shift(moved[0], metal, width)
    return Move(moved[0] + shift.reshape(per_cell), lengths, moved[1:])


def _on_finest(prediction: Tensor, scale: int) -> Tensor:
    """A coarser scale's values in all the cells that they stand for."""
    for axis in range(1, prediction.ndim):
        prediction = prediction.repeat_interleave(2**scale, axis)
    return prediction


@dataclass(frozen=True, eq=False)
class EmulatedStep:
    """A trained network in the place of `transition.step`.

    Attributes:
        network: trained for the grid spacing and the ranges of the card.
        card: what it was trained on.
    """

    network: MultiscaleNetwork
    card: ModelCard

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EmulatedStep:
        """From a file that `hmm-plating train transition` wrote.

        Raises:
            InputError: the file is missing, damaged, of another kind, or does not fit its own card.
        """
        tensors, card = load_weights(path, "transition")
        network = network_of(card.architecture, path)
        restore(network, tensors, path)
        return cls(network.requires_grad_(False), card)

    def __call__(
        self, state: State, current_density: Tensor | float, duration: float, noise: Tensor, parameters: Parameters, /
    ) -> State:
        """As `transition.step`, books to round-off included.

        Raises:
            InputError: as `transition.step`, and a grid, parameters or transport that the network was not trained for.
            DepletionError: as `transition.step`.
        """
        self._check(parameters)
        self.card.check_range("duration", duration)
        self.card.check_range("current_density", current_density)
        check_step(state, duration, noise, parameters.interface.dimensions)

        def advance(state: State, demand: Tensor) -> State:
            return self._advance(state, demand, duration, noise, parameters)

        return by_charge(state, current_density, duration, parameters, advance)

    def _check(self, parameters: Parameters) -> None:
        interface, architecture = parameters.interface, self.network.architecture
        if interface.dimensions != architecture.dimensions:
            wanted = f"the transition network is for {architecture.dimensions} dimensions"
            raise InputError(f"{wanted}, the grid has {interface.dimensions}")
        self.card.check_spacing(interface.spacing)
        self.card.check_range("interface_width", interface.width)
        for name in CHECKED:
            self.card.check_range(name, getattr(parameters, name))
        if parameters.transport is not None and parameters.transport.resolved:
            raise InputError(
                "the transition network knows concentration at the top of the box only: "
                "give Transport(resolved=False), or use the simulated step"
            )

    def _advance(self, state: State, demand: Tensor, duration: float, noise: Tensor, parameters: Parameters) -> State:
        """The metal moved to the demand [m] (...,), the diffusion layer and the overpotential with it."""
        grid, transport = parameters.interface, parameters.transport
        batch = demand.shape
        layer = state.diffusion_layer
        if transport is not None:
            charge = torch.as_tensor(parameters.charge_per_volume, dtype=torch.float64)
            flux = demand * charge / (parameters.valence * FARADAY_CONSTANT) / duration
            layer = diffusion_layer.advance(layer, flux, duration, transport, parameters.valence)
        supply = layer[..., 0]
        cells = state.order_parameter.shape[-grid.dimensions :]
        field = state.order_parameter.reshape(-1, *cells)
        base = state.base_thickness.reshape(-1) / grid.spacing
        field, base = self._shifted(field, base, parameters)
        c = coefficients(parameters, batch, duration, field, supply)
        wanted = field.flatten(1).sum(-1) + demand.reshape(-1) / grid.spacing * (field[0].numel() // cells[-2])
        present = (field > 0.5).flatten(1).any(-1)
        left = wanted > torch.finfo(field.dtype).eps * field[0].numel()
        moving = present & left
        per_cell = (-1, *[1] * grid.dimensions)
        metal = torch.where(moving, wanted, torch.full_like(wanted, 0.5 * field[0].numel()))
        grown = self._moved(field, metal, noise.reshape(-1, *cells), duration, c)
        # metal without a surface dissolves evenly; without metal nothing grows
        total = field.flatten(1).sum(-1)
        rest = (wanted / torch.where(total > 0, total, torch.ones_like(total))).clamp(0, 1)
        field = torch.where(
            moving.reshape(per_cell), grown, field * torch.where(left, rest, 0 * rest).reshape(per_cell)
        )
        field, base = self._shifted(field, base, parameters)
        state = state._replace(
            order_parameter=field.reshape(state.order_parameter.shape),
            base_thickness=base.reshape(batch) * grid.spacing,
            diffusion_layer=layer,
        )
        return state._replace(overpotential=_overpotential(state, demand / duration, supply, parameters))

    def _moved(self, field: Tensor, metal: Tensor, noise: Tensor, duration: float, c: Coefficients) -> Tensor:
        """ξ after the step, some particles at a time, whose fields stay in the processor's cache."""
        count = max(1, PIECE // field[0].numel())
        moved = []
        for first in range(0, len(field), count):
            some = slice(first, first + count)
            own = each_tensor(c, itemgetter(some))
            distance = signed_distance(field[some], c.width, c.dimensions)
            after = move(self.network, distance, metal[some], noise[some], duration, own).distance
            moved.append(torch.sigmoid(4 / c.width * after))
        return torch.cat(moved)

    def _shifted(self, field: Tensor, base: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """The window moved until it need not move."""
        grid = parameters.interface
        while True:
            field, base, rise = shift_window(field, base, math.ceil(grid.width / grid.spacing), grid.spacing)
            if not bool((rise != 0).any()):
                return field, base


def network_of(architecture: Mapping[str, Any], path: str | os.PathLike[str]) -> MultiscaleNetwork:
    """The network that a card describes, in single precision.

    Raises:
        InputError: arguments of another network, or of one for other features.
    """
    try:
        described = Architecture(**architecture)
    except TypeError as error:
        raise InputError(f"weights {path}: their card describes another network ({error})") from error
    if described.inputs != CHANNELS:
        raise InputError(
            f"weights {path} are for {described.inputs} features of a surface, this version has {CHANNELS}: train again"
        )
    return MultiscaleNetwork(described)


def _overpotential(state: State, rate: Tensor, supply: Tensor, parameters: Parameters) -> Tensor:
    """η [V] (...,) at which the surface grows by a rate [m/s]; 0 where there is no metal surface."""
    plating, stripping = exchange_rates(state, torch.zeros_like(rate), parameters)
    surface = (state.order_parameter > 0.5).flatten(rate.ndim).any(-1)
    one = torch.ones_like(plating)
    y = galvanostatic_overpotential(
        torch.where(surface, plating * supply, one),
        torch.where(surface, stripping, one),
        torch.where(surface, rate, 0 * rate),
        torch.as_tensor(parameters.transfer_coefficient, dtype=rate.dtype).expand(rate.shape),
    )
    return torch.where(surface, y * torch.as_tensor(parameters.kinetic_voltage, dtype=y.dtype), 0 * y)
