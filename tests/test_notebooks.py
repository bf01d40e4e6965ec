"""Every notebook runs as it is committed; the first one's checks hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

FACTS = """
import json
print(json.dumps({
    "effective_sample_size": float(size.sum("chain").min()),
    "distance": ((summary["mean"] - summary["truth"]).abs() / summary["sd"]).tolist(),
    "coverage": [channel.coverage for channel in score.channels],
    "withheld": [channel.overtone for channel in score.channels if channel.withheld],
}))
"""


def run(path: Path, facts: str) -> tuple[dict[str, Any], int]:
    """Execute a notebook; returns what the code `facts`, run after its last cell, prints as JSON, and its pictures."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(facts))
    folder = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    return json.loads(notebook.cells[-1]["outputs"][-1]["text"]), pictures


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_committed_without_outputs(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.slow
def test_filter_a_recording():
    facts, pictures = run(NOTEBOOKS / "01-filter-a-recording.ipynb", FACTS)
    assert pictures == 4
    assert facts["effective_sample_size"] > 8
    # thickness and roughness: beyond three standard deviations once in 370 for a Gaussian posterior
    assert max(facts["distance"]) < 3.5
    assert facts["withheld"] == [7, 7]
    # 8 channels, 13 steps or more each: a mean far below 90 % is not chance, errors being alike across overtones or not
    assert sum(facts["coverage"]) / len(facts["coverage"]) > 0.8
