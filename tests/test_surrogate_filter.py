"""A filter whose emission has a surrogate: the same posterior, strange surfaces solved truly, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch
import xarray as xr
from cli_runs import Outcome, refused, untouched
from pyro import poutine
from small_emulator import small_emulator
from small_recording import PROTOCOL, Simulated
from small_surrogate import fits, small_surrogate

from hmm_plating import PlatingModel, emission, filter_recording
from hmm_plating.emulator import EmissionSurrogate, save_weights
from hmm_plating.emulator.trust import Trust, descriptors
from hmm_plating.filter_recording import drives, observations
from hmm_plating.inference import ParticleFilter, TwoStage, load
from hmm_plating.instrument import Drive
from hmm_plating.recording import read, resample
from hmm_plating.report.result import solver_share
from hmm_plating.surface_load import LARGEST_SURROGATE_ERROR

Builder = Callable[[xr.Dataset], PlatingModel]


@pytest.fixture(scope="module")
def recording(simulated: Simulated) -> xr.Dataset:
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    return resample(read(*(simulated.folder / name for name in names), area=PROTOCOL.area), 2.0)


@pytest.fixture
def model(recording: xr.Dataset, build: Builder) -> PlatingModel:
    made = build(recording)
    assert fits(made)
    return made


def moved(
    model: PlatingModel, recording: xr.Dataset, steps: int = 7, count: int = 5
) -> tuple[dict, torch.Tensor, Drive]:
    """Particles that are to be weighted by the last of these steps, its observation and its drive."""
    series = drives(recording, model.instrument.lag_times)
    observed = observations(recording)
    state: dict[str, torch.Tensor] = {}
    with torch.no_grad(), pyro.plate("particles", count, dim=-1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model.init(state)
        for step in range(steps):
            drive = Drive(*(entry[step] for entry in series))
            model.move(state, observed[step], drive)
            if step < steps - 1:
                model.observe(state, observed[step], drive)
    return state, observed[steps - 1], drive


def score(model: PlatingModel, method: str, state: dict, observation: torch.Tensor, drive: Drive) -> torch.Tensor:
    with torch.no_grad(), poutine.trace() as trace, pyro.plate("particles", 5, dim=-1):
        getattr(model, method)(state, observation, drive)
    site = trace.trace.nodes["observation"]
    return site["fn"].log_prob(site["value"])


def test_move_and_observe_are_the_step(model: PlatingModel, recording: xr.Dataset) -> None:
    state, observation, drive = moved(model, recording)
    series = drives(recording, model.instrument.lag_times)
    with torch.no_grad(), pyro.plate("particles", 5, dim=-1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        whole: dict[str, torch.Tensor] = {}
        model.init(whole)
        for step in range(7):
            model.step(whole, observations(recording)[step], Drive(*(entry[step] for entry in series)))
    score(model, "observe", state, observation, drive)
    assert whole.keys() == state.keys()
    for name, value in whole.items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0, equal_nan=True)


def test_what_is_not_trusted_has_the_true_score(model: PlatingModel, recording: xr.Dataset) -> None:
    """The first guess of surfaces that the surrogate does not trust is the model's own score, whatever the network."""
    doubting = dataclasses.replace(model, surrogate=small_surrogate(wrong=0.5, trusted=False))
    state, observation, drive = moved(doubting, recording)
    before = {name: value.clone() for name, value in state.items()}
    guess = score(doubting, "first_guess", state, observation, drive)
    assert bool(state["corrected_at_once"].all())
    for name, value in before.items():
        assert torch.equal(value, state[name]), name
    true = score(doubting, "observe", state, observation, drive)
    torch.testing.assert_close(guess, true, rtol=1e-6, atol=1e-6)
    trusting = dataclasses.replace(model, surrogate=small_surrogate(wrong=0.5))
    state, observation, drive = moved(trusting, recording)
    guess = score(trusting, "first_guess", state, observation, drive)
    assert not bool(state["corrected_at_once"].any())
    assert float((guess - true).abs().min()) > 1e-3


def test_a_needle_is_sent_to_the_true_solver(model: PlatingModel, recording: xr.Dataset) -> None:
    """Thresholds from the particles' own surfaces; one particle gets a needle, one a closed pore."""
    state, observation, drive = moved(model, recording)
    fraction = model.surface_load.solid_fraction(state["order_parameter"])
    jitter = fraction.repeat(40, 1, 1).float() * torch.linspace(0.9, 1.0, 200)[:, None, None]
    trust = Trust.calibrate(descriptors(jitter), descriptors(jitter), torch.ones(200))
    strange = dataclasses.replace(model, surrogate=dataclasses.replace(small_surrogate(), trust=trust))
    state["surrogate_error"] = torch.ones(5, 3, dtype=torch.complex128)
    state["order_parameter"][1, :22, 14:18] = 1.0
    state["order_parameter"][3, :14] = 1.0
    state["order_parameter"][3, 4:9, 8:24] = 0.0
    guess = score(strange, "first_guess", state, observation, drive)
    assert state["corrected_at_once"].tolist() == [False, True, False, True, False]
    true = score(strange, "observe", state, observation, drive)
    torch.testing.assert_close(guess[[1, 3]], true[[1, 3]], rtol=1e-6, atol=1e-6)


def test_the_ancestors_error_corrects_the_guess(model: PlatingModel, recording: xr.Dataset) -> None:
    """After one step with the true load the surrogate's relative error is known to the next guess."""
    wrong = dataclasses.replace(model, surrogate=small_surrogate(wrong=0.15))
    state, observation, drive = moved(wrong, recording)
    score(wrong, "first_guess", state, observation, drive)
    score(wrong, "observe", state, observation, drive)
    assert "surrogate_excess" not in state
    fraction = wrong.surface_load.solid_fraction(state["order_parameter"])
    around = (*wrong.surface_load.surroundings, wrong.metal)
    load = emission.load_impedance(fraction, *around, tolerance=1e-4)
    raw, _ = wrong.surrogate.guess(fraction, *around)  # type: ignore[union-attr]
    flat = wrong.surface_load.flat(fraction)
    ratio = (load - flat) / (raw - flat)
    expected = torch.where((ratio - 1).abs() < LARGEST_SURROGATE_ERROR, ratio, 1.0)
    torch.testing.assert_close(state["surrogate_error"], expected, rtol=0.03, atol=0)  # the solver stops at 1 %
    assert float((expected - 1).abs().max()) > 0.05


def test_the_record_says_how_often_the_solver_ran(recording: xr.Dataset, model: PlatingModel) -> None:
    part = recording.isel(time=slice(0, 6))
    options = {"particles": 8, "chains": 2, "seed": 1, "correct": 0.5}
    result = filter_recording(part, dataclasses.replace(model, surrogate=small_surrogate()), **options)
    assert (result["filter_stats"]["full_evaluations"] == 4).all()
    assert solver_share(result) == 0.5
    doubting = filter_recording(part, dataclasses.replace(model, surrogate=small_surrogate(trusted=False)), **options)
    share = solver_share(doubting)
    assert share is not None
    assert 0.6 < share < 0.8  # bare for four of the six steps, whose loads are exact
    assert solver_share(filter_recording(part, model, particles=4, chains=1)) is None


@pytest.mark.slow
def test_the_evidence_stays_that_of_the_true_solver(recording: xr.Dataset, model: PlatingModel) -> None:
    """Mean evidence of 40 runs with a wrong surrogate and of 40 without, within 3.5 standard errors of each other."""
    series = drives(recording, model.instrument.lag_times)

    def evidences(filter_: ParticleFilter) -> np.ndarray:
        found = []
        for seed in range(40):
            state = filter_.init(seed=seed)
            for step in range(6):
                drive = Drive(*(entry[step] for entry in series))
                state, _ = filter_.update(state, observations(recording)[step], drive)
            found.append(state.log_evidence)
        return np.array(found)

    quiet = {"predictive_draws": 0, "posterior_draws": 0}
    true = evidences(ParticleFilter(model, 32, **quiet))  # type: ignore[arg-type]
    wrong = dataclasses.replace(model, surrogate=small_surrogate(wrong=0.1))
    guessed = evidences(ParticleFilter(wrong, 32, two_stage=TwoStage(0.5), **quiet))  # type: ignore[arg-type]
    largest = max(true.max(), guessed.max())
    one, other = np.exp(true - largest), np.exp(guessed - largest)
    error = math.hypot(one.std(ddof=1), other.std(ddof=1)) / math.sqrt(40)
    assert abs(one.mean() - other.mean()) < 3.5 * error


def filter_words(simulated: Simulated, model: Path, output: Path) -> list[str]:
    files = {name: str(simulated.folder / f"{name}.xlsx") for name in ("qcmd", "echem")}
    return [
        "filter",
        files["qcmd"],
        "--electrochemistry",
        files["echem"],
        "--model",
        str(model),
        "--output",
        str(output),
    ]


def test_the_command(simulated: Simulated, small_model: Path, tmp_path: Path, run: Callable[..., Outcome]) -> None:
    weights, output = tmp_path / "w.safetensors", tmp_path / "out.nc"
    small_surrogate().save(weights)
    words = [*filter_words(simulated, small_model, output), "--particles", "4", "--chains", "1"]
    outcome = run(*words, "--emission-surrogate", str(weights), "--correct", "0.5")
    assert outcome.code == 0, outcome
    result = load(output)
    assert result.attrs["emission_surrogate"] == str(weights)
    assert (result["filter_stats"]["full_evaluations"] == 2).all()
    page = tmp_path / "page.html"
    assert run("report", str(output), "--output", str(page)).code == 0
    assert "loads by the true solver" in page.read_text(encoding="utf-8")
    assert "50 % of the surfaces" in page.read_text(encoding="utf-8")


def test_the_command_with_an_emulated_transition(
    simulated: Simulated, small_model: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    """One that trusts itself nowhere: the posterior is that of the simulated step, and the report says why."""
    weights, output, plain = tmp_path / "w.safetensors", tmp_path / "out.nc", tmp_path / "plain.nc"
    known = small_emulator()
    never = dataclasses.replace(known, trust=known.trust._replace(distance=torch.tensor(-1.0)))
    save_weights(weights, never.weights(), never.card)
    options = ["--particles", "4", "--chains", "1"]
    outcome = run(*filter_words(simulated, small_model, output), *options, "--transition-emulator", str(weights))
    assert outcome.code == 0, outcome
    assert run(*filter_words(simulated, small_model, plain), *options).code == 0
    result = load(output)
    assert result.attrs["transition_emulator"] == str(weights)
    np.testing.assert_allclose(result["posterior"]["thickness"], load(plain)["posterior"]["thickness"], rtol=1e-9)
    moved = result["posterior"]["thickness"] > 0
    assert float(result["posterior"]["simulated_step"].where(moved).mean()) > 0.9  # all but those at rest and bare
    page = tmp_path / "page.html"
    assert run("report", str(output), "--output", str(page)).code == 0
    assert "steps by the simulated transition" in page.read_text(encoding="utf-8")


def refused_weights(name: str, path: Path) -> tuple[list[str], tuple[str, ...]]:
    """Options, and what the message says of them."""
    surrogate = small_surrogate()
    surrogate.save(path)
    options = ["--emission-surrogate", str(path)]
    if name == "missing":
        path.unlink()
        return options, ("do not exist", "hmm-plating train emission")
    if name == "truncated":
        path.write_bytes(path.read_bytes()[:300])
        return options, ("damaged",)
    if name == "of the transition":
        card = dataclasses.replace(surrogate.card, kind="transition")
        dataclasses.replace(surrogate, card=card).save(path)
        return options, ("belong to the transition",)
    if name == "another spacing":
        dataclasses.replace(surrogate, card=dataclasses.replace(surrogate.card, spacing=4e-9)).save(path)
        return options, ("cells of 4e-09 m, not of 8e-09 m",)
    if name == "another liquid":
        card = dataclasses.replace(surrogate.card, ranges={"penetration_depth": (50e-9, 60e-9)})
        dataclasses.replace(surrogate, card=card).save(path)
        return options, ("penetration_depth", "outside 5e-08 to 6e-08")
    if name == "share":
        return [*options, "--correct", "1.5"], ("--correct", "at most 1")
    return ["--correct", "0.5"], ("--correct is for --emission-surrogate",)


@pytest.mark.parametrize(
    "name",
    ["missing", "truncated", "of the transition", "another spacing", "another liquid", "share", "without weights"],
)
def test_refused(
    name: str, simulated: Simulated, small_model: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    options, expected = refused_weights(name, tmp_path / "w.safetensors")
    with untouched(tmp_path):
        refused(run(*filter_words(simulated, small_model, tmp_path / "out.nc"), *options), *expected)


def test_weights_come_back_for_the_model(tmp_path: Path, model: PlatingModel) -> None:
    small_surrogate().save(tmp_path / "w.safetensors")
    again = EmissionSurrogate.load(tmp_path / "w.safetensors")
    fraction = torch.zeros(2, 12, 16, dtype=torch.float64)
    assert bool(again.guess(fraction, *model.surface_load.surroundings).trusted.all())
