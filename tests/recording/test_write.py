"""What is written is what is read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from hmm_plating.errors import InputError
from hmm_plating.recording import read, write


def _absolute(dataset, quantity):
    return (dataset[f"{quantity}_shift"] + dataset[f"reference_{quantity}"]).values


def _assert_same(written, again):
    for quantity in ("frequency", "dissipation"):
        np.testing.assert_allclose(_absolute(again, quantity), _absolute(written, quantity), rtol=1e-14)
        air = f"air_to_liquid_{quantity}_shift"
        in_air = [dataset[f"reference_{quantity}"] - dataset[air] for dataset in (written, again)]
        np.testing.assert_allclose(in_air[1], in_air[0], rtol=1e-12)
    np.testing.assert_array_equal(again["time"], written["time"])
    np.testing.assert_allclose(again["charge_density"], written["charge_density"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(again["potential"], written["potential"], rtol=1e-9)
    np.testing.assert_allclose(again["current_density"][1:], written["current_density"][1:], atol=1e-6)


def test_round_trip(make_experiment, tmp_path):
    """Noisy, with gaps, on two clocks; the clock's offset is known on the way back."""
    experiment = make_experiment(3, noise=1.0, offset=2.0, cycles=1)
    experiment.qcmd.loc[20:25, "f5"] = np.nan
    first = read(*experiment.save(tmp_path), area=0.785e-4)
    folder = tmp_path / "again"
    folder.mkdir()
    files = write(first, folder)
    assert [path.name for path in files] == ["qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx"]
    again = read(*files, area=0.785e-4, clock_offset=first.attrs["clock_offset"])
    _assert_same(first, again)
    assert sorted(path.name for path in folder.iterdir()) == ["echem.xlsx", "qcmd.xlsx", "quartz_in_air.xlsx"]


def test_shifts_survive_too(quiet, tmp_path):
    """The reference is found anew: from the same samples, but for one that the current may just have reached."""
    again = read(*write(quiet, tmp_path), area=0.785e-4, clock_offset=0.0)
    np.testing.assert_allclose(again["frequency_shift"], quiet["frequency_shift"], atol=0.1)
    np.testing.assert_allclose(again["dissipation_shift"], quiet["dissipation_shift"], atol=1e-9)


@pytest.mark.slow
def test_zinc_round_trip(zinc, tmp_path):
    files = write(zinc, tmp_path)
    _assert_same(zinc, read(*files, area=zinc.attrs["area"], clock_offset=zinc.attrs["clock_offset"]))


def test_qcm_alone(quiet, tmp_path):
    bare = quiet.drop_vars(["current_density", "potential", "charge_density"])
    files = write(bare.drop_vars(["air_to_liquid_frequency_shift", "air_to_liquid_dissipation_shift"]), tmp_path)
    assert files.electrochemistry is None
    assert files.air is None
    assert [path.name for path in tmp_path.iterdir()] == ["qcmd.xlsx"]
    np.testing.assert_allclose(_absolute(read(files.qcmd, area=1e-4), "frequency"), _absolute(quiet, "frequency"))


def test_bad_folders(quiet, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"nowhere does not exist.*create it"):
        write(quiet, tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no folder"):
        write(quiet, tmp_path / "file")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(InputError, match=r"cannot write into .*: Permission denied"):
        write(quiet, tmp_path)


def test_reference_values_are_needed(quiet, tmp_path):
    with pytest.raises(InputError, match="'reference_frequency'"):
        write(quiet.drop_vars("reference_frequency"), tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_other(quiet, tmp_path, monkeypatch):
    (tmp_path / "qcmd.xlsx").write_text("the old one")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"cannot write .*qcmd\.xlsx: No space left on device"):
        write(quiet, tmp_path)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["qcmd.xlsx"]
    assert (tmp_path / "qcmd.xlsx").read_text() == "the old one"
