"""The command `grow`: what it writes, and that it writes all of it or nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from cli_runs import Outcome, refused, untouched

from hmm_plating import PlatingModel, grow_command
from hmm_plating.errors import ConvergenceError
from hmm_plating.grow_surface import grow_surface

Run = Callable[..., Outcome]
SHORT = ["--plating-time", "6", "--current", "2"]


@pytest.fixture
def words(small_model: Path, tmp_path: Path) -> list[str | Path]:
    return ["grow", "--model", small_model, "--output", tmp_path / "growth.nc", *SHORT]


def test_writes_the_growth_and_its_figures(
    run: Run, words: list[str | Path], small_model: Path, tmp_path: Path
) -> None:
    figures = [tmp_path / "strip.png", tmp_path / "growth.gif"]
    cycle = ["--cycles", "1", "--stripping-time", "4", "--seed", "3", "--pictures", "5"]
    code, listed, error = run(*words, *cycle, "--figure", figures[0], "--figure", figures[1])
    assert (code, error) == (0, "")
    assert listed.split() == [str(tmp_path / "growth.nc"), *map(str, figures)]
    assert {path.name for path in tmp_path.iterdir()} == {"growth.nc", "strip.png", "growth.gif"}
    assert figures[1].read_bytes()[:6] == b"GIF89a"
    assert matplotlib.image.imread(figures[0]).shape[1] == 1440
    with xr.open_dataset(tmp_path / "growth.nc", engine="h5netcdf") as growth:
        assert growth["current_density"].values.tolist() == [-20.0] * 6 + [20.0] * 4 + [-20.0] * 6
        assert growth["order_parameter"].sizes == {"picture_time": 5, "y": 24, "x": 32}
        field = growth["order_parameter"]
        assert (field.dtype, field.attrs["units"]) == (np.float32, "1")
        held = field.mean(("y", "x")) * 96e-9 + growth["base_thickness"].sel(time=field["picture_time"]).values
        np.testing.assert_allclose(held, growth["thickness"].sel(time=field["picture_time"]), rtol=0, atol=1e-13)
        names = ("thickness", "roughness", "dendrite_height", "coverage", "base_thickness", "overpotential")
        assert {*names, "side_charge", "charge_density", "solid_volume_fraction"} <= set(growth)
        assert growth.attrs["command"].startswith("hmm-plating grow --model")
        assert growth.attrs["model_text"] == small_model.read_text()
        assert growth.attrs["seed"] == 3
        assert "torch" in growth.attrs["versions"]


def test_the_seed_decides(run: Run, words: list[str | Path], tmp_path: Path) -> None:
    def grown(*more: str) -> np.ndarray:
        assert run(*words, *more).code == 0
        with xr.open_dataset(tmp_path / "growth.nc", engine="h5netcdf") as growth:
            return growth["order_parameter"].values[-1]

    first = grown("--seed", "7")
    np.testing.assert_array_equal(grown("--seed", "7"), first)
    assert np.abs(grown("--seed", "8") - first).max() > 0.1


def test_grows_a_box(run: Run, words: list[str | Path], small_model: Path, tmp_path: Path) -> None:
    assert run(*words, "--dimensions", "3", "--figure", tmp_path / "strip.png", "--pictures", "2").code == 0
    with xr.open_dataset(tmp_path / "growth.nc", engine="h5netcdf") as growth:
        assert growth["order_parameter"].sizes == {"picture_time": 2, "z": 32, "y": 24, "x": 32}
    deep = tmp_path / "deep.py"
    deep.write_text(small_model.read_text().replace("coarsening=2", "coarsening=2, depth=64e-9"))
    assert run(*words, "--model", deep, "--pictures", "1").code == 0
    with xr.open_dataset(tmp_path / "growth.nc", engine="h5netcdf") as growth:
        assert growth.sizes["z"] == 16


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--output", "{}/growth.txt"], ["the growth is netCDF, name the file with .nc"]),
        (["--output", "{}/absent/growth.nc"], ["does not exist"]),
        (["--figure", "{}/strip.jpg"], ["name the file with .png for a film strip, .gif for an animation"]),
        (["--figure", "{}/absent/strip.png"], ["does not exist"]),
        (["--stripping-time", "4"], ["--stripping-time needs --cycles"]),
        (["--stripping-time", "0"], ["must be a positive number, got '0'"]),
        (["--current", "-1"], ["must be a positive number, got '-1'"]),
        (["--current", "nan"], ["must be a positive number, got 'nan'"]),
        (["--current", "1e6"], ["current_density reaches 1e+07 A/m²"]),
        (["--plating-time", "inf"], ["must be a positive number, got 'inf'"]),
        (["--interval", "5"], ["needs a sampling interval below half of it"]),
        (["--interval", "1e-9"], ["more than 1048575 samples"]),
        (["--cycles", "1.5"], ["must be a whole number of at least 0"]),
        (["--seed", "-1"], ["must be a whole number of at least 0"]),
        (["--pictures", "0"], ["must be a whole number of at least 1"]),
        (["--dimensions", "4"], ["invalid choice"]),
        (["--current", "100", "--plating-time", "60"], ["box too low for this deposit"]),
    ],
)
def test_what_cannot_be_used_is_one_line(
    run: Run, words: list[str | Path], tmp_path: Path, more: list[str], expected: list[str]
) -> None:
    with untouched(tmp_path):
        refused(run(*words, *(word.format(tmp_path) for word in more)), *expected)


def test_a_folder_is_no_file(run: Run, words: list[str | Path], tmp_path: Path) -> None:
    for name in ("folder.nc", "folder.png"):
        (tmp_path / name).mkdir()
    with untouched(tmp_path):
        refused(run(*words, "--output", tmp_path / "folder.nc"), "is a folder: name a file")
        refused(run(*words, "--figure", tmp_path / "folder.png"), "is a folder: name a file")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("interface_width=16e-9", "interface_width=12e-9", "3 cells of 4e-09 m; fewer than 4"),
        ('"nucleus_radius": 9e-9', '"nucleus_radius": 5e-9', "median radius 5e-09 m of the nuclei is under half"),
        pytest.param(
            "frequency_noise=",
            "transport=hp.Transport(1.0, 1e-10, 1e-4), frequency_noise=",
            "s after the start: ",
            marks=pytest.mark.slow,  # to compile the fields in the box
        ),
    ],
)
def test_a_model_that_fails_is_one_line(
    run: Run, words: list[str | Path], small_model: Path, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    model = tmp_path / "mine.py"
    model.write_text(small_model.read_text().replace(old, new))
    with untouched(tmp_path):
        refused(run(*words, "--model", model), expected)


def test_too_little_memory_is_one_line(
    run: Run, words: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*arguments: object) -> None:
        raise MemoryError("Unable to allocate 572 GiB")

    monkeypatch.setattr(PlatingModel, "grow", allocate)
    with untouched(tmp_path):
        refused(run(*words), "out of memory")


def test_what_does_not_converge_is_one_line(
    run: Run, words: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(*arguments: object) -> None:
        raise ConvergenceError("concentration or potential in the box did not converge")

    monkeypatch.setattr(PlatingModel, "grow", grow)
    with untouched(tmp_path):
        refused(run(*words), "in the box did not converge")


def interrupted_after(steps: int, patch: pytest.MonkeyPatch) -> None:
    def grow(*arguments: Any, progress: Callable[[int, int], None], **options: Any) -> xr.Dataset:
        def cut(step: int, total: int) -> None:
            progress(step, total)
            if step == steps:
                raise KeyboardInterrupt

        return grow_surface(*arguments, progress=cut, **options)

    patch.setattr(grow_command, "grow_surface", grow)


def test_what_is_interrupted_keeps_the_old_files(
    run: Run, words: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "growth.nc").write_text("an older growth")
    interrupted_after(3, monkeypatch)
    with untouched(tmp_path):
        assert run(*words, "--figure", tmp_path / "strip.png").code == 130


def test_a_figure_that_fails_leaves_no_growth_without_it(
    run: Run, words: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*arguments: object) -> None:
        raise MemoryError("Unable to allocate 572 GiB")

    monkeypatch.setattr(grow_command, "growth_figure", draw)
    with untouched(tmp_path):
        refused(run(*words, "--figure", tmp_path / "strip.png"), "out of memory")


@pytest.mark.slow
def test_a_killed_process_leaves_the_old_file(words: list[str | Path], tmp_path: Path) -> None:
    """SIGKILL in the middle of the growth."""
    (tmp_path / "growth.nc").write_text("an older growth")
    program = (
        "import sys; from hmm_plating import cli, grow_command as command; grow = command.grow_surface\n"
        "def told(*a, progress, **o): return grow(*a, progress=lambda s, n: print(s, flush=True), **o)\n"
        "command.grow_surface = told; sys.exit(cli.main())"
    )
    long = [*map(str, words), "--plating-time", "2000", "--current", "0.02"]
    with subprocess.Popen([sys.executable, "-c", program, *long], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        time.sleep(0.05)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["growth.nc"]
    assert (tmp_path / "growth.nc").read_text() == "an older growth"
