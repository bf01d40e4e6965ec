"""What goes wrong on the way from the README to one's own recording is met with a suggestion (docs/tutorial.md)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from cli_runs import Outcome, refused, untouched
from small_recording import Simulated

ZINC = Path(__file__).parents[1] / "models" / "zinc.py"


@pytest.fixture
def home(simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of a recording and a model file."""
    monkeypatch.chdir(tmp_path)
    for name in ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx"):
        shutil.copy(simulated.folder / name, tmp_path)
    (tmp_path / "models").mkdir()
    shutil.copy(ZINC, tmp_path / "models")
    return tmp_path


def filter_words(
    qcmd: str = "qcmd.xlsx", electrochemistry: str = "echem.xlsx", model: str = "models/zinc.py", *more: str
) -> list[str]:
    words = ["filter", qcmd, "--electrochemistry", electrochemistry, "--model", model, "--output", "out.nc"]
    return [*words, "--particles", "1", "--chains", "1", *more]


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["fliter", "qcmd.xlsx"], "did you mean filter?"),
        ([*filter_words(), "--withold", "7"], "did you mean --withhold?"),
        (filter_words(qcmd="qcm.xlsx"), "qcm.xlsx: no such file; did you mean qcmd.xlsx?"),
        (filter_words(qcmd="data/qcm.xlsx"), "there is no folder data here"),
        (filter_words(qcmd="."), ". is a folder: name the files in it"),
        (filter_words(qcmd="models/zinc.py"), "--columns 'time=HEADER"),
        (filter_words("echem.xlsx", "qcmd.xlsx"), "give the QCM's file as QCMD, and this one with --electrochemistry"),
        (filter_words("qcmd.xlsx", "qcmd.xlsx"), "give the potentiostat's file with --electrochemistry"),
        (filter_words(model="zinc.py"), "did you mean models/zinc.py?"),
        (filter_words(model="models/zink.py"), "did you mean models/zinc.py?"),
        (filter_words(model="models/my_alloy.py"), "models/zinc.py is one to copy"),
        (["filter", "qcmd.xlsx", "--model", "models/zinc.py", "--output", "out.nc"], "(--electrochemistry FILE)"),
        (["report", "out.nc"], "no such file"),
        (["report", "qcmd.xlsx"], "hmm-plating inspect qcmd.xlsx says what it is"),
        (["watch", "qcmd.xlsx"], "hmm-plating inspect qcmd.xlsx says what it is"),
        (["inspect", "qcdm.xlsx"], "did you mean qcmd.xlsx?"),
    ],
)
def test_a_slip_is_met_with_a_suggestion(
    run: Callable[..., Outcome], home: Path, words: list[str], suggestion: str
) -> None:
    with untouched(home):
        refused(run(*words), suggestion)


def test_an_option_that_is_spelt_right_is_not_suggested(run: Callable[..., Outcome]) -> None:
    refused(run("grow", "--plating-time", "0"), "--plating-time: must be a positive number, got '0' (see")


@pytest.mark.parametrize(
    ("line", "instead", "suggestion"),
    [
        (
            "        viscosity=VISCOSITY,\n",
            "",
            "state the electrolyte's viscosity in Pa s, as VISCOSITY in models/zinc.py",
        ),
        ("VISCOSITY = 3.14e-3", "VISCOSITY = 3.14", "as of 0.003"),
        ("DENSITY = 1322.8", "DENSITY = 1.3228", "give kg/m³, not g/cm³"),
        ("hp.Metal.zinc()", "hp.Metal.zink()", "did you mean zinc?"),
    ],
)
def test_a_slip_in_the_model_file(
    run: Callable[..., Outcome], home: Path, line: str, instead: str, suggestion: str
) -> None:
    text = ZINC.read_text()
    assert line in text
    (home / "models" / "mine.py").write_text(text.replace(line, instead))
    with untouched(home):
        refused(run(*filter_words(model="models/mine.py")), suggestion)


@pytest.mark.parametrize(
    ("file", "column", "factor", "suggestion"),
    [
        ("qcmd.xlsx", "f3", 1e-6, "an absolute frequency in Hz is needed"),
        ("qcmd.xlsx", "D", 1e-6, "D in 1e-6 (ppm) is needed"),
        ("echem.xlsx", "I/mA", 1e-3, "has another unit or sign than its header says"),
    ],
)
def test_wrong_units(
    run: Callable[..., Outcome], home: Path, file: str, column: str, factor: float, suggestion: str
) -> None:
    table = pd.read_excel(home / file)
    for name in table.columns:
        if name.startswith(column):
            table[name] *= factor
    table.to_excel(home / file, index=False)
    with untouched(home):
        refused(run(*filter_words()), suggestion)
