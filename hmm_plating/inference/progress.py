"""Progress of a run: a callback per step, and a bar for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hmm_plating.inference.filter_state import StepInfo


class Progress(Protocol):
    """Called after each step with the number of steps done, how many there are, and the record of the last one."""

    def __call__(self, step: int, total: int, info: StepInfo) -> None: ...


@contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """Bar on stderr with steps, time left and effective sample size; None where stderr is not a terminal.

    Use: `with progress_bar() as progress: particle_filter.run(..., progress=progress)`.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as rich
    from rich.console import Console

    bar = rich.Progress(
        rich.TextColumn("step"),
        rich.MofNCompleteColumn(),
        rich.BarColumn(),
        rich.TimeRemainingColumn(),
        rich.TextColumn("effective sample size {task.fields[size]:.0f}"),
        console=Console(stderr=True),
    )

    def advance(step: int, total: int, info: StepInfo) -> None:
        if not bar.tasks:  # only now, so that a resumed run does not count its earlier steps into the speed
            bar.add_task("filter", total=total, completed=step, size=0.0)
        bar.update(bar.task_ids[0], completed=step, size=info.effective_sample_size)

    with bar:
        yield advance
