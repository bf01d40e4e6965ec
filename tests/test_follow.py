"""Following a growing recording equals filtering the finished one, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import arviz
import numpy as np
import pytest
import xarray as xr
import zarr.storage._local
from cli_runs import Outcome, refused
from growing_files import write_growing
from small_recording import Simulated
from small_surrogate import small_surrogate
from text_files import texts_of

from hmm_plating import InputError, PlatingModel, filter_recording, open_run
from hmm_plating.follow import Growth, Update, follow
from hmm_plating.inference import save
from hmm_plating.recording import first_steps, read, resample
from hmm_plating.recording.growing_recording import GrowingRecording

Builder = Callable[[xr.Dataset], PlatingModel]
FIRST_PART = 12.0
OPTIONS: dict[str, Any] = {"particles": 4, "chains": 2, "seed": 3}
WORDS = ["--particles", 4, "--chains", 2, "--seed", 3, "--first-part", FIRST_PART, "--checkpoint-interval", 3]


@pytest.fixture(scope="module")
def contents(simulated: Simulated) -> dict[str, bytes]:
    return texts_of(simulated.folder / "qcmd.xlsx", simulated.folder / "echem.xlsx")


@pytest.fixture(scope="module")
def finished(contents: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def steps(finished: Path) -> xr.Dataset:
    return resample(read(finished / "qcm.txt", finished / "cell.txt", first_part=FIRST_PART), 2.0)


@pytest.fixture(scope="module")
def batch(steps: xr.Dataset, build: Builder) -> arviz.InferenceData:
    return filter_recording(steps, build(first_steps(steps)), **OPTIONS)


def assert_same(one: arviz.InferenceData, other: arviz.InferenceData) -> None:
    assert set(one.groups()) == set(other.groups())
    for group in one.groups():
        xr.testing.assert_equal(one[group], other[group])
    assert one.attrs["log_evidence"] == other.attrs["log_evidence"]


class Slices:
    """A source that gains a step at a time."""

    def __init__(self, steps: xr.Dataset, start: int = 6) -> None:
        self.steps, self.count = steps, start

    def read(self) -> Growth:
        self.count = min(self.count + 1, self.steps.sizes["time"])
        part = self.steps.isel(time=slice(0, self.count))
        return Growth(part, float(part["time"][-1]) + 1.0)


def test_steps_one_by_one_are_the_whole(
    steps: xr.Dataset, build: Builder, batch: arviz.InferenceData, tmp_path: Path
) -> None:
    updates = list(follow(Slices(steps), build, store=tmp_path / "run.zarr", idle=0.0, **OPTIONS))
    assert [update.step for update in updates] == list(range(1, steps.sizes["time"] + 1))
    assert [update.time for update in updates] == steps["time"].values.tolist()
    assert updates[-1].lag == 0.0
    assert_same(open_run(tmp_path / "run.zarr"), batch)
    assert open_run(tmp_path / "run.zarr").attrs["finished"]
    thickness = [float(update.result["posterior"]["thickness"].mean()) for update in updates]
    expected = batch["posterior"]["thickness"].mean(("chain", "draw"))
    np.testing.assert_allclose(thickness, expected, rtol=1e-12)


@pytest.mark.slow
def test_with_a_surrogate_too(steps: xr.Dataset, build: Builder, tmp_path: Path) -> None:
    """Closed after the third step and continued, the run equals that of the whole."""
    model = dataclasses.replace(build(steps), surrogate=small_surrogate())
    whole = filter_recording(steps, model, correct=0.5, **OPTIONS)
    for stop in (3, 100):
        updates = follow(Slices(steps), model, correct=0.5, store=tmp_path / "run.zarr", idle=0.0, **OPTIONS)
        for update in updates:
            if update.step == stop:
                break
        updates.close()  # type: ignore[attr-defined]
    assert_same(open_run(tmp_path / "run.zarr"), whole)
    assert (whole["filter_stats"]["full_evaluations"] == OPTIONS["particles"] // 2).all()


@pytest.mark.slow
def test_files_that_another_process_writes(
    finished: Path, build: Builder, batch: arviz.InferenceData, tmp_path: Path
) -> None:
    """Lines come in pieces, the two files not in step; the readable store only ever gains steps.

    Ends with the last step and not with a pause: a busy machine may keep the writer waiting.
    """
    script = Path(__file__).parent / "growing_files.py"
    names = ("qcm.txt", "cell.txt")
    for name in names:
        (tmp_path / name).touch()
    files = [f"{tmp_path / name}={finished / name}" for name in names]
    source = GrowingRecording(*(tmp_path / name for name in names), first_part=FIRST_PART)
    with subprocess.Popen([sys.executable, script, "80", "0.03", *files]) as writer:
        updates = follow(source, build, store=tmp_path / "run.zarr", idle=120.0, **OPTIONS)
        for update in updates:
            assert open_run(tmp_path / "run.zarr").posterior.sizes["time"] == update.step
            if update.step == batch.posterior.sizes["time"]:
                break
        updates.close()  # type: ignore[attr-defined]
    assert writer.returncode == 0
    assert_same(open_run(tmp_path / "run.zarr"), batch)


@pytest.mark.slow
def test_a_closed_run_goes_on(steps: xr.Dataset, build: Builder, batch: arviz.InferenceData, tmp_path: Path) -> None:
    for stop in (1, 5, 4, 100):
        updates: Iterator[Update] = follow(
            Slices(steps), build, store=tmp_path / "run.zarr", idle=1.0, checkpoint_interval=3, **OPTIONS
        )
        for count, _ in enumerate(updates, 1):
            if count == stop:
                break
        updates.close()  # type: ignore[attr-defined]
    assert_same(open_run(tmp_path / "run.zarr"), batch)


def test_another_run_is_not_continued(steps: xr.Dataset, build: Builder, tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    next(follow(Slices(steps), build, store=store, idle=0.0, **OPTIONS))
    with pytest.raises(InputError, match="another model, prior, series, setting or seed"):
        next(follow(Slices(steps), build, store=store, idle=0.0, **(OPTIONS | {"seed": 4})))
    with pytest.raises(InputError, match="another model, prior, series, setting or seed"):
        next(follow(Slices(steps + 1.0), build, store=store, idle=0.0, **OPTIONS))
    (tmp_path / "run.zarr.checkpoint" / "state.npz").unlink()
    with pytest.raises(InputError, match="is missing: name another store"):
        next(follow(Slices(steps), build, store=store, idle=0.0, **OPTIONS))


@pytest.mark.slow
def test_a_filter_that_is_behind_merges_steps_when_asked(steps: xr.Dataset, build: Builder, tmp_path: Path) -> None:
    """All steps are there at once: 36 s behind. No charge is lost, and a restart repeats it."""
    store, whole = tmp_path / "run.zarr", Slices(steps, steps.sizes["time"])
    updates = follow(whole, build, store=store, idle=0.0, max_lag=8.0, checkpoint_interval=2, **OPTIONS)
    first = [next(updates) for _ in range(3)]
    assert [update.time for update in first] == [10.0, 18.0, 24.0]
    assert first[-1].skipped == 9
    result = open_run(store)
    assert result.attrs["skipped_steps"] == 9
    current, charge = (result["constant_data"][f"{name}_density"].values for name in ("current", "charge"))
    durations = np.diff(result.posterior["time"].values, prepend=0.0)
    np.testing.assert_allclose(np.cumsum(durations * current), charge, rtol=1e-12)
    del updates  # ends without a checkpoint of its third step being needed
    rest = list(follow(whole, build, store=store, idle=0.0, max_lag=1000.0, **OPTIONS))
    times = open_run(store).posterior["time"].values
    assert times[:3].tolist() == [10.0, 18.0, 24.0]
    assert np.diff(times[2:]).tolist() == [2.0] * (len(times) - 3)
    assert rest[-1].step == len(times)


def words(folder: Path, model: Path, *more: object) -> list[object]:
    return [
        "filter",
        folder / "qcm.txt",
        "--electrochemistry",
        folder / "cell.txt",
        "--model",
        model,
        *WORDS,
        *more,
    ]


def test_the_command_follows_and_a_batch_agrees(
    run: Callable[..., Outcome], finished: Path, small_model: Path, tmp_path: Path
) -> None:
    outcome = run(*words(finished, small_model, "--follow", "--idle", 0.3, "--output", tmp_path / "run.zarr"))
    assert outcome.code == 0, outcome
    assert outcome.output == f"{tmp_path / 'run.zarr'}\n"
    for said in ("assumed: all estimated from the first 12 s", "s behind it", "ended: nothing was added for 0.3 s"):
        assert said in outcome.error
    batch_words = words(finished, small_model, "--keep-checkpoint", "--output", tmp_path / "run.nc")
    assert run(*batch_words).code == 0
    assert_same(open_run(tmp_path / "run.zarr"), open_run(tmp_path / "run.nc"))
    pages = [run("report", tmp_path / name, "--output", tmp_path / f"{name}.html") for name in ("run.zarr", "run.nc")]
    assert [page.code for page in pages] == [0, 0]
    scores = [run("report", tmp_path / name, "--score").output for name in ("run.zarr", "run.nc")]
    assert scores[0] == scores[1] != ""
    for name in ("run.zarr", "run.nc"):
        to = ["--current=-2:8", "--output", tmp_path / f"{name}.forecast.nc"]
        assert run("forecast", tmp_path / name, "--model", small_model, *to).code == 0
    forecasts = [open_run(tmp_path / f"{name}.forecast.nc") for name in ("run.zarr", "run.nc")]
    xr.testing.assert_equal(forecasts[0]["predictions"], forecasts[1]["predictions"])


def test_impossible_options_are_refused(
    run: Callable[..., Outcome], finished: Path, small_model: Path, tmp_path: Path
) -> None:
    follow_to = ["--follow", "--output"]
    refused(run(*words(finished, small_model, *follow_to, tmp_path / "run.nc")), "name it with .zarr")
    for option in ("--resume", "--keep-checkpoint"):
        refused(run(*words(finished, small_model, *follow_to, tmp_path / "run.zarr", option)), f"{option} is not for")
    refused(run(*words(finished, small_model, "--idle", 3, "--output", tmp_path / "run.nc")), "--idle is for --follow")
    refused(run(*words(finished, small_model, *follow_to, tmp_path / "no" / "run.zarr")), "does not exist")
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0o555)
    refused(run(*words(finished, small_model, *follow_to, tmp_path / "locked" / "run.zarr")), "is read-only")
    assert not any((tmp_path / "locked").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("writes", [60, 300, 600])
def test_a_full_disk_is_one_line_and_the_run_goes_on(
    run: Callable[..., Outcome],
    finished: Path,
    small_model: Path,
    batch: arviz.InferenceData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    put, left = zarr.storage._local._put, [writes]

    def limited(path: Path, *arguments: Any, **options: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return put(path, *arguments, **options)

    command = words(finished, small_model, "--follow", "--idle", 0.3, "--output", tmp_path / "run.zarr")
    with monkeypatch.context() as full:
        full.setattr(zarr.storage._local, "_put", limited)
        outcome = run(*command)
    assert outcome.code == 2
    assert "No space left on device" in outcome.error.splitlines()[-1]
    assert "steps so far can be read" in outcome.error
    if writes > 200:
        part = open_run(tmp_path / "run.zarr")
        length = part.posterior.sizes["time"]
        xr.testing.assert_equal(part.posterior["thickness"], batch.posterior["thickness"].isel(time=slice(0, length)))
    assert run(*command).code == 0
    assert_same(open_run(tmp_path / "run.zarr"), batch)


@pytest.mark.slow
def test_killed_at_random_moments(
    contents: dict[str, bytes], small_model: Path, batch: arviz.InferenceData, tmp_path: Path
) -> None:
    from follow_killed import killed_run  # also a script, for more kills

    result = killed_run(contents, small_model, tmp_path, [str(word) for word in WORDS], kills=5, seed=1)
    assert_same(result, batch)


def test_a_pause_is_survived(
    contents: dict[str, bytes], build: Builder, batch: arviz.InferenceData, tmp_path: Path
) -> None:
    """The potentiostat's file lags behind, then both come at once."""
    half = {tmp_path / name: data[: len(data) // 2] for name, data in contents.items()}
    rest = {tmp_path / name: data[len(data) // 2 :] for name, data in contents.items()}
    write_growing(half, 1, 0.0)
    source = GrowingRecording(tmp_path / "qcm.txt", tmp_path / "cell.txt", first_part=FIRST_PART)
    updates = follow(source, build, store=tmp_path / "run.zarr", idle=2.0, **OPTIONS)
    for _ in range(6):
        next(updates)
    time.sleep(0.5)
    write_growing({tmp_path / "qcm.txt": rest[tmp_path / "qcm.txt"]}, 2, 0.1)
    write_growing({tmp_path / "cell.txt": rest[tmp_path / "cell.txt"]}, 2, 0.1)
    list(updates)
    assert_same(open_run(tmp_path / "run.zarr"), batch)


def test_two_followers_of_one_store(steps: xr.Dataset, build: Builder, tmp_path: Path) -> None:
    first = follow(Slices(steps), build, store=tmp_path / "run.zarr", **OPTIONS)
    next(first)
    with pytest.raises(InputError, match=rf"run.zarr is being written by process {os.getpid()} on"):
        next(follow(Slices(steps), build, store=tmp_path / "run.zarr", **OPTIONS))
    next(first)  # undisturbed
    first.close()  # type: ignore[attr-defined]
    next(follow(Slices(steps), build, store=tmp_path / "run.zarr", **OPTIONS))


UNWRITABLE = {
    "full": ["unshare", "--user", "--map-root-user", "--mount"],
    "read-only": [] if os.geteuid() else ["setpriv", "--bounding-set=-all"],  # root may write anywhere
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNWRITABLE)
def test_a_real_disk_that_cannot_be_written(
    kind: str, finished: Path, small_model: Path, batch: arviz.InferenceData, tmp_path: Path
) -> None:
    """Full at random moments, or read-only from one on: one error, the store readable, and the run goes on."""
    tried = ["mount", "-t", "tmpfs", "tmpfs", tmp_path] if kind == "full" else [sys.executable, "-c", ""]
    try:
        subprocess.run([*UNWRITABLE[kind], *tried], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not allowed here: {error}")
    for name in ("qcm.txt", "cell.txt"):
        shutil.copy(finished / name, tmp_path)
    save(batch, tmp_path / "batch.nc")
    script = Path(__file__).parent / "unwritable_disk.py"
    command = [*UNWRITABLE[kind], sys.executable, script, kind, tmp_path, small_model, tmp_path / "batch.nc", "4"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("readable, then completed") == 4
