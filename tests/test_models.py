"""The model files that users copy: each draws a recording with nuclei and takes filter steps on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hmm_plating import Protocol, filter_recording, simulate_recording
from hmm_plating.materials import FARADAY_CONSTANT, Metal
from hmm_plating.model_file import load_model_file

MODELS = sorted((Path(__file__).parents[1] / "models").glob("*.py"))
# at ten times the usual current a few steps deposit beyond the wetting charge and the charge of the nuclei
PROTOCOL = Protocol(
    cycles=0, rest_time=2.0, plating_time=8.0, sampling=2.0, current_density=100.0, overtones=(3, 7, 11)
)


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_model_file_simulates_and_filters(path: Path):
    build = load_model_file(path)
    recording, truth = simulate_recording(build, PROTOCOL, seed=0)
    model = build(recording)
    assert model.metal == getattr(Metal, path.stem)()
    charge = float(-recording["charge_density"][-1])
    faradaic = charge * model.metal.molar_mass / (model.metal.valence * FARADAY_CONSTANT * model.metal.density)
    assert 0.3 * faradaic < float(truth["thickness"][-1]) <= faradaic * (1 + 1e-9)
    # the metal's inertia alone gives Sauerbrey's shift, and rough metal carries liquid along
    last = truth["surface_frequency_shift"].isel(time=-1) / truth["overtone"]
    mass = model.metal.density * float(truth["thickness"][-1])
    sauerbrey = -2 * model.resonator.fundamental_frequency**2 / model.resonator.impedance * mass
    assert (last < sauerbrey).all()

    result = filter_recording(recording, model, particles=8, seed=0)
    assert np.isfinite(result.attrs["log_evidence"])
    assert np.isfinite(result["posterior_predictive"]["frequency_shift"].values).all()
    assert (result["posterior"]["thickness"].isel(time=-1) > 0).all()
