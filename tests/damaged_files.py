"""Files cut short and corrupted at random, and what may come of reading them."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from hmm_plating.errors import InputError
from hmm_plating.recording import read, write
from hmm_plating.recording.charge import charge_curve
from hmm_plating.recording.formats import Contents, Hints, parse_columns, read_contents

ERROR, PARTIAL, UNCHANGED = "clear error", "partial, with a warning", "unchanged"
CUT, DIGITS = "cut at the end of a line", "another number"  # what no reader can notice
SILENT, EXCEPTION = "SILENTLY WRONG", "OTHER EXCEPTION"


class Damage(NamedTuple):
    """The damaged bytes, and how many numbers can have become others without a trace: one per place touched."""

    data: bytes
    places: int


def damages(data: bytes, count: int, seed: int) -> Iterator[Damage]:
    """Cut, overwritten, shortened, repeated, exchanged and inflated files."""
    generator = np.random.default_rng(seed)
    for index in range(count):
        yield KINDS[index % len(KINDS)](data, generator)


def _block(data: bytes, generator: np.random.Generator) -> tuple[int, int]:
    start = int(generator.integers(len(data)))
    return start, min(len(data), start + int(np.exp(generator.uniform(0, np.log(400)))))


def _cut(data: bytes, generator: np.random.Generator) -> Damage:
    return Damage(data[: int(generator.integers(len(data)))], 0)


def _overwritten(data: bytes, generator: np.random.Generator) -> Damage:
    places = int(generator.integers(1, 5))
    changed = bytearray(data)
    printable = generator.random() < 0.7  # as a person or an editor would
    for place in generator.integers(len(data), size=places):
        changed[place] = int(generator.integers(32, 127)) if printable else int(generator.integers(256))
    return Damage(bytes(changed), places)


def _deleted(data: bytes, generator: np.random.Generator) -> Damage:
    start, stop = _block(data, generator)
    return Damage(data[:start] + data[stop:], 1)


def _repeated(data: bytes, generator: np.random.Generator) -> Damage:
    start, stop = _block(data, generator)
    return Damage(data[:stop] + data[start:stop] + data[stop:], 1)


def _inserted(data: bytes, generator: np.random.Generator) -> Damage:
    start, stop = _block(data, generator)
    new = generator.integers(256, size=min(stop - start, 8), dtype=np.uint8).tobytes()
    return Damage(data[:start] + new + data[start:], 1)


def _zeroed(data: bytes, generator: np.random.Generator) -> Damage:
    start, stop = _block(data, generator)
    return Damage(data[:start] + bytes(stop - start) + data[stop:], stop - start)


def _exchanged(data: bytes, generator: np.random.Generator) -> Damage:
    one, other = sorted(generator.integers(len(data), size=2).tolist())
    length = min(int(generator.integers(1, 40)), other - one, len(data) - other)
    first, second = data[one : one + length], data[other : other + length]
    return Damage(data[:one] + second + data[one + length : other] + first + data[other + length :], 2 * length)


def _separator(data: bytes, generator: np.random.Generator) -> Damage:
    """One separator, decimal sign or line end is lost, doubled or another one."""
    signs = b"\t;,.\n\r E-+"
    places = [index for index, byte in enumerate(data) if byte in signs]
    place = int(generator.choice(places)) if places else 0
    sign = bytes([data[place]])
    new = [b"", sign * 2, bytes([signs[int(generator.integers(len(signs)))]])][int(generator.integers(3))]
    return Damage(data[:place] + new + data[place + 1 :], 1)


KINDS: tuple[Callable[[bytes, np.random.Generator], Damage], ...] = (
    _cut, _overwritten, _overwritten, _deleted, _repeated, _inserted, _zeroed, _exchanged, _separator
)  # fmt: skip


class Case(NamedTuple):
    """An undamaged file on disk, which is overwritten, and what it says."""

    path: Path
    hints: Hints
    contents: Contents
    data: bytes


def case(path: Path, data: bytes, columns: str = "") -> Case:
    hints = Hints(columns=parse_columns(columns) if columns else None, scan_rate=0.1)
    path.write_bytes(data)
    contents = read_contents(path, hints)
    if contents.potentiostat is not None:
        said = charge_curve("", contents.potentiostat).assumptions
        contents = contents._replace(assumptions=contents.assumptions + said)
    return Case(path, hints, contents, data)


def outcome(case: Case, damage: Damage, report: Callable[[str], None] = print) -> str:
    """What reading the damaged file comes to: one of the constants at the top."""
    case.path.write_bytes(damage.data)
    try:
        contents = read_contents(case.path, case.hints)
        if contents.crystal is not None:
            read(case.path, hints=case.hints)
        if contents.potentiostat is not None:
            said = charge_curve("", contents.potentiostat).assumptions
            contents = contents._replace(assumptions=contents.assumptions + said)
    except InputError as error:
        return ERROR if "\n" not in str(error) else SILENT
    except Exception:
        report(traceback.format_exc())
        return EXCEPTION
    return _compared(case.contents, contents, damage.places)


def tally(case: Case, count: int, seed: int, report: Callable[[str], None] = print) -> Counter[str]:
    """How often each outcome, over so many damaged files."""
    found: Counter[str] = Counter()
    for number, damage in enumerate(damages(case.data, count, seed)):
        what = outcome(case, damage, report)
        if what in (SILENT, EXCEPTION):
            report(f"{case.path.name}: seed {seed}, damage {number}: {what}")
        found[what] += 1
    return found


STORED = (".nc", ".zarr")  # what a whole recording is stored as


def tally_stored(
    dataset: xr.Dataset, path: Path, count: int, seed: int, report: Callable[[str], None] = print
) -> Counter[str]:
    """How often each outcome, over so many damaged copies of a stored recording.

    Of a folder, one file is damaged, is lost, or takes the place of another.
    """
    write(dataset, path)
    files = [path] if path.is_file() else sorted(place for place in path.rglob("*") if place.is_file())
    whole = {place: place.read_bytes() for place in files}
    places, sizes = list(whole), np.array([len(data) for data in whole.values()])
    generator = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    for number in range(count):
        place = places[int(generator.choice(len(places), p=sizes / sizes.sum()))]
        place.write_bytes(KINDS[number % len(KINDS)](whole[place], generator).data)
        if path.is_dir() and number % 20 == 0:
            place.unlink()
        elif path.is_dir() and number % 20 == 1:
            other = places[int(generator.integers(len(places)))]
            place.write_bytes(whole[other])
        same = place.exists() and place.read_bytes() == whole[place]
        try:
            again = read(path)
        except InputError as error:
            what = ERROR if "\n" not in str(error) and not same else SILENT
        except Exception:
            report(traceback.format_exc())
            what = EXCEPTION
        else:
            what = UNCHANGED if again.identical(dataset) else SILENT
        if what in (SILENT, EXCEPTION):
            report(f"{path.name}: seed {seed}, damage {number} of {place.name}: {what}")
        found[what] += 1
        place.write_bytes(whole[place])
    return found


def _arrays(contents: Contents) -> dict[str, np.ndarray]:
    """All numbers; the charge, in some formats a sum, as its differences, so that one digit changes two at most."""
    found: dict[str, np.ndarray] = {}
    crystal, potentiostat = contents.crystal, contents.potentiostat
    if crystal is not None:
        found["time"] = crystal.time
        for column, n in enumerate(crystal.overtones):
            found[f"f{n}"] = crystal.frequency[:, column]
            if crystal.dissipation is not None:
                found[f"D{n}"] = crystal.dissipation[:, column]
    if potentiostat is not None:
        found["potentiostat time"] = potentiostat.time
        for name in ("current", "potential", "charge"):
            values = getattr(potentiostat, name)
            if values is not None:
                found[name] = np.diff(values) if name == "charge" else values
    return found


def _compared(original: Contents, contents: Contents, places: int) -> str:
    before, after = _arrays(original), _arrays(contents)
    stated = (contents.warnings, contents.assumptions, contents.format) != (
        original.warnings, original.assumptions, original.format
    )  # fmt: skip
    if stated:
        return PARTIAL if _strange_rows(before, after) <= 2 * places + 3 else SILENT
    if before.keys() != after.keys():
        return SILENT
    for name in before:
        if name.endswith("time"):
            rows = min(len(before[name]), len(after[name]))  # the first row, from which some count, may be damaged
            after[name] = after[name] - np.median(after[name][:rows] - before[name][:rows])
    lengths = {len(after[name]) - len(before[name]) for name in before}
    if lengths == {0}:
        changed = sum(int(np.sum(~_alike(before[name], after[name]))) for name in before)
        if changed == 0:
            return UNCHANGED
        return DIGITS if changed <= 2 * places else SILENT  # a number in a sum of differences counts twice
    if all(len(after[name]) <= len(before[name]) for name in before):
        same = [_alike(before[name][: len(after[name])], after[name]) for name in before]
        if all(np.all(alike) for alike in same):
            return CUT
        if all(np.all(alike[:-1]) for alike in same):  # the last two rows became one, with the right number of fields
            return DIGITS
    return SILENT


def _strange_rows(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> int:
    """How many rows hold numbers that no row of the original holds, or follow each other in another time."""
    strange = 0
    for time, part in (("time", ("f", "D")), ("potentiostat time", ("current", "potential"))):
        names = [name for name in after if name.startswith(part) and name in before]
        if time not in after or not names:
            continue
        known = {row: index for index, row in enumerate(_rows(before, names))}
        places = [known.get(row, -1) for row in _rows(after, names)]
        strange += places.count(-1)
        for index, (one, other) in enumerate(pairwise(places)):
            if min(one, other) >= 0 and len(known) == len(before[names[0]]):
                expected = before[time][other] - before[time][one]
                strange += abs(after[time][index + 1] - after[time][index] - expected) > 1e-6
    return strange


def _rows(arrays: dict[str, np.ndarray], names: list[str]) -> list[str]:
    return [" ".join(f"{value:.9g}" for value in row) for row in zip(*(arrays[name] for name in names), strict=True)]


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.isclose(one, other, rtol=1e-12, atol=1e-9 * np.nanmax(np.abs(one), initial=0.0), equal_nan=True)
