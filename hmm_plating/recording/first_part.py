"""The first part of a recording, from which all is estimated where the rest is yet to come."""

from __future__ import annotations

from typing import Any

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents, Crystal


class NotYet(InputError):
    """A recording that does not reach beyond its first part."""


def beginning(contents: Contents, duration: float) -> Contents:
    """The samples of the first seconds of a file."""
    crystal, potentiostat = contents.crystal, contents.potentiostat
    if crystal is not None:
        crystal = until(crystal, crystal.time[0] + duration)
    if potentiostat is not None:
        count = int(np.searchsorted(potentiostat.time, potentiostat.time[0] + duration, side="right"))
        if count == len(potentiostat.time):
            raise NotYet(
                f"{contents.name}: the recording lasts {potentiostat.time[-1] - potentiostat.time[0]:g} s, no longer "
                f"than its first part of {duration:g} s: take a shorter one (--first-part S)"
            )
        series: dict[str, Any] = {
            name: None if (values := getattr(potentiostat, name)) is None else values[:count]
            for name in ("time", "current", "charge", "potential")
        }
        potentiostat = potentiostat._replace(**series)
    return contents._replace(crystal=crystal, potentiostat=potentiostat)


def until(crystal: Crystal, end: float) -> Crystal:
    """The samples up to a time."""
    count = int(np.searchsorted(crystal.time, end, side="right"))
    series: dict[str, Any] = {
        name: None if (values := getattr(crystal, name)) is None else values[:count]
        for name in ("time", "frequency", "dissipation", "rows", "temperature")
    }
    return crystal._replace(**series)


def measured(crystal: Crystal | None, early: Crystal | None) -> Crystal:
    """The overtones that were measured in the first part."""
    assert crystal is not None
    assert early is not None
    known = np.isfinite(early.frequency).any(axis=0)
    if not known.any():
        raise NotYet("every frequency of the first part is missing: take a longer one (--first-part S)")
    return crystal._replace(
        overtones=crystal.overtones[known],
        frequency=crystal.frequency[:, known],
        dissipation=None if crystal.dissipation is None else crystal.dissipation[:, known],
        sampling_delay=None if crystal.sampling_delay is None else crystal.sampling_delay[known],
    )
