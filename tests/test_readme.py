"""What README.md and docs/ tell a reader to do works as written; what they point to exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hmm_plating import cli, inference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# options that make the same commands short: argparse takes an option's last value
SHORT = {
    "simulate": "--cycles 0 --plating-time 8 --sampling 2",
    "filter": "--particles 4 --chains 2",
    "report": "",
    "export": "",
    "inspect": "",
    "grow": "",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_named_paths_exist():
    for page in PAGES:
        for path in re.findall(r"`((?:hmm_plating|models|notebooks|docs)/[^`]*)`", page.read_text()):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").glob("*.png"):
        assert picture.stat().st_size < 300_000


@pytest.mark.slow
def test_commands_of_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    lines = re.findall(r"^    (hmm-plating .*)$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE)
    commands = [shlex.split(line) for line in lines]
    names = ["simulate", "inspect", "filter", "report", "report", "export", "watch", "inspect"]
    assert [words[1] for words in commands] == names
    for words in commands[:6]:  # a server, and files that only a reader has
        assert cli.main([*words[1:], *SHORT[words[1]].split()]) == 0, words
    said = capsys.readouterr().out
    suggested = next(line.split() for line in said.splitlines() if line.startswith("  hmm-plating filter"))
    assert {"recording/qcmd.xlsx", "recording/echem.xlsx"} < set(suggested)


@pytest.mark.slow
def test_commands_and_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    commands = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    assert [words[:2] for words in commands] == [
        ["hmm-plating", name] for name in ("simulate", "filter", *["report"] * 2, "export", "grow")
    ]
    for words in commands:
        assert cli.main([*words[1:], *SHORT[words[1]].split()]) == 0, words
    assert (tmp_path / "posterior.html").read_text().startswith("<!DOCTYPE html>")
    assert "Δf/n 7 withheld" in capsys.readouterr().out

    posterior = inference.load(tmp_path / "posterior.nc")["posterior"]
    page = (ROOT / "docs" / "model.md").read_text()
    undescribed = [name for name in posterior.data_vars if f"`{name}`" not in page]
    assert not undescribed

    example, emission = blocks("python")
    assert "seed=1" in example
    exec(example.replace("seed=1", "particles=4, chains=2, seed=1"), {})
    assert "xarray.DataArray 'thickness' (time: " in capsys.readouterr().out
    names: dict = {}
    exec(emission, names)
    assert names["load"].shape == (3,)
    assert float(names["surface"].grad.min()) > 0
