"""QSense .qsd files of QSoft: settings as text, then one block of arrays per sensor and resonance.

    02 08 00 00 | resonance k | samples N | segments s | s × (start, length) | time | frequency | dissipation

Numbers are unsigned 32-bit, arrays `0b 00 | N | N doubles`, all little-endian; times are days since 1899-12-30, local,
frequencies absolute in Hz, dissipations in 1e-6. A segment says where on the sensor's common grid its samples lie, for
resonances are lost and found again. Found by looking at files (as was github.com/jmfriedt/read_qsense_qtools); the
overtone of resonance k stands in the settings. Temperatures, at the end of the file, are not read.
"""

from __future__ import annotations

import re
import struct
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats.contents import Contents, Crystal, Hints
from hmm_plating.recording.formats.overtones import PPM, choose_sensor

FORMAT = "QSense QSoft binary (.qsd)"
FIRST_BYTES = b"Created by QSoft"
LAST_SETTING, BLOCK, ARRAY = b"XtalDriveTimeFloat", b"\x02\x08\x00\x00", b"\x0b\x00"
DAY = 86400.0  # s
FIRST_DAY = datetime(1899, 12, 30)
DAYS = (30000.0, 110000.0)  # 1982 to 2201
MOST_RESONANCES, MOST_SEGMENTS = 64, 1 << 16


class _Block(NamedTuple):
    resonance: int
    places: np.ndarray  # of the samples on the sensor's grid
    days: np.ndarray
    frequency: np.ndarray
    dissipation: np.ndarray


def read(data: bytes, name: str, hints: Hints) -> Contents:
    """The crystal's part of the file; an overtone's samples stand where the file's grid puts them, NaN elsewhere.

    Raises:
        InputError: damaged, cut short, or without samples.
    """
    sensors = _sensors(data, name)
    recorded = [number for number, blocks in enumerate(sensors, 1) if blocks]
    if not recorded:
        raise InputError(f"{name}: a QSense file without any samples")
    sensor, assumptions = choose_sensor(name, recorded, hints)
    overtones = _overtones(data, name, sensor - 1)
    blocks = sorted(sensors[sensor - 1], key=lambda block: overtones.get(block.resonance, 0))
    unknown = [block.resonance for block in blocks if block.resonance not in overtones]
    if unknown:
        raise InputError(f"{name}: the settings do not tell the overtone of resonance {unknown[0]}: damaged?")
    order = np.array([overtones[block.resonance] for block in blocks])
    if len(set(order)) < len(order) or np.any(order % 2 == 0):
        raise InputError(f"{name}: the settings name the overtones {order.tolist()}: damaged?")
    days, frequency, dissipation = (
        np.full((max(int(block.places[-1]) for block in blocks) + 1, len(blocks)), np.nan) for _ in range(3)
    )
    for column, block in enumerate(blocks):
        days[block.places, column] = block.days
        frequency[block.places, column] = block.frequency
        dissipation[block.places, column] = block.dissipation
    known = np.isfinite(days)
    used = known.any(axis=1)
    days, known, frequency, dissipation = days[used], known[used], frequency[used], dissipation[used]
    seconds = DAY * (days - np.nanmin(days))
    whole = known.all(axis=1)
    if not whole.any():
        raise InputError(f"{name}: no moment at which all overtones were measured")
    later = np.median(seconds[whole] - seconds[whole].mean(axis=1, keepdims=True), axis=0)
    time = np.nanmean(seconds - later, axis=1)
    backwards = np.flatnonzero(np.diff(time) <= 0)
    if len(backwards):
        raise InputError(f"{name}: time goes back at sample {backwards[0] + 1}: damaged?")
    astray = np.nanmax(np.abs(seconds - later - time[:, None]), axis=1)
    if len(time) > 1:
        interval = np.median(np.diff(time))
        if np.ptp(later) > interval or np.any(astray > interval / 2):
            raise InputError(f"{name}: the overtones' times (sample {np.argmax(astray)}) do not match: damaged?")
    warnings: tuple[str, ...] = ()
    lost = len(time) - known.sum(axis=0)
    if np.any(lost):
        listing = ", ".join(f"n = {n}: {count}" for n, count in zip(order, lost, strict=True) if count)
        warnings = (f"samples that an overtone lacks: {listing}",)
    time = time - time[0]
    return Contents(
        name,
        FORMAT,
        "time in days, f in Hz, absolute; D in 1e-6",
        crystal=Crystal(
            time,
            order,
            frequency,
            PPM * dissipation,
            True,
            sampling_delay=-later,
            start=(FIRST_DAY + timedelta(days=float(np.nanmin(days))),),
        ),
        assumptions=(*assumptions, "each overtone's own times are kept as a constant delay against their mean"),
        warnings=warnings,
    )


def _sensors(data: bytes, name: str) -> list[list[_Block]]:
    """Blocks with samples of each sensor: resonance 0 starts the next one."""
    settings = data.rfind(LAST_SETTING)
    position = data.find(BLOCK, settings)
    if settings < 0 or position < 0:
        raise InputError(f"{name}: a QSense file without measured values: damaged or cut short?")
    sensors: list[list[_Block]] = [[]]
    previous = -1
    while data.startswith(BLOCK, position):
        try:
            block, position = _block(data, position + len(BLOCK))
        except (struct.error, ValueError) as error:
            raise InputError(
                f"{name}: damaged or cut short in the values of resonance {previous + 1} (near byte {position}): "
                f"{error}"
            ) from error
        if block.resonance == 0 and previous >= 0:
            sensors.append([])
        elif block.resonance != previous + 1:
            raise InputError(f"{name}: values of resonance {block.resonance} follow those of {previous}: damaged?")
        previous = block.resonance
        if len(block.days):
            sensors[-1].append(block)
    announced = len(set(re.findall(rb"Resonance_(\d+)_Settings", data[:settings])))
    if previous + 1 != announced:
        raise InputError(f"{name}: values of {previous + 1} resonances where the settings list {announced}: damaged?")
    return sensors


def _block(data: bytes, position: int) -> tuple[_Block, int]:
    """The block whose resonance number stands at `position`, and where the next begins; ValueError if damaged."""
    resonance, count, segments = struct.unpack_from("<III", data, position)
    position += 12
    if resonance >= MOST_RESONANCES or segments > MOST_SEGMENTS or 24 * count > len(data):
        raise ValueError("numbers that cannot be")
    spans = np.array(struct.unpack_from(f"<{2 * segments}I", data, position), dtype=np.int64).reshape(-1, 2)
    position += 8 * segments
    if spans[:, 1].sum() != count or np.any(spans[1:, 0] < spans[:-1].sum(axis=1)) or spans.max(initial=0) > len(data):
        raise ValueError("segments that do not fit")
    places = np.concatenate([np.arange(start, start + length) for start, length in spans] or [np.zeros(0, np.int64)])
    arrays = []
    for _ in range(3 if count else 0):
        if data[position : position + 2] != ARRAY or struct.unpack_from("<I", data, position + 2)[0] != count:
            raise ValueError("an array is not where it should be")
        position += 6
        if position + 8 * count > len(data):
            raise ValueError("the file ends")
        arrays.append(np.frombuffer(data, "<f8", count, position))
        position += 8 * count
    days, frequency, dissipation = arrays or (np.zeros(0),) * 3
    if count and not (np.all((days > DAYS[0]) & (days < DAYS[1])) and np.all(np.diff(days) > 0)):
        raise ValueError("times that are no dates or go back")
    if not (np.all(np.isfinite(frequency)) and np.all(np.isfinite(dissipation))):
        raise ValueError("values that are no numbers")
    return _Block(resonance, places, days, frequency, dissipation), position


def _overtones(data: bytes, name: str, sensor: int) -> dict[int, int]:
    """Resonance number to overtone, from the settings."""
    text = data[: data.rfind(LAST_SETTING)].decode("latin-1")
    section = rf"Xtal_{sensor}_Settings\\Resonance_(\d+)_Settings\]([^\[]*)"
    found: dict[int, int] = {}
    for match in re.finditer(section, text):
        overtone = re.search(r"\bOvertone=(\d+)\n", match.group(2))
        if overtone:
            found[int(match.group(1))] = int(overtone.group(1))
    if not found and sensor:
        return _overtones(data, name, 0)
    return found
