"""A run of likelihood-free variational inference as ArviZ `InferenceData`; chain = the one run.

* posterior (chain, draw): equally weighted draws of the guide;
* sample_stats (chain, draw): `log_guide`, log q of each draw on unconstrained coordinates, and `log_weight`,
  log p(β) + Σ r − log q there, by which draws can be weighted;
* prior (chain, draw): the parameters of the first round;
* round_stats (chain, round): see `RoundInfo`;
* diagnostics (chain): of the last round, see `Diagnostics`;
* observed_data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray
from arviz import InferenceData
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def to_inference_data(
    groups: Mapping[str, tuple[tuple[str, ...], Arrays]],
    *,
    attrs: Mapping[str, Any],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
) -> InferenceData:
    """From {group: (leading dimensions, {variable: array})}; `dims` and `coords` are those of the other dimensions."""
    datasets = {name: _dataset(leading, arrays, dims, coords) for name, (leading, arrays) in groups.items()}
    return InferenceData(attrs=dict(attrs), warn_on_custom_groups=False, **datasets)


def _dataset(
    leading: tuple[str, ...], arrays: Arrays, dims: Mapping[str, Sequence[str]], coords: Mapping[str, Sequence[Any]]
) -> xarray.Dataset:
    variables = {}
    for name, array in arrays.items():
        further = tuple(dims.get(name, [f"{name}_dim_{i}" for i in range(array.ndim - len(leading))]))
        own = {dim: coords[dim] for dim in further if dim in coords}
        variables[name] = xarray.DataArray(array, dims=(*leading, *further), coords=own)
    dataset = xarray.Dataset(variables)
    return dataset.assign_coords({dim: np.arange(n) for dim, n in dataset.sizes.items() if dim not in dataset.coords})
