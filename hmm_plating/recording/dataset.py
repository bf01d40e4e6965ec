"""The one form that every recording takes: an xarray.Dataset with dims `time` and `overtone`, in SI units.

Variables (name: dims [unit]):

    frequency_shift: time, overtone [Hz]      Δf_n against the crystal in liquid before plating, not divided by n
    dissipation_shift: time, overtone [1]     ΔD_n, same reference
    current_density: time [A/m²]              mean since the previous sample, plating negative
    charge_density: time [C/m²]               since the start of the electrochemical recording
    potential: time [V]
    reference_frequency: overtone [Hz]        absolute f_n that frequency_shift refers to
    reference_dissipation: overtone [1]
    sampling_delay: overtone [s]              how much later than the others an overtone is stamped, see `clock`
    air_to_liquid_frequency_shift: overtone [Hz]
    air_to_liquid_dissipation_shift: overtone [1]

Only the first two are always there. The three electrochemical ones come together or not at all; a step that needs them
calls `require_electrochemistry`. Attributes: fundamental_frequency [Hz], area [m²], instrument, source, assumptions
and, where a file may be damaged or incomplete, warnings. A value that was not measured is NaN: all of
dissipation_shift, if the instrument measures none. Where a file has shifts only, there are no reference values.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError

CHANNELS = ("frequency_shift", "dissipation_shift")
ELECTROCHEMISTRY = ("current_density", "potential", "charge_density")
PER_OVERTONE = (
    "reference_frequency",
    "reference_dissipation",
    "sampling_delay",
    "air_to_liquid_frequency_shift",
    "air_to_liquid_dissipation_shift",
)

LARGEST_CURRENT_DENSITY = 1e5  # A/m²: 10 A/cm², beyond any plating bath
LARGEST_POTENTIAL = 50.0  # V
LARGEST_DISSIPATION_SHIFT = 0.1  # a Q factor of 10
LARGEST_RELATIVE_FREQUENCY_SHIFT = 0.1  # Sauerbrey's law ends far below
AREA_RANGE = (1e-9, 1e-2)  # m²: 0.001 mm² to 100 cm²


def validate(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset itself, if it is a recording as described at the top of this module.

    Raises:
        InputError: a variable, dimension or attribute is missing or of the wrong kind; overtones are not odd, positive,
            unique and sorted; time is not finite and strictly increasing; magnitudes betray a wrong unit.
    """
    _check_attributes(dataset)
    _check_layout(dataset)
    _check_overtones(dataset["overtone"].values)
    _check_time(dataset["time"].values)
    _check_magnitudes(dataset)
    return dataset


def require_electrochemistry(dataset: xr.Dataset) -> None:
    """Raise InputError unless the recording has current, potential and charge."""
    missing = [name for name in ELECTROCHEMISTRY if name not in dataset]
    if missing:
        raise InputError(
            f"recording {dataset.attrs.get('source', '')} has no {', '.join(missing)}: "
            "give the potentiostat's file (--electrochemistry FILE)"
        )


def check_area(area: float) -> None:
    """Raise InputError unless `area` is a plausible electrode area in m²."""
    if not (isinstance(area, int | float | np.number) and math.isfinite(area) and area > 0):
        raise InputError(f"electrode area must be a positive number of m², got {area!r}")
    if not AREA_RANGE[0] <= area <= AREA_RANGE[1]:
        raise InputError(
            f"electrode area {area:g} m² is not that of a quartz crystal: give m² (1 cm² = 1e-4 m², 1 mm² = 1e-6 m²)"
        )


def _check_attributes(dataset: xr.Dataset) -> None:
    for name in ("fundamental_frequency", "area", "instrument", "source"):
        if name not in dataset.attrs:
            raise InputError(f"recording has no attribute {name!r}")
    check_area(dataset.attrs["area"])
    fundamental = dataset.attrs["fundamental_frequency"]
    if not (isinstance(fundamental, int | float | np.number) and 1e5 <= fundamental <= 1e9):
        raise InputError(f"fundamental_frequency must be in Hz, 1e5 to 1e9, got {fundamental!r}")


def _check_layout(dataset: xr.Dataset) -> None:
    expected: dict[str, tuple[str, ...]] = {
        **dict.fromkeys(CHANNELS, ("time", "overtone")),
        **dict.fromkeys(ELECTROCHEMISTRY, ("time",)),
        **dict.fromkeys(PER_OVERTONE, ("overtone",)),
    }
    for name in ("time", "overtone"):
        if name not in dataset.coords:
            raise InputError(f"recording has no coordinate {name!r}")
    for name in CHANNELS:
        if name not in dataset:
            raise InputError(f"recording has no variable {name!r}")
    present = [name for name in ELECTROCHEMISTRY if name in dataset]
    if present and len(present) < len(ELECTROCHEMISTRY):
        raise InputError(f"recording has {', '.join(present)} but not all of {', '.join(ELECTROCHEMISTRY)}")
    for name, dims in expected.items():
        if name not in dataset:
            continue
        if dataset[name].dims != dims:
            raise InputError(f"{name} must have dims {dims}, got {dataset[name].dims}")
        if not np.issubdtype(dataset[name].dtype, np.floating):
            raise InputError(f"{name} must hold floating-point numbers, got {dataset[name].dtype}")


def _check_overtones(overtones: np.ndarray) -> None:
    if not np.issubdtype(overtones.dtype, np.integer):
        raise InputError(f"overtones must be integers (the odd orders n themselves), got {overtones.dtype}")
    if len(overtones) == 0:
        raise InputError("recording has no overtone")
    if np.any(overtones <= 0) or np.any(overtones % 2 == 0):
        raise InputError(f"overtones must be odd and positive, got {overtones.tolist()}")
    if np.any(np.diff(overtones) <= 0):
        raise InputError(f"overtones must be unique and in ascending order, got {overtones.tolist()}")


def _check_time(time: np.ndarray) -> None:
    if not np.issubdtype(time.dtype, np.floating):
        raise InputError(f"time must hold floating-point seconds, got {time.dtype}")
    if len(time) == 0:
        raise InputError("recording has no samples")
    if not np.all(np.isfinite(time)):
        raise InputError(f"time is not finite at sample {int(np.flatnonzero(~np.isfinite(time))[0])}")
    backwards = np.flatnonzero(np.diff(time) <= 0)
    if len(backwards):
        index = int(backwards[0]) + 1
        raise InputError(
            f"time must increase strictly: sample {index} is {time[index]:g} s after {time[index - 1]:g} s"
        )


def _largest(values: xr.DataArray) -> float:
    finite = np.abs(values.values[np.isfinite(values.values)])
    return float(finite.max()) if finite.size else 0.0


def _check_magnitudes(dataset: xr.Dataset) -> None:
    for name in (*CHANNELS, *(name for name in ELECTROCHEMISTRY if name in dataset)):
        if np.any(np.isinf(dataset[name].values)):
            raise InputError(f"{name} is infinite somewhere; mark a missing value as NaN")
    relative = _largest(dataset["frequency_shift"] / dataset["overtone"]) / dataset.attrs["fundamental_frequency"]
    if relative > LARGEST_RELATIVE_FREQUENCY_SHIFT:
        raise InputError(
            f"frequency_shift reaches {100 * relative:.3g} % of n·f0: it looks like an absolute frequency, not a shift"
        )
    if (dissipation := _largest(dataset["dissipation_shift"])) > LARGEST_DISSIPATION_SHIFT:
        raise InputError(f"dissipation_shift reaches {dissipation:g}: it looks like 1e-6 (ppm); give plain numbers")
    if "current_density" not in dataset:
        return
    if (current := _largest(dataset["current_density"])) > LARGEST_CURRENT_DENSITY:
        raise InputError(
            f"current_density reaches {current:g} A/m²: "
            "is the current in A where mA is expected, or the area too small?"
        )
    if (potential := _largest(dataset["potential"])) > LARGEST_POTENTIAL:
        raise InputError(f"potential reaches {potential:g} V: is it in mV where V is expected?")
