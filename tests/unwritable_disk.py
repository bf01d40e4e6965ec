"""Followed runs whose disk is full, or whose folder becomes read-only, at random moments; each then goes on.

In a process of its own, for it needs other rights than a test has:

    unshare --user --map-root-user --mount python tests/unwritable_disk.py full FOLDER MODEL BATCH.nc COUNT
    setpriv --bounding-set=-all python tests/unwritable_disk.py read-only FOLDER MODEL BATCH.nc COUNT

FOLDER holds `qcm.txt` and `cell.txt`; BATCH.nc is the result of them with the options below. The full disk is a real
one, a tmpfs of a random number of pages; the read-only folder binds, for the process has no right to pass over it.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import arviz
import numpy as np
import pytest

from hmm_plating import InputError, open_run
from hmm_plating.cli import main

OPTIONS = {"particles": 4, "chains": 2, "seed": 3, "first-part": 12, "checkpoint-interval": 3}
PAGE = 4096
ROOM = 64 * 2**20


def follow(folder: Path, model: Path, store: Path) -> tuple[int, str]:
    """Exit code and standard error of the command."""
    words = ["filter", folder / "qcm.txt", "--electrochemistry", folder / "cell.txt", "--model", model]
    words += [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        code = main([str(word) for word in (*words, "--follow", "--idle", 0.05, "--output", store)])
    return code, error.getvalue()


def require_same(store: Path, batch: arviz.InferenceData, whole: bool) -> int:
    """How many steps the store has; they must be those of the batch, all of them where the run is whole."""
    try:
        found = open_run(store)
    except InputError as error:
        if whole or not any(words in str(error) for words in ("no step yet", "no run of", "no such", "not exist")):
            raise
        return 0
    steps = found.posterior.sizes["time"]
    assert not whole or steps == batch.posterior.sizes["time"]
    for group in found.groups():
        expected = batch[group]
        if "time" in expected.dims:
            expected = expected.isel(time=slice(0, steps))
        if "morphology" in expected and expected["morphology"].isnull().all():  # the first is kept some steps later
            expected = expected.drop_vars(["morphology", "y", "x"])
        different = [name for name in expected.variables if not expected[name].equals(found[group].get(name))]
        assert not different, f"{group}: {different} after {steps} steps"
    return steps


def require_one_error(code: int, error: str, *words: str) -> None:
    lines = [line for line in error.splitlines() if ": error: " in line]
    assert code == 2, error
    assert len(lines) == 1, error
    assert error.splitlines()[-1] == lines[0]
    assert "Traceback" not in error
    assert any(word in lines[0] for word in words), error


def full(folder: Path, model: Path, batch: arviz.InferenceData, count: int) -> None:
    disk = folder / "disk"
    disk.mkdir()
    generator = np.random.default_rng(1)
    most = 0
    for attempt in range(count + 1):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", disk], check=True)
        store = disk / "run.zarr"
        if attempt == 0:
            code, error = follow(folder, model, store)
            assert code == 0, error
            require_same(store, batch, whole=True)
            most = sum(-(-path.stat().st_size // PAGE) for path in disk.rglob("*") if path.is_file())
        else:
            pages = int(generator.integers(1, most))
            subprocess.run(["mount", "-o", f"remount,size={pages * PAGE}", disk], check=True)
            code, error = follow(folder, model, store)
            require_one_error(code, error, "No space left on device")
            steps = require_same(store, batch, whole=False)
            code, error = follow(folder, model, store)  # nothing has changed: the same again
            require_one_error(code, error, "No space left on device")
            assert require_same(store, batch, whole=False) >= steps
            subprocess.run(["mount", "-o", f"remount,size={ROOM}", disk], check=True)
            code, error = follow(folder, model, store)
            assert code == 0, error
            require_same(store, batch, whole=True)
            assert not list(disk.rglob("*.partial"))
            print(f"full at {pages} of {most} pages, {steps} steps: readable, then completed", flush=True)
        subprocess.run(["umount", disk], check=True)


def read_only(folder: Path, model: Path, batch: arviz.InferenceData, count: int) -> None:
    from hmm_plating.follow import follow as updates_of
    from hmm_plating.model_file import load_model_file
    from hmm_plating.recording.growing_recording import GrowingRecording

    generator = np.random.default_rng(2)
    files = (folder / "qcm.txt", folder / "cell.txt")
    for attempt in range(count):
        home = folder / f"home-{attempt}"
        home.mkdir()
        store = home / "run.zarr"
        moment = int(generator.integers(1, batch.posterior.sizes["time"] - 1))
        source = GrowingRecording(*files, first_part=OPTIONS["first-part"])
        settings = {name: OPTIONS[name] for name in ("particles", "chains", "seed")}
        updates = updates_of(source, load_model_file(model), store=store, idle=0.05, checkpoint_interval=3, **settings)
        for _ in range(moment):
            next(updates)
        folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
        for each in folders:
            each.chmod(0o555)
        said = f"(Permission denied; its|is read-only.*the) {moment} steps so far can be read"
        with pytest.raises(InputError, match=said):
            next(updates)
        assert require_same(store, batch, whole=False) == moment
        code, error_text = follow(folder, model, store)
        require_one_error(code, error_text, "is read-only")
        assert require_same(store, batch, whole=False) == moment
        for each in folders:
            each.chmod(0o755)
        code, error_text = follow(folder, model, store)
        assert code == 0, error_text
        require_same(store, batch, whole=True)
        print(f"read-only after {moment} steps: readable, then completed", flush=True)


if __name__ == "__main__":
    kind, folder, model, batch, count = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], int(sys.argv[5])
    {"full": full, "read-only": read_only}[kind](folder, model, open_run(batch), count)
