"""The command `export`: tables, figures and the model file of a result; all of each file or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
import xarray as xr
from cli_runs import Outcome, refused, untouched
from small_recording import Simulated

from hmm_plating import PlatingModel, filter_recording, inference
from hmm_plating.recording import resample
from hmm_plating.report.time_series import time_series

Run = Callable[..., Outcome]
MODEL_TEXT = "=1+1  # text, not a formula\n"


@pytest.fixture(scope="module")
def result(
    simulated: Simulated, build: Callable[[xr.Dataset], PlatingModel], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    steps = resample(simulated.recording, 2.0)
    found = filter_recording(steps, build(steps), particles=4, chains=2, withhold=[7])
    found.attrs["model_text"] = MODEL_TEXT
    path = tmp_path_factory.mktemp("result") / "posterior.nc"
    inference.save(found, path)
    return path


def test_tables_hold_the_series_and_the_settings(run: Run, result: Path, tmp_path: Path) -> None:
    csv, book = tmp_path / "series.csv", tmp_path / "series.xlsx"
    code, listed, error = run("export", result, "--output", csv, "--output", book, "--probability", "0.5")
    assert (code, listed.split(), error) == (0, [str(csv), str(book)], "")
    expected = time_series(inference.load(result), 0.5)
    assert "ΔD7 (withheld) predicted [1e-6] high" in expected
    pd.testing.assert_frame_equal(pd.read_csv(csv, index_col=0), expected)
    pd.testing.assert_frame_equal(
        pd.read_excel(book, "time series", index_col=0), expected, check_dtype=False, check_index_type=False
    )
    said = {row[0].value: row[1] for row in openpyxl.load_workbook(book)["settings"].iter_rows()}
    assert said["seed"].value == "0"
    assert said["probability of the intervals"].value == "0.5"
    assert (said["model_text"].value, said["model_text"].data_type) == ("'" + MODEL_TEXT, "s")


@pytest.mark.slow
def test_figures_come_as_pages_or_as_files(run: Run, result: Path, tmp_path: Path) -> None:
    code, listed, _ = run("export", result, "--output", tmp_path / "all.pdf", "--output", tmp_path / "one.png")
    assert code == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"all.pdf", "one-shifts.png", "one-surface.png", "one-drive.png", "one-filter.png"} <= names
    assert len(listed.split()) == len(names)
    book = (tmp_path / "all.pdf").read_bytes()
    assert book.startswith(b"%PDF")
    assert book.count(b"/Type /Page ") == len(names) - 1  # a page for each picture


def test_the_model_file_comes_back_as_it_was(run: Run, result: Path, tmp_path: Path) -> None:
    assert run("export", result, "--output", tmp_path / "model.py").code == 0
    assert (tmp_path / "model.py").read_text() == MODEL_TEXT


def test_what_cannot_be_written_is_refused(run: Run, result: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with untouched(tmp_path):
        refused(run("export", result, "--output", tmp_path / "a.csv", "--output", tmp_path / "b.doc"), ".csv, .xlsx")
        refused(run("export", result, "--output", tmp_path / "folder.csv"), "is a folder")
        refused(run("export", result, "--output", tmp_path / "missing" / "a.csv"), "does not exist")
        refused(run("export", tmp_path / "missing.nc", "--output", tmp_path / "a.csv"), "no such file")
        refused(run("export", result, "--output", tmp_path / "a.csv", "--probability", "90"), "between 0 and 1")
