"""Files that are either complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hmm_plating.errors import InputError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; on success rename it to `path`, otherwise remove it.

    Raises:
        InputError: the folder is missing or cannot be written to.
    """
    path = Path(path)
    check_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Raise InputError unless files can be created in `folder`."""
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist: create it or choose another")
    anyone_may_write = folder.stat().st_mode & 0o222  # access() grants a superuser everything
    if not (anyone_may_write and os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(f"folder {folder} is read-only: choose another")
