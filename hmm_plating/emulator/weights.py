"""Weights of a trained network and its model card, in one safetensors file.

The card (Mitchell et al., Model Cards for Model Reporting, FAT* 2019, 220) is JSON in the file's metadata: what the
network is, what it was trained on, how wrong it is and where it fails. Nothing in the file is executed when it is read.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from hmm_plating.atomic_file import atomic_write
from hmm_plating.emulator.trust import Trust
from hmm_plating.errors import InputError
from hmm_plating.versions import versions

Kind = Literal["transition", "emission"]
NetworkType = TypeVar("NetworkType", bound=nn.Module)

FORMAT = 1  # of the card; one more whenever files of the last cannot be read any longer
_KEY = "hmm_plating_model_card"
_SPACING_TOLERANCE = 1e-6  # relative, of what counts as the same grid


@dataclass(frozen=True)
class ModelCard:
    """What a network is, what it was trained on, and what it may be used for.

    Attributes:
        kind: what it stands in for, "transition" or "emission".
        architecture: arguments that build the network again; JSON values.
        trained_on: in words: simulator, model file, number and length of trajectories, seed.
        spacing: edge of a grid cell that it was trained on [m].
        ranges: of each material, drive or grid parameter, the lowest and highest value it was trained on [SI].
        errors: on cases that it was not trained on, by name; relative unless the name says otherwise.
        fails: where it is known to be wrong, one sentence each.
        versions: of the packages that trained it.
        format: of the card.

    Raises:
        InputError: an unknown kind, or a spacing or range that is none.
    """

    kind: Kind
    architecture: Mapping[str, Any]
    trained_on: str
    spacing: float
    ranges: Mapping[str, tuple[float, float]]
    errors: Mapping[str, float] = field(default_factory=dict)
    fails: tuple[str, ...] = ()
    versions: str = field(default_factory=versions)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"ModelCard.kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if not (isinstance(self.spacing, int | float) and math.isfinite(self.spacing) and self.spacing > 0):
            raise InputError(f"ModelCard.spacing must be a positive length in m, got {self.spacing!r}")
        for name, limits in self.ranges.items():
            if not (
                isinstance(limits, tuple)
                and len(limits) == 2
                and all(isinstance(value, int | float) and math.isfinite(value) for value in limits)
                and limits[0] <= limits[1]
            ):
                raise InputError(f"ModelCard.ranges[{name!r}] must be a lowest and a highest number, got {limits!r}")

    def check_spacing(self, spacing: float) -> None:
        """Raise InputError unless the network was trained on this grid spacing [m]."""
        if abs(spacing - self.spacing) > _SPACING_TOLERANCE * self.spacing:
            raise InputError(
                f"the {self.kind} network was trained on cells of {self.spacing:g} m, not of {spacing:g} m: "
                "use that grid, or train one for this with hmm-plating train"
            )

    def check_range(self, name: str, value: Tensor | float, slack: float = 1e-6) -> None:
        """Raise InputError unless every value of a parameter lies in the range that the network was trained on.

        Args:
            name: a key of `ranges`.
            value: [SI].
            slack: relative part of the range's limits by which a value may lie outside, for round-off.
        """
        if name not in self.ranges:
            raise InputError(f"the {self.kind} network knows no {name}; it knows {', '.join(self.ranges)}")
        low, high = self.ranges[name]
        values = torch.as_tensor(value).detach()
        outside = ~((values >= low - slack * abs(low)) & (values <= high + slack * abs(high)))
        if bool(outside.any()):
            worst = values[outside].flatten()[0].item()
            raise InputError(
                f"{name} = {worst:g} lies outside {low:g} to {high:g}, on which the {self.kind} network was trained: "
                "use the true simulator there, or train one with hmm-plating train"
            )


def save_weights(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], card: ModelCard) -> None:
    """Write weights and card, whole or not at all.

    Raises:
        InputError: the folder cannot be written to, or a weight is not finite.
    """
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"weight {name} is not finite: the training diverged, nothing is written")
    metadata = {_KEY: json.dumps(dataclasses.asdict(card), sort_keys=True, allow_nan=False)}
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(whole, metadata))


def load_weights(path: str | os.PathLike[str], kind: Kind) -> tuple[dict[str, Tensor], ModelCard]:
    """Read weights and card of a network of this kind.

    Raises:
        InputError: no such file, a damaged or foreign one, a network of another kind, or a card of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"weights {path} do not exist: hmm-plating train {kind} makes them")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (safetensors.SafetensorError, OSError) as error:
        message = f"weights {path} are damaged or no safetensors file ({error}): copy or train them again"
        raise InputError(message) from error
    if _KEY not in metadata:
        raise InputError(f"weights {path} have no model card, so they were not made by hmm-plating train")
    card = _card(path, metadata[_KEY])
    if card.kind != kind:
        raise InputError(f"weights {path} belong to the {card.kind}, not to the {kind}: give a file of the right kind")
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"weights {path} are damaged: {name} is not finite")
    return tensors, card


class Ensemble(nn.Module):
    """Networks, and what tells where to trust them, under the names of the weights file."""

    def __init__(self, networks: Sequence[nn.Module], trust: Trust) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.trust = nn.ParameterDict({name: nn.Parameter(value, False) for name, value in trust._asdict().items()})


def restored(
    networks: Sequence[NetworkType], descriptors: int, tensors: Mapping[str, Tensor], path: str | os.PathLike[str]
) -> tuple[tuple[NetworkType, ...], Trust]:
    """Networks, in place and without gradients, and trust with the values of a file.

    Args:
        networks: of the shapes that the file's card describes.
        descriptors: that surfaces of such networks have.
        tensors: of the file.
        path: of it.

    Raises:
        InputError: as `restore`.
    """
    module = Ensemble(networks, Trust.empty(descriptors))
    restore(module, tensors, path)
    module.requires_grad_(False)
    return tuple(networks), Trust(*(tensors[f"trust.{name}"] for name in Trust._fields))


def restore(network: nn.Module, tensors: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Put weights into a network built from their card.

    Raises:
        InputError: names or shapes differ from the network's; the first mismatch is named.
    """
    expected = network.state_dict()
    different = sorted(expected.keys() ^ tensors.keys())
    if different:
        where = "lack" if different[0] in expected else "have a superfluous"
        raise InputError(f"weights {path} {where} {different[0]}: they are of another network than their card says")
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape:
            raise InputError(
                f"weights {path}: {name} has shape {tuple(tensors[name].shape)}, the network of their card has "
                f"{tuple(tensor.shape)}: they are of another network than their card says"
            )
    network.load_state_dict(dict(tensors))


def _card(path: Path, text: str) -> ModelCard:
    """The card in the metadata of a file."""
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise InputError(
                f"weights {path} have a card of format {content['format']}, this version reads format {FORMAT}: "
                "train them again, or use the version that made them"
            )
        content["ranges"] = {name: tuple(limits) for name, limits in content["ranges"].items()}
        return ModelCard(**content | {"fails": tuple(content["fails"])})
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"weights {path} have a damaged model card ({type(error).__name__}: {error})") from error
