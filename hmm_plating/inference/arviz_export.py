"""A run as ArviZ `InferenceData`: the only module that knows ArviZ, so that its 1.x (DataTree) is a change here alone.

Groups, with dimensions (chain, draw, time, …) unless stated; chain = one independent filter:

* posterior: at each time, equally weighted draws from the filtering distribution p(x_t | y_{1:t});
* sample_stats: `log_weight` (normalised, before resampling) and `ancestor` (the particle that each slot copied);
* filter_stats (chain, time): `effective_sample_size`, `log_evidence_increment`, `resampled`, `unique_ancestors`,
  `invalid_particles`, and `full_evaluations` of a two-stage filter;
* posterior_predictive: draws from p(y_t | y_{1:t−1}); `draw` counts those, not the particles;
* log_likelihood: named as the observed site, or `observation` where there are several. Its log mean exp over `draw` is
  the evidence increment, so that ArviZ's pointwise scores are exact leave-future-out scores;
* observed_data (time, …);
* predictions: draws of the future, `time` counting from the first step after the observations.

Smoothed states have the one group posterior, static parameters a posterior without `time`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import arviz
import numpy as np
import torch
import xarray
from arviz import InferenceData
from numpy.typing import NDArray

from hmm_plating.atomic_file import atomic_write
from hmm_plating.did_you_mean import no_such_file
from hmm_plating.errors import InputError

if TYPE_CHECKING:
    from hmm_plating.inference.filter_state import StepInfo

Record = dict[str, dict[str, NDArray[Any]]]
_LEADING = {
    "posterior": ("chain", "draw", "time"),
    "sample_stats": ("chain", "draw", "time"),
    "filter_stats": ("chain", "time"),
    "posterior_predictive": ("chain", "draw", "time"),
    "log_likelihood": ("chain", "draw", "time"),
    "observed_data": ("time",),
    "predictions": ("chain", "draw", "time"),
}


def step_record(info: StepInfo, per_particle: bool = True) -> Record:
    """What is kept of one step: {group: {variable: array without chain and time}}.

    Without `per_particle` there is no `sample_stats`, and the evidence increment is the one draw of `log_likelihood`.
    """

    def arrays(tensors: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}

    scores = {}
    if info.observed_sites:
        scores[info.observed_sites[0] if len(info.observed_sites) == 1 else "observation"] = (
            info.log_likelihood if per_particle else torch.tensor([info.log_evidence_increment], dtype=torch.float64)
        )
    return {
        "posterior": arrays(info.posterior),
        "sample_stats": arrays({"log_weight": info.log_weights, "ancestor": info.ancestors} if per_particle else {}),
        "filter_stats": {
            name: np.asarray(getattr(info, name), dtype=float)
            for name in (
                "effective_sample_size",
                "log_evidence_increment",
                "resampled",
                "unique_ancestors",
                "invalid_particles",
                "full_evaluations",
            )
            if getattr(info, name) is not None
        },
        "posterior_predictive": arrays(info.predictive),
        "log_likelihood": arrays(scores),
        "observed_data": arrays(info.observed),
    }


def to_inference_data(
    records: Sequence[Record],
    *,
    attrs: Mapping[str, Any],
    time: Sequence[float] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
) -> InferenceData:
    """Stack the records of all steps; a variable that is absent at some steps is NaN there.

    Args:
        records: one per step, from `step_record`.
        attrs: attributes of the result.
        time: coordinate of `time`, default 0, 1, ….
        dims, coords: names of the dimensions after `time`, and their coordinates, as in ArviZ.
    """
    if time is not None and len(time) != len(records):
        raise InputError(f"the time coordinate has {len(time)} entries for {len(records)} steps")
    coordinates = {**(coords or {}), "time": np.arange(len(records)) if time is None else np.asarray(time)}
    stacked = {
        group: (leading, _stack([record.get(group, {}) for record in records], leading))
        for group, leading in _LEADING.items()
    }
    groups = {group: (leading, variables) for group, (leading, variables) in stacked.items() if variables}
    return from_groups(groups, attrs=attrs, dims=dims, coords=coordinates)


def from_groups(
    groups: Mapping[str, tuple[tuple[str, ...], Mapping[str, NDArray[Any]]]],
    *,
    attrs: Mapping[str, Any],
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Any] | None = None,
) -> InferenceData:
    """{group: (names of the leading dimensions, {variable: array})} as InferenceData; `dims` names the others."""
    data = {
        name: _dataset(variables, leading, dims or {}, coords or {}) for name, (leading, variables) in groups.items()
    }
    return InferenceData(attrs=dict(attrs), **data)  # type: ignore[arg-type]


def concatenate(chains: Sequence[InferenceData], attrs: Mapping[str, Any]) -> InferenceData:
    """One result from those of independent filters of the same series, each with one chain."""
    groups = {}
    for group in chains[0].groups():
        parts = [
            result[group].assign_coords(chain=[c]) for c, result in enumerate(chains) if "chain" in result[group].dims
        ]
        groups[group] = xarray.concat(parts, dim="chain") if parts else chains[0][group]
    return InferenceData(attrs=dict(attrs), **groups)  # type: ignore[arg-type]


def save(data: InferenceData, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a result as compressed netCDF: the file is complete or absent, whatever happens on the way.

    Raises:
        InputError: the folder is missing or read-only, or the file exists and `overwrite` is false.
    """
    if not overwrite and os.path.exists(path):
        raise InputError(f"{os.fspath(path)} exists already: remove it or choose another name")
    with atomic_write(path) as temporary:
        data.to_netcdf(str(temporary), engine="h5netcdf", compress=True)


def load(path: str | os.PathLike[str]) -> InferenceData:
    """Read a result that `save` wrote, of whatever algorithm; what needs one of a particle filter says so itself.

    Raises:
        InputError: there is no such file, it is damaged, or it is something else.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise InputError(no_such_file(name))
    try:
        with arviz.rc_context({"data.load": "eager"}):
            data = arviz.from_netcdf(name, engine="h5netcdf")
    except Exception as error:  # h5py raises nearly every built-in type on a damaged file
        raise InputError(f"{name} cannot be read: truncated, damaged or not a netCDF file ({error})") from error
    if not {"posterior", "predictions", "prior"} & set(data.groups()):
        raise InputError(f"{name} is not the result of an inference: it has none of posterior, predictions and prior")
    return data


def _stack(steps: Sequence[dict[str, NDArray[Any]]], leading: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """{variable: array with the leading dimensions}, time inserted where `leading` has it."""
    steps = _without_step_numbers(steps)
    axis = leading.index("time") - ("chain" in leading)
    stacked = {}
    for name in dict.fromkeys(name for step in steps for name in step):
        present = [step[name] for step in steps if name in step]
        shapes = {array.shape for array in present}
        if len(shapes) > 1:
            raise InputError(f"{name!r} changes its shape between steps, from {shapes.pop()} to {shapes.pop()}")
        dtype = np.result_type(*present) if len(present) == len(steps) else np.result_type(np.float32, *present)
        shape = present[0].shape
        array = np.full((*shape[:axis], len(steps), *shape[axis:]), np.nan if len(present) < len(steps) else 0, dtype)
        for t, step in enumerate(steps):
            if name in step:
                array[(slice(None),) * axis + (t,)] = step[name]
        stacked[name] = array[None] if "chain" in leading else array
    return stacked


def _without_step_numbers(steps: Sequence[dict[str, NDArray[Any]]]) -> Sequence[dict[str, NDArray[Any]]]:
    """Pyro asks for a new site name at every step of a loop, so models number them, y_0, y_1, …: name all of them y."""
    named = [step for step in steps if step]
    if not named or all(step.keys() == named[0].keys() for step in named):
        return steps
    shortened = [{re.sub(r"_\d+$", "", name): array for name, array in step.items()} for step in steps]
    same = all(short.keys() == next(filter(None, shortened)).keys() for short in shortened if short)
    return shortened if same and all(len(a) == len(b) for a, b in zip(shortened, steps, strict=True)) else steps


def _dataset(
    variables: Mapping[str, NDArray[Any]],
    leading: tuple[str, ...],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Any],
) -> xarray.Dataset:
    arrays = {}
    for name, array in variables.items():
        further = array.ndim - len(leading)
        names = tuple(dims.get(name, [f"{name}_dim_{i}" for i in range(further)]))
        if len(names) != further:
            raise InputError(f"{name!r} has {further} dimensions after {', '.join(leading)}; dims names {list(names)}")
        arrays[name] = (leading + names, array)
    sizes: dict[str, int] = {}
    for name, (names, array) in arrays.items():
        for dim, size in zip(names, array.shape, strict=True):
            if sizes.setdefault(dim, size) != size or (dim in coords and len(coords[dim]) != size):
                expected = len(coords[dim]) if dim in coords else sizes[dim]
                raise InputError(f"{name!r} has {size} entries along {dim!r}, where {expected} are expected")
    own = {dim: coords[dim] if dim in coords else np.arange(size) for dim, size in sizes.items()}
    return xarray.Dataset(arrays, coords=own)
