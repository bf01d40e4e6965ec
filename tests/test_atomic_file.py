"""A file is written whole or not at all, and is then as any other file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hmm_plating.atomic_file import atomic_write
from hmm_plating.errors import InputError


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "file") as temporary:
            temporary.write_text("whole")
        assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    finally:
        assert os.umask(before) == mask


def test_what_is_interrupted_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_write(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    (tmp_path / "file").write_text("the old one")
    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "the old one"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is no folder: create it"), atomic_write(tmp_path / "file" / "below"):
        pass
