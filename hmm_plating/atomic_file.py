"""Files that are either complete or absent."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hmm_plating.errors import InputError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty file in the folder of `path`; on success rename it to `path`, otherwise remove it.

    Raises:
        InputError: the folder is missing or cannot be written to, or writing failed.
    """
    path = Path(path)
    check_folder(path.parent)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".partial")
    except OSError as error:
        raise InputError(f"cannot write into {path.parent}: {error.strerror or error}") from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        temporary.chmod(0o666 & ~_umask())  # as of any new file: mkstemp lets nobody else read
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Raise InputError unless files can be created in `folder`."""
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist or is no folder: create it or choose another")
    anyone_may_write = folder.stat().st_mode & 0o222  # access() grants a superuser everything
    if not (anyone_may_write and os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(f"folder {folder} is read-only: choose another")


def _umask() -> int:
    """The permissions that new files lack; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
