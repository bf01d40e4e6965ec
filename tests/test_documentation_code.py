"""Every piece of code in README.md and docs/ is one that runs: Python is executed, commands are understood.

Commands are parsed here; `test_readme.py` runs those of the README and of the tutorial.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray as xr
from instrument_files import mpt, qsd
from small_recording import Simulated
from test_readme import PAGES, ROOT
from text_files import texts_of

import hmm_plating as hp
from hmm_plating import cli
from hmm_plating.filter_recording import drives, observations

PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^ *(?:[A-Z_]+=\S+ )*(?:taskset -c \S+ )?((?:hmm-plating|python|make) .*)$", re.MULTILINE)
# what makes the same code short
SHORTER = {
    "likelihood_free_vi.md": {"simulations=100_000": "simulations=400"},
    "particle_filter.md": {"1000": "20", "500": "20"},
    "smc_abc.md": {"simulations=10_000": "simulations=1_000"},
    "smoothing_and_parameters.md": {"prior, 100": "prior, 4"},
    "streaming.md": {"idle=60.0": "idle=0.3, particles=4, chains=2", '"cell.mpt")': '"cell.mpt", first_part=12.0)'},
}
ELSEWHERE = {"README.md"}  # run by test_readme.py


def code(page: Path) -> str:
    """The page's code blocks: between fences, or indented and apart from a list."""
    text = page.read_text()
    fence = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
    fenced, indented = fence.findall(text), re.findall(r"(?<=\n\n)((?:    .*\n|\n)+)", fence.sub("", text))
    return re.sub(r" *\\\n *", " ", "\n".join([*fenced, *indented]))  # lines that go on


def commands() -> list[Any]:
    found = [(page, line) for page in PAGES for line in COMMAND.findall(code(page))]
    return [pytest.param(line, id=f"{page.name}: {line[:60]}") for page, line in found]


def test_code_is_found() -> None:
    lines = [parameter.values[0] for parameter in commands()]
    assert sum(line.startswith("hmm-plating") for line in lines) > 15
    assert sum(line.startswith("python") for line in lines) > 8
    assert {page.name for page in PAGES if PYTHON.search(page.read_text())} - ELSEWHERE == set(NAMES)


@pytest.mark.parametrize("line", commands())
def test_command_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = shlex.split(line, comments=True)
    if program == "hmm-plating":
        cli._parser().parse_args(words)
    elif program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        path = ROOT / words[0]
        script = path.read_text()
        helpers = [other for other in path.parent.glob("*.py") if f"\nfrom {other.stem} import" in script]
        script += "".join(other.read_text() for other in helpers)
        for option in (word.split("=")[0] for word in words[1:] if word.startswith("--")):
            assert f'"{option}"' in script, option


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_marked_as_such(page: Path) -> None:
    """Else it would not be run below."""
    plain = PYTHON.sub("", page.read_text())
    assert not re.search(r"^ {4}(import |from \w+ import |\w+ = \w+\.|for .*:$|def )", plain, re.MULTILINE)


class RandomWalk:
    """A latent walk whose steps have a scale that can be differentiated, observed with noise."""

    def __init__(self) -> None:
        self.parameter = torch.tensor(1.0, requires_grad=True)

    def init(self, state: Any) -> None:
        state["x"] = pyro.sample("x_0", dist.Normal(0.0, 1.0))

    def step(self, state: Any, y: torch.Tensor | None = None) -> torch.Tensor:
        state["x"] = pyro.sample("x", dist.Normal(state["x"], self.parameter))
        return pyro.sample("y", dist.Normal(state["x"], 0.5), obs=y)


def a_filter(*_: Any) -> dict[str, Any]:
    from hmm_plating.inference import LinearPart, ParticleFilter, log_evidence, observe_linear, start_linear

    model, series = RandomWalk(), torch.tensor([0.3, 1.1, 0.7])
    return {
        "model": model,
        "observations": series,
        "observation": series[0],
        "particle_filter": ParticleFilter(model, 20),
        **{each.__name__: each for each in (LinearPart, ParticleFilter, log_evidence, observe_linear, start_linear)},
        "torch": torch,
    }


def a_simulator(*_: Any) -> dict[str, Any]:
    from hmm_plating.inference import SMCABC

    prior = dist.Normal(torch.zeros(2), 1.0).to_event(1)
    names = {"prior": prior, "simulator": _simulator, "observed": torch.ones(2), "SMCABC": SMCABC}
    return names | {"client": pytest.importorskip("distributed").Client(processes=False, dashboard_address=None)}


def _simulator(theta: torch.Tensor) -> torch.Tensor:
    return theta + 0.1 * torch.randn_like(theta)


def instrument_files(folder: Path, *_: Any) -> dict[str, Any]:
    (folder / "qcm.qsd").write_bytes(qsd())
    (folder / "echem.mpt").write_bytes(mpt())
    return {}


def growing_files(folder: Path, simulated: Simulated, build: Callable[[xr.Dataset], hp.PlatingModel]) -> dict[str, Any]:
    texts = texts_of(simulated.folder / "qcmd.xlsx", simulated.folder / "echem.xlsx")
    (folder / "qcm.txt").write_bytes(texts["qcm.txt"])
    (folder / "cell.mpt").write_bytes(texts["cell.txt"])
    return {"build": build}


def a_plating_model(_: Path, simulated: Simulated, build: Callable[[xr.Dataset], hp.PlatingModel]) -> dict[str, Any]:
    recording = hp.recording.resample(simulated.recording, 2.0).isel(time=slice(3))
    plating = build(recording)
    return {
        "plating": plating,
        "observations": observations(recording),
        "drives": drives(recording, plating.instrument.lag_times),
        "dataclasses": dataclasses,
        "pyro": pyro,
        "dist": dist,
        "torch": torch,
        "hp": hp,
    }


def for_surfaces(*_: Any) -> dict[str, Any]:
    morphology = importlib.import_module("hmm_plating.morphology")
    return {"morphology": morphology, "dist": dist, "tensor": torch.tensor, "log": math.log, "partial": partial}


# what the text around a page's code takes as given
NAMES: dict[str, Callable[..., dict[str, Any]]] = {
    "formats.md": instrument_files,
    "likelihood_free_vi.md": a_simulator,
    "morphology.md": for_surfaces,
    "particle_filter.md": a_filter,
    "scaling.md": a_simulator,
    "smc_abc.md": lambda *_: {},
    "smoothing_and_parameters.md": a_plating_model,
    "streaming.md": growing_files,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_python_runs(
    name: str,
    simulated: Simulated,
    build: Callable[[xr.Dataset], hp.PlatingModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = NAMES[name](tmp_path, simulated, build)
    for block in PYTHON.findall((ROOT / "docs" / name).read_text()):
        for long, short in SHORTER.get(name, {}).items():
            block = block.replace(long, short)
        exec(compile(block, name, "exec"), names)
    if "client" in names:
        names["client"].close()
