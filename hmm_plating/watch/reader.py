"""Follows a run: reads what is new when asked, and holds the last good answer whatever becomes of the run."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.report.figures.over_time import QUANTITIES
from hmm_plating.watch.history import Columns, History
from hmm_plating.watch.lazy_run import attributes_of, lazy_run
from hmm_plating.watch.next_minutes import kept_states, next_minutes
from hmm_plating.watch.summary import (
    PROBABILITY,
    Surface,
    complete_steps,
    facts,
    latest_surface,
    overtones_of,
    summarise,
)

PAUSE = 1.0  # s between two readings, at least
FORECAST_PAUSE = 10.0  # s between two looks for a new checkpoint, at least
FORECAST_SHARE = 4  # a forecast rests this many times as long as it computed, to leave the processor to the filter


GROWING = {"log_evidence", "finished", "lag", "newest", "updated", "skipped_steps"}  # attributes that change


class Status(NamedTuple):
    """How a run was when it was last read.

    Attributes:
        version: counts the documents that were made of it.
        steps, time: of the last complete step [s].
        growing: whether its filter has not ended.
        lag: what the instrument had recorded and the filter not seen [s]; None where the run does not tell.
        updated: when its last step was written, seconds since 1970.
        problem: why it cannot be read now.
    """

    version: int = 0
    steps: int = 0
    time: float | None = None
    growing: bool = False
    lag: float | None = None
    updated: float = 0.0
    problem: str | None = None


class RunReader:
    """What the page shows of one run. Readings happen on one thread, after `ask`; answers are bytes, swapped whole.

    Args:
        path: netCDF result or zarr store.
        model: model file to forecast with, which is executed; None forecasts nothing.
        forecast_seconds: how far.
    """

    def __init__(self, path: Path, model: Path | None = None, forecast_seconds: float = 120.0) -> None:
        self.path, self.model, self.forecast_seconds = path, model, forecast_seconds
        self.history = History()
        self.data: bytes = _json(None)
        self._status = Status()
        self._read_of: object = None
        self._forecast: dict[str, Any] | None = None
        self._no_forecast = "" if model else "start hmm-plating watch with --model FILE to see the next minutes"
        self._forecast_of: object = "nothing yet"
        self._asked = threading.Event()

    def status(self) -> bytes:
        """How the run is now: which version of `data` there is, how old it is, and what is wrong, as JSON."""
        now, status = time.time(), self._status
        quiet = max(0.0, now - status.updated)  # as an age, the clocks of page and server need not agree
        return _json({**status._asdict(), "run": self.path.name, "quiet": quiet})

    def ask(self) -> None:
        """Have the run read again soon."""
        self._asked.set()

    def start(self) -> None:
        """Read whenever asked, in threads that end with the program."""
        threading.Thread(target=self._serve, daemon=True).start()
        if self.model is not None:
            threading.Thread(target=self._serve_forecasts, daemon=True).start()

    def poll(self) -> None:
        """Read what is new. What cannot be read is said in the status; what was read before stays."""
        try:
            now = self._signature()
            if now != self._read_of:
                with lazy_run(self.path) as run:
                    self._read(run)
                self._read_of = now
            self._status = self._status._replace(problem=None)
        except Exception as error:  # a store that is being written to raises nearly every built-in type
            self._read_of = None
            said = str(error) if isinstance(error, InputError) else f"{self.path} cannot be read now ({error})"
            self._status = self._status._replace(problem=said)

    def poll_forecast(self) -> None:
        """Compute the forecast, where there is a checkpoint that it was not computed from."""
        if self.model is None:
            return
        try:
            states = kept_states(self.path)
            key = [(state.step, state.log_evidence) for state in states]
            if key == self._forecast_of:
                return
            with lazy_run(self.path) as run:
                found = next_minutes(run, states, self.model, self.forecast_seconds)
            self._forecast, self._no_forecast, self._forecast_of = _forecast_document(found), "", key
        except Exception as error:  # of a run or a checkpoint that is being written, too: the next try may succeed
            self._forecast, self._no_forecast, self._forecast_of = None, str(error), "nothing yet"

    def _signature(self) -> object:
        """Differs whenever there is something new to show."""
        if not self.path.exists():
            raise InputError(f"{self.path} does not exist (any more)")
        written = attributes_of(self.path) if self.path.is_dir() else _file_signature(self.path)
        return written, self._forecast, self._no_forecast

    def _read(self, run: InferenceData) -> None:
        count = complete_steps(run)
        times = run["posterior"]["time"].values
        growing = self.path.is_dir()
        unchanging = {name: str(value) for name, value in run.attrs.items() if name not in GROWING}
        written = None if growing else _file_signature(self.path)
        self.history.update(
            (float(times[0]), tuple(sorted(unchanging.items())), written), count, lambda steps: summarise(run, steps)
        )
        surface = latest_surface(run, count)
        self.data = _json(_document(run, self.history.columns, surface, self._forecast, self._no_forecast))
        last = float(times[count - 1])
        self._status = Status(
            version=self._status.version + 1,
            steps=count,
            time=last,
            growing=not run.attrs.get("finished", False),
            lag=None if "lag" not in run.attrs else float(run.attrs["lag"]),
            updated=float(run.attrs.get("updated", self.path.stat().st_mtime)),
        )

    def _serve(self) -> None:
        while True:
            self._asked.clear()
            self.poll()
            time.sleep(PAUSE)
            self._asked.wait()

    def _serve_forecasts(self) -> None:
        while True:
            self._asked.wait()
            begun = time.monotonic()
            self.poll_forecast()
            time.sleep(max(FORECAST_PAUSE, FORECAST_SHARE * (time.monotonic() - begun)))


def _file_signature(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _document(
    run: InferenceData, columns: Columns, surface: Surface | None, forecast: dict[str, Any] | None, no_forecast: str
) -> dict[str, Any]:
    """Everything that the page draws."""
    particles = run.attrs.get("particles")
    return {
        "facts": facts(run),
        "probability": PROBABILITY,
        "overtones": overtones_of(run),
        "labels": {name: quantity.label for name, quantity in QUANTITIES.items() if name in columns},
        "particles": None if particles is None else int(particles),
        "columns": columns,
        "surface": None
        if surface is None
        else {
            "time": float(run["posterior"]["time"].values[surface.step]),
            "probability": np.round(100 * surface.probability),
            "draws": np.round(100 * surface.draws),
            "width": surface.width,
            "height": surface.height,
        },
        "forecast": forecast,
        "no_forecast": no_forecast,
    }


def _forecast_document(found: InferenceData) -> dict[str, Any]:
    """The forecast's rows, named as those of the history."""
    as_run = InferenceData(posterior=found["predictions"], posterior_predictive=found["predictions"])
    return summarise(as_run, slice(None))


def _json(document: Any) -> bytes:
    """JSON with arrays as lists of eight digits and null for what is not a number."""
    return json.dumps(_plain(document), allow_nan=False, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return value
