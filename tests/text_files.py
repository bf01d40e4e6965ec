"""A recording as the text files of two instruments."""

from __future__ import annotations

from pathlib import Path

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
