"""What a recording must be (design: a Dataset with dims time, overtone in SI units), one violation at a time."""

from __future__ import annotations

import numpy as np
import pytest

from hmm_plating.errors import InputError
from hmm_plating.recording import require_electrochemistry, validate


def test_a_good_recording_is_returned_unchanged(quiet):
    assert validate(quiet) is quiet


def _replace(name, function):
    def change(dataset):
        return dataset.assign({name: (dataset[name].dims, function(dataset[name].values.copy()))})

    return change


def _coordinate(name, function):
    return lambda dataset: dataset.assign_coords({name: (name, function(dataset[name].values.copy()))})


def _swap(time):
    time[[10, 11]] = time[[11, 10]]
    return time


def _set(index, value):
    def change(values):
        values[index] = value
        return values

    return change


BROKEN = {
    "no dissipation": (lambda d: d.drop_vars("dissipation_shift"), "no variable 'dissipation_shift'"),
    "half of the electrochemistry": (lambda d: d.drop_vars("potential"), "not all of current_density, potential"),
    "no area": (lambda d: d.assign_attrs({}).drop_attrs(), "no attribute 'fundamental_frequency'"),
    "area in cm²": (lambda d: d.assign_attrs(area=0.785), r"0\.785 m² is not that of a quartz crystal"),
    "f0 in MHz": (lambda d: d.assign_attrs(fundamental_frequency=4.94), "fundamental_frequency must be in Hz"),
    "transposed": (lambda d: d.transpose("overtone", "time"), "must have dims"),
    "integers": (_replace("charge_density", lambda v: v.astype(int)), "charge_density must hold floating-point"),
    "even overtone": (_coordinate("overtone", lambda v: v - 1), r"odd and positive, got \[2, 4, 6\]"),
    "negative overtone": (_coordinate("overtone", lambda v: v - 6), "odd and positive"),
    "unsorted overtones": (_coordinate("overtone", lambda v: v[::-1]), r"ascending order, got \[7, 5, 3\]"),
    "repeated overtone": (_coordinate("overtone", _set(1, 3)), "unique"),
    "overtones as floats": (_coordinate("overtone", lambda v: v.astype(float)), "must be integers"),
    "time goes back": (_coordinate("time", _swap), "time must increase strictly: sample 11"),
    "time repeats": (_coordinate("time", lambda t: _set(5, t[4])(t)), "time must increase strictly: sample 5"),
    "time missing": (_coordinate("time", _set(7, np.nan)), "time is not finite at sample 7"),
    "no samples": (lambda d: d.isel(time=slice(0)), "no samples"),
    "absolute frequency": (_replace("frequency_shift", lambda v: v + 1.5e7), "looks like an absolute frequency"),
    "dissipation in ppm": (_replace("dissipation_shift", lambda v: v * 1e6), "looks like 1e-6"),
    "current in A": (_replace("current_density", lambda v: v * 1e6), "in A where mA is expected"),
    "potential in mV": (_replace("potential", lambda v: v * 1e3), "mV where V is expected"),
    "infinite": (_replace("frequency_shift", _set((3, 1), np.inf)), "infinite"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_violations_are_named(quiet, change, message):
    with pytest.raises(InputError, match=message):
        validate(change(quiet))


def test_missing_values_are_allowed(quiet):
    validate(_replace("frequency_shift", _set((slice(None), 1), np.nan))(quiet))


def test_electrochemistry_is_asked_for_only_where_needed(quiet):
    bare = quiet.drop_vars(["current_density", "potential", "charge_density"])
    validate(bare)
    require_electrochemistry(quiet)
    with pytest.raises(InputError, match="--electrochemistry"):
        require_electrochemistry(bare)
