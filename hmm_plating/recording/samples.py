"""The samples of files' contents: the arrays that grow together, parts of them, and one after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents


class Series(NamedTuple):
    """What grows of a file, one entry per sample."""

    crystal: dict[str, np.ndarray]
    potentiostat: dict[str, np.ndarray]


def series_of(contents: Contents) -> Series:
    """All arrays that have one entry per sample."""
    crystal, potentiostat = contents.crystal, contents.potentiostat
    return Series(
        {}
        if crystal is None
        else {
            name: values
            for name in ("time", "frequency", "dissipation", "rows", "temperature")
            if (values := getattr(crystal, name)) is not None
        },
        {}
        if potentiostat is None
        else {
            name: values
            for name in ("time", "current", "charge", "potential")
            if (values := getattr(potentiostat, name)) is not None
        },
    )


def lengths_of(contents: Contents) -> tuple[int, int]:
    """How many samples each part has."""
    crystal, potentiostat = series_of(contents)
    return len(crystal.get("time", ())), len(potentiostat.get("time", ()))


def part_of(contents: Contents, *samples: slice) -> Contents:
    """Some samples of each part."""
    parts: dict[str, Any] = {
        name: getattr(contents, name)._replace(**{key: values[chosen] for key, values in own.items()})
        for name, own, chosen in zip(Series._fields, series_of(contents), samples, strict=True)
        if own
    }
    return contents._replace(**parts)


def require_same(name: str, found: Contents, first: Contents) -> None:
    """InputError where additions change how the first lines are read: a unit that was found from the magnitude."""
    for one, other in zip(series_of(found), series_of(first), strict=True):
        if one.keys() != other.keys() or not all(np.array_equal(one[key], other[key], equal_nan=True) for key in one):
            raise InputError(
                f"{name}: its last lines change how its first ones are to be read (a unit, an empty column); "
                "filter the finished file"
            )


def continued(name: str, before: Contents, after: Contents) -> Contents:
    """The samples of both; those of `after` that are not later must be those of `before`.

    Raises:
        InputError: they are not: another recording is in the place of the file `name`.
    """
    parts: dict[str, Any] = {}
    for part, old, new in zip(Series._fields, series_of(before), series_of(after), strict=True):
        if not new or not len(new["time"]):
            continue
        later = new["time"] > old["time"][-1]
        _require_continuation(name, part, new, old, later)
        if later.any():
            joined = {key: np.concatenate([old[key], values[later]]) for key, values in new.items()}
            parts[part] = getattr(before, part)._replace(**joined)
    return before._replace(**parts)


def _require_continuation(
    file: str, part: str, found: dict[str, np.ndarray], before: dict[str, np.ndarray], later: np.ndarray
) -> None:
    """InputError unless samples that are not later are those that are known already."""
    again = {name: values[~later] for name, values in found.items() if name != "rows"}
    if not len(again["time"]):
        return
    start = int(np.searchsorted(before["time"], again["time"][0]))
    stop = start + len(again["time"])
    if stop > len(before["time"]) or not all(
        np.array_equal(before[name][start:stop], values, equal_nan=True) for name, values in again.items()
    ):
        raise InputError(
            f"{file}: another recording is in the file's place, of which the {part} has other samples "
            f"from {again['time'][0]:.10g} s on: follow it as a new run"
        )
