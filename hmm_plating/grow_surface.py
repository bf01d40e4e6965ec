"""Growth of a surface under a given current: the transition of a model alone, nothing observed, nothing inferred."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyro
import torch
import xarray as xr
from torch import Tensor

from hmm_plating.errors import DepletionError, InputError
from hmm_plating.grid import Grid
from hmm_plating.model import PlatingModel
from hmm_plating.threads import one_torch_thread
from hmm_plating.versions import versions

DEFAULT_PICTURES = 50

# name: (unit, what it is), in the words of the result file
DESCRIPTIONS = {
    "order_parameter": ("1", "phase field, 1 in metal and 0 in liquid"),
    "current_density": ("A m-2", "mean current density of the step, plating negative"),
    "charge_density": ("C m-2", "charge since the start, plating negative"),
    "thickness": ("m", "metal volume per area"),
    "roughness": ("m", "Sq, root mean square height of the surface about its mean"),
    "solid_volume_fraction": ("1", "metal volume below the plane of the highest asperity"),
    "coverage": ("1", "part of the crystal that touches metal"),
    "dendrite_height": ("m", "Sp, highest asperity above the mean surface"),
    "base_thickness": ("m", "metal below row 0 of the box"),
    "overpotential": ("V", "of the metal at the end of the step, 0 on a bare crystal"),
    "side_charge": ("C m-2", "charge of other reactions, the wetting layer included, cathodic positive"),
    "deferred_charge": ("C m-2", "charge not yet turned into metal; negative: of nuclei, still to flow"),
    "surface_concentration": ("1", "of the cation at the surface, relative to the bulk"),
    "nucleation_density": ("m-2", "parameter: nuclei per area"),
    "nucleation_regularity": ("1", "parameter: evenness of the nuclei's distances, 1 where they are independent"),
    "nucleus_radius": ("m", "parameter: median radius of the nuclei"),
    "nucleus_radius_spread": ("1", "parameter: standard deviation of the logarithm of the radii"),
    "wetting_charge": ("C m-2", "parameter: charge of the wetting layer"),
    "current_efficiency": ("1", "parameter: part of a cathodic current that deposits metal"),
    "exchange_current_density": ("A m-2", "parameter"),
    "anisotropy_strength": ("1", "parameter: of the surface energy"),
    "noise_amplitude": ("1", "parameter: interface noise relative to the thermal one"),
}


@one_torch_thread()
def grow_surface(
    model: PlatingModel,
    current_density: npt.ArrayLike,
    interval: float,
    *,
    seed: int = 0,
    pictures: int = DEFAULT_PICTURES,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Grow one surface from the bare crystal; nuclei, noise and wandering parameters are drawn from the model.

    Args:
        model: its metal, grid, parameters and transport; in three dimensions where its grid has a depth.
        current_density: of each step (time,) [A/m²], plating negative.
        interval: length of a step [s].
        seed: of all random draws.
        pictures: how many pictures of the phase field to keep, evenly spread over the steps, the last one included.
        progress: called after each step with the steps done and their number.

    Returns:
        Dataset with what `PlatingModel.describe` tells, current and charge over `time` (ends of the steps), and
        `order_parameter` (picture_time, [z,] y, x) as float32, y counted from `base_thickness`; SI units throughout.

    Raises:
        InputError: a current, an interval or a number of pictures that makes no growth, or a deposit that outgrows the
            box.
        DepletionError: with transport, more current than diffusion can carry.
    """
    current = np.asarray(current_density, dtype=float)
    if current.ndim != 1 or not current.size or not np.isfinite(current).all():
        raise InputError(
            f"current_density needs one finite number of A/m² per step, shape (time,), got shape {current.shape}"
        )
    if not (math.isfinite(interval) and interval > 0):
        raise InputError(f"interval must be a positive number of seconds, got {interval!r}")
    if pictures < 1:
        raise InputError(f"pictures must be at least 1, got {pictures!r}")
    steps = len(current)
    kept = np.unique(np.linspace(steps / min(pictures, steps), steps, min(pictures, steps)).round().astype(int)) - 1
    fields = np.empty((len(kept), *model.grid.shape), dtype=np.float32)
    described: list[dict[str, Tensor]] = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]), pyro.plate("particles", 1, dim=-1):
        torch.manual_seed(seed)
        state: dict[str, Tensor] = {}
        model.init(state)
        for step, value in enumerate(current.tolist()):
            try:
                model.grow(state, value, float(interval))
            except DepletionError as error:
                message = f"{step * interval + error.time:.4g} s after the start: {error}"
                raise DepletionError(message, error.time) from error
            described.append(model.describe(state) | {"deferred_charge": state["deferred_charge"]})
            for index in np.flatnonzero(kept == step):
                fields[index] = state["order_parameter"][0].numpy()
            if progress is not None:
                progress(step + 1, steps)
    time = interval * np.arange(1, steps + 1)
    series = {name: torch.stack([one[name].expand(1)[0] for one in described]).numpy() for name in described[0]}
    series |= {"current_density": current, "charge_density": np.cumsum(current) * interval}
    axes = [axis for axis in ("z", "y", "x") if axis in _axes(model.grid)]
    growth = xr.Dataset(
        {
            "order_parameter": (("picture_time", *axes), fields),
            **{name: ("time", series[name]) for name in DESCRIPTIONS if name in series},
        },
        coords={"time": time, "picture_time": time[kept], **_axes(model.grid)},
        attrs={
            "Conventions": "CF-1.11",
            "title": f"growth of {model.metal.name} under a given current",
            "metal": model.metal.name,
            "dimensions": model.grid.dimensions,
            "interval": float(interval),
            "interface_width": model.grid.interface_width,
            "seed": seed,
            "versions": versions(),
        },
    )
    for name, (unit, meaning) in DESCRIPTIONS.items():
        if name in growth:
            growth[name].attrs.update(units=unit, long_name=meaning)
    for name, meaning in (("time", "end of the step"), ("picture_time", "time of a picture")):
        growth[name].attrs.update(units="s", long_name=meaning)
    lengths = {"x": "along the shear", "y": "height above base_thickness", "z": "across the shear"}
    for name in axes:
        growth[name].attrs.update(units="m", long_name=f"{lengths[name]}, centre of the cell")
    return growth


def _axes(grid: Grid) -> dict[str, npt.NDArray[np.floating]]:
    """Centres of the cells [m], by axis."""
    return {
        axis: grid.spacing * (np.arange(cells) + 0.5)
        for axis, cells in zip("zyx"[-grid.dimensions :], grid.shape, strict=True)
    }
