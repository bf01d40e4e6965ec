"""The emulated transition: a function with the arguments of `transition.step` that a network moves the surface in.

Where an even front would go is computed; networks tell by how much every place differs from it, and a last even
displacement makes the metal's growth exactly that of the charge. Books, diffusion layer, moving window and
overpotential are those of the simulated step. A surface unlike those of the training, or on which the networks differ,
is moved by the simulated step.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from hmm_plating.emulator.displacement import LARGEST_DISPLACEMENT, move, solid_fraction
from hmm_plating.emulator.features import CHANNELS, signed_distance, tanh_profile
from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork
from hmm_plating.emulator.trust import Trust, relief_descriptors
from hmm_plating.emulator.weights import Ensemble, ModelCard, load_weights, restored
from hmm_plating.errors import InputError
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import diffusion_layer
from hmm_plating.transition.butler_volmer import galvanostatic_overpotential
from hmm_plating.transition.coefficients import Coefficients, coefficients, each_tensor
from hmm_plating.transition.growth import Backend, exchange_rates
from hmm_plating.transition.interface import Parameters
from hmm_plating.transition.moving_window import shift_window
from hmm_plating.transition.state import State
from hmm_plating.transition.step import by_charge, check_step, step
from hmm_plating.transition.transport import Transport

PIECE = 2**16  # cells that are moved at a time
DESCRIPTORS = relief_descriptors(torch.zeros(1, 2, 2)).shape[-1]

# of a step's parameters, those that a card must know the range of
CHECKED = (
    "surface_energy",
    "exchange_current_density",
    "transfer_coefficient",
    "anisotropy_strength",
    "temperature",
    "noise_amplitude",
)


@dataclass(frozen=True, eq=False)
class EmulatedStep:
    """Trained networks in the place of `transition.step`.

    Attributes:
        networks: trained for the grid spacing and the ranges of the card; they differ in their seed.
        card: what they were trained on.
        trust: which surfaces they know, by `trust.relief_descriptors`.
    """

    networks: tuple[MultiscaleNetwork, ...]
    card: ModelCard
    trust: Trust

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EmulatedStep:
        """From a file that `hmm-plating train transition` wrote.

        Raises:
            InputError: the file is missing, damaged, of another kind, or does not fit its own card.
        """
        tensors, card = load_weights(path, "transition")
        trained, trust = restored(networks_of(card.architecture, path), DESCRIPTORS, tensors, path)
        return cls(trained, card, trust)

    def to(self, device: torch.device | str) -> EmulatedStep:
        """With its numbers on a device, for states there."""
        networks = tuple(copy.deepcopy(network).to(device) for network in self.networks)
        return replace(self, networks=networks, trust=Trust(*(value.to(device) for value in self.trust)))

    def weights(self) -> dict[str, Tensor]:
        """All numbers, by their names in the weights file."""
        return Ensemble(self.networks, self.trust).state_dict()

    def __call__(
        self, state: State, current_density: Tensor | float, duration: float, noise: Tensor, parameters: Parameters, /
    ) -> State:
        """As `transition.step`, books to round-off included; see `checked`."""
        return self.checked(state, current_density, duration, noise, parameters)[0]

    def checked(
        self, state: State, current_density: Tensor | float, duration: float, noise: Tensor, parameters: Parameters, /
    ) -> tuple[State, Tensor]:
        """The state after the step, and which surfaces the simulated step had to move, bool (...,).

        Raises:
            InputError: as `transition.step`, and a grid, parameters or transport that the network was not trained for.
            DepletionError: as `transition.step`.
        """
        self._check(parameters)
        self.card.check_range("duration", duration)
        self.card.check_range("current_density", current_density)
        check_step(state, duration, noise, parameters.interface.dimensions)

        verdicts: list[Tensor] = []

        def advance(state: State, demand: Tensor) -> State:
            moved, trusted = self._advance(state, demand, duration, noise, parameters)
            verdicts.append(trusted)
            return moved

        after = by_charge(state, current_density, duration, parameters, advance)
        doubtful = ~verdicts[0]
        if bool(doubtful.any()):
            current = torch.as_tensor(current_density, dtype=torch.float64).to(doubtful.device)
            some = State(*(value[doubtful] for value in state))
            backend: Backend = "numba" if doubtful.device.type == "cpu" else "torch"
            own = _of_some(parameters, doubtful)
            true = step(some, current.expand(doubtful.shape)[doubtful], duration, noise[doubtful], own, backend)
            after = State(*(value.index_put((doubtful,), new) for value, new in zip(after, true, strict=True)))
        return after, doubtful

    def _check(self, parameters: Parameters) -> None:
        interface, architecture = parameters.interface, self.networks[0].architecture
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

    def _advance(
        self, state: State, demand: Tensor, duration: float, noise: Tensor, parameters: Parameters
    ) -> tuple[State, Tensor]:
        """Metal moved to the demand [m] (...,), diffusion layer and overpotential with it; and which are trusted."""
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
        grown, trusted = self._moved(field, metal, noise.reshape(-1, *cells), duration, c)
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
        overpotential = _overpotential(state, demand / duration, supply, parameters)
        return state._replace(overpotential=overpotential), (trusted | ~moving).reshape(batch)

    def _moved(
        self, field: Tensor, metal: Tensor, noise: Tensor, duration: float, c: Coefficients
    ) -> tuple[Tensor, Tensor]:
        """ξ after the step and whether to trust it, some particles at a time, whose fields stay in the cache."""
        count = max(1, PIECE // field[0].numel())
        moved, trusted = [], []
        for first in range(0, len(field), count):
            some = slice(first, first + count)
            own = each_tensor(c, itemgetter(some))
            distance = signed_distance(field[some], c.width, c.dimensions)
            after = move(self.networks, distance, metal[some], noise[some], duration, own)
            moved.append(tanh_profile(after.distance, c.width))
            described = relief_descriptors(solid_fraction(distance.detach()).float(), c.dimensions)
            moderate = after.lengths.displacement.abs() < LARGEST_DISPLACEMENT
            trusted.append(moderate & self.trust.trusted(described, after.spread.float()))
        return torch.cat(moved), torch.cat(trusted)

    def _shifted(self, field: Tensor, base: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """The window moved until it need not move."""
        grid = parameters.interface
        while True:
            field, base, rise = shift_window(field, base, math.ceil(grid.width / grid.spacing), grid.spacing)
            if not bool((rise != 0).any()):
                return field, base


def _of_some(parameters: Parameters, chosen: Tensor) -> Parameters:
    """Parameters of the particles of a mask (...,)."""

    def taken(values: Parameters | Transport) -> dict[str, Any]:
        tensors = {name: value for name, value in vars(values).items() if isinstance(value, Tensor)}
        return {name: value.expand(chosen.shape)[chosen] for name, value in tensors.items()}

    transport = parameters.transport
    if transport is not None:
        transport = replace(transport, **taken(transport))
    return replace(parameters, transport=transport, **taken(parameters))


def networks_of(architecture: Mapping[str, Any], path: str | os.PathLike[str]) -> list[MultiscaleNetwork]:
    """The networks that a card describes, in single precision.

    Raises:
        InputError: arguments of other networks, or of ones for other features.
    """
    arguments = dict(architecture)
    try:
        count = int(arguments.pop("networks"))
        described = Architecture(**arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"weights {path}: their card describes another network ({error})") from error
    if described.inputs != CHANNELS:
        raise InputError(
            f"weights {path} are for {described.inputs} features of a surface, this version has {CHANNELS}: train again"
        )
    return [MultiscaleNetwork(described) for _ in range(count)]


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
