"""Files cut short and corrupted at random: a clear error or a reading that says what is missing, never wrong numbers.

A few hundred per format here; `benchmarks/corrupted_files.py` does the same with tens of thousands.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from damaged_files import CUT, EXCEPTION, PARTIAL, SILENT, UNCHANGED, Damage, case, outcome, tally
from hypothesis import given, settings
from hypothesis import strategies as st
from instrument_files import FILES, OTHER_COLUMNS, plain_table


@pytest.mark.parametrize("name", FILES)
def test_random_damage(tmp_path: Path, name: str):
    if name == "EC-Lab .mpr" and importlib.util.find_spec("galvani") is None:
        pytest.skip("needs the optional package galvani")
    made = case(tmp_path / "file", FILES[name](), OTHER_COLUMNS if name == "table by --columns" else "")
    reports: list[str] = []
    found = tally(made, 200, 11, reports.append)
    assert found[EXCEPTION] == found[SILENT] == 0, reports
    assert found.total() == 200
    assert outcome(made, Damage(made.data, 0)) == UNCHANGED


@settings(max_examples=60)
@given(st.data())
def test_every_cut_is_said_or_at_the_end_of_a_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    """Where a text is cut decides what can be known: within a line it is said, at its end nobody can tell."""
    made = case(tmp_path_factory.mktemp("cut") / "file", plain_table())
    first = made.data.index(b"\n") + 1
    length = data.draw(st.integers(first + 400, len(made.data) - 1))
    expected = CUT if made.data[length - 1 : length] == b"\n" else PARTIAL
    assert outcome(made, Damage(made.data[:length], 0)) == expected


def test_the_judge_sees_wrong_numbers(tmp_path: Path):
    """Values that moved by one column are what it must call by their name."""
    made = case(tmp_path / "file", plain_table())
    lines = made.data.decode().split("\n")
    rows = [line.split(";") for line in lines[1:-1]]
    moved = "\n".join([lines[0], *(";".join([*row[:3], row[4], row[3], *row[5:]]) for row in rows), ""])
    assert outcome(made, Damage(moved.encode(), 1)) != UNCHANGED
    swapped = "\n".join([lines[0].replace("D3", "D").replace("D5", "D3").replace("D;", "D5;"), *lines[1:]])
    assert outcome(made, Damage(swapped.encode(), 1)) == SILENT
