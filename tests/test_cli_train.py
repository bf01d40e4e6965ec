"""`hmm-plating train`: weights and card, or one clear line and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import Outcome, refused, untouched

from hmm_plating.emulator import EmissionSurrogate, EmulatedStep, load_weights

MODEL = str(Path(__file__).parent / "small_model.py")


@pytest.mark.slow
def test_weights_that_stand_in_for_the_step(run: Callable[..., Outcome], tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    words = ["train", "transition", "--model", MODEL, "--rounds", "2", "--seed", "3", "--output", str(weights)]
    outcome = run(*words, "--log", str(tmp_path / "log.csv"))
    assert outcome.code == 0, outcome.error
    assert outcome.error == ""
    assert outcome.output.endswith(f"{weights}\n")
    _, card = load_weights(weights, "transition")
    assert "2 batches of 8 trajectories of 28 frames, plating then stripping zinc" in card.trained_on
    assert set(card.errors) >= {"field, median, last of 28 frames", "Sq, median, middle of 28 frames"}
    assert card.fails
    assert EmulatedStep.load(weights).card == card
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "network,data,variational,horizon"
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "w.safetensors"]
    again = tmp_path / "again.safetensors"
    run(*words[:-1], str(again), "--processes", "2")
    assert again.read_bytes() == weights.read_bytes()


@pytest.mark.slow
def test_weights_that_need_no_simulated_surface(run: Callable[..., Outcome], tmp_path: Path) -> None:
    weights, log = tmp_path / "w.safetensors", tmp_path / "log.csv"
    words = ["train", "transition", "--model", MODEL, "--rounds", "1", "--loss", "variational", "--log", str(log)]
    outcome = run(*words, "--output", str(weights))
    assert outcome.code == 0, outcome.error
    card = EmulatedStep.load(weights).card
    assert "surfaces that minimise the incremental potential with weight 1; horizon" in card.trained_on
    assert "simulated" not in card.trained_on
    data, variational = log.read_text().splitlines()[1].split(",")[1:3]
    assert data == "nan"
    assert 0 < float(variational) < 1


@pytest.mark.slow
def test_weights_that_stand_in_for_the_solver(run: Callable[..., Outcome], tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    words = ["train", "emission", "--model", MODEL, "--rounds", "1", "--seed", "3", "--output", str(weights)]
    outcome = run(*words, "--log", str(tmp_path / "log.csv"))
    assert outcome.code == 0, outcome.error
    assert outcome.output.endswith(f"{weights}\n")
    card = EmissionSurrogate.load(weights).card
    assert "grown by the model's prior under random currents" in card.trained_on
    assert card.fails
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "network,epoch,error,gradient_error"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "w.safetensors"]
    (tmp_path / "w.checkpoint").mkdir()
    refused(run(*words), "keeps a training: continue it with --resume")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["transition", "--output", "w.npz"], "name the file with .safetensors"),
        (["transition", "--output", "no/w.safetensors"], "folder"),
        (["transition", "--output", "w.safetensors", "--log", "log.txt"], "name the file with .csv"),
        (["speech", "--output", "w.safetensors"], "invalid choice: 'speech'"),
        (["transition", "--output", "w.safetensors", "--rounds", "0"], "at least 1"),
        (["transition", "--output", "w.safetensors", "--loss", "energy"], "invalid choice: 'energy'"),
        (["transition", "--output", "w.safetensors", "--processes", "0"], "at least 1"),
        (["transition", "--output", "w.safetensors", "--device", "abacus"], "must be a device of torch"),
    ],
)
def test_what_cannot_be_done(
    run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with untouched(tmp_path):
        outcome = run("train", *words, "--model", MODEL)
    assert outcome.code == 2
    assert message in outcome.error


def test_a_training_that_was_cut_off_is_not_lost_by_accident(run: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "w.checkpoint").mkdir()
    with untouched(tmp_path):
        refused(
            run("train", "transition", "--model", MODEL, "--output", str(tmp_path / "w.safetensors")),
            "continue it with --resume",
        )


def test_an_anisotropic_metal_is_refused(run: Callable[..., Outcome], tmp_path: Path) -> None:
    text = (
        Path(MODEL)
        .read_text()
        .replace('"nucleus_radius": 9e-9,', '"nucleus_radius": 9e-9, "anisotropy_strength": 0.05,')
    )
    (tmp_path / "model.py").write_text(text)
    with untouched(tmp_path):
        refused(
            run(
                "train",
                "transition",
                "--model",
                str(tmp_path / "model.py"),
                "--output",
                str(tmp_path / "w.safetensors"),
            ),
            "surface energy of zinc is anisotropic",
        )


def test_a_training_that_cannot_start_leaves_nothing_behind(run: Callable[..., Outcome], tmp_path: Path) -> None:
    """Nuclei that fill the box: the first trajectory tells. A folder without a state would ask for --resume."""
    text = Path(MODEL).read_text().replace('"nucleus_radius": 9e-9,', '"nucleus_radius": 200e-9,')
    (tmp_path / "model.py").write_text(text)
    words = ["train", "transition", "--model", str(tmp_path / "model.py"), "--output", str(tmp_path / "w.safetensors")]
    with untouched(tmp_path):
        refused(run(*words, "--rounds", "1"), "order_parameter")
