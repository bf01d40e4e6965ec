"""Completion, as bash itself would do it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import Outcome

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def complete(run: Callable[..., Outcome], tmp_path: Path) -> Callable[..., set[str]]:
    script = tmp_path / "completion.sh"
    script.write_text(run("--print-completion", "bash").output)

    def complete(*words: str) -> set[str]:
        """What bash offers for the last of the words."""
        lines = [
            f"source {script}",
            f"COMP_WORDS=(hmm-plating {' '.join(repr(word) for word in words)})",
            f"COMP_CWORD={len(words)}",
            "$(complete -p hmm-plating | sed 's/.*-F \\([^ ]*\\).*/\\1/')",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        ]
        done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, cwd=tmp_path)
        return set(done.stdout.split())

    return complete


def test_commands_and_options(complete: Callable[..., set[str]]) -> None:
    assert {"filter", "forecast"} <= complete("f")
    assert "--withhold" in complete("filter", "--w")


def test_files_where_an_option_takes_one(complete: Callable[..., set[str]], tmp_path: Path) -> None:
    (tmp_path / "zinc_model.py").touch()
    assert complete("filter", "--model", "zinc") == {"zinc_model.py"}
    assert complete("report", "zin") == {"zinc_model.py"}
    assert complete("filter", "--particles", "zinc") == set()
