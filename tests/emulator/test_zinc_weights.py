"""The weights that come with models/zinc.py: they fit the model, and they are as right as docs/emulators.md says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyro
import pytest
import torch

from hmm_plating import PlatingModel, Protocol
from hmm_plating.emulator import EmulatedStep
from hmm_plating.emulator.evaluation import errors, roll_out
from hmm_plating.emulator.train_transition import source_of
from hmm_plating.emulator.trajectories import card_ranges, simulate_trajectories
from hmm_plating.model_file import load_model_file

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def zinc() -> PlatingModel:
    return load_model_file(MODELS / "zinc.py")(Protocol().recording())


@pytest.fixture(scope="module")
def emulated() -> EmulatedStep:
    return EmulatedStep.load(MODELS / "zinc-transition.safetensors")


def test_the_card_is_of_this_model(zinc: PlatingModel, emulated: EmulatedStep) -> None:
    source = source_of(zinc)
    assert emulated.card.spacing == source.grid.spacing
    assert emulated.card.ranges == card_ranges(source)
    assert (MODELS / "zinc-transition.safetensors").stat().st_size < 5e6


def test_errors_over_a_cycle_in_the_model_s_own_box(zinc: PlatingModel, emulated: EmulatedStep) -> None:
    """Twice as long and high as the boxes of training, unseen surfaces, currents and parameters."""
    source = replace(source_of(zinc), grid=zinc.grid)
    test = simulate_trajectories(source, 6, 20261122)
    found = errors(roll_out(emulated.networks, test), test, source.grid.spacing)
    assert float(found["field"].median()) < 0.03
    assert float(found["Sq"].abs().median()) < 0.02
    assert float(found["mean thickness"].abs().max()) < 2e-3


def test_the_model_plates_and_strips_by_it(zinc: PlatingModel, emulated: EmulatedStep) -> None:
    """Mean thickness of the model's own runs is Faraday's, nuclei, wetting and efficiency included."""
    state: dict[str, torch.Tensor] = {}
    with torch.random.fork_rng(devices=[]), pyro.plate("particles", 3, dim=-1), torch.no_grad():
        torch.manual_seed(1)
        model = replace(zinc, transition_step=emulated)
        model.init(state)
        for current in [-10.0] * 8 + [10.0] * 3:
            model.grow(state, current, 4.0)
    thickness = model.describe(state)["thickness"]
    metal = zinc.metal.charge_per_volume * thickness + state["deferred_charge"] + state["side_charge"]
    torch.testing.assert_close(metal, torch.full_like(metal, 200.0), rtol=0, atol=1e-8)
    assert bool((thickness > 0).all())
