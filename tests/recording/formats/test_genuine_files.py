"""Genuine files, where they lie beside the repository, against their raw bytes and what NOTES.md there states.

The expected numbers are taken out of the files with `struct` and plain string splitting, never through a reader.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from hmm_plating.recording import Hints, read
from hmm_plating.recording.formats import read_contents


@pytest.fixture(scope="module")
def folder() -> Path:
    folder = Path(__file__).parents[4] / "shared" / "data" / "formats"
    if not folder.is_dir():
        pytest.skip(f"needs genuine instrument files, expected in {folder}")
    return folder


def _fields(path: Path, line: int, separator: str) -> list[str]:
    """Fields of one line, counted from 0."""
    return path.read_bytes().decode("latin-1").replace("\r\n", "\n").split("\n")[line].split(separator)


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def test_qsense_binary(folder: Path):
    """n = 1…13, 22 669 points (two overtones have one more), 0.40 s apart; arrays `0b 00 | N | doubles`."""
    data = (folder / "qsense_bsa.qsd").read_bytes()
    crystal = read_contents(folder / "qsense_bsa.qsd").crystal
    assert crystal is not None
    assert crystal.dissipation is not None
    assert crystal.overtones.tolist() == [1, 3, 5, 7, 9, 11, 13]
    assert np.isfinite(crystal.frequency).sum(axis=0).tolist() == [22670, 22670, *[22669] * 5]
    assert np.median(np.diff(crystal.time)) == pytest.approx(0.40, abs=0.005)
    position = data.index(b"\x02\x08\x00\x00", data.rindex(b"XtalDriveTimeFloat"))
    for column, count in enumerate([22670, 22670, *[22669] * 5]):
        arrays = position + 4 + 12 + 8
        frequency = arrays + (6 + 8 * count) + 6
        dissipation = frequency + 8 * count + 6
        for values, start, unit in ((crystal.frequency, frequency, 1.0), (crystal.dissipation, dissipation, 1e-6)):
            first, last = (struct.unpack_from("<d", data, start + 8 * k)[0] for k in (0, count - 1))
            assert values[0, column] == pytest.approx(unit * first, rel=1e-15)
            assert values[count - 1, column] == pytest.approx(unit * last, rel=1e-15)
        position = dissipation + 8 * count
    assert crystal.frequency[0, 0] == pytest.approx(4957669.88674703)
    assert 1e6 * crystal.dissipation[0, 0] == pytest.approx(365.8389404)
    assert crystal.start[0].date() == datetime(2023, 7, 28).date()


def test_qcm_i(folder: Path):
    """n = 1…13, 5 s; f absolute, D plain."""
    path = folder / "qcm_i_bsa.csv"
    header = _fields(path, 0, ",")
    first, last = _fields(path, 1, ","), _fields(path, 879, ",")
    crystal = read_contents(path).crystal
    assert crystal is not None
    assert crystal.dissipation is not None
    assert crystal.frequency.shape == (879, 7)
    assert np.median(np.diff(crystal.time)) == pytest.approx(5.0, abs=0.1)
    for column, n in enumerate([1, 3, 5, 7, 9, 11, 13]):
        frequency = "Channel A Fundamental Frequency [Hz]" if n == 1 else f"Channel A {n}. Overtone [Hz]"
        dissipation = "Channel A Fundamental Dissipation [ ]" if n == 1 else f"Channel A {n}. Dissipation  [ ]"
        for row, fields in ((0, first), (-1, last)):
            assert crystal.frequency[row, column] == float(fields[header.index(frequency)])
            assert crystal.dissipation[row, column] == float(fields[header.index(dissipation)])
    assert crystal.time[0] == float(first[0])


def test_gamry(folder: Path):
    """Two clocks: QCMOFFSETTIME subtracted; no dissipation; the charge, counted anew in each curve, runs on."""
    path = folder / "gamry_copper.DTA"
    lines = path.read_text().split("\n")
    points = [line.split("\t") for line in lines if line.startswith("\t") and line.endswith("...........")]
    title = lines.index("QCMCurve\tDTABLE")
    crystals = [line.split("\t") for line in lines[title + 3 :] if line]
    found = read_contents(path)
    assert found.crystal is not None
    assert found.potentiostat is not None
    assert len(points) == len(found.potentiostat.time) == 3500
    assert len(crystals) == len(found.crystal.time) == 465
    assert found.crystal.dissipation is None
    assert found.area == pytest.approx(0.209e-4)
    for row in (0, 1, 200, -1):
        assert found.crystal.time[row] == pytest.approx(_number(crystals[row][2]) - 58.025, abs=1e-9)
        assert found.crystal.frequency[row, 0] == pytest.approx(1e6 * _number(crystals[row][3]), rel=1e-12)
        assert found.potentiostat.time[row] == _number(points[row][2])
        assert found.potentiostat.potential[row] == _number(points[row][4])
        assert found.potentiostat.current[row] == _number(points[row][5])
    current = np.array([_number(point[5]) for point in points])
    integral = np.cumsum(current * np.diff(found.potentiostat.time, prepend=0.0))
    assert np.abs(found.potentiostat.charge - integral).max() < 0.01 * np.ptp(integral)
    dataset = read(path)
    assert dataset.attrs["fundamental_frequency"] == pytest.approx(10e6, rel=2e-3)
    # Sauerbrey: 226 Hz cm²/µg; the copper of the whole sweep to half the charge's mass at least: CE from 0.5 to 1.1
    mass_per_charge = 63.546 / (2 * 96485.33) * 1e6  # µg/C
    shift = dataset["frequency_shift"].values[:, 0]
    plated = (dataset["charge_density"].values - dataset["charge_density"].values[0]) * dataset.attrs["area"]
    slope = np.polyfit(plated, shift * 0.209 / 226, 1)[0]  # µg per C, plating negative on both sides
    assert 0.5 < slope / mass_per_charge < 1.2


def test_eclab_mpt(folder: Path):
    """latin-1, decimal comma, header line 73, 223 points as announced."""
    path = folder / "eclab_cv.mpt"
    header, first, last = (_fields(path, line, "\t") for line in (72, 73, 73 + 222))
    recorded = read_contents(path).potentiostat
    assert recorded is not None
    assert len(recorded.time) == 223
    assert recorded.averaged
    for row, fields in ((0, first), (-1, last)):
        assert recorded.time[row] == _number(fields[header.index("time/s")])
        assert recorded.potential[row] == _number(fields[header.index("Ewe/V")])
        assert recorded.current[row] == pytest.approx(1e-3 * _number(fields[header.index("<I>/mA")]), rel=1e-15)
        assert recorded.charge[row] == _number(fields[header.index("(Q-Qo)/C")])
    assert recorded.start == (datetime(2020, 7, 29, 10, 31, 1),)


def test_eqcm_pair(folder: Path):
    """Local time against UTC: 2 h apart; the potentiostat's file is cut and covers a fifth."""
    frequency, potentiostat = folder / "eqcm_cv_frequency.csv", folder / "eqcm_cv_potentiostat.txt"
    first = _fields(frequency, 1, ",")
    crystal = read_contents(frequency).crystal
    recorded = read_contents(potentiostat).potentiostat
    assert crystal is not None
    assert recorded is not None
    assert crystal.frequency[0, 0] == float(first[2])
    assert crystal.time[0] == float(first[0])
    assert len(crystal.time) == 883
    assert len(recorded.time) == 4573
    assert recorded.current[0] == pytest.approx(1e-3 * 1.534571170806885)
    assert recorded.potential[0] == 5.1357981e-2
    epoch = datetime(2025, 9, 3, 9, 56, 18, 270800, UTC).timestamp()  # 11:56:18.2708, two hours ahead
    expected = epoch - (float(first[1]) - float(first[0]))
    dataset = read(frequency, potentiostat)
    assert dataset.attrs["clock_offset"] == pytest.approx(expected, abs=0.05)
    assert "+2 h ahead" in dataset.attrs["assumptions"]
    assert "covers 91.34 of 445.3 s" in dataset.attrs["warnings"]


def test_qcm200(folder: Path):
    """100 mV/s must be given; 5 mV steps are 50 ms."""
    path = folder / "qcm200_silver.txt"
    first, second = _fields(path, 1, "\t"), _fields(path, 2, "\t")
    found = read_contents(path, Hints(scan_rate=0.1))
    assert found.crystal is not None
    assert found.potentiostat is not None
    assert [found.potentiostat.potential[0], found.potentiostat.current[1]] == [float(first[0]), float(second[1])]
    assert found.crystal.frequency[1, 0] == float(second[2])
    assert found.crystal.time[1] == pytest.approx(0.05, rel=1e-3)
    sweep = np.abs(np.diff(found.potentiostat.potential)).sum() / 0.1
    assert found.crystal.time[-1] == pytest.approx(sweep, rel=0.01)


def test_zinc(zinc_folder: Path):
    found = read_contents(zinc_folder / "qcmd.xlsx").crystal
    assert found is not None
    assert found.overtones.tolist() == [3, 5, 7, 9, 11]
    assert read_contents(zinc_folder / "echem.xlsx").potentiostat is not None
    assert len(read_contents(zinc_folder / "quartz_in_air.xlsx").crystal.time) >= 1
