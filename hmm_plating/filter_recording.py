"""The main job: a resampled recording and a model to the posterior of the surface."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import arviz
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference import ParticleFilter, TwoStage, run_chains
from hmm_plating.inference.progress import Progress
from hmm_plating.instrument import Drive, lagged
from hmm_plating.model import PlatingModel
from hmm_plating.recording import require_electrochemistry
from hmm_plating.threads import one_torch_thread
from hmm_plating.versions import versions

DEFAULT_PARTICLES, DEFAULT_CHAINS = 32, 10  # defaults of a run
PREDICTIVE_DRAWS = 800  # of all chains
DEFAULT_CORRECTED = TwoStage.corrected  # of the particles, where the model has a surrogate


def drives(recording: xr.Dataset, lag_times: Sequence[float], before: Drive | None = None) -> Drive:
    """What the potentiostat did in each step of a resampled recording; every entry leads with time.

    `before` is that of its first steps, to which only the others are added.

    Raises:
        InputError: no current, or gaps in it: without the charge, nothing tells how much metal there is.
    """
    require_electrochemistry(recording)
    if before is not None:
        if len(before.duration) == recording.sizes["time"]:
            return before
        recording = recording.isel(time=slice(len(before.duration), None))
    time = torch.tensor(recording["time"].values, dtype=torch.float64)
    current = torch.tensor(recording["current_density"].values, dtype=torch.float64)
    charge = torch.tensor(recording["charge_density"].values, dtype=torch.float64)
    missing = torch.isnan(current) | torch.isnan(charge)
    if bool(missing.any()):
        first = float(time[missing][0])
        raise InputError(
            f"the current is missing in {int(missing.sum())} of {len(time)} steps, first at {first:g} s: "
            "cut the recording to the time that the potentiostat covers"
        )
    interval = float(recording.attrs["interval"])
    # a linear term's regressor: a gap keeps the last value
    last = [] if before is None else before.potential[-1:].tolist()
    potential = pd.Series([*last, *recording["potential"].values]).ffill().bfill().fillna(0.0).to_numpy(copy=True)
    passed = torch.zeros(1, dtype=torch.float64) if before is None else before.passed_charge[-1:]
    new = Drive(
        duration=torch.full_like(current, interval),
        current_density=current,
        charge_density=charge,
        passed_charge=torch.cat([passed, interval * current.abs()]).cumsum(0)[1:],
        potential=torch.as_tensor(potential[len(last) :], dtype=torch.float64),
        lagged_current=lagged(current, interval, lag_times, None if before is None else before.lagged_current[-1]),
    )
    return new if before is None else Drive(*(torch.cat(pair) for pair in zip(before, new, strict=True)))


def observations(recording: xr.Dataset, withhold: Sequence[int] = ()) -> Tensor:
    """(Δf_n …, ΔD_n …) of each step, shape (time, 2 · overtones), NaN where missing or withheld.

    Raises:
        InputError: a withheld overtone that the recording does not have, or none left.
    """
    overtones = [int(n) for n in recording["overtone"].values]
    absent = sorted(set(withhold) - set(overtones))
    if absent:
        raise InputError(f"cannot withhold overtone {absent[0]}: the recording has {', '.join(map(str, overtones))}")
    if set(withhold) == set(overtones):
        raise InputError("every overtone is withheld: leave at least one to the filter")
    seen = recording[["frequency_shift", "dissipation_shift"]].where(~recording["overtone"].isin(list(withhold)))
    return torch.as_tensor(
        xr.concat([seen["frequency_shift"], seen["dissipation_shift"]], "overtone").transpose("time", "overtone").values
    )


def require_noise(recording: xr.Dataset) -> None:
    """Raise InputError where a resampled recording does not tell the noise of an overtone, which every model needs."""
    for channel, symbol in (("frequency_shift", "Δf"), ("dissipation_shift", "ΔD")):
        noise = recording[f"{channel}_noise"]
        unknown = recording["overtone"].values[~(noise.values > 0)]
        if len(unknown):
            raise InputError(
                f"recording {recording.attrs.get('source', '')}: the noise of {symbol} at overtone {unknown[0]} cannot "
                "be estimated, its values are too few or all alike; leave the overtone's columns out"
            )


def require_overtones(recording: xr.Dataset, model: PlatingModel) -> None:
    """Raise InputError unless the model is for the overtones of the recording."""
    overtones = tuple(int(n) for n in recording["overtone"].values)
    if overtones != model.overtones:
        raise InputError(f"the model is for overtones {model.overtones}, the recording has {overtones}")


def recording_filter(
    model: PlatingModel, particles: int, chains: int, correct: float = DEFAULT_CORRECTED
) -> ParticleFilter:
    """The filter of each chain, in two stages where the model has a surrogate."""
    stages = None if model.surrogate is None else TwoStage(correct)
    return ParticleFilter(model, particles, predictive_draws=math.ceil(PREDICTIVE_DRAWS / chains), two_stage=stages)


@one_torch_thread()
def filter_recording(
    recording: xr.Dataset,
    model: PlatingModel,
    *,
    particles: int = DEFAULT_PARTICLES,
    chains: int = DEFAULT_CHAINS,
    seed: int = 0,
    withhold: Sequence[int] = (),
    correct: float = DEFAULT_CORRECTED,
    checkpoint: str | Path | None = None,
    checkpoint_interval: int = 20,
    resume: bool = False,
    progress: Progress | None = None,
) -> arviz.InferenceData:
    """Posterior of the surface under a recording, as InferenceData (see docs for its variables).

    Args:
        recording: resampled to filter steps, see `hmm_plating.recording.resample`.
        model: built for this recording (its overtones, its noise).
        particles: of each chain's filter.
        chains: independent filters; their draws together hold the posterior, see `hmm_plating.inference.chains`.
        seed: of all random draws.
        withhold: overtones to hide from the filter; they are predicted from the others.
        correct: share of the particles whose load the true solver finds, where the model has a surrogate.
        checkpoint: folder to keep the run in, so that it can be resumed.
        checkpoint_interval: steps between checkpoints.
        resume: continue from the checkpoint, if there is one.
        progress: called after each step of each chain.

    Raises:
        InputError: see `require_overtones`, `drives`, `observations`, `run_chains`.
    """
    require_overtones(recording, model)
    idata = run_chains(
        recording_filter(model, particles, chains, correct),
        chains,
        observations(recording, withhold),
        drives(recording, model.instrument.lag_times),
        seed=seed,
        time=recording["time"].values.tolist(),
        checkpoint=checkpoint,
        checkpoint_interval=checkpoint_interval,
        resume=resume,
        progress=progress,
    )
    add_recording(idata, recording, model, withhold)
    return idata


def add_recording(
    idata: arviz.InferenceData, recording: xr.Dataset, model: PlatingModel, withhold: Sequence[int]
) -> None:
    """Put what was recorded, and with what, into the result of a filter of the same steps."""
    observed = recording[["frequency_shift", "dissipation_shift"]].reset_coords(drop=True)  # withheld ones included
    constant = recording[
        [
            name
            for name in (
                "current_density",
                "potential",
                "charge_density",
                "frequency_shift_noise",
                "dissipation_shift_noise",
            )
            if name in recording
        ]
    ].reset_coords(drop=True)
    constant["withheld"] = ("overtone", [n in withhold for n in model.overtones])
    del idata["observed_data"]
    idata.add_groups({"observed_data": observed, "constant_data": constant})
    idata.attrs.update(
        {key: value for key, value in recording.attrs.items() if isinstance(value, str | int | float)},
        metal=model.metal.name,
        metal_molar_mass=model.metal.molar_mass,
        metal_valence=model.metal.valence,
        metal_density=model.metal.density,
        electrolyte_density=model.electrolyte.density,
        electrolyte_viscosity=model.electrolyte.viscosity,
        fundamental_frequency=model.resonator.fundamental_frequency,
        resonator_impedance=model.resonator.impedance,
        versions=versions(),
    )
