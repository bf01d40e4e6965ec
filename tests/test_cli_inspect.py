"""`hmm-plating inspect`: what it prints is in the file, and the command that it suggests is understood."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import instrument_files as made_up
import pytest
from cli_runs import Outcome, refused
from small_recording import Simulated

from hmm_plating import inference
from hmm_plating.cli import _parser
from hmm_plating.recording import write


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def save(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return save


def suggested(outcome: Outcome) -> list[str]:
    assert (outcome.code, outcome.error) == (0, "")
    words = shlex.split(outcome.output.splitlines()[-1])
    assert words[0] == "hmm-plating"
    _parser().parse_args(words[1:])
    return words


def test_a_qcm_alone(run: Callable[..., Outcome], save):
    """First values and interval as made; noise of about 1 Hz and 1e-6 was put in."""
    path = save("one file.txt", made_up.qsoft())
    outcome = run("inspect", path)
    words = suggested(outcome)
    assert words[:3] == ["hmm-plating", "filter", str(path)]
    assert "POTENTIOSTAT_FILE" in words
    assert "QSense QSoft text" in outcome.output
    assert "60 samples" in outcome.output
    made = made_up.experiment()
    rows = [line.split() for line in outcome.output.splitlines()]
    rows = {int(row[0]): row for row in rows if len(row) == 7 and row[0].isdecimal()}  # fmt: skip
    assert sorted(rows) == [1, 3, 5, 7, 9]
    for index, n in enumerate(made.overtones):
        assert float(rows[n][1]) == pytest.approx(made.frequency[0, index])
        assert 0.5 < float(rows[n][2]) < 1.5
        assert 0.5 < float(rows[n][4]) < 1.5


def test_two_files_in_any_order(run: Callable[..., Outcome], save):
    qcm, echem = save("a.csv", made_up.single_frequency()), save("b.txt", made_up.eclab_dates())
    for files in ((qcm, echem), (echem, qcm)):
        outcome = run("inspect", *files)
        words = suggested(outcome)
        assert words[2:5] == [str(qcm), "--electrochemistry", str(echem)]
        assert "+2 h ahead" in outcome.output


def test_options_are_passed_on(run: Callable[..., Outcome], save):
    words = suggested(run("inspect", save("a.txt", made_up.qcm200()), "--scan-rate", "0.1"))
    assert words[words.index("--scan-rate") + 1] == "0.1"
    assert "--electrochemistry" not in words
    words = suggested(run("inspect", save("b.csv", made_up.other_table()), "--columns", made_up.OTHER_COLUMNS))
    assert words[words.index("--columns") + 1] == made_up.OTHER_COLUMNS


def test_problems_are_told(run: Callable[..., Outcome], save):
    lines = made_up.plain_table().decode().split("\n")
    outcome = run("inspect", save("a.csv", "\n".join(lines[:20] + lines[24:-1]).encode()))
    assert "lacks samples" in outcome.output
    assert "no line end" in outcome.output


def test_a_potentiostat_alone_and_too_many_files(run: Callable[..., Outcome], save):
    echem = save("b.mpt", made_up.mpt())
    assert "give the QCM's file with it" in run("inspect", echem).output
    qcm = save("a.txt", made_up.qsoft())
    assert "one experiment alone" in run("inspect", qcm, qcm).output


def test_workbooks_and_stored_recordings(run: Callable[..., Outcome], simulated: Simulated, tmp_path: Path):
    files = [simulated.folder / name for name in ("quartz_in_air.xlsx", "echem.xlsx", "qcmd.xlsx")]
    words = suggested(run("inspect", *files))
    assert words[2:7] == [str(files[2]), "--electrochemistry", str(files[1]), "--air", str(files[0])]
    write(simulated.recording, tmp_path / "whole.nc")
    words = suggested(run("inspect", tmp_path / "whole.nc"))
    assert words[2:4] == [str(tmp_path / "whole.nc"), "--model"]


def test_what_cannot_be_read(run: Callable[..., Outcome], save, tmp_path: Path):
    refused(run("inspect", tmp_path / "absent.csv"), "absent.csv", "no such file")
    refused(run("inspect", save("a.bin", bytes(range(256)) * 10)), "a.bin")
    refused(run("inspect", save("b.txt", made_up.qcm200())), "--scan-rate 0.1")
    refused(run("inspect", save("c.csv", made_up.other_table())), "--columns")
    refused(run("inspect", save("c.csv", b"x")), "c.csv")
    refused(run("inspect", save("d.csv", made_up.plain_table()), "--columns", "time"), "--columns")


def test_a_file_with_both_parts_and_no_dissipation_is_filtered(
    run: Callable[..., Outcome], save, small_model: Path, tmp_path: Path
):
    """The frequency alone informs the filter: what it was never told about D stays as in the model."""
    output = tmp_path / "out.nc"
    words = ["--model", small_model, "--particles", "4", "--chains", "2", "--interval", "4", "--area", "1"]
    code, _, error = run("filter", save("a.DTA", made_up.gamry()), *words, "--output", output)
    assert (code, error) == (0, "")
    result = inference.load(output)
    assert result["observed_data"]["dissipation_shift"].isnull().all()
    assert result["posterior"]["thickness"].notnull().all()
    assert float(result["posterior"]["thickness"].isel(time=4).mean()) > 0
