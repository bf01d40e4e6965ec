"""The weights that come with models/zinc.py, on surfaces of seeds that they were not trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hmm_plating import PlatingModel, Protocol
from hmm_plating.emulator import EmissionSurrogate
from hmm_plating.emulator.emission_examples import grown_surfaces, solve_examples
from hmm_plating.emulator.emission_training import surface_weight
from hmm_plating.model_file import load_model_file
from hmm_plating.surrogate_options import with_surrogate

MODELS = Path(__file__).parents[2] / "models"
WEIGHTS = MODELS / "zinc_emission.safetensors"


@pytest.fixture(scope="module")
def model() -> PlatingModel:
    made = load_model_file(MODELS / "zinc.py")(Protocol().recording())
    return with_surrogate(made, EmissionSurrogate.load(WEIGHTS))


def test_the_file_is_small_and_for_the_model(model: PlatingModel) -> None:
    assert WEIGHTS.stat().st_size < 1e6
    card = model.surrogate.card  # type: ignore[union-attr]
    assert "grown by the model's prior" in card.trained_on
    assert max(value for name, value in card.errors.items() if name.endswith("95 %")) < 0.012


@pytest.mark.slow
def test_value_and_gradient_of_new_surfaces(model: PlatingModel) -> None:
    """95 % of the loads within 1 % of the solver's at 1e-4, and the gradient where the surface is."""
    surfaces = torch.cat([grown_surfaces(model, seed)[::4] for seed in (987, 11, 12)])
    true = solve_examples(model, surfaces, model.electrolyte, 1e-4)
    around = (model.surface_load.spacing, model.overtones, model.electrolyte, model.resonator)
    leaf = surfaces.clone().requires_grad_()
    guess = model.surrogate.guess(leaf, *around)  # type: ignore[union-attr]
    assert float(guess.trusted.double().mean()) > 0.9
    inertia = 2j * torch.pi * model.resonator.fundamental_frequency * torch.tensor(model.overtones).double()
    liquid = torch.sqrt(inertia * model.electrolyte.density * model.electrolyte.viscosity)
    excess = guess.load / liquid - 1
    assert float(((excess.detach() / true.excess - 1).abs() < 0.01).double().mean()) > 0.95
    weight = surface_weight(surfaces).float()
    for index in range(len(model.overtones)):
        for part in range(2):
            (slope,) = torch.autograd.grad(torch.view_as_real(excess)[:, index, part].sum(), leaf, retain_graph=True)
            expected = torch.where(weight > 0, true.gradient[:, index, part].float(), 0.0) / surfaces.shape[-1]
            both = torch.stack([(slope.float() * weight).flatten(), (expected * weight).flatten()])
            assert float(torch.corrcoef(both)[0, 1]) > 0.99


def test_strange_surfaces_are_sent_to_the_solver(model: PlatingModel) -> None:
    rows, columns = (count // model.grid.coarsening for count in model.grid.shape)
    shapes = torch.zeros(3, rows, columns, dtype=torch.float64)
    shapes[0, :28, 10:12] = 1  # a needle
    shapes[1, :8] = 1
    shapes[1, 3:6, 20:30] = 0  # a closed pore
    guess = model.surrogate.guess(  # type: ignore[union-attr]
        shapes, model.surface_load.spacing, model.overtones, model.electrolyte, model.resonator
    )
    assert guess.trusted.tolist() == [False, False, True]
