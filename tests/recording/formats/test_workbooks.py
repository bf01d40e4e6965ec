"""The three workbooks: what is read, and that whatever cannot be read is refused with its place."""

from __future__ import annotations

import numpy as np
import openpyxl
import pandas as pd
import pytest
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording import read

AREA = 0.785e-4
HERTZ_PER_CHARGE = 3.0


def test_layout_and_units(make_experiment, tmp_path):
    """Every variable against the formula that made the files."""
    experiment = make_experiment()
    dataset = read(*experiment.save(tmp_path), area=AREA, clock_offset=0.0)
    assert dataset["overtone"].values.tolist() == [3, 5, 7]
    np.testing.assert_allclose(dataset["time"], experiment.qcmd["time"])
    absolute = dataset["frequency_shift"] + dataset["reference_frequency"]
    np.testing.assert_allclose(absolute, experiment.qcmd[["f3", "f5", "f7"]], rtol=1e-12)
    absolute = dataset["dissipation_shift"] + dataset["reference_dissipation"]
    np.testing.assert_allclose(absolute, 1e-6 * experiment.qcmd[["D3", "D5", "D7"]], rtol=1e-12)
    assert dataset.attrs["fundamental_frequency"] == pytest.approx(4.94e6, rel=1e-9)
    assert dataset.attrs["area"] == AREA
    assert dataset.attrs["source"] == "qcmd.xlsx, echem.xlsx, quartz_in_air.xlsx"
    assert dataset.attrs["missing_values"] == 0
    np.testing.assert_allclose(dataset["air_to_liquid_frequency_shift"], [-2500, -3240, -3830], atol=3)
    np.testing.assert_allclose(dataset["air_to_liquid_dissipation_shift"], [331e-6, 256e-6, 212e-6], atol=1e-8)


def test_shifts_follow_the_charge(make_experiment, tmp_path):
    """Δf_n/n = 3 Hz per C/m², less 0.05 Hz/s of drift: shift, charge, area and clock fit together."""
    experiment = make_experiment(offset=1.7)
    dataset = read(*experiment.save(tmp_path), area=AREA)
    normalised = dataset["frequency_shift"] / dataset["overtone"]
    drift = -0.05 * (dataset["time"] - 1.7 - 2.5)
    np.testing.assert_allclose(
        normalised, (HERTZ_PER_CHARGE * dataset["charge_density"] + drift) + 0 * normalised, atol=2
    )
    np.testing.assert_allclose(
        np.cumsum(dataset["current_density"].values[1:] * np.diff(dataset["time"])),
        dataset["charge_density"].values[1:] - dataset["charge_density"].values[0],
        atol=1e-9,
    )
    np.testing.assert_allclose(np.quantile(dataset["current_density"], [0.05, 0.95]), [-10, 10], rtol=1e-6)
    inside = dataset["potential"].notnull()
    np.testing.assert_allclose(
        dataset["potential"][inside],
        -0.1 + 0.001 * (dataset["time"][inside] - dataset.attrs["clock_offset"]),
        atol=1e-9,
    )
    assert dataset.attrs["clock_offset"] == pytest.approx(1.7, abs=5e-3)
    assert "clock offset 1.7" in dataset.attrs["assumptions"]


def test_offset_can_be_given(make_experiment, tmp_path):
    dataset = read(*make_experiment(offset=1.7).save(tmp_path), area=AREA, clock_offset=1.5)
    assert dataset.attrs["clock_offset"] == 1.5
    assert "1.5 s given" in dataset.attrs["assumptions"]


def test_plating_alone_assumes_one_clock(make_experiment, tmp_path):
    experiment = make_experiment(offset=1.7)
    experiment = experiment._replace(
        qcmd=experiment.qcmd[experiment.qcmd["time"] < 20], electrochemistry=experiment.electrochemistry.iloc[:200]
    )
    dataset = read(*experiment.save(tmp_path), area=AREA)
    assert dataset.attrs["clock_offset"] == 0
    assert "clock offset 0 s assumed" in dataset.attrs["assumptions"]


def test_qcm_that_starts_after_the_current(make_experiment, tmp_path):
    """The reference is continued back to no charge: here the response is a line, so only the drift is missing."""
    experiment = make_experiment(rest=0.0)
    late = experiment._replace(qcmd=experiment.qcmd[experiment.qcmd["time"] > 3.0])
    dataset = read(*late.save(tmp_path), area=AREA)
    assert "extrapolated back" in dataset.attrs["assumptions"]
    assert dataset["charge_density"].values[0] == pytest.approx(-10 * dataset["time"].values[0], abs=0.1)
    normalised = dataset["frequency_shift"] / dataset["overtone"]
    np.testing.assert_allclose(
        normalised[0], HERTZ_PER_CHARGE * dataset["charge_density"][0] + 0 * normalised[0], atol=0.5
    )


def test_qcm_alone(make_experiment, tmp_path):
    qcmd, _, _ = make_experiment().save(tmp_path)
    dataset = read(qcmd, area=AREA)
    assert set(dataset.data_vars) == {
        "frequency_shift",
        "dissipation_shift",
        "reference_frequency",
        "reference_dissipation",
    }
    assert dataset.attrs["fundamental_frequency"] == pytest.approx(4.94e6, rel=1e-3)
    assert "in liquid" in dataset.attrs["assumptions"]
    assert read(qcmd, area=AREA, fundamental_frequency=4.95e6).attrs["fundamental_frequency"] == 4.95e6


def test_columns_that_are_not_used_are_named(make_experiment, tmp_path):
    experiment = make_experiment(cycles=1, plating=5.0)
    experiment.qcmd["Tact"] = 25.0
    assert "columns not used: 'Tact'" in read(*experiment.save(tmp_path), area=AREA).attrs["assumptions"]


def test_headers_are_matched_without_blanks_and_case(make_experiment, tmp_path):
    experiment = make_experiment()
    experiment.qcmd.columns = [" Time [s]", "F3 (Hz)", "d3 (ppm)", "F5", "D5 ", "f7_1 [Hz]", "D7_1[ppm]"]
    experiment.electrochemistry.columns = ["TIME / s", "(Q - Qo) / mC", "<Ewe>/V", "<I>/mA"]
    experiment.air.columns = ["f3", "D3", "f5", "D5", "f7", "D7"]
    dataset = read(*experiment.save(tmp_path), area=AREA)
    assert dataset["overtone"].values.tolist() == [3, 5, 7]
    assert "charge_density" in dataset


@pytest.mark.parametrize("separator", [".", ","])
def test_numbers_as_text(make_experiment, tmp_path, separator):
    experiment = make_experiment(cycles=1, plating=5.0)
    paths = experiment.save(tmp_path)
    expected = read(*paths, area=AREA, clock_offset=0.0)
    for frame in (experiment.qcmd, experiment.electrochemistry, experiment.air):
        for name in frame.columns:
            frame[name] = [repr(float(value)).replace(".", separator) for value in frame[name]]
    found = read(*experiment.save(tmp_path), area=AREA, clock_offset=0.0)
    xr.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7)


def test_missing_values_stay_missing_and_are_counted(make_experiment, tmp_path):
    experiment = make_experiment()
    experiment.qcmd.loc[[5, 6, 100], "f5"] = np.nan
    experiment.qcmd["D7"] = np.nan
    experiment.electrochemistry.loc[50:60, ["(Q-Qo)/mC", "<Ewe/V>"]] = np.nan
    dataset = read(*experiment.save(tmp_path), area=AREA)
    assert dataset.attrs["missing_values"] == 3 + len(experiment.qcmd)
    assert dataset["frequency_shift"].isnull().sum("time").values.tolist() == [0, 3, 0]
    assert dataset["dissipation_shift"].isnull().all("time").values.tolist() == [False, False, True]
    assert dataset["charge_density"].notnull().all()


def test_blank_rows_at_the_end_do_not_matter(make_experiment, tmp_path):
    experiment = make_experiment()
    qcmd, _, _ = experiment.save(tmp_path)
    workbook = openpyxl.load_workbook(qcmd)
    rows = len(experiment.qcmd)
    workbook.active.cell(rows + 5, 2).value = "  "
    workbook.save(qcmd)
    assert read(qcmd, area=AREA).sizes["time"] == rows


def _cell(table, row, column, value):
    """Change one cell; `row` as the spreadsheet counts."""

    def change(experiment):
        frame = getattr(experiment, table)
        frame[column] = frame[column].astype(object)
        frame.loc[row - 2, column] = value

    return change


def _rename(table, old, new):
    def change(experiment):
        frame = getattr(experiment, table)
        frame.columns = [new if name == old else name for name in frame.columns]

    return change


def _scale(table, columns, factor):
    def change(experiment):
        frame = getattr(experiment, table)
        frame[columns] = frame[columns] * factor

    return change


BAD_CELLS = {
    "text in a channel": (_cell("qcmd", 17, "f5", "n. a. yet"), r"qcmd\.xlsx: column 'f5', row 17: 'n\. a\. yet'"),
    "thousands separator": (_cell("qcmd", 4, "D3", "1,345.2"), r"column 'D3', row 4: '1,345\.2' is not a number"),
    "infinite": (_cell("qcmd", 4, "D3", "inf"), r"column 'D3', row 4: 'inf' is not a number"),
    "truth value": (_cell("electrochemistry", 9, "I/mA", True), r"echem\.xlsx: column 'I/mA', row 9: True"),
    "date": (
        _cell("electrochemistry", 9, "time/s", pd.Timestamp(2024, 5, 1)),
        r"echem\.xlsx: column 'time/s', row 9: .*2024.* is not a number",
    ),
    "no time": (_cell("qcmd", 30, "time", None), r"qcmd\.xlsx: column 'time', row 30: the time is missing"),
    "time goes back": (_cell("qcmd", 30, "time", 0.5), r"qcmd\.xlsx: column 'time', row 30: time 0\.5 goes back"),
    "time goes back in echem": (_cell("electrochemistry", 40, "time/s", 0.1), r"echem\.xlsx: .* row 40: .* goes back"),
    "time repeats": (
        lambda e: _cell("qcmd", 31, "time", e.qcmd["time"].iloc[28])(e),
        r"qcmd\.xlsx: column 'time', row 31: .* repeats the row before",
    ),
    "no time column": (_rename("qcmd", "time", "zeit"), r"qcmd\.xlsx: no column 'time'; found 'zeit', 'f3', 'D3'"),
    "channel renamed": (_rename("qcmd", "D7", "Diss7"), r"qcmd\.xlsx: no column 'D7'; found .*'Diss7'"),
    "frequency renamed": (_rename("qcmd", "f7", "F7 (MHz)"), r"qcmd\.xlsx: no column 'f7'; found .*'F7 \(MHz\)'"),
    "current in A": (_rename("electrochemistry", "I/mA", "I/A"), r"echem\.xlsx: no column 'I/mA'; found .*'I/A'"),
    "charge in mAh": (_rename("electrochemistry", "(Q-Qo)/mC", "(Q-Qo)/mA.h"), r"no column '\(Q-Qo\)/mC'; found"),
    "twice": (_rename("qcmd", "D5", "F3 (Hz)"), r"'f3' and 'F3 \(Hz\)' both look like f3"),
    "two times": (_rename("electrochemistry", "<Ewe/V>", "Time (s)"), "both look like 'time/s'|no column '<Ewe/V>'"),
    "even overtone": (
        lambda e: setattr(e.qcmd, "columns", ["time", "f3", "D3", "f4", "D4", "f7", "D7"]),
        r"overtones must be odd, found columns for \[3, 4, 7\]",
    ),
    "air without an overtone": (
        lambda e: [e.air.pop("f5_1 (Hz)"), e.air.pop("D5_1 (ppm)")],
        r"quartz_in_air\.xlsx: no columns for overtones \[5\]",
    ),
    "shifts, not frequencies": (
        lambda e: [e.qcmd.__setitem__(f"f{n}", e.qcmd[f"f{n}"] - n * 4.94e6) for n in (3, 5, 7)],
        r"qcmd\.xlsx: f3 = -\d.*an absolute frequency in Hz is needed",
    ),
    "MHz": (_scale("qcmd", ["f3", "f5", "f7"], 1e-6), r"f3 = 14\.8.*an absolute frequency in Hz is needed"),
    "zero for missing": (_cell("qcmd", 44, "f7", 0.0), r"qcmd\.xlsx: f7 = 0, row 44, is not within"),
    "plain dissipation": (_scale("qcmd", ["D3", "D5", "D7"], 1e-6), r"qcmd\.xlsx: the largest D is .*D in 1e-6"),
    "current in µA": (_scale("electrochemistry", ["I/mA"], 1e3), r"echem\.xlsx: the charge grows by 0\.001 times"),
    "sign of the current": (_scale("electrochemistry", ["I/mA"], -1), r"grows by -1 times the current"),
    "no charge at all": (
        _scale("electrochemistry", ["(Q-Qo)/mC"], np.nan),
        r"'\(Q-Qo\)/mC' has fewer than two numbers",
    ),
    "all in A": (_scale("electrochemistry", ["(Q-Qo)/mC", "I/mA"], 1e5), "current_density reaches .* in A where mA"),
    "potential in mV": (_scale("electrochemistry", ["<Ewe/V>"], 1e4), "potential reaches .* in mV"),
    "other clock": (_scale("electrochemistry", [], 1), None),
}
BAD_CELLS["other clock"] = (
    lambda e: e.electrochemistry.__setitem__("time/s", e.electrochemistry["time/s"] + 1.7e9),
    r"QCM's clock .* and the potentiostat's .* do not overlap.*--clock-offset",
)


@pytest.mark.parametrize(("change", "message"), BAD_CELLS.values(), ids=BAD_CELLS.keys())
def test_bad_contents_are_refused_with_their_place(make_experiment, tmp_path, change, message):
    experiment = make_experiment(cycles=1, plating=5.0)
    change(experiment)
    with pytest.raises(InputError, match=message) as caught:
        read(*experiment.save(tmp_path), area=AREA)
    assert "\n" not in str(caught.value)


def test_bad_files(make_experiment, tmp_path):
    qcmd, _, _ = make_experiment(cycles=1, plating=5.0).save(tmp_path)
    whole = qcmd.read_bytes()

    def refused(name, content, message):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            read(path, area=AREA)
        assert name in str(caught.value)

    refused("absent.xlsx", None, "no such file")
    refused("table.csv", b"time,f3,D3\n0,1,2\n", "no crystal's fundamental in Hz")
    refused("empty.xlsx", b"", "the file is empty")
    refused("truncated.xlsx", whole[: len(whole) // 2], "damaged or cut short")
    refused("text.xlsx", b"time;f3;D3\n", "no data below the header")
    damaged = bytearray(whole)
    damaged[len(whole) // 3 : len(whole) // 3 + 200] = bytes(200)
    refused("damaged.xlsx", bytes(damaged), "damaged or cut short")
    pd.DataFrame().to_excel(tmp_path / "blank.xlsx", index=False)
    refused("blank.xlsx", None, "first sheet is empty")
    pd.DataFrame({"time": [], "f3": [], "D3": []}).to_excel(tmp_path / "headers.xlsx", index=False)
    refused("headers.xlsx", None, "no data rows")
    (tmp_path / "folder.xlsx").mkdir()
    refused("folder.xlsx", None, "is a folder: name the files in it")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"area": 0.785}, r"0\.785 m² is not that of a quartz crystal"),
        ({"area": -1.0}, "positive number of m²"),
        ({"area": AREA, "fundamental_frequency": 5.0}, "must be in Hz"),
        ({"area": AREA, "fundamental_frequency": 1e7}, "is not within 2 %"),
        ({"area": AREA, "clock_offset": float("nan")}, "finite number of seconds"),
        ({"area": AREA, "clock_offset": 1e4}, "do not overlap"),
    ],
)
def test_bad_arguments(make_experiment, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        read(*make_experiment(cycles=1, plating=5.0).save(tmp_path), **arguments)


def test_zinc(zinc):
    """Numbers as the genuine files hold them, seen with a spreadsheet program."""
    assert zinc.sizes == {"time": 2820, "overtone": 5}
    assert zinc["overtone"].values.tolist() == [3, 5, 7, 9, 11]
    assert zinc["time"].values[[0, 1, -1]] == pytest.approx([0.0, 0.258648, 809.827040], abs=1e-6)
    absolute = (zinc["dissipation_shift"] + zinc["reference_dissipation"]).values
    np.testing.assert_allclose(
        1e6 * absolute[0], [359.185257, 278.415244, 227.985798, 200.177961, 181.592443], atol=1e-6
    )
    absolute = (zinc["frequency_shift"] + zinc["reference_frequency"]).values
    np.testing.assert_allclose(absolute[0] / [3, 5, 7, 9, 11], 4.9395e6 + np.array([1624, 756, 209, 16, -127]), atol=1)
    assert zinc.attrs["fundamental_frequency"] == pytest.approx(4940256.66, abs=0.01)
    assert zinc.attrs["missing_values"] == 0
    assert zinc["charge_density"].values[0] == 0
    assert float(zinc["charge_density"].min()) == pytest.approx(-10 * 65.794386 / 0.785, rel=1e-3)
    assert np.abs(zinc["frequency_shift"] / zinc["overtone"]).values[0].max() < 5
