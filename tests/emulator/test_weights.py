"""Weights files: what is written is read back, and what does not fit is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from hmm_plating.emulator import ModelCard, load_weights, restore, save_weights
from hmm_plating.errors import InputError

CARD = ModelCard(
    kind="transition",
    architecture={"dimensions": 2, "channels": [8, 8]},
    trained_on="three words only",
    spacing=4e-9,
    ranges={"exchange_current_density": (0.1, 1.0)},
    errors={"mean thickness": 1e-3},
    fails=("closed pores",),
)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 1, 1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_weights(tmp_path / "w.safetensors", network().state_dict(), CARD)
    return tmp_path / "w.safetensors"


def test_tensors_and_card_come_back(file: Path) -> None:
    tensors, card = load_weights(file, "transition")
    assert card == CARD
    other = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 1, 1))
    restore(other, tensors, file)
    field = torch.randn(1, 2, 8, 8)
    assert torch.equal(other(field), network()(field))


def test_the_same_weights_make_the_same_file(file: Path, tmp_path: Path) -> None:
    save_weights(tmp_path / "again", network().state_dict(), CARD)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_the_file_holds_no_pickle(file: Path) -> None:
    length = int.from_bytes(file.read_bytes()[:8], "little")
    assert json.loads(file.read_bytes()[8 : 8 + length])["0.weight"]["shape"] == [4, 2, 3, 3]


def test_weights_of_another_kind(file: Path) -> None:
    with pytest.raises(InputError, match="belong to the transition, not to the emission"):
        load_weights(file, "emission")


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"w\.safetensors are damaged or no safetensors file"):
        load_weights(file, "transition")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hmm-plating train emission"):
        load_weights(tmp_path / "none", "emission")


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "w")
    with pytest.raises(InputError, match="no model card"):
        load_weights(tmp_path / "w", "transition")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "card of format 2, this version reads format 1"),
        ({"ranges": 3}, "damaged model card"),
        ({"surplus": 3}, "damaged model card"),
        ({"spacing": -1.0}, "spacing must be a positive length"),
        ({"kind": "speech"}, "kind must be one of transition, emission"),
    ],
)
def test_a_card_that_cannot_be_read(file: Path, change: dict[str, object], message: str) -> None:
    with safetensors.safe_open(file, framework="pt") as opened:
        card = json.loads(opened.metadata()["hmm_plating_model_card"])
    text = {"hmm_plating_model_card": json.dumps(card | change)}
    safetensors.torch.save_file({"a": torch.ones(2)}, file, text)
    with pytest.raises(InputError, match=message):
        load_weights(file, "transition")


def test_weights_that_are_not_finite(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(InputError, match="weight a is not finite"):
        save_weights(file, {"a": torch.tensor([1.0, torch.nan])}, CARD)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 1, 1), nn.Conv2d(1, 1, 1)), "lack 2.bias"),
        (nn.Sequential(nn.Conv2d(2, 4, 3)), "have a superfluous 1.bias"),
        (nn.Sequential(nn.Conv2d(2, 4, 5), nn.Conv2d(4, 1, 1)), r"0.weight has shape \(4, 2, 3, 3\)"),
    ],
)
def test_weights_of_another_network(file: Path, other: nn.Module, message: str) -> None:
    tensors, _ = load_weights(file, "transition")
    with pytest.raises(InputError, match=message):
        restore(other, tensors, file)


def test_grid_and_parameters_outside_training_are_named() -> None:
    CARD.check_spacing(4e-9)
    CARD.check_range("exchange_current_density", torch.tensor([0.1, 1.0], dtype=torch.float32))
    with pytest.raises(InputError, match="trained on cells of 4e-09 m, not of 8e-09 m"):
        CARD.check_spacing(8e-9)
    with pytest.raises(InputError, match=r"exchange_current_density = 2 lies outside 0\.1 to 1"):
        CARD.check_range("exchange_current_density", torch.tensor([0.5, 2.0]))
    with pytest.raises(InputError, match="exchange_current_density = nan lies outside"):
        CARD.check_range("exchange_current_density", float("nan"))
    with pytest.raises(InputError, match="knows no surface_energy; it knows exchange_current_density"):
        CARD.check_range("surface_energy", 1.0)
