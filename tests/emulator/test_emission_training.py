"""Examples are the true solver's, training learns them by value and gradient, and what is cut off can be resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import xarray as xr
from small_recording import PROTOCOL

from hmm_plating import PlatingModel, emission
from hmm_plating.emulator.emission_examples import Examples, all_chunks, grown_surfaces, joined, make_chunk
from hmm_plating.emulator.emission_surrogate import CorrectionNetwork, EmissionSurrogate
from hmm_plating.emulator.emission_training import (
    EmissionTraining,
    errors,
    losses,
    surface_weight,
    train_emission,
    train_network,
)
from hmm_plating.errors import InputError
from hmm_plating.executor import as_executor, in_process
from hmm_plating.materials import Electrolyte

LIMITS = (10.0, 50.0)


@pytest.fixture(scope="module")
def model(build: Callable[[xr.Dataset], PlatingModel]) -> PlatingModel:
    return build(PROTOCOL.recording())


@pytest.fixture(scope="module")
def examples(model: PlatingModel) -> Examples:
    return joined([make_chunk(model, 0, index) for index in range(2)])


def test_examples_are_those_of_the_solver(model: PlatingModel, examples: Examples) -> None:
    """Load by another call at another tolerance; the electrolyte is told by δ_n, viscosity apart all is the model's."""
    index = len(examples.excess) - 1
    depth = float(examples.penetration_depth[index, 0]) * model.surface_load.spacing
    omega = model.resonator.angular_frequency(model.overtones[0])
    electrolyte = Electrolyte(model.electrolyte.density, depth**2 * model.electrolyte.density * omega / 2)
    load = emission.load_impedance(
        examples.solid_fraction[index].double(),
        model.surface_load.spacing,
        model.overtones,
        electrolyte,
        model.resonator,
        tolerance=1e-6,
    )
    excess = load / emission.kanazawa_gordon(model.overtones, electrolyte, model.resonator) - 1
    error = (examples.excess[index] / excess - 1).abs()
    assert float(error.max()) < 3e-3  # the tolerance is an estimate


def test_the_gradient_is_that_of_the_excess(model: PlatingModel, examples: Examples) -> None:
    """Central difference in the most filled of the partly filled cells."""
    index = 3
    surface = examples.solid_fraction[index].double()
    inside = torch.where((surface > 0.05) & (surface < 0.95), surface, 0.0)
    y, x = divmod(int(inside.argmax()), surface.shape[1])
    depth = float(examples.penetration_depth[index, 0]) * model.surface_load.spacing
    omega = model.resonator.angular_frequency(model.overtones[0])
    electrolyte = Electrolyte(model.electrolyte.density, depth**2 * model.electrolyte.density * omega / 2)

    def excess(change: float) -> torch.Tensor:
        moved = surface.clone()
        moved[y, x] += change
        load = emission.load_impedance(
            moved, model.surface_load.spacing, model.overtones, electrolyte, model.resonator, tolerance=1e-10
        )
        return load / emission.kanazawa_gordon(model.overtones, electrolyte, model.resonator)

    slope = (excess(1e-4) - excess(-1e-4)) / 2e-4 * surface.shape[1]
    stored = torch.view_as_complex(examples.gradient[index, :, :, y, x].float().contiguous())
    assert float((stored / slope - 1).abs().max()) < 0.1  # the gradient's error is the root of the load's


def test_surfaces_have_metal_and_room_above(model: PlatingModel) -> None:
    surfaces = grown_surfaces(model, 5)
    assert bool((surfaces.flatten(1).amax(1) > 0).all())
    assert bool((surfaces[:, -1] == 0).all())
    assert torch.equal(surfaces, grown_surfaces(model, 5))
    assert len(grown_surfaces(model, 6)) != len(surfaces) or not torch.equal(surfaces, grown_surfaces(model, 6))


def test_chunks_are_kept(model: PlatingModel, tmp_path: Path) -> None:
    (first,) = all_chunks(model, 1, 1, tmp_path, in_process)
    (file,) = tmp_path.iterdir()
    again, following = all_chunks(model, 1, 2, tmp_path, in_process)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(make_chunk(model, 1, 1), following, strict=True))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match="are damaged"):
        next(all_chunks(model, 1, 1, tmp_path, in_process))


@pytest.mark.slow
def test_processes_make_the_same_chunks(model: PlatingModel, tmp_path: Path) -> None:
    """Though the functions of the model's instrument cannot be sent to them."""
    for index, made in enumerate(all_chunks(model, 1, 3, tmp_path, as_executor(2))):
        assert all(torch.equal(a, b) for a, b in zip(make_chunk(model, 1, index), made, strict=True))


SMALL = EmissionTraining(chunks=1, held_out=1, epochs=6, networks=2, channels=8, layers=2, batch=32)


@pytest.mark.slow
def test_training_learns_value_and_gradient(examples: Examples, tmp_path: Path) -> None:
    """Both errors of surfaces that it has seen fall below a third of the first guess's."""
    settings = dataclasses.replace(SMALL, epochs=30)
    network, log = train_network(examples, LIMITS, settings, 0, tmp_path / "n")
    assert log[-1].error < log[0].error / 3
    rows, columns = examples.solid_fraction.shape[1:]
    untrained = CorrectionNetwork(rows, columns, 8, 2)
    before, after = (
        [float(loss.detach()) for loss in losses(net, examples, LIMITS, torch.Generator().manual_seed(1))]
        for net in (untrained, network)
    )
    assert after[0] < before[0] / 9
    assert after[1] < before[1] / 4


def test_a_training_that_was_cut_off_goes_on(examples: Examples, tmp_path: Path) -> None:
    """The same weights, bit by bit, as without the cut."""
    whole, log = train_network(examples, LIMITS, SMALL, 0, tmp_path / "whole")

    def stop(done: int, total: int, error: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_network(examples, LIMITS, SMALL, 0, tmp_path / "cut", stop)
    resumed, again = train_network(examples, LIMITS, SMALL, 0, tmp_path / "cut")
    assert again == log
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    with pytest.raises(InputError, match="of a training with other settings"):
        train_network(examples, LIMITS, dataclasses.replace(SMALL, channels=4), 0, tmp_path / "cut")
    other, _ = train_network(examples, LIMITS, SMALL, 1, tmp_path / "other")
    assert not torch.equal(other.embedding, whole.embedding)


def test_from_a_model_to_weights(model: PlatingModel, tmp_path: Path) -> None:
    surrogate, log = train_emission(model, SMALL, tmp_path / "training")
    assert [(row.network, row.epoch) for row in log] == [(n, e) for n in (1, 2) for e in range(1, 7)]
    surrogate.save(tmp_path / "w.safetensors")
    again = EmissionSurrogate.load(tmp_path / "w.safetensors")
    again.check((12, 16), 8e-9, model.overtones, model.electrolyte, model.resonator)
    assert set(again.card.errors) == {
        f"excess, overtone {n}, {what}" for n in (3, 7, 11) for what in ("root mean square", "95 %")
    }
    assert "seed 0" in again.card.trained_on
    known = grown_surfaces(model, 77)
    guess = again.guess(known, 8e-9, model.overtones, model.electrolyte, model.resonator)
    assert float(guess.trusted.float().mean()) > 0.5
    needle = torch.zeros(1, 12, 16, dtype=torch.float64)
    needle[0, :11, 3] = 1
    assert not bool(again.guess(needle, 8e-9, model.overtones, model.electrolyte, model.resonator).trusted)


def test_errors_by_hand() -> None:
    true = torch.tensor([[1 + 1j], [2.0 + 0j]])
    found = errors(true * torch.tensor([[1.1], [0.9]]), true, [3])
    assert found["excess, overtone 3, root mean square"] == pytest.approx(0.1, rel=1e-5)


def test_the_weight_vanishes_where_there_is_no_surface() -> None:
    assert surface_weight(torch.tensor([0.0, 0.5, 1.0])).tolist() == [0, 1, 0]


def test_a_box_has_no_surrogate(model: PlatingModel, tmp_path: Path) -> None:
    deep = dataclasses.replace(model, grid=model.grid.in_dimensions(3))
    with pytest.raises(InputError, match="is for sections"):
        train_emission(deep, SMALL, tmp_path)
