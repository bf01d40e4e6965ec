"""The filter follows a recording that is still growing.

    for update in follow(GrowingRecording("qcm.txt", "cell.mpt"), build, store="run.zarr", idle=60.0):
        print(update.time, float(update.result.posterior["thickness"].mean()), update.lag)

Each step is filtered once it is complete, by the same filters and from the same random numbers as in
`filter_recording`: the result of a followed recording is that of the finished one read with the same `first_part`, bit
by bit, however often the process was killed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import arviz
import xarray as xr

from hmm_plating.errors import InputError, require_integer
from hmm_plating.filter_recording import (
    DEFAULT_CHAINS,
    DEFAULT_CORRECTED,
    DEFAULT_PARTICLES,
    recording_filter,
    require_noise,
    require_overtones,
)
from hmm_plating.followed_filters import FollowedFilters, checkpoint_folder
from hmm_plating.model import PlatingModel
from hmm_plating.recording import first_steps
from hmm_plating.recording.growing_recording import Growth
from hmm_plating.run_lock import only_writer
from hmm_plating.run_store import RunStore

POLL = 0.2  # s between looks at a source that has nothing new


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
            (what was stored stays readable); another process writes this store; no first part within `idle`.
    """
    require_integer("particles", particles, 1)
    require_integer("chains", chains, 1)
    require_integer("checkpoint_interval", checkpoint_interval, 1)
    with ExitStack() as stack:
        written = None
        if store is not None:
            stack.enter_context(only_writer(checkpoint_folder(Path(store)), Path(store)))
            written = RunStore(store)
        growth = _first_growth(source, idle, say)
        since = time.monotonic()
        assert growth.recording is not None
        require_noise(growth.recording)
        built = model if isinstance(model, PlatingModel) else model(first_steps(growth.recording))
        require_overtones(growth.recording, built)
        filter_ = recording_filter(built, particles, chains, correct)
        run = stack.enter_context(
            FollowedFilters(filter_, chains, seed, tuple(withhold), written, dict(attributes or {}), growth.recording)
        )
        notes: tuple[str, ...] = growth.notes
        while True:
            recording = growth.recording
            assert recording is not None
            position = run.next_position(recording, growth.newest, max_lag)
            if position is None:
                if idle is not None and time.monotonic() - since > idle:
                    if run.step < len(run.stored):
                        raise InputError(f"{store} has more steps than the recording: is it a run of another one?")
                    return
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


def _first_growth(source: Source, idle: float | None, say: Callable[[str], None] | None) -> Growth:
    """Wait for the first part. Raises InputError when the source has not grown for `idle` seconds."""
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
    return growth
