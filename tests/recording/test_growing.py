"""A file that is being written says in the end what the finished one says; what happens to it is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instrument_files import awsensors, openqcm, qcm_i, qsense_text, qsoft, single_frequency

from hmm_plating import InputError
from hmm_plating.recording import growing
from hmm_plating.recording.formats import NO_HINTS, Contents, read_data
from hmm_plating.recording.growing import GrowingText

FILES = {
    "qsoft": qsoft(),
    "qsoft, decimal comma": qsoft(",", "\t"),
    "qsense_text": qsense_text(),
    "qcm_i": qcm_i(),
    "openqcm": openqcm(),
    "awsensors": awsensors(),
    "single_frequency": single_frequency(),
}


def assert_same(one: Contents, other: Contents) -> None:
    assert one.crystal is not None
    assert other.crystal is not None
    for name in ("time", "overtones", "frequency", "dissipation"):
        np.testing.assert_array_equal(getattr(one.crystal, name), getattr(other.crystal, name))
    assert one.crystal.absolute == other.crystal.absolute


def lines(rows: range, scale: float = 1.0) -> bytes:
    """A QSoft text with 2 s between samples."""
    header = "Time_1 [s];f3_1 [Hz];D3_1 [ppm]\n" if rows.start == 0 else ""
    return (header + "".join(f"{2 * i};{15e6 + scale * i};{100 + 0.1 * i:.3f}\n" for i in rows)).encode()


def with_header(rows: range, scale: float = 1.0) -> bytes:
    return lines(range(0)) + lines(range(rows.start, rows.stop), scale) if rows.start else lines(rows, scale)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.floats(0, 1), min_size=1, max_size=8))
@pytest.mark.parametrize("name", FILES)
def test_pieces_say_what_the_whole_says(tmp_path: Path, name: str, cuts: list[float]) -> None:
    data, path = FILES[name], tmp_path / "growing.txt"
    path.write_bytes(b"")
    file = GrowingText(path, NO_HINTS, "crystal")
    file_first_lines, growing.FIRST_LINES = growing.FIRST_LINES, 10
    try:
        written = 0
        for stop in sorted({round(cut * len(data)) for cut in cuts} | {len(data)}):
            with open(path, "ab") as handle:
                handle.write(data[written:stop])
            written = stop
            file.read()
    finally:
        growing.FIRST_LINES = file_first_lines
    assert file.contents is not None
    assert_same(file.contents, read_data(data, path, NO_HINTS, "crystal"))
    assert not file.read()


def test_the_last_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "qcm.txt"
    path.write_bytes(lines(range(60)) + b"120;15000")
    file = GrowingText(path, NO_HINTS, "crystal")
    assert file.read()
    assert file.contents is not None
    assert file.contents.crystal is not None
    assert file.contents.crystal.time[-1] == 118
    with open(path, "ab") as handle:
        handle.write(b"060;106.0\n122;15000061;106.1")
    assert file.read()
    assert file.contents.crystal.time[-1] == 120
    assert file.contents.crystal.frequency[-1, 0] == 15000060


@pytest.mark.parametrize("start", [100, 40], ids=["later samples", "some samples again"])
def test_a_rotated_file_continues(tmp_path: Path, start: int) -> None:
    path = tmp_path / "qcm.txt"
    path.write_bytes(lines(range(70)))
    file = GrowingText(path, NO_HINTS, "crystal")
    file.read()
    with open(path, "ab") as handle:
        handle.write(lines(range(70, 100)))  # seen by no one before the file is moved away
    path.rename(tmp_path / "qcm.txt.1")
    assert file.read()
    path.write_bytes(with_header(range(start, 120)))
    assert file.read()
    with open(path, "ab") as handle:
        handle.write(lines(range(120, 200)))
    assert file.read()
    assert file.contents is not None
    assert_same(file.contents, read_data(lines(range(200)), path, NO_HINTS, "crystal"))
    assert any("was replaced" in note for note in file.notes)


def test_a_file_that_is_written_anew_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "qcm.txt"
    path.write_bytes(lines(range(70)))
    file = GrowingText(path, NO_HINTS, "crystal")
    file.read()
    for rows in (30, 70, 90):
        path.write_bytes(lines(range(rows)))
        assert file.read() == (rows == 90)
    assert file.contents is not None
    assert_same(file.contents, read_data(lines(range(90)), path, NO_HINTS, "crystal"))


def test_another_recording_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "qcm.txt"
    path.write_bytes(lines(range(70)))
    file = GrowingText(path, NO_HINTS, "crystal")
    file.read()
    path.write_bytes(lines(range(20), scale=2.0))
    with pytest.raises(InputError, match="another recording is in the file's place"):
        file.read()


def test_time_that_goes_back_is_refused_and_a_jump_is_said(tmp_path: Path) -> None:
    path = tmp_path / "qcm.txt"
    path.write_bytes(lines(range(70)))
    file = GrowingText(path, NO_HINTS, "crystal")
    file.read()
    with open(path, "ab") as handle:
        handle.write(lines(range(100, 120)))
    assert file.read()
    assert file.notes == ["qcm.txt: no sample from 138 to 200 s (a pause, or a clock)"]
    with open(path, "ab") as handle:
        handle.write(lines(range(110, 130)))
    with pytest.raises(InputError, match="time goes back, from 238 to 220 s"):
        file.read()


def test_a_pause_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now = tmp_path / "qcm.txt", [0.0]
    monkeypatch.setattr(growing.time, "monotonic", lambda: now[0])
    path.write_bytes(lines(range(70)))
    file = GrowingText(path, NO_HINTS, "crystal")
    for _ in range(30):
        file.read()
        now[0] += 1.0
    assert file.notes == ["qcm.txt: no new sample for 10 s; waiting"]
    with open(path, "ab") as handle:
        handle.write(lines(range(70, 71)))
    file.read()
    assert file.notes[1:] == ["qcm.txt: samples again after 30 s"]


def test_a_damaged_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "qcm.txt"
    path.write_bytes(lines(range(70)))
    file = GrowingText(path, NO_HINTS, "crystal")
    file.read()
    with open(path, "ab") as handle:
        handle.write(b"140;15000070;1e-3x\n")
    with pytest.raises(InputError, match="'1e-3x' is not a number"):
        file.read()


def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"PK\x03\x04\x00")
    (tmp_path / "utf16").write_bytes("Time".encode("utf-16"))
    for name in ("binary", "utf16"):
        with pytest.raises(InputError, match="only text can be followed"):
            GrowingText(tmp_path / name, NO_HINTS, "crystal")
    with pytest.raises(InputError, match="no such file"):
        GrowingText(tmp_path / "absent", NO_HINTS, "crystal")
    (tmp_path / "text").write_bytes(lines(range(70)))
    with pytest.raises(InputError, match="without time"):
        GrowingText(tmp_path / "text", NO_HINTS._replace(scan_rate=0.01), "crystal")
