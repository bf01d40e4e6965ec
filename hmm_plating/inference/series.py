"""Time series that a model takes step by step: an array, a list, or a mapping or named tuple of series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hmm_plating.errors import InputError


def series_length(series: Any) -> int:
    if isinstance(series, Mapping) or hasattr(series, "_fields"):
        lengths = {series_length(entry) for entry in (series.values() if isinstance(series, Mapping) else series)}
        if len(lengths) != 1:
            raise InputError(f"run: the entries of a series have different lengths, {sorted(lengths)}")
        return lengths.pop()
    try:
        return len(series)
    except TypeError as error:
        raise InputError(f"run: a series must have a leading dimension of time, got {type(series).__name__}") from error


def require_length(series: Sequence[Any]) -> int:
    """Length of observations and further series, which must be the same, at least 1."""
    total = series_length(series[0])
    for position, other in enumerate(series):
        if series_length(other) != total or total == 0:
            raise InputError(
                f"run: every series needs the same length ≥ 1 as the observations ({total}); "
                f"series {position} has {series_length(other)}"
            )
    return total


def entry_at(series: Any, t: int) -> Any:
    """Entry t of a series, or of each series in a mapping or named tuple; arrays and numbers become tensors."""
    if isinstance(series, Mapping):
        return {name: entry_at(entry, t) for name, entry in series.items()}
    if hasattr(series, "_fields"):
        return type(series)(*(entry_at(entry, t) for entry in series))
    entry = series[t]
    return torch.as_tensor(entry) if isinstance(entry, np.ndarray | np.generic | float | int) else entry
