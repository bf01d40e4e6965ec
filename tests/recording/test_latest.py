"""Steps of a growing recording are made of its latest samples alone, and are those of the whole, digit by digit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmm_plating.filter_recording import drives
from hmm_plating.recording import growing, growing_recording, read, resample
from hmm_plating.recording.growing_recording import GrowingRecording

FIRST_PART = 30.0
Lines = dict[str, list[bytes]]
Experiments = Callable[..., Any]  # `make_experiment` of conftest.py


def texts(
    make: Experiments, seed: int, cycles: int, change: Callable[[dict[str, np.ndarray]], None] = lambda columns: None
) -> Lines:
    """The lines of both files; `change` may leave values out."""
    made = make(seed, delay=np.array([0.0, 0.05, 0.1]), noise=0.5, cycles=cycles)
    crystal = {name: made.qcmd[name].to_numpy(copy=True) for name in made.qcmd}
    cell = {name: made.electrochemistry[name].to_numpy(copy=True) for name in made.electrochemistry}
    change(crystal | cell)
    headers = {"time": "Time_1 [s]"} | {f"f{n}": f"f{n}_1 [Hz]" for n in (3, 5, 7)}
    headers |= {f"D{n}": f"D{n}_1 [ppm]" for n in (3, 5, 7)}
    return {
        "qcm.txt": _lines({headers[name]: values for name, values in crystal.items()}, ";"),
        "cell.txt": _lines({name: values for name, values in cell.items() if not np.isinf(values).all()}, "\t"),
    }


def _lines(columns: dict[str, np.ndarray], separator: str) -> list[bytes]:
    rows = zip(*columns.values(), strict=True)
    written = [separator.join("" if np.isnan(value) else repr(float(value)) for value in row) for row in rows]
    return [f"{line}\r\n".encode() for line in (separator.join(columns), *written)]


def without_some_frequencies(columns: dict[str, np.ndarray]) -> None:
    columns["f5"][250:262] = columns["D5"][250:262] = np.nan
    columns["f7"][300:310] = columns["D7"][300:310] = np.nan


def without_some_potentials(columns: dict[str, np.ndarray]) -> None:
    columns["<Ewe/V>"][400:700] = np.nan


def without_charge(columns: dict[str, np.ndarray]) -> None:
    columns["(Q-Qo)/mC"][:] = np.inf


CASES = {
    "all there": lambda columns: None,
    "frequencies missing": without_some_frequencies,
    "potential missing for long": without_some_potentials,
    "charge integrated": without_charge,
}


def follow(folder: Path, lines: Lines, seed: int, most: int) -> tuple[xr.Dataset, int]:
    """All steps, read after every few lines, and how many samples at most went into new ones."""
    generator = np.random.default_rng(seed)
    for name, own in lines.items():
        (folder / name).write_bytes(b"".join(own[: len(own) // 2]))
    source = GrowingRecording(folder / "qcm.txt", folder / "cell.txt", first_part=FIRST_PART)
    places = {name: len(own) // 2 for name, own in lines.items()}
    source.read()
    used: list[int] = []
    whole = growing_recording.assemble

    def counted(*contents: object, **stated: object) -> xr.Dataset:
        used.append(len(contents[0].crystal.time))  # type: ignore[attr-defined]
        return whole(*contents, **stated)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing_recording, "assemble", counted)
        while any(places[name] < len(own) for name, own in lines.items()):
            for name, own in lines.items():
                count = int(generator.integers(0, most * len(own) // len(lines["qcm.txt"]) + 1))
                with open(folder / name, "ab") as file:
                    file.write(b"".join(own[places[name] : places[name] + count]))
                places[name] = min(len(own), places[name] + count)
            growth = source.read()
    assert growth.recording is not None
    return growth.recording, max(used)


@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_of_the_whole(tmp_path: Path, make_experiment: Experiments, case: str) -> None:
    lines = texts(make_experiment, 1, 4, CASES[case])
    found, used = follow(tmp_path, lines, 1, 40)
    expected = resample(read(tmp_path / "qcm.txt", tmp_path / "cell.txt", first_part=FIRST_PART), 2.0)
    xr.testing.assert_identical(found, expected)
    samples = len(lines["qcm.txt"]) - 1
    assert samples > 500
    assert used < 250  # 30 s and the last 12 s or so, of 0.27 s each


@pytest.mark.slow
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it makes, and keeps nothing
@given(seed=st.integers(0, 1000), most=st.integers(1, 200), case=st.sampled_from(sorted(CASES)))
def test_whatever_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, make_experiment: Experiments, seed: int, most: int, case: str
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    found, _ = follow(folder, texts(make_experiment, seed, 2, CASES[case]), seed, most)
    expected = resample(read(folder / "qcm.txt", folder / "cell.txt", first_part=FIRST_PART), 2.0)
    xr.testing.assert_identical(found, expected)


def test_a_file_that_is_long_already_is_read_once(
    tmp_path: Path, make_experiment: Experiments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on: additions are read below the first lines, not below all."""
    lines = texts(make_experiment, 2, 6)["qcm.txt"]
    (tmp_path / "qcm.txt").write_bytes(b"".join(lines[:-5]))
    text = growing.GrowingText(tmp_path / "qcm.txt", growing_recording.NO_HINTS, "crystal")
    assert text.read()
    sizes: list[int] = []
    read_data = growing.read_data

    def counted(data: bytes, *more: Any) -> Any:
        sizes.append(data.count(b"\n"))
        return read_data(data, *more)

    monkeypatch.setattr(growing, "read_data", counted)
    with open(tmp_path / "qcm.txt", "ab") as file:
        file.write(b"".join(lines[-5:]))
    assert text.read()
    assert len(text.contents.crystal.time) == len(lines) - 1 > 800  # type: ignore[union-attr]
    assert max(sizes) < 110


def test_steps_from_a_number_on(quiet: xr.Dataset) -> None:
    whole = resample(quiet, 2.0)
    for first in (0, 1, 7):
        xr.testing.assert_identical(resample(quiet, 2.0, first=first), whole.isel(time=slice(first, None)))


def test_what_the_potentiostat_did_is_added_to(quiet: xr.Dataset) -> None:
    steps = resample(quiet, 2.0)
    steps["potential"][5:9] = np.nan
    whole = drives(steps, (4.0, 60.0))
    grown = None
    for count in (3, 4, 7, steps.sizes["time"]):
        grown = drives(steps.isel(time=slice(count)), (4.0, 60.0), grown)
    assert grown is not None
    for one, other in zip(whole, grown, strict=True):
        assert torch.equal(one, other)
