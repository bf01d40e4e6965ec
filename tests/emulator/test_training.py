"""Training: it learns, it can be cut off, and the curriculum lengthens the horizon."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_source import small_source

from hmm_plating.emulator.displacement import Move
from hmm_plating.emulator.evaluation import errors, field, roll_out
from hmm_plating.emulator.features import CHANNELS
from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork
from hmm_plating.emulator.training import Round, Settings, horizon_of, train, trajectory_loss
from hmm_plating.emulator.trajectories import simulate_trajectories
from hmm_plating.errors import InputError

SETTINGS = Settings(rounds=6, particles=3, horizon=4, reach=2, pool=2, seed=1)


def new_network(seed: int = 0) -> MultiscaleNetwork:
    torch.manual_seed(seed)
    return MultiscaleNetwork(Architecture(2, CHANNELS, scales=2, hidden=8))


def weights(network: MultiscaleNetwork) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_what_was_cut_off_ends_with_the_same_numbers(tmp_path: Path) -> None:
    whole = new_network()
    log = train(whole, small_source(4), SETTINGS)

    class CutOff(Exception):
        pass

    def cut(done: int, total: int, last: Round) -> None:
        if done == 3:
            raise CutOff

    place, kept = {"checkpoint": tmp_path / "state.npz", "checkpoint_interval": 0.0}, new_network()
    with pytest.raises(CutOff):
        train(kept, small_source(4), SETTINGS, progress=cut, **place)
    other = new_network()
    assert repr(train(other, small_source(4), SETTINGS, resume=True, **place)) == repr(log)  # it has NaN
    assert torch.equal(weights(other), weights(whole))
    assert not torch.equal(weights(kept), weights(whole))


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    place = {"checkpoint": tmp_path / "state.npz"}
    train(new_network(), small_source(2), replace(SETTINGS, rounds=1), **place)
    with pytest.raises(InputError, match="checkpoint of another model"):
        train(new_network(), small_source(2), replace(SETTINGS, rounds=1, seed=2), resume=True, **place)
    with pytest.raises(InputError):
        train(new_network(), small_source(2), replace(SETTINGS, rounds=1), **place)


@pytest.mark.slow
def test_processes_simulate_the_same_trajectories() -> None:
    one, two, settings = new_network(), new_network(), replace(SETTINGS, rounds=2, pool=None)
    train(one, small_source(4), settings)
    train(two, small_source(4), settings, executor=2)
    assert torch.equal(weights(one), weights(two))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_it_learns_the_same() -> None:
    one, two, settings = new_network(), new_network(), replace(SETTINGS, rounds=1)
    log = train(one, small_source(4), settings)
    other = train(two, small_source(4), settings, device="cuda")
    assert other[0].data == pytest.approx(log[0].data, rel=1e-3)
    torch.testing.assert_close(weights(two).cpu(), weights(one), rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("weight", [{}, {"data": 0.0, "variational": 1.0}, {"variational": 1.0}])
def test_it_learns(weight: dict[str, float]) -> None:
    """On trajectories that it has not seen, the field's error falls below that of an even displacement."""
    source, network = small_source(8), new_network()
    settings = Settings(rounds=40, particles=4, horizon=4, learning_rate=4e-3, seed=3, **weight)
    test = simulate_trajectories(source, 12, 99)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.0)
    even = errors(roll_out([network], test), test, 4e-9)["field"].square().mean().sqrt()
    trained = new_network()
    log = train(trained, source, settings)
    assert all(math.isnan(last.data) == (settings.data == 0) for last in log)
    assert all(math.isnan(last.variational) == (settings.variational == 0) for last in log)
    learned = errors(roll_out([trained], test), test, 4e-9)["field"].square().mean().sqrt()
    assert float(learned) < 0.9 * float(even)
    assert len(log) == 40


def test_the_horizon_doubles_over_the_first_half() -> None:
    settings = Settings(rounds=100, horizon=28)
    horizons = [horizon_of(settings, round_) for round_ in range(100)]
    assert sorted(set(horizons)) == [1, 2, 4, 8, 16, 28]
    assert horizons == sorted(horizons)
    assert horizons[49] == 28
    assert {horizon_of(replace(settings, horizon=1), round_) for round_ in range(100)} == {1}


def test_the_loss_of_a_displaced_flat_front() -> None:
    """∫(Δξ)² = u² ∫|∇ξ|² = u² 2/(3ℓ), over ∫4ξ(1 − ξ) = ℓ, per column, for u ≪ ℓ."""
    distance = (12.0 - torch.arange(24, dtype=torch.float64)[:, None] - 0.5).expand(1, 24, 8)
    moved = Move(distance + 0.01, None, [], torch.zeros(1))
    assert float(trajectory_loss(moved, distance, 4.0)) == pytest.approx(1e-4 * 2 / (3 * 16), rel=1e-3)


def test_a_roll_out_keeps_the_charge_and_starts_from_the_truth() -> None:
    trajectories = simulate_trajectories(small_source(5), 4, 7)
    predicted = roll_out([new_network()], trajectories)
    assert torch.equal(predicted[0], trajectories.distance[0].double())
    metal = field(predicted, 4.0).flatten(2).sum(-1)
    torch.testing.assert_close(metal[1:], trajectories.metal[1:], rtol=1e-4, atol=0)
    assert float(errors(predicted, trajectories, 4e-9)["mean thickness"].abs().max()) < 2e-3
    same = errors(trajectories.distance.double(), trajectories, 4e-9)
    assert all(float(value.abs().max()) == 0 for value in same.values())


@pytest.mark.parametrize(
    "change", [{"rounds": 0}, {"reach": 0}, {"data": 0.0}, {"variational": -1.0}, {"learning_rate": 0.0}, {"pool": 0}]
)
def test_settings_that_are_none(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="Settings"):
        replace(SETTINGS, **change)
