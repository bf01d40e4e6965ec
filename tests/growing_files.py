"""A recording as the text files of two instruments, and a writer that adds to them as instruments do, or faster."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from hmm_plating.recording.formats import Crystal, Potentiostat, read_contents
from hmm_plating.recording.formats.overtones import PPM


def crystal_text(crystal: Crystal) -> bytes:
    """QSoft text of a QCM's recording of absolute frequencies; all digits are written."""
    assert crystal.dissipation is not None
    header = ["Time_1 [s]"] + [name for n in crystal.overtones for name in (f"f{n}_1 [Hz]", f"D{n}_1 [ppm]")]
    rows = [";".join(header)]
    for moment, f, d in zip(crystal.time, crystal.frequency, crystal.dissipation / PPM, strict=True):
        values = [moment, *(x for pair in zip(f, d, strict=True) for x in pair)]
        rows.append(";".join(repr(float(value)) for value in values))
    return "\r\n".join([*rows, ""]).encode()


def potentiostat_text(recorded: Potentiostat) -> bytes:
    """Columns of EC-Lab; all digits are written."""
    assert recorded.charge is not None
    assert recorded.current is not None
    assert recorded.potential is not None
    rows = ["time/s\t(Q-Qo)/mC\t<Ewe/V>\tI/mA"]
    columns = (recorded.time, 1e3 * recorded.charge, recorded.potential, 1e3 * recorded.current)
    rows += ["\t".join(repr(float(value)) for value in row) for row in zip(*columns, strict=True)]
    return "\r\n".join([*rows, ""]).encode()


def texts_of(qcmd: Path, electrochemistry: Path) -> dict[str, bytes]:
    """The two files of a recording as texts, by the names `qcm.txt` and `cell.txt`."""
    crystal = read_contents(qcmd, part="crystal").crystal
    potentiostat = read_contents(electrochemistry, part="potentiostat").potentiostat
    assert crystal is not None
    assert potentiostat is not None
    return {"qcm.txt": crystal_text(crystal), "cell.txt": potentiostat_text(potentiostat)}


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
