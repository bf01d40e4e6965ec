"""Where simulations run: in this process, in worker processes, or on a Dask cluster.

Each yields the results in the order of the calls; what a call computes does not depend on where it runs.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

import numba
import torch

from hmm_plating.errors import InputError, require_integer


class Executor(Protocol):
    """Calls function(*arguments) for each, anywhere, and yields the results in order."""

    def __call__(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]: ...


def in_process(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """One after another, here."""
    for given in arguments:
        yield function(*given)


@dataclass(frozen=True)
class WorkerProcesses:
    """Processes on this machine, each with one thread, started anew every time.

    Attributes:
        workers: how many.
        restarts: how often they are started again after one was killed.
    """

    workers: int
    restarts: int = 3

    def __post_init__(self) -> None:
        require_integer("WorkerProcesses: workers", self.workers, 1)

    def __call__(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        try:
            pickle.dumps(function)
        except Exception as error:
            raise InputError(
                f"the simulator, its prior or summary cannot be sent to another process ({error}): define them at the "
                "top level of a module, or use Dask"
            ) from error
        done = 0
        for attempt in range(self.restarts + 1):
            try:
                for result in self._pooled(function, arguments[done:]):
                    yield result
                    done += 1
                return
            except BrokenProcessPool as error:
                if attempt == self.restarts:
                    raise InputError(
                        f"a worker process was killed {attempt + 1} times, after {done} of {len(arguments)} blocks: is "
                        "there enough memory? Fewer workers or smaller blocks need less"
                    ) from error

    def _pooled(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        context = multiprocessing.get_context("spawn")  # a forked process would inherit locked threads of torch
        with ProcessPoolExecutor(self.workers, context, _one_thread) as pool:
            for future in [pool.submit(function, *given) for given in arguments]:
                yield future.result()


@dataclass(frozen=True)
class DaskExecutor:
    """A cluster, through its `dask.distributed.Client`; what a worker that dies had computed is computed again.

    Attributes:
        client: of the cluster.
    """

    client: Any

    def __call__(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        # A result that died with its worker is computed again; data that were only scattered would be lost.
        shared = self.client.submit(_same, function, pure=False)
        futures = [self.client.submit(_call, shared, *given, pure=False) for given in arguments]
        try:
            for future in futures:
                yield future.result()
        finally:
            self.client.cancel(futures)


def as_executor(executor: Any) -> Executor:
    """None is this process, a number of processes, a Dask client its cluster; else the executor itself.

    Raises:
        InputError: it is none of these.
    """
    if executor is None:
        return in_process
    if isinstance(executor, int):
        return WorkerProcesses(executor)
    if hasattr(executor, "scatter") and hasattr(executor, "submit"):
        return DaskExecutor(executor)
    if callable(executor):
        return executor
    raise InputError(f"executor must be None, a number of processes, a Dask client or a callable, got {executor!r}")


def _one_thread() -> None:
    torch.set_num_threads(1)
    numba.set_num_threads(1)


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _call(function: Callable[..., Any], *given: Any) -> Any:
    return function(*given)
