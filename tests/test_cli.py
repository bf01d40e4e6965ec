"""The command line: what works, works again after a crash, and every unusable input is one line and exit code 2."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import arviz
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cli_runs import Outcome, refused, untouched
from small_recording import Simulated

from hmm_plating import PlatingModel, emission, inference
from hmm_plating.cli import main

Change = Callable[[dict[str, pd.DataFrame]], Any]
FILES = {"qcmd": "qcmd.xlsx", "echem": "echem.xlsx", "air": "quartz_in_air.xlsx"}


@pytest.fixture
def files(simulated: Simulated, small_model: Path) -> list[str | Path]:
    """Arguments of `filter` but for the output."""
    return [
        simulated.folder / FILES["qcmd"],
        *("--electrochemistry", simulated.folder / FILES["echem"]),
        *("--air", simulated.folder / FILES["air"]),
        *("--model", small_model, "--particles", "2", "--chains", "2", "--interval", "4"),
    ]


@pytest.fixture(scope="module")
def result(simulated: Simulated, small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an uninterrupted run, the first of this folder."""
    output = tmp_path_factory.mktemp("result") / "out.nc"
    words = [simulated.folder / FILES["qcmd"], "--electrochemistry", simulated.folder / FILES["echem"]]
    words += ["--air", simulated.folder / FILES["air"], "--model", small_model, "--particles", "2", "--chains", "2"]
    words += ["--interval", "4", "--withhold", "7", "--seed", "3", "--output", output]
    assert main(["filter", *map(str, words)]) == 0
    return output


def assert_equal(one: Path, other: Path) -> None:
    """The same numbers, to the last digit, in every group."""
    first, second = inference.load(one), inference.load(other)
    assert set(first.groups()) == set(second.groups())
    for group in first.groups():
        xr.testing.assert_equal(first[group], second[group])
    attributes = [{**data.attrs, "command": "", "model": ""} for data in (first, second)]
    assert str(attributes[0]) == str(attributes[1])  # NaN is equal to itself as text


# What works


def test_without_arguments_shows_the_help(run: Callable[..., Outcome]) -> None:
    code, output, error = run()
    assert (code, error) == (0, "")
    assert all(command in output for command in ("simulate", "grow", "filter", "report"))


def test_tells_its_version(run: Callable[..., Outcome]) -> None:
    code, output, _ = run("--version")
    assert code == 0
    assert output.startswith("hmm-plating 0.")


@pytest.mark.parametrize("command", ["inspect", "simulate", "grow", "filter", "forecast", "report", "export"])
def test_every_command_has_help(run: Callable[..., Outcome], command: str) -> None:
    code, output, error = run(command, "--help")
    assert (code, error) == (0, "")
    assert "usage: hmm-plating " + command in output


def test_simulate_writes_files_that_filter_takes(
    run: Callable[..., Outcome], small_model: Path, tmp_path: Path
) -> None:
    folder, output = tmp_path / "new", tmp_path / "out.nc"
    short = ["--cycles", "0", "--plating-time", "6", "--sampling", "1", "--current", "2"]
    code, listed, error = run("simulate", "--model", small_model, "--output", folder, "--seed", "4", *short)
    assert (code, error) == (0, "")
    assert listed.split() == [str(folder / name) for name in (*FILES.values(), "truth.nc")]
    with xr.open_dataset(folder / "truth.nc", engine="h5netcdf") as truth:
        assert {"thickness", "roughness", "solid_volume_fraction"} <= set(truth)
        assert truth["thickness"].dims == ("time",)
        assert truth.attrs["command"].startswith("hmm-plating simulate")
    qcmd = pd.read_excel(folder / "qcmd.xlsx")
    qcmd.loc[4:7, qcmd.columns[1:]] = math.nan  # blank cells are values that were not measured
    qcmd.loc[9, "f7"] = math.nan
    qcmd.to_excel(folder / "qcmd.xlsx", index=False)
    filter_words = [folder / "qcmd.xlsx", "--electrochemistry", folder / "echem.xlsx", "--model", small_model]
    code, listed, error = run(
        "filter", *filter_words, "--particles", "2", "--chains", "3", "--interval", "4", "--output", output
    )
    assert (code, listed, error) == (0, f"{output}\n", "")
    assert [path.name for path in tmp_path.iterdir() if path != folder] == ["out.nc"]
    result = inference.load(output)
    assert bool(result["observed_data"]["frequency_shift"].isnull().any())
    assert bool(np.isfinite(result["posterior"]["thickness"]).all())


def test_the_result_says_what_made_it(result: Path, small_model: Path) -> None:
    attributes = arviz.from_netcdf(str(result), engine="h5netcdf").attrs
    assert attributes["model_text"] == small_model.read_text()
    assert "--seed 3" in attributes["command"]
    assert attributes["source"] == "qcmd.xlsx, echem.xlsx, quartz_in_air.xlsx"
    assert "torch" in attributes["versions"]
    assert [path.name for path in result.parent.iterdir()] == ["out.nc"]


def test_the_score_is_printed(run: Callable[..., Outcome], result: Path) -> None:
    with untouched(result.parent):
        code, output, error = run("report", result, "--score")
    assert (code, error) == (0, "")
    assert "Δf/n 7" in output


@pytest.mark.slow
def test_the_report_is_one_page_beside_the_result(run: Callable[..., Outcome], result: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out.nc"
    copy.write_bytes(result.read_bytes())
    code, output, error = run("report", copy)
    assert (code, error) == (0, "")
    assert Path(output.strip()) == tmp_path / "out.html"
    assert (tmp_path / "out.html").read_text().startswith("<!")


# Runs that were cut off


def test_a_run_that_was_cut_off_is_resumed_to_the_same_result(
    run: Callable[..., Outcome],
    files: list[str | Path],
    result: Path,
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "out.nc"
    output.write_text("an older result")
    words = ["filter", *files, "--withhold", "7", "--checkpoint-interval", "2", "--output", output]

    @contextmanager
    def cut() -> Iterator[Callable[..., None]]:
        def progress(step: int, total: int, info: object) -> None:
            if step == 5:
                raise KeyboardInterrupt

        yield progress

    with monkeypatch.context() as patch:
        patch.setattr(inference, "progress_bar", cut)
        code, _, error = run(*words, "--seed", "3")
    assert code == 130
    assert error == "hmm-plating: interrupted; --resume continues a filter run\n"
    assert output.read_text() == "an older result"
    assert (tmp_path / "out.checkpoint").is_dir()

    with untouched(tmp_path):
        refused(run(*words, "--seed", "3"), "out.checkpoint", "--resume", "or delete the folder")
        refused(run(*words, "--seed", "4", "--resume"), "another model, seed, number of particles or setting")
        refused(run(*words, "--seed", "3", "--particles", "3", "--resume"), "another model, seed, number of particles")
        other = tmp_path.parent / "other_model.py"
        other.write_text(small_model.read_text().replace("interface_width=16e-9", "interface_width=17e-9"))
        refused(run(*words, "--seed", "3", "--model", other, "--resume"), "another model")
        refused(run(*words, "--seed", "3", "--withhold", "11", "--resume"), "another series of observations or inputs")

    code, listed, error = run(*words, "--seed", "3", "--resume")
    assert (code, listed, error) == (0, f"{output}\n", "")
    assert_equal(output, result)
    assert [path.name for path in tmp_path.iterdir()] == ["out.nc"]


@pytest.mark.slow
def test_resume_without_a_checkpoint_starts_and_a_second_run_replaces(
    run: Callable[..., Outcome], files: list[str | Path], result: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.nc"
    output.write_bytes(b"an older result")
    assert run("filter", *files, "--withhold", "7", "--seed", "3", "--output", output, "--resume").code == 0
    assert_equal(output, result)


def test_a_damaged_checkpoint_is_refused(run: Callable[..., Outcome], files: list[str | Path], tmp_path: Path) -> None:
    checkpoint = tmp_path / "out.checkpoint"
    (checkpoint / "chain-0").mkdir(parents=True)
    (checkpoint / "chain-0" / "state.npz").write_bytes(b"PK but no archive")
    with untouched(tmp_path):
        refused(run("filter", *files, "--output", tmp_path / "out.nc", "--resume"), "state.npz", "damaged")


@pytest.mark.slow
def test_a_killed_process_is_resumed_to_the_same_result(
    run: Callable[..., Outcome], files: list[str | Path], tmp_path: Path
) -> None:
    """SIGKILL at a random moment after the first checkpoint: the result of an uninterrupted run, to the last digit."""
    words = [
        "filter",
        *files,
        "--particles",
        "24",
        "--chains",
        "2",
        "--interval",
        "1",
        "--checkpoint-interval",
        "1",
        "--output",
    ]
    output, checkpoint = tmp_path / "killed.nc", tmp_path / "killed.checkpoint"
    program = "import sys; from hmm_plating.cli import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", program, *map(str, [*words, output])])
    pieces = random.randint(1, 50)
    while process.poll() is None and len(list(checkpoint.glob("*/records-*.npz"))) < pieces:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.3))
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    assert (checkpoint / "chain-0" / "state.npz").exists()
    assert run(*words, output, "--resume").code == 0
    assert run(*words, tmp_path / "whole.nc").code == 0
    assert_equal(output, tmp_path / "whole.nc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.nc", "whole.nc"]


# Recordings that cannot be used


def dropped(file: str, **labels: Any) -> Change:
    return lambda frames: frames.update({file: frames[file].drop(**labels)})


def renamed(file: str, old: str, new: str) -> Change:
    return lambda frames: frames.update({file: frames[file].rename(columns={old: new})})


def first_rows(file: str, count: int) -> Change:
    return lambda frames: frames.update({file: frames[file].iloc[:count]})


def cell(file: str, row: int, column: str, value: object) -> Change:
    def change(frames: dict[str, pd.DataFrame]) -> None:
        frames[file][column] = frames[file][column].astype(object)
        frames[file].loc[row, column] = value

    return change


def linear(file: str, factor: float, offset: float, *columns: str) -> Change:
    def change(frames: dict[str, pd.DataFrame]) -> None:
        for column in columns:
            frames[file][column] = factor * frames[file][column] + offset

    return change


UNUSABLE: list[tuple[Change, list[str]]] = [
    (dropped("qcmd", columns="D7"), ["qcmd.xlsx: no column 'D7'"]),
    (dropped("qcmd", columns="time"), ["qcmd.xlsx: no column 'time'"]),
    (renamed("echem", "I/mA", "I/A"), ["echem.xlsx: no column 'I/mA'; found 'time/s'"]),
    (renamed("qcmd", "D11", "f3_2 (Hz)"), ["qcmd.xlsx", "both look like f3"]),
    (dropped("air", columns=["f7_1 (Hz)", "D7_1 (ppm)"]), ["quartz_in_air.xlsx: no columns for overtones [7]"]),
    (cell("qcmd", 4, "f3", "n/a?"), ["qcmd.xlsx: column 'f3', row 6: 'n/a?' is not a number"]),
    (cell("echem", 4, "I/mA", "-"), ["echem.xlsx: column 'I/mA', row 6: '-' is not a number"]),
    (cell("qcmd", 9, "time", 3.0), ["qcmd.xlsx", "row 11", "goes back"]),
    (cell("echem", 9, "time/s", 9.0), ["echem.xlsx", "row 11", "repeats"]),
    (cell("qcmd", 9, "time", None), ["qcmd.xlsx", "row 11", "the time is missing"]),
    (linear("echem", 1.0, 1e4, "time/s"), ["do not overlap", "--clock-offset S"]),
    (linear("echem", 1e-3, 0.0, "I/mA"), ["echem.xlsx: the charge grows by 1e+03 times the current", "unit"]),
    (linear("echem", 1e4, 0.0, "I/mA", "(Q-Qo)/mC"), ["current_density reaches 200000 A/m²", "in A where mA"]),
    (linear("echem", -1.0, 0.0, "I/mA", "(Q-Qo)/mC"), ["Δf does not follow the charge"]),
    (linear("qcmd", 1.0, -15e6, "f3", "f7", "f11"), ["qcmd.xlsx", "an absolute frequency in Hz is needed"]),
    (linear("qcmd", 1e-6, 0.0, "D3", "D7", "D11"), ["qcmd.xlsx", "D in 1e-6 (ppm) is needed"]),
    (linear("qcmd", math.nan, 0.0, "f7", "D7"), ["qcmd.xlsx", "the noise of Δf at overtone 7 cannot be estimated"]),
    (first_rows("qcmd", 0), ["qcmd.xlsx: the first sheet has headers but no data rows"]),
    (first_rows("qcmd", 1), ["do not overlap"]),
    (first_rows("qcmd", 2), ["less than one filter step"]),
    (first_rows("echem", 0), ["echem.xlsx: the first sheet has headers but no data rows"]),
    (first_rows("echem", 1), ["echem.xlsx", "fewer than two numbers"]),
]


@pytest.fixture(scope="module")
def workbooks(simulated: Simulated) -> dict[str, pd.DataFrame]:
    return {name: pd.read_excel(simulated.folder / file) for name, file in FILES.items()}


@pytest.mark.parametrize(("change", "expected"), UNUSABLE, ids=[expected[-1] for _, expected in UNUSABLE])
def test_an_unusable_recording_is_refused(
    run: Callable[..., Outcome],
    simulated: Simulated,
    workbooks: dict[str, pd.DataFrame],
    small_model: Path,
    tmp_path: Path,
    change: Change,
    expected: list[str],
) -> None:
    frames = {name: frame.copy() for name, frame in workbooks.items()}
    change(frames)
    paths = {name: simulated.folder / file for name, file in FILES.items()}
    for name, frame in frames.items():
        if not frame.equals(workbooks[name]):
            paths[name] = tmp_path / FILES[name]
            frame.to_excel(paths[name], index=False)
    words = [paths["qcmd"], "--electrochemistry", paths["echem"], "--air", paths["air"]]
    with untouched(tmp_path):
        outcome = run("filter", *words, "--model", small_model, "--particles", "2", "--output", tmp_path / "out.nc")
        refused(outcome, *expected)


@pytest.mark.parametrize("name", FILES.values())
def test_a_truncated_or_missing_file_is_refused(
    run: Callable[..., Outcome], files: list[str | Path], simulated: Simulated, tmp_path: Path, name: str
) -> None:
    broken = tmp_path / name
    broken.write_bytes((simulated.folder / name).read_bytes()[:-700])
    words = [broken if word == simulated.folder / name else word for word in files]
    with untouched(tmp_path):
        refused(run("filter", *words, "--output", tmp_path / "out.nc"), name, "damaged or cut short")
    broken.unlink()
    refused(run("filter", *words, "--output", tmp_path / "out.nc"), name, "no such file")


def test_other_kinds_of_files_are_refused(run: Callable[..., Outcome], files: list[str | Path], tmp_path: Path) -> None:
    csv = tmp_path / "qcmd.csv"
    csv.write_text("time,f3,D3\n")
    text = tmp_path / "text.xlsx"
    text.write_text("time,f3,D3\n")
    (tmp_path / "folder.xlsx").mkdir()
    for path, message in (
        (csv, "no data below the header"),
        (text, "no data below the header"),
        (tmp_path / "folder.xlsx", ""),
    ):
        with untouched(tmp_path):
            refused(run("filter", path, *files[1:], "--output", tmp_path / "out.nc"), path.name, message)


# Options


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--withhold", "5"], "cannot withhold overtone 5: the recording has 3, 7, 11"),
        (["--withhold", "3", "--withhold", "7", "--withhold", "11"], "every overtone is withheld"),
        (["--withhold", "seven"], "--withhold"),
        (["--particles", "0"], "--particles: must be a whole number of at least 1, got '0'"),
        (["--particles", "-3"], "--particles"),
        (["--particles", "2.5"], "--particles"),
        (["--seed", "-1"], "--seed: must be a whole number of at least 0, got '-1'"),
        (["--seed", str(2**70)], "--seed"),
        (["--interval", "0.4"], "shorter than the sampling interval"),
        (["--interval", "0"], "--interval: must be a positive number, got '0'"),
        (["--interval", "1e4"], "less than one filter step"),
        (["--interval", "nan"], "--interval"),
        (["--area", "0"], "--area: must be a positive number, got '0'"),
        (["--area", "1e6"], "electrode area 100 m² is not that of a quartz crystal"),
        (["--clock-offset", "nan"], "clock offset must be a finite number"),
        (["--clock-offset", "500"], "do not overlap"),
        (["--checkpoint-interval", "0"], "--checkpoint-interval"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_an_impossible_option_of_filter_is_refused(
    run: Callable[..., Outcome], files: list[str | Path], tmp_path: Path, options: list[str], expected: str
) -> None:
    with untouched(tmp_path):
        refused(run("filter", *files, "--output", tmp_path / "out.nc", *options), expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--cycles", "-1"], "--cycles"),
        (["--current", "0"], "--current"),
        (["--plating-time", "-5"], "--plating-time"),
        (["--stripping-time", "-5"], "Protocol.stripping_time must not be negative"),
        (["--stripping-time", "nan"], "Protocol.stripping_time"),
        (["--sampling", "40"], "needs a sampling interval below half of it"),
        (["--sampling", "1e-6"], "samples"),
        (["--area", "0"], "--area"),
        (["--area", "1e9"], "electrode area"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_an_impossible_option_of_simulate_is_refused(
    run: Callable[..., Outcome], small_model: Path, tmp_path: Path, options: list[str], expected: str
) -> None:
    with untouched(tmp_path):
        refused(run("simulate", "--model", small_model, "--output", tmp_path / "new", *options), expected)


@pytest.mark.parametrize("words", [["filter"], ["simulate"], ["report"], ["plate"], ["--model", "x.py"]])
def test_wrong_usage_is_one_line(run: Callable[..., Outcome], words: list[str]) -> None:
    refused(run(*words), "--help")


def test_no_electrochemistry_is_refused(
    run: Callable[..., Outcome], files: list[str | Path], small_model: Path, tmp_path: Path
) -> None:
    with untouched(tmp_path):
        outcome = run("filter", files[0], "--model", small_model, "--output", tmp_path / "out.nc")
        refused(outcome, "give the potentiostat's file (--electrochemistry FILE)")


# Outputs


@pytest.mark.parametrize("command", ["filter", "simulate"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    run: Callable[..., Outcome],
    files: list[str | Path],
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setattr("hmm_plating.cli.load_model_file", lambda path: pytest.fail("started to work"))
    words = files if command == "filter" else ["--model", small_model]
    read_only = tmp_path / "read_only"
    read_only.mkdir(mode=0o555)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.nc").mkdir()
    with untouched(tmp_path):
        refused(run(command, *words, "--output", tmp_path / "absent" / "out.nc"), "absent", "does not exist")
        refused(run(command, *words, "--output", read_only / "out.nc"), "read_only", "is read-only")
        refused(run(command, *words, "--output", tmp_path / "file" / "out.nc"), "file", "does not exist")
        if command == "filter":
            refused(run(command, *words, "--output", tmp_path / "out.txt"), "out.txt", ".nc")
            refused(run(command, *words, "--output", tmp_path / "folder.nc"), "folder.nc is a folder")
        else:
            refused(run(command, *words, "--output", read_only), "read_only", "is read-only")
            refused(run(command, *words, "--output", tmp_path / "file"), "is a file")


@pytest.mark.parametrize(
    ("name", "contents", "expected"),
    [
        ("absent.nc", None, "no such file"),
        ("empty.nc", b"", "cannot be read"),
        ("text.nc", b"thickness\n" * 100, "cannot be read"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--score"]])
def test_a_report_of_what_is_no_result_is_refused(
    run: Callable[..., Outcome], tmp_path: Path, name: str, contents: bytes | None, expected: str, options: list[str]
) -> None:
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with untouched(tmp_path):
        refused(run("report", tmp_path / name, *options), name, expected)


@pytest.fixture(scope="module")
def no_results(result: Path, simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with netCDF files that are cut short, of another kind, or of a filter that knows no plating."""
    folder = tmp_path_factory.mktemp("no_results")
    contents = result.read_bytes()
    for length in (1000, len(contents) // 2, len(contents) - 100):
        (folder / f"cut_{length}.nc").write_bytes(contents[:length])
    simulated.truth.to_netcdf(folder / "truth.nc", engine="h5netcdf")
    numbers = {"mu": np.zeros((1, 5))}
    arviz.from_dict(posterior=numbers).to_netcdf(str(folder / "foreign.nc"), engine="h5netcdf")
    other = arviz.from_dict(posterior=numbers, observed_data={"y": np.zeros(5)})
    other.add_groups({"filter_stats": xr.Dataset({"effective_sample_size": (("chain", "time"), np.ones((1, 5)))})})
    other.to_netcdf(str(folder / "other_filter.nc"), engine="h5netcdf")
    return folder


@pytest.mark.parametrize("options", [[], ["--score"]])
def test_a_report_of_a_truncated_or_foreign_result_is_refused(
    run: Callable[..., Outcome], no_results: Path, options: list[str]
) -> None:
    with untouched(no_results):
        for path in sorted(no_results.iterdir()):
            refused(run("report", path, *options))


def test_a_page_that_cannot_be_written_is_refused(run: Callable[..., Outcome], result: Path, tmp_path: Path) -> None:
    read_only = tmp_path / "read_only"
    read_only.mkdir(mode=0o555)
    with untouched(tmp_path), untouched(result.parent):
        refused(run("report", result, "--output", result), "the page is HTML")
        refused(run("report", result, "--output", tmp_path / "absent" / "page.html"), "does not exist")
        refused(run("report", result, "--output", read_only / "page.html"), "is read-only")


# Models


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("interface_width=16e-9", "interface_width=12e-9", ["line 9", "3 cells of 4e-09 m; fewer than 4"]),
        ("GRID = hp.Grid(", "GRID = hp.Grid((", ["SyntaxError"]),
        ("def plating_model", "def model", ["does not define a function plating_model"]),
        ("SURFACE = {", "SURFACE = undefined | {", ["line 11: NameError while it was loaded"]),
        ("metal=hp.Metal.zinc()", "metal=hp.Metal.gold()", ["AttributeError in plating_model"]),
        ("lag_times=(4.0,)", "lag_times=()", ["IndexError while the model ran"]),
        ("height=96e-9", "height=48e-9", ["box too low for this deposit", "make the box at least"]),
        ('"nucleus_radius": 9e-9', '"nucleus_radius": 5e-9', ["median radius 5e-09 m of the nuclei is under half"]),
        ("drive.lagged_current[0]", "int('x')", ["line {old}: ValueError while the model ran: invalid literal"]),
        ("drive.lagged_current[0]", "drive.no_such_thing", ["line {old}: AttributeError while the model ran"]),
    ],
)
@pytest.mark.parametrize("command", ["filter", "simulate"])
def test_a_model_that_fails_says_where(
    run: Callable[..., Outcome],
    files: list[str | Path],
    small_model: Path,
    tmp_path: Path,
    command: str,
    old: str,
    new: str,
    expected: list[str],
) -> None:
    text = small_model.read_text()
    assert text.count(old) == 1
    model = tmp_path / "mine.py"
    model.write_text(text.replace(old, new))
    line = 1 + text[: text.index(old)].count("\n")
    expected = [words.replace("{old}", str(line)) for words in expected]
    words = (
        [*files, "--model", model] if command == "filter" else ["--model", model, "--current", "4", "--sampling", "2"]
    )
    with untouched(tmp_path):
        refused(run(command, *words, "--output", tmp_path / "out.nc"), *expected)


@pytest.mark.parametrize("command", ["filter", "simulate", "grow"])
def test_a_model_that_does_not_exist_is_refused(
    run: Callable[..., Outcome], files: list[str | Path], tmp_path: Path, command: str
) -> None:
    words = files if command == "filter" else []
    with untouched(tmp_path):
        outcome = run(command, *words, "--model", tmp_path / "absent.py", "--output", tmp_path / "out.nc")
        refused(outcome, "absent.py does not exist")


@pytest.mark.parametrize("command", ["filter", "simulate"])
def test_a_solver_that_does_not_converge_is_one_line(
    run: Callable[..., Outcome],
    files: list[str | Path],
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setitem(emission.solve.__kwdefaults__, "applications", 1)
    words = files if command == "filter" else ["--model", small_model]
    with untouched(tmp_path):
        refused(
            run(command, *words, "--output", tmp_path / "out.nc"), "1 operator applications reached an estimated error"
        )


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 572 GiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 614400 MB")],
)
def test_too_little_memory_is_one_line(
    run: Callable[..., Outcome],
    files: list[str | Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def allocate(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(PlatingModel, "init", allocate)
    with untouched(tmp_path):
        refused(run("filter", *files, "--output", tmp_path / "out.nc"), "out of memory, take fewer particles")


@pytest.mark.slow
def test_a_full_disk_keeps_the_checkpoint(
    run: Callable[..., Outcome], files: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run has cost is not thrown away for a reason that a second try may not meet."""
    import numpy

    original, calls = numpy.savez, []

    def savez(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        original(*arguments, **options)

    words = ["filter", *files, "--checkpoint-interval", "2", "--output", tmp_path / "out.nc"]
    with monkeypatch.context() as patch:
        patch.setattr(numpy, "savez", savez)
        refused(run(*words), "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["out.checkpoint"]
    assert run(*words, "--resume").code == 0
