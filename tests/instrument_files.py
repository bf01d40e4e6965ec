"""One made-up experiment as the file of every instrument, in the layouts that docs/formats.md states."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

FUNDAMENTAL = 4_950_000.0
ROWS = 60


class Experiment(NamedTuple):
    """Of a QCM: time [s], overtones, frequency [Hz], dissipation [1e-6]; of a potentiostat: [mA], [mC], [V]."""

    time: np.ndarray
    overtones: np.ndarray
    frequency: np.ndarray
    dissipation: np.ndarray
    current: np.ndarray
    charge: np.ndarray
    potential: np.ndarray


def experiment(overtones: Sequence[int] = (1, 3, 5, 7, 9), rows: int = ROWS, seed: int = 1) -> Experiment:
    """Numbers with no more digits than every format writes; 20 s of plating at 1 mA, then stripping."""
    generator = np.random.default_rng(seed)
    orders = np.array(overtones)
    time = np.round(0.5 * np.arange(1, rows + 1) + generator.uniform(-0.05, 0.05, rows), 3)
    current = np.where(time < 20.0, -1.0, 0.8)
    charge = np.round(np.cumsum(current * np.diff(time, prepend=0.0)), 6)
    shift = 30.0 * charge[:, None] + generator.standard_normal((rows, len(orders)))
    frequency = np.round(orders * (FUNDAMENTAL - 300.0 / np.sqrt(orders) + shift), 2)
    dissipation = np.round(150.0 / np.sqrt(orders) - charge[:, None] + generator.standard_normal(frequency.shape), 4)
    return Experiment(time, orders, frequency, dissipation, current, charge, np.round(-0.1 - 0.001 * time, 5))


def _lines(header: Sequence[str], columns: Sequence[np.ndarray], separator: str, decimal: str, end: str = "\n") -> str:
    rows = [separator.join(str(value).replace(".", decimal) for value in row) for row in zip(*columns, strict=True)]
    return end.join([separator.join(header), *rows, ""])


def normalised_shift(made: Experiment) -> np.ndarray:
    """Δf/n against the first sample, as the software that writes shifts would round it."""
    return np.round((made.frequency - made.frequency[0]) / made.overtones, 4)


def qsoft(decimal: str = ".", separator: str = ";", sensors: int = 1) -> bytes:
    header, columns = [], []
    for sensor in range(1, sensors + 1):
        made = experiment(seed=sensor)
        header.append(f"Time_{sensor} [s]")
        columns.append(made.time)
        for index, n in enumerate(made.overtones):
            header += [f"f{n}_{sensor} [Hz]", f"D{n}_{sensor} [ppm]"]
            columns += [made.frequency[:, index], made.dissipation[:, index]]
    return _lines(header, columns, separator, decimal, "\r\n").encode()


def qtools_table(units: bool = False) -> pd.DataFrame:
    made = experiment()
    columns = {"Time_1 [s]" if units else "Time_1": made.time}
    for index, n in enumerate(made.overtones):
        columns[f"F_1:{n} [Hz]" if units else f"F_1:{n}"] = normalised_shift(made)[:, index]
        columns[f"D_1:{n} [ppm]" if units else f"D_1:{n}"] = made.dissipation[:, index] - made.dissipation[0, index]
    return pd.DataFrame({**columns, "Tact": 25.01})


def workbook(table: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    table.to_excel(file, index=False)
    return file.getvalue()


def qtools(decimal: str = ".", units: bool = False) -> bytes:
    table = qtools_table(units)
    if decimal == ",":  # a workbook holds numbers; text cells stand for one that was pasted together
        table = table.map(lambda value: repr(float(value)).replace(".", ","))
    return workbook(table)


def qsense_text(decimal: str = ",") -> bytes:
    made = experiment()
    header, columns = ["Time [s]"], [made.time]
    for index, n in enumerate(made.overtones):
        header += [f"f{n} [Hz]", f"D{n} [ppm]"]
        columns += [normalised_shift(made)[:, index], made.dissipation[:, index]]
    return ("sep=\t\r\n" + _lines(header, columns, "\t", decimal, "\r\n")).encode()


def qcm_i(decimal: str = ".") -> bytes:
    """With a decimal comma the separator cannot be a comma: a semicolon, as spreadsheet programs write it."""
    made = experiment()
    header, columns = ["Channel A QCM Time [sec]"], [made.time]
    for index, n in enumerate(made.overtones):
        name = "Fundamental" if n == 1 else f"{n}."
        blank = " " if n == 1 else "  "
        header += [f"Channel A {name} Dissipation{blank}[ ]", f"Channel A {name} Fi [rad]"]
        header.append(f"Channel A {name} {'Frequency' if n == 1 else 'Overtone'} [Hz]")
        header.append(f"Channel A {name} {'Frequency' if n == 1 else 'Overtone'} Variation [Hz]")
        plain = np.array([round(value * 1e-6, 12) for value in made.dissipation[:, index]])
        columns += [plain, np.full(ROWS, -0.0037), made.frequency[:, index], np.zeros(ROWS)]
    header.append("Channel A Temp [Celsius]")
    columns.append(np.full(ROWS, 25.004))
    return _lines(header, columns, "," if decimal == "." else ";", decimal).encode()


OPENQCM_HEADER = ["Date", "Time", "Relative_time", "Temperature"] + [
    f"{quantity}_{index}" for index in range(5) for quantity in ("Frequency", "Dissipation")
]


def openqcm_rows() -> list[list[str]]:
    made = experiment()
    rows = []
    for index in range(ROWS):
        row = ["2024-05-01", f"12:00:{index // 2:02d}", str(made.time[index]), "25.01"]
        for frequency, dissipation in zip(made.frequency[index], made.dissipation[index], strict=True):
            row += [str(frequency), repr(round(float(dissipation) * 1e-6, 12))]
        rows.append(row)
    return rows


def openqcm(decimal: str = ".") -> bytes:
    separator = "," if decimal == "." else ";"
    rows = [[field.replace(".", decimal) for field in row] for row in openqcm_rows()]
    return "\r\n".join(separator.join(row) for row in [OPENQCM_HEADER, *rows, []]).encode()


def awsensors(decimal: str = ".") -> bytes:
    made = experiment((3, 5, 7, 9, 11))
    header, columns = ["Time_(s)"], [made.time]
    for index, n in enumerate(made.overtones):
        header += [f"Delta_F/n_n={n}_(Hz)", f"Delta_D_n={n}_()"]
        shift = made.dissipation[:, index] - made.dissipation[0, index]
        columns += [normalised_shift(made)[:, index], np.array([round(value * 1e-6, 12) for value in shift])]
    return _lines(header, columns, "\t", decimal).encode()


def single_frequency(decimal: str = ".") -> bytes:
    made = experiment((1,))
    stamps = np.round(1756893372.25 + made.time, 3)
    columns = [made.time, stamps, made.frequency[:, 0], made.frequency[:, 0]]
    header = ["Time Elapsed (s)", "Timestamp", "Frequency", "Moving Average"]
    return _lines(header, columns, "," if decimal == "." else ";", decimal, "\r\n").encode()


def qcm200(decimal: str = ".") -> bytes:
    """A sweep down and up again in steps of 5 mV."""
    potential = np.round(np.concatenate([np.linspace(0.3, 0.155, 30), np.linspace(0.16, 0.305, 30)]), 5)
    current = -1e-5 * np.sin(np.arange(ROWS) / 8)
    header = ["#Potential (V)", "Current (A)", "Frequency (Hz)"]
    rows = [
        f"{e:.5f}\t{i:.2E}\t{1.525 * (k % 7 - k):.5f}" for k, (e, i) in enumerate(zip(potential, current, strict=True))
    ]
    return ("\n".join(["\t".join(header), *(row.replace(".", decimal) for row in rows)]) + "\n\n").encode()


def mpt(decimal: str = ",") -> bytes:
    made = experiment()
    preamble = [
        "EC-Lab ASCII FILE",
        "Nb header lines : 9                          ",
        "",
        "Cyclic Voltammetry",
        "Acquisition started on : 07/29/2020 10:31:01",
        "Electrode surface area : 0,001 cm²",
        f"Number of loops : 1\nLoop 0 from point number 0 to {ROWS - 1}",
        "mode\tox/red\ttime/s\tEwe/V\t<I>/mA\tcycle number\t(Q-Qo)/mC\t",
    ]
    rows = [
        f"2\t1\t{t:.15E}\t{e:.7E}\t{i:.15E}\t{1:.15E}\t{q:.7E}".replace(".", decimal)
        for t, e, i, q in zip(made.time, made.potential, made.current, made.charge, strict=True)
    ]
    return ("\n".join([*preamble, *rows]) + "\n").encode("latin-1")


def eclab_dates(decimal: str = ".") -> bytes:
    """Columns alone, the header with a separator at its end, with local times of day: 11:56:12.25 is two hours ahead of
    the stamps of `single_frequency`."""
    made = experiment()
    rows = []
    for t, e, i in zip(made.time, made.potential, made.current, strict=True):
        seconds = 12.25 + t
        stamp = f"09/03/2025 11:{56 + int(seconds // 60)}:{seconds % 60:07.4f}"
        rows.append(f"{stamp}\t{e:.7E}\t{i:.15E}\t{1:.15E}".replace(".", decimal))
    return "\r\n".join(["time/s\tEwe/V\t<I>/mA\tcycle number\t", *rows, ""]).encode()


def gamry(decimal: str = ",") -> bytes:
    made = experiment((1,))
    half = ROWS // 2
    lines = ["EXPLAIN", "TAG\tCVEQCM", "DATE\tLABEL\t02/12/2016\tDate", "TIME\tLABEL\t11:02:38\tTime"]
    lines.append("AREA\tQUANT\t2.09000E-001\tElectrode &Area (cm^2)".replace(".", decimal))
    for number, part in enumerate((slice(0, half), slice(half, None)), 1):
        before = made.charge[half - 1] if number == 2 else 0.0
        lines += [f"CURVE{number}\tTABLE", "\tPt\tT\tQ\tVf\tIm\tIERange\tOver", "\t#\ts\tC\tV vs. Ref.\tA\t#\tbits"]
        for k, t, q, e, i in zip(
            range(ROWS)[part], made.time[part], made.charge[part] - before, made.potential[part], made.current[part],
            strict=True,
        ):  # fmt: skip
            row = f"\t{k}\t{t:.6f}\t{1e-3 * q:.8E}\t{e:.5E}\t{1e-3 * i:.5E}\t11"
            lines.append(row.replace(".", decimal) + "\t...........")
    lines += ["QCMOFFSETTIME\tQUANT\t58.025000\tQCM Offset Time (s)".replace(".", decimal)]
    lines += ["CALIBRATIONFACTOR\tQUANT\t56.600000\tCalibration Factor (Hz cm^2/ug)".replace(".", decimal)]
    lines += ["QCMCurve\tDTABLE", "\tPt\tT\tfs\tfp\tchisq", "\t#\ts\tMHz\tMHz\tarb"]
    for k, (t, f) in enumerate(zip(made.time, made.frequency[:, 0], strict=True), 216):
        lines.append(f"\t{k}\t{t + 58.025:.6f}\t{1e-6 * f:.8f}\t{1e-6 * f + 0.007:.8f}\t0.000".replace(".", decimal))
    return ("\n".join(lines) + "\n").encode()


def qsd(shorter: int = 1) -> bytes:
    """Settings, one block per resonance with its own times, 15 not measured; the last overtones lack samples."""
    made = experiment()
    settings = "[QCNoChamber_Settings]\n"
    for k, n in enumerate([*made.overtones, 11]):
        settings += f"[QCNoChamber_Settings\\Xtals\\Xtal_0_Settings\\Resonance_{k}_Settings]\n"
        settings += f"Include={int(k < 5)}\nOvertone={n}\nXtalDriveTimeFloat=0\n"
    data = b"Created by QSoft\r\n" + settings.encode() + b"\x00" * 5 + struct.pack("<HHIII", 2020, 1, 1, ROWS, 7)
    for k in range(6):
        count = 0 if k == 5 else ROWS - shorter * (k > 2)
        data += b"\x02\x08\x00\x00" + struct.pack("<III", k, count, int(count > 0))
        if not count:
            continue
        data += struct.pack("<II", 0, count)
        days = 45000.5 + (made.time + 0.05 * k) / 86400
        for values in (days, made.frequency[:, k], made.dissipation[:, k]):
            data += b"\x0b\x00" + struct.pack("<I", count) + struct.pack(f"<{count}d", *values[:count])
    return data + b"\xdc\x07\x00\x00temperatures"


def mpr() -> bytes:
    """Modules of settings, data of version 2 (flags, time/s, Ewe/V, I/mA) and log, as galvani's reader expects them."""
    made = experiment()
    identifiers = (4, 6, 8)  # time/s, Ewe/V, I/mA
    points = b"".join(
        struct.pack("<dff", t, e, i) for t, e, i in zip(made.time, made.potential, made.current, strict=True)
    )
    data = struct.pack("<IB", ROWS, len(identifiers)) + struct.pack("<3H", *identifiers)
    data = data.ljust(405, b"\x00") + points
    days = (date(2020, 7, 29) - date(1899, 12, 30)) / timedelta(days=1) + 0.4375
    log = bytes(465) + struct.pack("<d", days) + bytes(120)
    modules = [
        (b"VMP Set   ", b"VMP settings", 0, bytes(100)),
        (b"VMP data  ", b"VMP data", 2, data),
        (b"VMP LOG   ", b"VMP LOG", 0, log),
    ]
    file = b"BIO-LOGIC MODULAR FILE\x1a".ljust(48) + b"\x00" * 4
    for short, long, version, body in modules:
        file += b"MODULE" + short + long.ljust(25) + struct.pack("<II", len(body), version) + b"07/29/20" + body
    return file


def plain_table(decimal: str = ".", separator: str = ";") -> bytes:
    """The columns of the zinc workbooks as text."""
    made = experiment()
    header, columns = ["time [s]"], [made.time]
    for index, n in enumerate(made.overtones):
        header += [f"f{n}", f"D{n}"]
        columns += [made.frequency[:, index], made.dissipation[:, index]]
    return _lines(header, columns, separator, decimal).encode()


def plain_workbook() -> bytes:
    made = experiment()
    columns = {"time": made.time}
    for index, n in enumerate(made.overtones):
        columns |= {f"f{n}": made.frequency[:, index], f"D{n}": made.dissipation[:, index]}
    return workbook(pd.DataFrame(columns))


def potentiostat_workbook() -> bytes:
    made = experiment()
    columns = {"time/s": made.time, "(Q-Qo)/mC": made.charge, "<Ewe/V>": made.potential, "I/mA": made.current}
    return workbook(pd.DataFrame(columns))


def other_table(decimal: str = ".") -> bytes:
    """A csv of one's own, for `--columns` as in `OTHER_COLUMNS`, below two lines about the experiment."""
    made = experiment((3,))
    columns = [made.time / 60, made.frequency[:, 0], made.dissipation[:, 0], made.current]
    header = ["t (min)", "third [Hz]", "loss, third [ppm]", "I/mA"]
    separator = ";"
    return ("my experiment\nof Monday;;\n" + _lines(header, columns, separator, decimal)).encode()


OTHER_COLUMNS = "time=t (min),f3=third [Hz],D3=loss, third [ppm],current=I/mA"

FILES: dict[str, Callable[[], bytes]] = {
    "QSense .qsd": qsd,
    "QSoft text": qsoft,
    "QTools xlsx": qtools,
    "QSense text": qsense_text,
    "QCM-I csv": qcm_i,
    "openQCM NEXT csv": openqcm,
    "AWSensors text": awsensors,
    "Gamry .DTA": gamry,
    "EC-Lab .mpt": mpt,
    "EC-Lab .mpr": mpr,
    "EC-Lab text with dates": eclab_dates,
    "single-frequency csv": single_frequency,
    "QCM200 text": qcm200,
    "time, f3, D3 xlsx": plain_workbook,
    "time, f3, D3 text": plain_table,
    "potentiostat xlsx": potentiostat_workbook,
    "table by --columns": other_table,
}
