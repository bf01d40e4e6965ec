"""One process writes a run: a lock beside its store, which the operating system frees when that process dies.

`lock` is what is locked, `writer.json` says by whom, for the message to a second one. What a killed process left, that
file or half a file, binds nobody.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hmm_plating.atomic_file import atomic_write
from hmm_plating.errors import InputError
from hmm_plating.inference.checkpoint import create_folder

LOCK, WRITER = "lock", "writer.json"


@contextmanager
def only_writer(folder: Path, store: Path) -> Iterator[None]:
    """Hold the lock in `folder`, which is made where it is missing, of the run in `store`.

    Raises:
        InputError: another process holds it, which the message names; the folder cannot be written into.
    """
    create_folder(folder)
    lock, writer = FileLock(folder / LOCK, thread_local=False), folder / WRITER
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InputError(
            f"{store} is being written by {_holder(writer)}: wait for it, stop it, or name another store"
        ) from error
    except OSError as error:
        raise InputError(f"cannot lock {folder / LOCK}: {error.strerror or error}") from error
    try:
        for left in folder.glob(".*.partial"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        with atomic_write(writer) as temporary:
            temporary.write_text(
                json.dumps({"process": os.getpid(), "computer": platform.node(), "since": time.time()})
            )
        yield
    finally:
        with suppress(OSError):  # a disk that has become read-only
            writer.unlink(missing_ok=True)
            if all(entry.name == LOCK for entry in folder.iterdir()):  # nothing was kept
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()
        lock.release()


def _holder(writer: Path) -> str:
    try:
        said = json.loads(writer.read_text())
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(said["since"])))
        return f"process {int(said['process'])} on {said['computer']} since {since}"
    except (OSError, ValueError, KeyError, TypeError):  # it has only just begun
        return "another process"
