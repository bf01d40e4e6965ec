"""Constants of the plating model, learnt: every particle grows its surface with a value of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
import xarray as xr
from small_recording import PROTOCOL, Simulated

from hmm_plating import Drive, PlatingModel
from hmm_plating.filter_recording import drives, observations
from hmm_plating.inference import SMC2, liu_west
from hmm_plating.recording import read, resample


def prior() -> None:
    pyro.sample("current_efficiency", dist.Uniform(torch.tensor(0.2, dtype=torch.float64), 1.0))


def test_the_efficiency_sets_the_thickness(simulated: Simulated, build: Callable[[xr.Dataset], PlatingModel]) -> None:
    names = ("qcmd.xlsx", "echem.xlsx", "quartz_in_air.xlsx")
    recording = resample(read(*(simulated.folder / name for name in names), area=PROTOCOL.area), 2.0)
    plating = build(recording)

    def model(parameters: dict[str, Any]) -> PlatingModel:
        return replace(plating, parameters={**plating.parameters, **parameters})

    y = observations(recording)[:7]
    drive = Drive(*(series[:7] for series in drives(recording, plating.instrument.lag_times)))
    result = liu_west(model, prior, 20, discount=0.9999).run(y, drive, seed=1)
    assert result["posterior_predictive"]["frequency_shift"].dims == ("chain", "draw", "time", "overtone")
    # with so little jitter a particle keeps its value, which sets its thickness once its nuclei are paid for
    last = result["posterior"].isel(chain=0, time=-1)
    charge = -float(recording["charge_density"][6])
    faraday = charge / plating.metal.charge_per_volume * last["current_efficiency"]
    assert (abs(last["thickness"] / faraday - 1) < 0.01).mean() > 0.5
    assert float(last["current_efficiency"].std()) > 0.01
    learned = SMC2(model, prior, 6, 3).run(y, drive, seed=1)
    assert learned["posterior"]["current_efficiency"].shape == (1, 6)
    assert np.isfinite(learned.attrs["log_evidence"])
