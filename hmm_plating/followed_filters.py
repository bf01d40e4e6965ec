"""The filters of a followed run: where they are in the recording, and their states, which are kept beside the store."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

import arviz
import numpy as np
import torch
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.filter_recording import add_recording, drives, observations
from hmm_plating.inference import FilterState, ParticleFilter, concatenate
from hmm_plating.inference.arviz_export import step_record, to_inference_data
from hmm_plating.inference.chains import chain_seed
from hmm_plating.inference.checkpoint import read_arrays
from hmm_plating.inference.fingerprint import fingerprint
from hmm_plating.inference.series import entry_at
from hmm_plating.inference.state_file import save_state, saved_state
from hmm_plating.instrument import Drive
from hmm_plating.recording import first_steps
from hmm_plating.run_store import RunStore, open_run
from hmm_plating.threads import one_torch_thread

MOST_MERGED = 5  # steps that become one when the filter falls behind
STATE = "state.npz"


class FollowedFilters:
    """The filters of a run, and where they are in the recording."""

    def __init__(
        self,
        particle_filter: ParticleFilter,
        chains: int,
        seed: int,
        withhold: tuple[int, ...],
        store: RunStore | None,
        attributes: dict[str, Any],
        recording: xr.Dataset,
    ) -> None:
        self.filters = [_copy(particle_filter) for _ in range(chains)]
        self.seed, self.withhold, self.store, self.attributes = seed, withhold, store, attributes
        self.states = [one.init(seed=chain_seed(seed, chain)) for chain, one in enumerate(self.filters)]
        self.step, self.skipped, self.last = 0, 0, -1  # `last`: position of the last filtered step in the recording
        self.stored = np.empty(0)  # times of the steps that the store has
        stages = particle_filter.two_stage
        settings = (particle_filter.particles, chains, seed, withhold, recording.attrs["interval"], stages)
        start = first_steps(recording)
        series = [start[name].values for name in ("time", "frequency_shift", "dissipation_shift", "charge_density")]
        self.identity = fingerprint(settings, type(particle_filter.model), particle_filter.model, series)
        self.kept = -1
        self.recording, self.drives = recording, drives(recording, particle_filter.model.instrument.lag_times)
        if store is not None:
            self._load(store, recording)

    def next_position(self, recording: xr.Dataset, newest: float, max_lag: float | None) -> int | None:
        """Where in the recording the next step ends; None where it is not complete yet."""
        available = recording.sizes["time"] - 1 - self.last
        if available <= 0:
            return None
        if self.step < len(self.stored):  # as before
            position = int(np.searchsorted(recording["time"].values, self.stored[self.step]))
            return position if position < recording.sizes["time"] else None
        lag = self._lag(recording, self.last, newest)
        merged = 1 if max_lag is None or lag <= max_lag else min(MOST_MERGED, available, math.ceil(lag / max_lag))
        return self.last + merged

    @one_torch_thread()
    def advance(self, recording: xr.Dataset, position: int, newest: float) -> tuple[arviz.InferenceData, float]:
        """Filter the step that ends at a position of the recording; its result, and the lag after it [s]."""
        merged = position - self.last
        if recording is not self.recording:
            times = self.filters[0].model.instrument.lag_times
            self.recording, self.drives = recording, drives(recording, times, self.drives)
        series = self.drives
        mean = series.current_density[self.last + 1 : position + 1].mean()
        drive: Drive = entry_at(series, position)
        if merged > 1:
            drive = drive._replace(duration=merged * drive.duration, current_density=mean)
        observation = observations(recording.isel(time=[position]), self.withhold)[0]
        moment = recording["time"].values[[position]]
        states, results = [], []
        for one, state in zip(self.filters, self.states, strict=True):
            after, info = one.update(state, observation, drive)
            states.append(after)
            results.append(
                to_inference_data(
                    [step_record(info)],
                    attrs={},
                    time=moment.tolist(),
                    dims=one.model.dims,
                    coords=one.model.coords,
                )
            )
        evidences = np.array([state.log_evidence for state in states])
        result = concatenate(
            results,
            attrs={
                "log_evidence": float(np.logaddexp.reduce(evidences) - math.log(len(states))),
                "seed": self.seed,
                "particles": self.filters[0].particles,
                "chains": len(states),
            },
        )
        step = recording.isel(time=[position])
        if merged > 1:
            step = step.assign(current_density=("time", [float(mean)]))
        add_recording(result, step, self.filters[0].model, self.withhold)
        skipped = self.skipped + merged - 1
        result.attrs.update(self.attributes)
        lag = self._lag(recording, position, newest)
        if self.store is not None:
            moving = {"lag": lag, "newest": newest, "updated": time.time()}
            if skipped:
                moving["skipped_steps"] = skipped
            self.store.write(self.step, result, moving)
        self.states, self.last, self.skipped, self.step = states, position, skipped, self.step + 1
        return result, lag

    def keep(self) -> None:
        """Keep the filters' states beside the store."""
        if self.store is None or self.kept == self.step:
            return
        entries: dict[str, Any] = {
            f"chain-{chain}": {**state._asdict(), "log_evidence": torch.tensor(state.log_evidence, dtype=torch.float64)}
            for chain, state in enumerate(self.states)
        }
        entries["run"] = {"last": self.last, "skipped": self.skipped}
        try:
            save_state(checkpoint_folder(self.store.path) / STATE, self.identity, entries)
        except InputError as error:
            raise InputError(f"{error}; the {self.step} steps so far can be read from {self.store.path}") from error
        self.kept = self.step

    def __enter__(self) -> FollowedFilters:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Keep the states and say in the store that the run has ended; what ended it counts more than that."""
        try:
            self.keep()
            if self.store is not None and self.step:
                self.store.finish({})
        except InputError:
            if kind is None:
                raise

    def _load(self, store: RunStore, recording: xr.Dataset) -> None:
        folder = checkpoint_folder(store.path)
        entries = saved_state(folder / STATE, self.identity, resume=True)
        if store.steps:
            stored = open_run(store.path, without=["morphology"])
            self.stored = stored["observed_data"]["time"].values
            position = np.searchsorted(recording["time"].values, self.stored)
            within = position < recording.sizes["time"]
            again = recording.isel(time=position[within])
            if not np.array_equal(again["time"].values, self.stored[within]):
                raise InputError(f"{store.path} is a run of another recording, at other times: name another")
            for name in ("frequency_shift", "dissipation_shift"):
                if not np.array_equal(again[name].values, stored["observed_data"][name].values[within], equal_nan=True):
                    raise InputError(f"{store.path} is a run of another recording, with another {name}: name another")
        if entries is None:
            if store.steps:
                raise InputError(f"{folder / STATE}, which continues {store.path}, is missing: name another store")
            self.keep()
            return
        run = entries.pop("run")
        self.last, self.skipped = int(run["last"]), int(run["skipped"])
        self.states = _states(entries)
        self.step = self.kept = self.states[0].step

    def _lag(self, recording: xr.Dataset, position: int, newest: float) -> float:
        interval = float(recording.attrs["interval"])
        start = float(recording["time"][0]) - interval / 2
        return newest - (start if position < 0 else float(recording["time"][position]) + interval / 2)


def kept_states(store: str | os.PathLike[str]) -> tuple[list[FilterState], arviz.InferenceData]:
    """The states that a run kept last, one per chain, and its result up to there.

    Raises:
        InputError: it kept none, or steps were merged, of which a forecast could not tell the current.
    """
    path = checkpoint_folder(Path(store)) / STATE
    result = open_run(store)
    if not path.exists():
        raise InputError(f"{path}, with the states that a forecast starts from, is missing")
    if result.attrs.get("skipped_steps"):
        raise InputError(f"{store} has merged steps (--max-lag): a forecast needs all; filter the finished files")
    states = stored_states(Path(store))
    if states[0].step == 0:
        raise InputError(f"{store}: no state was kept yet after the first step: try later")
    return states, result.isel(time=slice(0, states[0].step))  # type: ignore[return-value]  # ArviZ: None if inplace


def stored_states(store: Path) -> list[FilterState]:
    """The last kept state of each chain of a followed run.

    Raises:
        InputError: there is none, or it is damaged.
    """
    place = checkpoint_folder(store) / STATE
    entries = saved_state(place, str(read_arrays(place).get("identity")), resume=True)
    if not entries or "run" not in entries:
        raise InputError(f"{place} is not the state of a followed run")
    del entries["run"]
    return _states(entries)


def _states(entries: dict[str, Any]) -> list[FilterState]:
    """One per chain, as `FollowedFilters.keep` saved them."""
    return [
        FilterState(**{**entry, "step": int(entry["step"]), "log_evidence": float(entry["log_evidence"])})
        for entry in (entries[f"chain-{chain}"] for chain in range(len(entries)))
    ]


def _copy(particle_filter: ParticleFilter) -> ParticleFilter:
    """With a model of its own, as in `run_chains`."""
    return dataclasses.replace(particle_filter, model=copy.copy(particle_filter.model))


def checkpoint_folder(store: Path) -> Path:
    """Where the states of a run are kept, beside its store."""
    return store.with_name(f"{store.name}.checkpoint")
