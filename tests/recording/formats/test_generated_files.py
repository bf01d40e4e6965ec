"""One made-up experiment in the layout of every instrument, with both decimal signs: what is read is what was put in.

The numbers come from `instrument_files.experiment`, not from any reader; layouts are those of docs/formats.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import instrument_files as made_up
import numpy as np
import pytest

from hmm_plating.errors import InputError
from hmm_plating.recording import Hints, read
from hmm_plating.recording.formats import Contents, parse_columns, read_contents

FILES = {
    "qsoft": made_up.qsoft,
    "qtools": made_up.qtools,
    "qsense_text": made_up.qsense_text,
    "qcm_i": made_up.qcm_i,
    "openqcm": made_up.openqcm,
    "awsensors": made_up.awsensors,
    "plain_table": made_up.plain_table,
}


@pytest.fixture
def contents(tmp_path: Path):
    def contents(data: bytes, **hints) -> Contents:
        path = tmp_path / "no.suffix"  # the name must not matter
        path.write_bytes(data)
        return read_contents(path, Hints(**hints))

    return contents


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("name", FILES)
def test_qcm_with_dissipation(contents, name: str, decimal: str):
    """Time, overtones, Δf_n against the first sample [Hz] and D or ΔD; lost offsets are stated."""
    found = contents(FILES[name](decimal))
    made = made_up.experiment((3, 5, 7, 9, 11)) if name == "awsensors" else made_up.experiment()
    crystal = found.crystal
    assert crystal is not None
    assert found.potentiostat is None
    assert found.warnings == ()
    np.testing.assert_allclose(crystal.time, made.time, rtol=1e-12)
    assert crystal.overtones.tolist() == made.overtones.tolist()
    shifts_only = name in ("qtools", "qsense_text", "awsensors")
    assert crystal.absolute is not shifts_only
    assert any("lost" in assumption for assumption in found.assumptions) is shifts_only
    if shifts_only:
        rounding = 1e-4 * made.overtones  # of Δf/n to four digits, divided and multiplied by n
        assert np.all(np.abs(crystal.frequency - (made.frequency - made.frequency[0])) < rounding)
    else:
        np.testing.assert_allclose(crystal.frequency, made.frequency, rtol=1e-14)
    offset = made.dissipation[0] if name in ("qtools", "awsensors") else 0.0
    np.testing.assert_allclose(crystal.dissipation, 1e-6 * (made.dissipation - offset), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_qsoft_separators_and_sensors(contents, decimal: str, separator: str):
    """The second sensor has its own time; a comma cannot be both."""
    data = made_up.qsoft(decimal, separator, sensors=2)
    if decimal == separator:
        with pytest.raises(InputError, match=r"line 2 has 44 fields|no known format"):
            contents(data)
        return
    second = made_up.experiment(seed=2)
    found = contents(data, sensor=2).crystal
    np.testing.assert_allclose(found.time, second.time, rtol=1e-12)
    np.testing.assert_allclose(found.frequency, second.frequency, rtol=1e-14)
    assert "sensor 1 of 1, 2 read" in contents(data).assumptions[0]
    with pytest.raises(InputError, match="no sensor 3; the file has 1, 2"):
        contents(data, sensor=3)


def test_qsoft_sensor_that_ended_earlier(contents):
    """Blank cells at the end belong to a sensor that was stopped; the other keeps its samples."""
    lines = made_up.qsoft(sensors=2).decode().split("\r\n")
    for index in range(41, 61):
        lines[index] = ";".join([*lines[index].split(";")[:11], *[""] * 11])
    data = "\r\n".join(lines).encode()
    assert len(contents(data, sensor=2).crystal.time) == 40
    assert len(contents(data, sensor=1).crystal.time) == 60


@pytest.mark.parametrize("decimal", [".", ","])
def test_qtools_with_units_in_the_header(contents, decimal: str):
    found = contents(made_up.qtools(decimal, units=True)).crystal
    assert found.overtones.tolist() == [1, 3, 5, 7, 9]
    assert np.all(found.temperature == 25.01)


def test_openqcm_rows_that_lack_zeros(contents):
    """A frequency tells where it belongs, a dissipation where nothing else could have stood (fileStorage.py of openQCM
    leaves zeros out)."""
    rows = made_up.openqcm_rows()
    made = made_up.experiment()
    del rows[10][4 + 4]  # f of n = 5: two dissipations for n = 3 and 5
    del rows[20][4 + 5]  # D of n = 5: known by the frequencies on both sides
    del rows[30][4 + 4 : 4 + 6]  # both of n = 5: the dissipation behind n = 3 may be of either
    rows[40] = rows[40][:4]  # everything
    text = "\r\n".join(",".join(row) for row in [made_up.OPENQCM_HEADER, *rows, []])
    found = contents(text.encode())
    expected_f, expected_d = made.frequency.copy(), 1e-6 * made.dissipation
    expected_f[[10, 30], 2] = np.nan
    expected_d[[20, 30], 2] = expected_d[30, 1] = np.nan
    expected_f[40], expected_d[40] = np.nan, np.nan
    np.testing.assert_allclose(found.crystal.frequency, expected_f, rtol=1e-14)
    np.testing.assert_allclose(found.crystal.dissipation, expected_d, rtol=1e-9)
    assert "4 rows lack values" in found.warnings[0]

    del rows[11][4 + 4]
    del rows[11][4 + 4]
    rows[11].insert(4 + 4, "0.0001")  # one dissipation for n = 5's place: it is that of 3 or of 5
    del rows[11][4 + 3]
    text = "\r\n".join(",".join(row) for row in [made_up.OPENQCM_HEADER, *rows, []])
    found = contents(text.encode())
    assert np.isnan(found.crystal.dissipation[11, 1:3]).all()
    assert "2 dissipations that may belong" in found.warnings[0]


def test_openqcm_of_a_crystal_with_three_overtones(contents):
    rows = [row[:10] for row in made_up.openqcm_rows()]
    found = contents("\n".join(",".join(row) for row in [made_up.OPENQCM_HEADER, *rows, []]).encode())
    assert found.crystal.overtones.tolist() == [1, 3, 5]
    assert found.warnings == ("no values at overtone 7, 9: left out",)


@pytest.mark.parametrize("decimal", [".", ","])
def test_awsensors_dissipation_in_ppm(contents, decimal: str):
    """The header's unit is empty: values of 1e-6 times a typical 10 cannot be plain numbers."""
    lines = made_up.awsensors().decode().split("\n")
    rows = [line.split("\t") for line in lines[1:-1]]
    rows = [[repr(float(cell) * 1e6) if i > 0 and i % 2 == 0 else cell for i, cell in enumerate(row)] for row in rows]
    text = "\n".join([lines[0], *("\t".join(row).replace(".", decimal) for row in rows), ""])
    made = made_up.experiment((3, 5, 7, 9, 11))
    found = contents(text.encode())
    np.testing.assert_allclose(
        found.crystal.dissipation, 1e-6 * (made.dissipation - made.dissipation[0]), rtol=1e-9, atol=1e-12
    )
    assert "D taken to be in 1e-6" in found.assumptions[0]


def test_qsd(contents):
    """Overtones take turns of 0.05 s: the delay against their mean; the last two lack the last sample."""
    found = contents(made_up.qsd())
    made = made_up.experiment()
    crystal = found.crystal
    np.testing.assert_allclose(crystal.time, made.time - made.time[0], atol=2e-6)  # days in doubles: 1 µs
    np.testing.assert_allclose(crystal.sampling_delay, [0.1, 0.05, 0.0, -0.05, -0.1], atol=2e-6)
    np.testing.assert_array_equal(crystal.frequency[:-1], made.frequency[:-1])
    np.testing.assert_allclose(crystal.dissipation[:-1], 1e-6 * made.dissipation[:-1], rtol=1e-14)
    assert np.isnan(crystal.frequency[-1]).tolist() == [False, False, False, True, True]
    assert crystal.start[0].replace(microsecond=0) == datetime(2023, 3, 15, 12, 0, 0)
    assert "n = 7: 1, n = 9: 1" in found.warnings[0]


def test_qsd_that_is_cut_short(contents):
    data = made_up.qsd()
    for length in (len(data) // 3, len(data) // 2, 3 * len(data) // 4):
        with pytest.raises(InputError, match="damaged or cut short in the values of resonance"):
            contents(data[:length])


@pytest.mark.parametrize("decimal", [".", ","])
def test_single_frequency(contents, decimal: str):
    found = contents(made_up.single_frequency(decimal))
    made = made_up.experiment((1,))
    np.testing.assert_allclose(found.crystal.frequency, made.frequency, rtol=1e-14)
    assert found.crystal.dissipation is None
    assert found.crystal.start == (datetime(2025, 9, 3, 9, 56, 12, 250000, tzinfo=UTC),)


@pytest.mark.parametrize("decimal", [".", ","])
def test_eclab(contents, decimal: str):
    made = made_up.experiment()
    for data in (made_up.mpt(decimal), made_up.eclab_dates(decimal)):
        recorded = contents(data).potentiostat
        np.testing.assert_allclose(np.diff(recorded.time), np.diff(made.time), atol=1e-9)
        np.testing.assert_allclose(recorded.current, 1e-3 * made.current)
        np.testing.assert_allclose(recorded.potential, made.potential)
        assert recorded.averaged
    recorded = contents(made_up.mpt(decimal)).potentiostat
    np.testing.assert_allclose(recorded.charge, 1e-3 * made.charge)
    assert recorded.start == (datetime(2020, 7, 29, 10, 31, 1),)
    start = contents(made_up.eclab_dates(decimal)).potentiostat.start
    assert [date.replace(microsecond=0) for date in start] == [
        datetime(2025, 9, 3, 11, 56, 12),
        datetime(2025, 3, 9, 11, 56, 12),
    ]


@pytest.mark.parametrize("current", ["<I>/mA", "I/mA"])
@pytest.mark.parametrize("potential", ["Ewe/V", "<Ewe>/V", "<Ewe/V>"])
@pytest.mark.parametrize(("charge", "unit"), [("(Q-Qo)/mC", 1.0), ("(Q-Qo)/C", 1e-3), ("(Q-Qo)/mA.h", 1 / 3600)])
def test_eclab_column_names(contents, current: str, potential: str, charge: str, unit: float):
    made = made_up.experiment()
    lines = made_up.mpt().decode("latin-1").split("\n")
    header = lines[8].replace("<I>/mA", current).replace("Ewe/V", potential).replace("(Q-Qo)/mC", charge)
    rows = [line.split("\t") for line in lines[9:-1]]
    rows = [[*row[:-1], f"{unit * q:.7E}".replace(".", ",")] for row, q in zip(rows, made.charge, strict=True)]
    text = "\n".join([*lines[:8], header, *("\t".join(row) for row in rows), ""])
    recorded = contents(text.encode("latin-1")).potentiostat
    np.testing.assert_allclose(recorded.charge, 1e-3 * made.charge, rtol=1e-7)
    assert recorded.averaged is (current == "<I>/mA")


def test_mpt_that_lost_points(contents):
    lines = made_up.mpt().decode("latin-1").split("\n")
    found = contents("\n".join([*lines[:40], ""]).encode("latin-1"))
    assert "announces 60 points, the file has 31" in found.warnings[0]


def test_mpr(contents):
    pytest.importorskip("galvani", reason="needs the optional package galvani")
    made = made_up.experiment()
    recorded = contents(made_up.mpr()).potentiostat
    np.testing.assert_array_equal(recorded.time, made.time)
    np.testing.assert_allclose(recorded.current, 1e-3 * made.current, rtol=1e-7)
    np.testing.assert_allclose(recorded.potential, made.potential, rtol=1e-6)
    assert recorded.start == (datetime(2020, 7, 29, 10, 30),)


def test_mpr_without_galvani(contents, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "galvani", None)
    with pytest.raises(InputError, match=r"pip install 'hmm_plating\[mpr\]'.*\.mpt"):
        contents(made_up.mpr())


@pytest.mark.parametrize("decimal", [".", ","])
def test_gamry(contents, decimal: str):
    """Both tables on the potentiostat's clock; the charge runs on over the curves."""
    found = contents(made_up.gamry(decimal))
    made = made_up.experiment((1,))
    np.testing.assert_allclose(found.crystal.time, made.time, atol=1e-6)
    np.testing.assert_allclose(found.crystal.frequency, made.frequency, atol=0.006)  # MHz with eight digits
    np.testing.assert_allclose(found.potentiostat.time, made.time, atol=1e-6)
    np.testing.assert_allclose(found.potentiostat.current, 1e-3 * made.current)
    np.testing.assert_allclose(found.potentiostat.charge, 1e-3 * made.charge, atol=1e-11)
    assert found.area == pytest.approx(0.209e-4)
    assert found.warnings == ()


def test_gamry_that_lost_points_or_its_qcm(contents):
    lines = made_up.gamry().decode().split("\n")
    del lines[20]
    assert any(
        "do not follow each other: 11 before 13" in warning for warning in contents("\n".join(lines).encode()).warnings
    )
    cut = "\n".join([*lines[: lines.index("QCMCurve\tDTABLE")], ""])
    found = contents(cut.encode())
    assert found.crystal is None
    assert any("no table QCMCurve" in warning for warning in found.warnings)


@pytest.mark.parametrize("decimal", [".", ","])
def test_qcm200(contents, decimal: str):
    """5 mV at 0.1 V/s are 0.05 s; one turn."""
    data = made_up.qcm200(decimal)
    with pytest.raises(InputError, match=r"no time.*--scan-rate 0\.1"):
        contents(data)
    found = contents(data, scan_rate=0.1)
    np.testing.assert_allclose(found.crystal.time, 0.05 * np.arange(60), atol=1e-9)
    assert not found.crystal.absolute
    assert "with 1 turns, the first at 0.155 V in row 31" in found.assumptions[0]
    lines = data.decode().split("\n")
    del lines[10:13]
    assert any("rows are missing" in warning for warning in contents("\n".join(lines).encode(), scan_rate=0.1).warnings)


@pytest.mark.parametrize("decimal", [".", ","])
def test_table_of_one_s_own(contents, decimal: str):
    """By mapping: a header with a comma, minutes, lines above the table, a current beside the frequency."""
    found = contents(made_up.other_table(decimal), columns=parse_columns(made_up.OTHER_COLUMNS))
    made = made_up.experiment((3,))
    np.testing.assert_allclose(found.crystal.time, made.time, rtol=1e-12)
    np.testing.assert_allclose(found.crystal.frequency, made.frequency, rtol=1e-14)
    np.testing.assert_allclose(found.crystal.dissipation, 1e-6 * made.dissipation, rtol=1e-12)
    np.testing.assert_allclose(found.potentiostat.current, 1e-3 * made.current)
    with pytest.raises(InputError, match=r"of no known format.*--columns"):
        contents(made_up.other_table(decimal))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f3=a,D3=b", "no time"),
        ("time=a", "nothing but the time"),
        ("time=a,f3=b,f3=c", "f3 is given twice"),
        ("zeit=a", "'zeit=a' is not QUANTITY=HEADER"),
        ("time=a,f3=", "is not QUANTITY=HEADER"),
    ],
)
def test_bad_mappings(text: str, message: str):
    with pytest.raises(InputError, match=message):
        parse_columns(text)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("time=t (min),f3=fourth", "no line has all the columns"),
        ("time=t (min),f2=third [Hz]", "overtones are odd"),
        ("time=t (min),f3=third [Hz],D5=loss, third [ppm]", r"frequencies for overtones \[3\], dissipations for \[5\]"),
        ("time=t (min),f3/n=third [Hz]", "leave /n out"),
        ("time=t (min),current=third [Hz]", "unit 'Hz' of current is not known"),
        ("time=t (min),potential=I/mA", "neither a frequency"),
    ],
)
def test_mappings_that_do_not_fit(contents, columns: str, message: str):
    with pytest.raises(InputError, match=message):
        contents(made_up.other_table(), columns=parse_columns(columns))


def test_latin_1_utf_16_and_quotes(contents):
    plain = contents(made_up.plain_table())
    text = made_up.plain_table().decode()
    for data in (
        text.encode("utf-16"),
        text.encode("utf-8-sig"),
        text.replace("\n", "\r\n").encode(),
        text.replace("\n", "\r").encode(),
        text.replace("f3", '"f3"').encode(),
        ("time [s];T µ;" + text.split(";", 1)[1].split("\n", 1)[0] + "\n").encode("latin-1")
        + "\n".join(line.replace(";", ";25;", 1) for line in text.split("\n")[1:]).encode(),
    ):
        np.testing.assert_array_equal(contents(data).crystal.frequency, plain.crystal.frequency)


def _line(number: int, change) -> bytes:
    lines = made_up.plain_table().decode().split("\n")
    lines[number - 1] = change(lines[number - 1])
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_line(17, lambda line: line.replace(";", "", 1)), "line 17 has 10 fields where 11 are expected"),
        (_line(17, lambda line: line + ";1"), "line 17 has 12 fields where 11 are expected"),
        (_line(17, lambda line: line.replace(".", ",", 1)), "row 17: '[0-9,]*' has a decimal comma, the rows before"),
        (_line(17, lambda line: line.replace(".", "_", 1)), "row 17: '.*_.*' is not a number"),
        (_line(17, lambda line: "0.5" + line[line.index(";") :]), r"row 17: time 0\.5 goes back"),
        (_line(17, lambda line: "\x00" + line), "line 17 holds control characters"),
        (_line(1, lambda line: line.replace("f3", "f5")), "look like f5"),
        (_line(1, lambda line: line.replace("f3", "g3")), "no column 'f3'"),
        (_line(1, lambda line: ""), "of no known format"),
    ],
)
def test_damaged_rows_are_refused_with_their_place(contents, data: bytes, message: str):
    with pytest.raises(InputError, match=message):
        contents(data)


def test_a_last_line_without_end_is_left_out(contents):
    """Its last number may lack digits, even if the line looks whole."""
    data = made_up.plain_table().rstrip(b"\n")
    for cut in (data, data[:-3], data[:-40]):
        found = contents(cut)
        assert len(found.crystal.time) == 59
        assert "line 61 has no line end" in found.warnings[0]


def test_missing_rows_are_said(contents):
    lines = made_up.plain_table().decode().split("\n")
    found = contents("\n".join(lines[:20] + lines[24:]).encode())
    assert "the QCM lacks samples: 1 intervals longer than" in found.warnings[0]


def test_a_recording_from_two_instruments(tmp_path):
    """QSoft text and an EC-Lab file of one experiment: shifts follow the charge, 30 Hz per mC."""
    (tmp_path / "a").write_bytes(made_up.qsoft())
    (tmp_path / "b").write_bytes(made_up.mpt())
    dataset = read(tmp_path / "a", tmp_path / "b", area=1e-4, clock_offset=0.0)
    made = made_up.experiment()
    np.testing.assert_allclose(dataset["charge_density"], 1e-3 * made.charge / 1e-4, rtol=1e-6, atol=1e-4)
    slope = np.polyfit(made.charge, dataset["frequency_shift"].values[:, 1] / 3, 1)[0]
    assert slope == pytest.approx(30.0, abs=0.5)
    absolute = dataset["frequency_shift"] + dataset["reference_frequency"]
    np.testing.assert_allclose(absolute, made.frequency, rtol=1e-13)


def test_shifts_have_no_reference(tmp_path):
    """Of a file with Δf/n the absolute values are lost: f0 is assumed, and no reference is made up."""
    (tmp_path / "a").write_bytes(made_up.qtools())
    dataset = read(tmp_path / "a", area=1e-4)
    assert dataset.attrs["fundamental_frequency"] == 5e6
    assert "assumed to be 5 MHz" in dataset.attrs["assumptions"]
    assert "reference_frequency" not in dataset
    assert read(tmp_path / "a", fundamental_frequency=10e6).attrs["fundamental_frequency"] == 10e6
    (tmp_path / "air").write_bytes(made_up.plain_table())
    with pytest.raises(InputError, match="only shifts"):
        read(tmp_path / "a", None, tmp_path / "air")


def test_wrong_kinds_of_files(tmp_path):
    (tmp_path / "qcm").write_bytes(made_up.qsoft())
    (tmp_path / "echem").write_bytes(made_up.mpt())
    with pytest.raises(InputError, match=r"holds no QCM's recording: it can be given with --electrochemistry"):
        read(tmp_path / "echem")
    with pytest.raises(InputError, match="holds no potentiostat's recording"):
        read(tmp_path / "qcm", tmp_path / "qcm")
    with pytest.raises(InputError, match="no absolute frequencies of the crystal in air"):
        read(tmp_path / "qcm", None, tmp_path / "echem")


def test_the_file_in_air_may_be_of_any_format(tmp_path):
    (tmp_path / "a").write_bytes(made_up.plain_table())
    (tmp_path / "air").write_bytes(made_up.qcm_i())
    dataset = read(tmp_path / "a", None, tmp_path / "air")
    made = made_up.experiment()
    first_second = made.frequency[made.time <= made.time[0] + 1.0]
    expected = np.median(first_second, axis=0) - np.median(made.frequency, axis=0)
    np.testing.assert_allclose(dataset["air_to_liquid_frequency_shift"], expected, rtol=1e-9)


def test_the_area_of_the_file(tmp_path):
    (tmp_path / "a").write_bytes(made_up.gamry())
    assert read(tmp_path / "a").attrs["area"] == pytest.approx(0.209e-4)
    assert "0.209 cm², as the file states" in read(tmp_path / "a").attrs["assumptions"]
    assert read(tmp_path / "a", area=1e-4).attrs["area"] == 1e-4


def test_both_parts_in_one_file_share_a_clock(tmp_path):
    (tmp_path / "a").write_bytes(made_up.gamry())
    dataset = read(tmp_path / "a")
    made = made_up.experiment((1,))
    np.testing.assert_allclose(dataset["charge_density"], 1e-3 * made.charge / 0.209e-4, rtol=1e-5, atol=1e-2)
    assert dataset["dissipation_shift"].isnull().all()
    assert "one clock" in dataset.attrs["assumptions"]


def test_two_hours_between_local_time_and_utc(tmp_path):
    """The stamps are 2 h apart, which is a time zone; the recordings themselves start together."""
    (tmp_path / "a").write_bytes(made_up.single_frequency())
    (tmp_path / "b").write_bytes(made_up.eclab_dates())
    dataset = read(tmp_path / "a", tmp_path / "b")
    assert "+2 h ahead" in dataset.attrs["assumptions"]
    # stamps of the potentiostat count from its first point, at 0.501 s of the QCM's clock
    assert dataset.attrs["clock_offset"] == pytest.approx(0.501, abs=0.3)
