"""Reading results and checkpoints executes nothing: no object is ever unpickled (PEP 578 audit events as oracle)."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from state_space_models import LinearGaussian

from hmm_plating.errors import InputError
from hmm_plating.inference import ParticleFilter, load, save
from hmm_plating.inference.checkpoint import read_arrays, read_filter_state

_unpickled: list[str] = []
_watching = False


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event == "pickle.find_class":
        _unpickled.append(".".join(map(str, arguments)))


sys.addaudithook(_hook)  # cannot be removed


@contextmanager
def unpickled() -> Iterator[list[str]]:
    """The names that an unpickler looks up meanwhile."""
    global _watching
    _unpickled.clear()
    _watching = True
    try:
        yield _unpickled
    finally:
        _watching = False


class Malicious:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.path), "w")


def test_the_oracle_sees_an_unpickled_object(tmp_path: Path) -> None:
    with unpickled() as names:
        pickle.loads(pickle.dumps(Malicious(tmp_path / "ran"))).close()
    assert any(name.endswith(".open") for name in names)
    assert (tmp_path / "ran").exists()


def test_a_result_and_its_checkpoint_are_read_without_unpickling(tmp_path: Path) -> None:
    model = LinearGaussian.four_dimensional()
    result = ParticleFilter(model, 8).run(model.simulate(4, seed=1), checkpoint=tmp_path / "run")
    save(result, tmp_path / "result.nc")
    with unpickled() as names:
        assert load(tmp_path / "result.nc").groups()
        assert read_filter_state(tmp_path / "run")[0]["step"] == 4
    assert names == []


def test_a_pickled_object_in_a_checkpoint_is_refused_unopened(tmp_path: Path) -> None:
    evil = np.array([Malicious(tmp_path / "ran")], dtype=object)
    np.savez(tmp_path / "state.npz", allow_pickle=True, log_weights=evil)
    with unpickled() as names, pytest.raises(InputError, match="missing or damaged"):
        read_arrays(tmp_path / "state.npz")
    assert names == []
    assert not (tmp_path / "ran").exists()
