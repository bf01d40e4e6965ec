"""What a run of the command line came to, and what every unusable input must come to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    code: int
    output: str
    error: str


def refused(outcome: Outcome, *expected: str) -> None:
    """Exactly one line on standard error, which says all of this, and exit code 2."""
    assert outcome.code == 2, outcome
    assert outcome.output == ""
    assert outcome.error.count("\n") == 1
    assert outcome.error.endswith("\n")
    assert outcome.error.startswith("hmm-plating")
    assert ": error: " in outcome.error
    assert "Trace Shapes" not in outcome.error
    for words in expected:
        assert words in outcome.error


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Nothing is written, removed or changed in the folder."""

    def contents() -> dict[Path, bytes | None]:
        return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}

    before = contents()
    yield
    assert contents() == before
