"""A run as a finished file and as a store that grows, and a server of its page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arviz import InferenceData
from known_result import make_result

from hmm_plating.inference import save
from hmm_plating.run_store import RunStore
from hmm_plating.watch import PageServer, RunReader


@pytest.fixture(scope="session")
def known() -> InferenceData:
    """180 steps, withheld overtone 7, a surface at every tenth step; 2 chains of 20 draws."""
    return make_result(draws=40)


@pytest.fixture
def finished(known: InferenceData, tmp_path: Path) -> Path:
    save(known, tmp_path / "run.nc")
    return tmp_path / "run.nc"


@pytest.fixture
def grow(known: InferenceData, tmp_path: Path) -> Callable[[int], Path]:
    """Bring the store to so many steps, as a filter that starts anew and goes on from what is there."""

    def grow(steps: int) -> Path:
        store = RunStore(tmp_path / "run.zarr")
        last = float(known["posterior"]["time"][steps - 1])
        piece = known.isel(time=slice(store.steps, steps))
        store.write(store.steps, piece, {"newest": last + 7.0, "lag": 7.0, "updated": 1e9 + steps})
        return store.path

    return grow


@pytest.fixture
def serve() -> Iterator[Callable[[Path], PageServer]]:
    """A server whose reader reads when it is told to, by `poll`."""
    servers = []

    def start(path: Path) -> PageServer:
        server = PageServer(RunReader(path))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
