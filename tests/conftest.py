"""A small model and a recording that it draws: shared by the tests of the modules that put the pieces together."""

from __future__ import annotations

import os
import subprocess
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported: there are as many workers as cores

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import xarray as xr
from cli_runs import Outcome
from compile_kernels import KERNELS
from small_recording import PROTOCOL, Simulated

from hmm_plating import PlatingModel, simulate_recording
from hmm_plating.cli import main
from hmm_plating.model_file import load_model_file
from hmm_plating.recording import write

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Workers that start together would each compile the same kernels: compile each once, side by side, before."""
    if not getattr(session.config.option, "numprocesses", None):  # one process: compiled when first called
        return
    script = Path(__file__).parent / "compile_kernels.py"
    jobs = [subprocess.Popen([sys.executable, script, name]) for name in KERNELS]
    if any([job.wait() for job in jobs]):
        raise pytest.UsageError(f"{script.name} failed: see above")


@pytest.fixture(scope="session")
def small_model() -> Path:
    return Path(__file__).parent / "small_model.py"


@pytest.fixture(scope="session")
def build(small_model: Path) -> Callable[[xr.Dataset], PlatingModel]:
    return load_model_file(small_model)


@pytest.fixture(scope="session")
def simulated(build: Callable[[xr.Dataset], PlatingModel], tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    recording, truth = simulate_recording(build, PROTOCOL, seed=1)
    folder = tmp_path_factory.mktemp("recording")
    write(recording, folder)
    return Simulated(recording, truth, folder)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command line, as words."""

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as error:  # how argparse ends
            code = int(error.code or 0)
        return Outcome(code, *capsys.readouterr())

    return run
