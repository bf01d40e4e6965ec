"""The filter follows a recording that is still growing.

    for update in follow(GrowingRecording("qcm.txt", "cell.mpt"), build, store="run.zarr", idle=60.0):
        print(update.time, float(update.result.posterior["thickness"].mean()), update.lag)

Each step is filtered once it is complete, by the same filters and from the same random numbers as in
`filter_recording`: the result of a followed recording is that of the finished one read with the same `first_part`, bit
by bit, however often the process was killed.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import arviz
import numpy as np
import torch
import xarray as xr

from hmm_plating.errors import InputError, require_integer
from hmm_plating.filter_recording import (
    DEFAULT_CHAINS,
    DEFAULT_CORRECTED,
    DEFAULT_PARTICLES,
    add_recording,
    drives,
    observations,
    recording_filter,
    require_noise,
    require_overtones,
)
from hmm_plating.inference import FilterState, ParticleFilter, concatenate
from hmm_plating.inference.arviz_export import step_record, to_inference_data
from hmm_plating.inference.chains import chain_seed
from hmm_plating.inference.checkpoint import create_folder, read_arrays
from hmm_plating.inference.fingerprint import fingerprint
from hmm_plating.inference.series import entry_at
from hmm_plating.inference.state_file import save_state, saved_state
from hmm_plating.instrument import Drive
from hmm_plating.model import PlatingModel
from hmm_plating.recording import first_steps
from hmm_plating.recording.growing_recording import Growth
from hmm_plating.run_store import RunStore, open_run

POLL = 0.2  # s between looks at a source that has nothing new
MOST_MERGED = 5  # steps that become one when the filter falls behind
STATE = "state.npz"


class Source(Protocol):
    """A recording that grows, as `GrowingRecording` and anything else that has this."""

    def read(self) -> Growth:
        """All complete steps so far, without waiting for more; those of earlier calls stay as they were."""
        ...


class Update(NamedTuple):
    """One filtered step.

    Attributes:
        step: how many steps are filtered.
        time: of the step's centre [s].
        result: of this step alone, as of `filter_recording`.
        lag: seconds of the recording, up to its newest sample, that the filter has not seen.
        skipped: how many steps were merged into later ones so far.
        notes: what happened to the source, for people.
    """

    step: int
    time: float
    result: arviz.InferenceData
    lag: float
    skipped: int
    notes: tuple[str, ...]


def follow(
    source: Source,
    model: PlatingModel | Callable[[xr.Dataset], PlatingModel],
    *,
    particles: int = DEFAULT_PARTICLES,
    chains: int = DEFAULT_CHAINS,
    seed: int = 0,
    withhold: Sequence[int] = (),
    correct: float = DEFAULT_CORRECTED,
    store: str | os.PathLike[str] | None = None,
    checkpoint_interval: int = 20,
    idle: float | None = None,
    max_lag: float | None = None,
    attributes: dict[str, Any] | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[Update]:
    """Filter the steps of a growing recording as they become complete.

    Args:
        source: what grows.
        model: for the recording, or a function that makes it from the steps of the recording's first part.
        particles, chains, seed, withhold, correct: as of `filter_recording`.
        store: zarr store to append results to, see `hmm_plating.run_store`; the filters' states are kept beside it, in
            RUN.zarr.checkpoint. A store that exists is continued.
        checkpoint_interval: steps between states that are kept; also kept when the iterator ends or is closed.
        idle: end when the source has not grown for so long [s]; None waits for ever.
        max_lag: when the filter is further behind than this [s], merge up to 5 steps into the last of them: its
            current is their mean, and what was measured in the others is left out. None keeps all. What was merged
            depends on the speed of the machine; a continued run repeats it.
        attributes: further attributes of the result.
        say: called with what happens while there are no steps.

    Raises:
        InputError: see `filter_recording`; the store is one of another recording, model or setting; the disk is full
            (what was stored stays readable); no first part within `idle`.
    """
    require_integer("particles", particles, 1)
    require_integer("chains", chains, 1)
    require_integer("checkpoint_interval", checkpoint_interval, 1)
    written = None if store is None else RunStore(store)
    growth, since = source.read(), time.monotonic()
    while growth.recording is None:
        for note in growth.notes:
            if say is not None:
                say(note)
        before = growth.newest
        time.sleep(POLL)
        growth = source.read()
        since = since if growth.newest == before or math.isnan(growth.newest) else time.monotonic()
        if idle is not None and time.monotonic() - since > idle:
            raise InputError(f"nothing was added for {idle:g} s: {growth.waiting or 'the recording has no step yet'}")
    require_noise(growth.recording)
    built = model if isinstance(model, PlatingModel) else model(first_steps(growth.recording))
    require_overtones(growth.recording, built)
    filter_ = recording_filter(built, particles, chains, correct)
    run = _Run(filter_, chains, seed, tuple(withhold), written, dict(attributes or {}), growth.recording)
    notes: tuple[str, ...] = growth.notes
    try:
        while True:
            recording = growth.recording
            assert recording is not None
            position = run.next_position(recording, growth.newest, max_lag)
            if position is None:
                if idle is not None and time.monotonic() - since > idle:
                    if run.step < len(run.stored):
                        raise InputError(f"{store} has more steps than the recording: is it a run of another one?")
                    break
                time.sleep(POLL)
            else:
                result, lag = run.advance(recording, position, growth.newest)
                yield Update(run.step, float(recording["time"][position]), result, lag, run.skipped, notes)
                notes = ()
                if run.step % checkpoint_interval == 0:
                    run.keep()
            newest, count = growth.newest, recording.sizes["time"]
            growth = source.read()
            notes += growth.notes
            if position is None and say is not None:
                for note in notes:
                    say(note)
                notes = ()
            assert growth.recording is not None
            if growth.newest != newest or growth.recording.sizes["time"] != count:
                since = time.monotonic()
    except BaseException:  # an error, a key, or who asked for the updates has closed the iterator
        with suppress(InputError):
            run.close()
        raise
    run.close()


class _Run:
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

    def advance(self, recording: xr.Dataset, position: int, newest: float) -> tuple[arviz.InferenceData, float]:
        """Filter the step that ends at a position of the recording; its result, and the lag after it [s]."""
        merged = position - self.last
        if recording is not self.recording:
            self.recording, self.drives = recording, drives(recording, self.filters[0].model.instrument.lag_times)
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
        save_state(_checkpoint(self.store.path) / STATE, self.identity, entries)
        self.kept = self.step

    def close(self) -> None:
        """Keep the states and say in the store that the run has ended."""
        self.keep()
        if self.store is not None and self.step:
            self.store.finish({})

    def _load(self, store: RunStore, recording: xr.Dataset) -> None:
        folder = _checkpoint(store.path)
        create_folder(folder)
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
    path = _checkpoint(Path(store)) / STATE
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
    place = _checkpoint(store) / STATE
    entries = saved_state(place, str(read_arrays(place).get("identity")), resume=True)
    if not entries or "run" not in entries:
        raise InputError(f"{place} is not the state of a followed run")
    del entries["run"]
    return _states(entries)


def _states(entries: dict[str, Any]) -> list[FilterState]:
    """One per chain, as `_Run.keep` saved them."""
    return [
        FilterState(**{**entry, "step": int(entry["step"]), "log_evidence": float(entry["log_evidence"])})
        for entry in (entries[f"chain-{chain}"] for chain in range(len(entries)))
    ]


def _copy(particle_filter: ParticleFilter) -> ParticleFilter:
    """With a model of its own, as in `run_chains`."""
    return dataclasses.replace(particle_filter, model=copy.copy(particle_filter.model))


def _checkpoint(store: Path) -> Path:
    return store.with_name(f"{store.name}.checkpoint")
