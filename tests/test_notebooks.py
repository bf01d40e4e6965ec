"""Every notebook runs as it is committed; what it says of its numbers holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

FILTERED = """
import json
print(json.dumps({
    "effective_sample_size": float(size.sum("chain").min()),
    "distance": ((summary["mean"] - summary["truth"]).abs() / summary["sd"]).tolist(),
    "coverage": [channel.coverage for channel in score.channels],
    "withheld": [channel.overtone for channel in score.channels if channel.withheld],
}))
"""

FELT = """
import json
deep = torch.nn.functional.max_pool2d(1 - ridges[None], kernel_size=7, stride=1, padding=3)[0] == 0  # no edge in reach
print(json.dumps({
    "measured": table["Δf/n [Hz]"].tolist(),
    "mass": table["mass alone [Hz]"].tolist(),
    "depths": list(depths.values()),
    "excess": {amplitude: values["Δf/n [Hz]"].tolist() for amplitude, values in excess.items()},
    "clean": measured(clean)["ΔD [1e-6]"].tolist(),
    "coated": measured(coated)["ΔD [1e-6]"].tolist(),
    "inside": weight[:, deep].mean().item(),
    "most": float(shown.max()),
    "dimensions": {name: roughness[name]["Δf/n [Hz]"][3] for name in surfaces},
}))
"""

GROWN = """
import json
print(json.dumps({
    "thickness": film["thickness"].sel(time=[60.0, 120.0]).values.tolist(),
    "unaccounted": float(abs(rest).max()),
    "depletion": {kind: 1 - float(growth["surface_concentration"].min()) for kind, growth in growths.items()},
    "plated": {kind: float(growth["thickness"][-1]) for kind, growth in growths.items()},
    "branching": table.to_dict("index"),
    "autograd": sensitivity["autograd"].tolist(),
    "differences": sensitivity["differences"].tolist(),
}))
"""

WRITTEN = """
import json
inside = (truth["outlier"].values[:100] > 0) & (np.abs(y.numpy() - truth["level"].values[:100]) > 2)
found = smoothed.posterior["outlier"].mean(["chain", "draw"]).values
spread = {name: float(result.posterior["level"].std("draw").mean()) for name, result in
          (("filtered", filtered), ("smoothed", smoothed))}
print(json.dumps({
    "outliers": [float(found[inside].mean()), float(found[truth["outlier"].values[:100] == 0].mean())],
    "spread": spread,
    "error": error,
    "distance": [float(abs(learned.posterior[name].mean() - float(TRUE[name])) / learned.posterior[name].std())
                 for name in ("drift", "noise")],
    "p": [calibration.kolmogorov_smirnov(name) for name in ("drift", "noise")],
    "covered": int(((future > low) & (future < high)).sum()),
}))
"""


EMULATED = """
import json
print(json.dumps({
    "errors": {name: table[name].tolist() for name in table},
    "left": leaves["left to the simulated step"].tolist(),
    "difference": leaves["largest difference from it"].tolist(),
    "relative": relative.median(0).values.tolist(),
    "trusted": float(trusted.double().mean()),
    "posterior": {name: [[float(result.posterior[key][..., -1].mean()), float(result.posterior[key][..., -1].std())]
                         for key in ("thickness", "roughness")] for name, result in results.items()},
    "solved": solver_share(results["surrogate, half of them corrected"]),
}))
"""


FROZEN = """
import json
print(json.dumps({
    "rows": {" ".join(key): values for key, values in table.T.to_dict().items()},
    "predicted": {name: value / NANOMETRE for name, value in sensitivity.posterior_deviation.items()},
    "cautions": by_ratio.attrs["cautions"],
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
    facts, pictures = run(NOTEBOOKS / "01-filter-a-recording.ipynb", FILTERED)
    assert pictures == 4
    assert facts["effective_sample_size"] > 8
    # thickness and roughness: beyond three standard deviations once in 370 for a Gaussian posterior
    assert max(facts["distance"]) < 3.5
    assert facts["withheld"] == [7, 7]
    # 8 channels, 13 steps or more each: a mean far below 90 % is not chance, errors being alike across overtones or not
    assert sum(facts["coverage"]) / len(facts["coverage"]) > 0.8


@pytest.mark.slow
def test_what_the_crystal_feels():
    facts, pictures = run(NOTEBOOKS / "02-what-the-crystal-feels.ipynb", FELT)
    assert pictures == 6
    assert all(1.15 < whole / mass < 1.3 for whole, mass in zip(facts["measured"], facts["mass"], strict=True))
    assert facts["depths"] == pytest.approx([137.6, 106.6, 90.1, 79.5, 71.9], abs=0.1)
    assert facts["excess"]["10"][0] == pytest.approx(-14.827, rel=0.03)  # spectral solution, table 4.1 of the design
    assert facts["excess"]["20"][0] == pytest.approx(-51.714, rel=0.02)
    assert facts["clean"] == sorted(facts["clean"])
    assert facts["coated"][0] > 3 * facts["clean"][0]
    assert facts["coated"][0] > facts["coated"][2]
    assert facts["inside"] == pytest.approx((7140 - 997.05) / 7140, rel=1e-3)  # metal in place of liquid
    assert facts["most"] > 3
    # the same table: grooves across and along the shear, egg crate
    assert list(facts["dimensions"].values()) == pytest.approx([-14.827, -6.699, -8.113], rel=0.03)


@pytest.mark.slow
def test_grow_a_dendrite():
    facts, pictures = run(NOTEBOOKS / "03-grow-a-dendrite.ipynb", GROWN)
    assert pictures == 3
    # 2400 C/m² less the wetting layer, at an efficiency of 0.92 to 1; 1 mAh/cm² of copper is 1.323 µm
    whole = 2400 / 36000 * 1.323e-6
    assert 0.9 * whole < facts["thickness"][0] < whole
    assert facts["thickness"][1] < 0.1e-9
    assert facts["unaccounted"] < 1e-9
    assert facts["depletion"]["pulsed"] > 1.2 * facts["depletion"]["direct"] > 0.1
    assert facts["plated"]["pulsed"] == pytest.approx(facts["plated"]["direct"], rel=0.02)
    low, high = facts["branching"]["low"], facts["branching"]["high overpotential"]
    assert low["dendrite height [µm]"] < 2.5 < 12 < high["dendrite height [µm]"]
    assert high["solid fraction"] < 0.8 < low["solid fraction"]
    assert facts["autograd"] == pytest.approx(facts["differences"], rel=1e-3)


@pytest.mark.slow
def test_static_surface():
    """Two methods agree on each number, widths are those predicted within a factor of 2, and the truth is in reach."""
    facts, pictures = run(NOTEBOOKS / "04-static-surface.ipynb", FROZEN)
    assert pictures == 2
    rows = facts["rows"]
    for name, one, other in (
        ("mean_height", "SMC-ABC", "Hamiltonian Monte Carlo"),
        ("root_mean_square_height", "SMC-ABC", "Hamiltonian Monte Carlo"),
        ("thickness", "LFVI", "SMC-ABC"),
        ("amplitude", "LFVI", "SMC-ABC"),
    ):
        first, second = rows[f"{name} {one}"], rows[f"{name} {other}"]
        # some 30 independent draws of the one method and 100 of the other: 0.2 standard deviations, and three of these
        assert abs(first["mean [nm]"] - second["mean [nm]"]) < 0.6 * second["sd [nm]"]
        assert 0.6 < first["sd [nm]"] / second["sd [nm]"] < 1.7
        assert abs(first["mean [nm]"] - first["truth [nm]"]) < 3 * first["sd [nm]"]
        if name in facts["predicted"]:
            assert 0.5 < first["sd [nm]"] / facts["predicted"][name] < 2


@pytest.mark.slow
def test_write_your_own_model():
    facts, pictures = run(NOTEBOOKS / "05-write-your-own-model.ipynb", WRITTEN)
    assert pictures == 4
    at_outliers, elsewhere = facts["outliers"]
    assert at_outliers > 0.8
    assert elsewhere < 0.05
    assert facts["spread"]["smoothed"] < 0.9 * facts["spread"]["filtered"]
    assert 0.02 < facts["error"] < 1
    assert max(facts["distance"]) < 3
    assert min(facts["p"]) > 1e-3
    assert facts["covered"] >= 14  # of 20, which follow one level: 18 are expected


@pytest.mark.slow
def test_emulators():
    facts, pictures = run(NOTEBOOKS / "06-emulators.ipynb", EMULATED)
    assert pictures == 1
    errors = facts["errors"]
    assert max(errors["mean thickness"]) < 1e-3
    assert max(errors["field"]) < 0.05
    assert max(errors["Sq"]) < 0.05
    assert max(errors["solid fraction"]) < 0.02
    assert facts["left"] == [False, True, True]
    assert facts["difference"][0] > 1e-6
    assert max(facts["difference"][1:]) == 0
    assert max(facts["relative"]) < 0.01
    assert facts["trusted"] > 0.95
    assert 0.5 <= facts["solved"] < 0.52  # half, and the few besides that the networks do not know
    for one, other in zip(*facts["posterior"].values(), strict=True):
        # 4 chains of each, whose own means scatter by a posterior standard deviation at most: three of √(2/4)
        assert abs(one[0] - other[0]) < 2.1 * max(one[1], other[1])
