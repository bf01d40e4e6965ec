"""A run has one writer at a time; a second one is told who it is."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hmm_plating import InputError
from hmm_plating.run_lock import LOCK, WRITER, only_writer

HOLD = """
import sys
from pathlib import Path
from hmm_plating.run_lock import only_writer
with only_writer(Path(sys.argv[1]), Path("run.zarr")):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_told_of_the_first(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as other:
        with (
            pytest.raises(InputError, match=rf"process {other.pid} on {platform.node()} since 20") as raised,
            only_writer(tmp_path / "run", Path("run.zarr")),
        ):
            pass
        assert "run.zarr is being written by" in str(raised.value)
        other.communicate()
    assert not (tmp_path / "run").exists()  # nothing was kept in it
    with only_writer(tmp_path / "run", Path("run.zarr")):
        assert (tmp_path / "run" / WRITER).exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    """With what it left: who it was, and a half-written file."""
    with holder(tmp_path / "run") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    (tmp_path / "run" / ".state.npz-1234.partial").write_bytes(b"half")
    (tmp_path / "run" / "state.npz").write_bytes(b"whole")
    assert str(other.pid) in (tmp_path / "run" / WRITER).read_text()
    with only_writer(tmp_path / "run", Path("run.zarr")):
        assert str(os.getpid()) in (tmp_path / "run" / WRITER).read_text()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [LOCK, "state.npz"]


def test_no_lock_without_a_place(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="does not exist"),
        only_writer(tmp_path / "no" / "run", Path("run.zarr")),
    ):
        pass
