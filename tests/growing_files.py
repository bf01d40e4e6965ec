"""A recording as the text files of two instruments, and a writer that adds to them as instruments do, or faster."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr


def qcm_text(recording: xr.Dataset) -> bytes:
    """QSoft text of a simulated recording."""
    overtones = recording["overtone"].values
    frequency = (recording["frequency_shift"] + recording["reference_frequency"]).transpose("time", "overtone").values
    dissipation = (recording["dissipation_shift"] + recording["reference_dissipation"]).transpose("time", "overtone")
    header = ["Time_1 [s]"] + [name for n in overtones for name in (f"f{n}_1 [Hz]", f"D{n}_1 [ppm]")]
    rows = [";".join(header)]
    for moment, f, d in zip(recording["time"].values, frequency, 1e6 * dissipation.values, strict=True):
        rows.append(";".join([f"{moment:.3f}", *(f"{x:.4f};{y:.6f}" for x, y in zip(f, d, strict=True))]))
    return "\r\n".join([*rows, ""]).encode()


def potentiostat_text(recording: xr.Dataset) -> bytes:
    """Columns of EC-Lab."""
    area = recording.attrs["area"]
    rows = ["time/s\t(Q-Qo)/mC\t<Ewe/V>\tI/mA"]
    columns = [recording[name].values for name in ("time", "charge_density", "potential", "current_density")]
    for moment, charge, potential, current in zip(*columns, strict=True):
        rows.append(f"{moment:.3f}\t{1e3 * area * charge:.6f}\t{potential:.5f}\t{1e3 * area * current:.6f}")
    return "\r\n".join([*rows, ""]).encode()


def write_growing(contents: dict[Path, bytes], pieces: int, pause: float, seed: int = 0) -> None:
    """Add the bytes in pieces of random length, which end within lines, to all files in turn."""
    generator = np.random.default_rng(seed)
    cuts = {
        path: np.r_[0, np.sort(generator.integers(0, len(data), pieces - 1)), len(data)]
        for path, data in contents.items()
    }
    for piece in range(pieces):
        for path, data in contents.items():
            with open(path, "ab") as file:
                file.write(data[cuts[path][piece] : cuts[path][piece + 1]])
        time.sleep(pause)


if __name__ == "__main__":  # FILE=SOURCE …: another process
    files = dict(argument.split("=") for argument in sys.argv[3:])
    contents = {Path(path): Path(origin).read_bytes() for path, origin in files.items()}
    write_growing(contents, int(sys.argv[1]), float(sys.argv[2]))
