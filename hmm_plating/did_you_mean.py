"""What a mistyped name may have meant, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

LISTED = 5  # names that a message shows at most


def closest(name: str, names: Iterable[str]) -> str | None:
    """The known name that is most like a given one; None where none is."""
    return next(iter(difflib.get_close_matches(name, list(names), 1)), None)


def no_such_file(path: str | Path) -> str:
    """What to say of a file that is not there: that it is a folder, or which other names its folder has."""
    path = Path(path)
    if path.is_dir():
        return f"{path} is a folder: name the files in it"
    if not path.parent.is_dir():
        return f"{path}: no such file; there is no folder {path.parent} here, {Path.cwd()}"
    others = sorted(other.name for other in path.parent.iterdir() if other.is_file() and not other.name.startswith("."))
    listing = ", ".join(others[:LISTED]) + ", …" * (len(others) > LISTED)
    if meant := closest(path.name, others):
        return f"{path}: no such file; did you mean {path.with_name(meant)}?"
    return f"{path}: no such file; {path.absolute().parent} has {listing or 'no files'}"
