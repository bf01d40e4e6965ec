"""A table of unknown layout, by a mapping that the user gives: `time=Time (s),f3=F3 [Hz],D3=D3 [ppm],current=I (mA)`.

Quantities are `time`, per overtone `f3` (absolute or a shift, decided by its magnitude) or `f3/n` (Δf divided by n) and
`D3`, and `current`, `charge`, `potential`. A unit at the end of a header, as `/mA`, `(mA)` or `[mA]`, counts; without
one, s, Hz, A, C and V are assumed, and D by its magnitude.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents, Crystal, Hints, Potentiostat
from hmm_plating.recording.formats.overtones import PPM, dissipation_by_magnitude, is_absolute
from hmm_plating.recording.table import Table, numbers, times

FORMAT = "table by --columns"
QUANTITY = r"time|f\d+(?:/n)?|D\d+|current|charge|potential"
UNITS = {
    "time": {"s": 1.0, "sec": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0},
    "f": {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6},
    "D": {"ppm": PPM, "1e-6": PPM, "1E-6": PPM, "10^-6": PPM, "": 1.0, "-": 1.0, "1": 1.0},
    "current": {"A": 1.0, "mA": 1e-3, "µA": 1e-6, "uA": 1e-6},
    "charge": {"C": 1.0, "mC": 1e-3, "µC": 1e-6, "mAh": 3.6, "mA.h": 3.6},
    "potential": {"V": 1.0, "mV": 1e-3},
}
UNIT = re.compile(r"(?:\[([^\[\]]*)\]|\(([^()]*)\)|/([^/\s]*))$")


def parse_columns(text: str) -> dict[str, str]:
    """The mapping of an option `--columns`, quantity to header. Raises InputError."""
    mapping: dict[str, str] = {}
    for part in re.split(rf",(?=(?:{QUANTITY})=)", text):
        quantity, equals, header = part.partition("=")
        if not (equals and header.strip() and re.fullmatch(QUANTITY, quantity)):
            raise InputError(
                f"--columns: {part!r} is not QUANTITY=HEADER with a quantity among time, f3, f3/n, D3 (any odd "
                "overtone), current, charge, potential"
            )
        if quantity in mapping:
            raise InputError(f"--columns: {quantity} is given twice")
        mapping[quantity] = header.strip()
    if "time" not in mapping:
        raise InputError("--columns: no time=HEADER")
    if len(mapping) == 1:
        raise InputError("--columns: nothing but the time: name a frequency (f3=HEADER), a current or a charge")
    return mapping


def matches(headers: list[str], columns: Mapping[str, str]) -> bool:
    """Whether a table with these headers has all the columns."""
    return set(columns.values()) <= set(headers)


def read(table: Table, hints: Hints) -> Contents:
    """Whichever parts the mapping names. Raises InputError."""
    columns = hints.columns or {}
    indices = {quantity: _index(table, header) for quantity, header in columns.items()}
    units = {quantity: _unit(table.name, quantity, header) for quantity, header in columns.items()}
    kind = {quantity: re.sub(r"\d+(/n)?$", "", quantity) for quantity in columns}
    assumptions = [
        f"{columns[quantity]!r} in {dict(time='s', f='Hz', current='A', charge='C', potential='V')[kind[quantity]]}"
        for quantity, unit in units.items()
        if unit is None and kind[quantity] != "D"
    ]
    time = times(table, indices["time"]) * (units["time"] or 1.0)
    values = {
        quantity: numbers(table, index) * (units[quantity] or 1.0)
        for quantity, index in indices.items()
        if quantity != "time"
    }
    potentiostat = None
    if "current" in values or "charge" in values:
        potentiostat = Potentiostat(time, values.get("current"), values.get("charge"), values.get("potential"))
    crystal, decided = _crystal(table, time, values, units)
    if crystal is None and potentiostat is None:
        raise InputError("--columns: neither a frequency (f3=HEADER) nor a current or charge is named")
    return Contents(
        table.name,
        FORMAT,
        ", ".join(f"{quantity}: {header!r}" for quantity, header in columns.items()),
        crystal=crystal,
        potentiostat=potentiostat,
        assumptions=(*assumptions, *decided),
        warnings=table.warnings,
    )


def _crystal(
    table: Table, time: np.ndarray, values: Mapping[str, np.ndarray], units: Mapping[str, float | None]
) -> tuple[Crystal | None, list[str]]:
    frequency: dict[int, np.ndarray] = {}
    divided = []
    for quantity, column in values.items():
        match = re.fullmatch(r"f(\d+)(/n)?", quantity)
        if not match:
            continue
        overtone = int(match.group(1))
        if overtone % 2 == 0 or overtone in frequency:
            raise InputError(f"--columns: {quantity}: overtones are odd, and each has one frequency")
        frequency[overtone] = column * (overtone if match.group(2) else 1)
        divided.append(bool(match.group(2)))
    if not frequency:
        return None, []
    overtones = np.array(sorted(frequency))
    frequencies = np.stack([frequency[n] for n in overtones], axis=1)
    if not np.isfinite(frequencies).any():
        raise InputError(f"{table.name}: every frequency is missing")
    absolute = is_absolute(overtones, frequencies)
    decided = [] if absolute else ["frequencies are shifts, by their magnitude; the absolute ones are lost"]
    if absolute and any(divided):
        raise InputError("--columns: f…/n is for shifts, but the values are absolute frequencies: leave /n out")
    named = sorted(int(quantity[1:]) for quantity in values if re.fullmatch(r"D\d+", quantity))
    if not named:
        return Crystal(time, overtones, frequencies, None, absolute, table.rows), decided
    if named != overtones.tolist():
        raise InputError(f"--columns: frequencies for overtones {overtones.tolist()}, dissipations for {named}")
    dissipation = np.stack([values[f"D{n}"] for n in named], axis=1)
    if all(units[f"D{n}"] is None for n in named):
        dissipation, how = dissipation_by_magnitude(table.name, dissipation)
        decided.append(how)
    elif any(units[f"D{n}"] is None for n in named):
        raise InputError("--columns: some headers of D state a unit and others do not")
    return Crystal(time, overtones, frequencies, dissipation, absolute, table.rows), decided


def _index(table: Table, header: str) -> int:
    if table.headers.count(header) != 1:
        found = ", ".join(repr(name) for name in table.headers if name)
        raise InputError(f"{table.name}: {table.headers.count(header)} columns are called {header!r}; found {found}")
    return table.headers.index(header)


def _unit(name: str, quantity: str, header: str) -> float | None:
    """SI units per unit that the header states; None where it states none."""
    match = UNIT.search(header)
    if not match:
        return None
    unit = next(group for group in match.groups() if group is not None).strip()
    known = UNITS[re.sub(r"\d+(/n)?$", "", quantity)]
    if unit not in known:
        if match.group(3) is not None:  # a slash may be part of the name, as in Δf/n
            return None
        listing = ", ".join(filter(None, known))
        raise InputError(f"{name}: column {header!r}: unit {unit!r} of {quantity} is not known, only {listing}")
    return known[unit]
