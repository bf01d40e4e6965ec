"""An experiment whose every number is known, and the genuine zinc recording where it lies beside the repository."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from hmm_plating.recording import read

OVERTONES = np.array([3, 5, 7])
FUNDAMENTAL_FREQUENCY = 4.94e6
AREA = 0.785e-4
HERTZ_PER_CHARGE = 3.0  # Δf_n/n per C/m²
LIQUID_FREQUENCY_SHIFT = np.array([-2500.0, -3240.0, -3830.0])
LIQUID_DISSIPATION = np.array([345e-6, 267e-6, 220e-6])
AIR_DISSIPATION = np.array([14e-6, 11e-6, 8e-6])


class Experiment(NamedTuple):
    """Spreadsheets as data frames, and what went into them."""

    qcmd: pd.DataFrame
    electrochemistry: pd.DataFrame
    air: pd.DataFrame
    offset: float
    delay: np.ndarray

    def save(self, folder: Path) -> tuple[Path, Path, Path]:
        paths = folder / "qcmd.xlsx", folder / "echem.xlsx", folder / "quartz_in_air.xlsx"
        for frame, path in zip((self.qcmd, self.electrochemistry, self.air), paths, strict=True):
            frame.to_excel(path, index=False)
        return paths


def charge_curve(time: np.ndarray, rest: float, plating: float, stripping: float, cycles: int) -> np.ndarray:
    """Charge density of ±10 A/m² cycles after a rest, at any time [C/m²]."""
    corners, values = [-1e9, rest], [0.0, 0.0]
    for _ in range(cycles):
        for duration, current in ((plating, -10.0), (stripping, 10.0)):
            corners.append(corners[-1] + duration)
            values.append(values[-1] + current * duration)
    return np.interp(time, corners, values)


def make_experiment(
    seed: int = 0,
    *,
    offset: float = 0.0,
    delay: np.ndarray | None = None,
    noise: float = 0.0,
    curvature: float = 0.0,
    sampling: float = 0.26,
    cycles: int = 3,
    rest: float = 5.0,
    plating: float = 20.0,
) -> Experiment:
    """Cycles of plating and 0.9 × as much stripping; Δf_n/n is linear in the charge, plus a slow drift.

    Args:
        offset: of the QCM's clock against the potentiostat's [s].
        delay: what each overtone's stamp is late by [s].
        noise: standard deviation of Δf_n/n [Hz] and of ΔD_n [1e-6].
        curvature: makes the response to charge nonlinear, relative second-order term at full charge.
    """
    generator = np.random.default_rng(seed)
    delay = np.zeros(3) if delay is None else delay
    stripping = 0.9 * plating
    total = rest + cycles * (plating + stripping)
    time = np.cumsum(sampling * generator.uniform(0.98, 1.1, round(total / sampling)))
    taken = time[:, None] - offset - delay
    charge = charge_curve(taken, rest, plating, stripping, cycles)
    normalised = HERTZ_PER_CHARGE * charge * (1 - curvature * charge / (10 * plating)) - 0.05 * taken
    normalised = normalised + noise * generator.standard_normal(normalised.shape)
    in_air = OVERTONES * FUNDAMENTAL_FREQUENCY
    frequency = in_air + LIQUID_FREQUENCY_SHIFT + OVERTONES * normalised
    dissipation = 1e6 * LIQUID_DISSIPATION - 0.01 * charge + noise * generator.standard_normal(charge.shape)
    qcmd = {"time": time}
    air = {}
    for index, overtone in enumerate(OVERTONES):
        qcmd |= {f"f{overtone}": frequency[:, index], f"D{overtone}": dissipation[:, index]}
        air |= {f"f{overtone}_1 (Hz)": in_air[[index]], f"D{overtone}_1 (ppm)": 1e6 * AIR_DISSIPATION[[index]]}
    points = np.arange(0.1, time[-1] + 2, 0.1)
    potentiostat_charge = charge_curve(points, rest, plating, stripping, cycles)
    electrochemistry = {
        "time/s": points,
        "(Q-Qo)/mC": 1e3 * AREA * potentiostat_charge,
        "<Ewe/V>": -0.1 + 0.001 * points,
        "I/mA": 1e3 * AREA * np.diff(potentiostat_charge, prepend=0.0) / 0.1,
    }
    return Experiment(pd.DataFrame(qcmd), pd.DataFrame(electrochemistry), pd.DataFrame(air), offset, delay)


@pytest.fixture(scope="session")
def zinc_folder() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data" / "zinc_eqcmd"
    if not folder.is_dir():
        pytest.skip(f"needs the zinc recording, expected in {folder}")
    return folder


@pytest.fixture(scope="session")
def zinc(zinc_folder: Path) -> xr.Dataset:
    return read(
        zinc_folder / "qcmd.xlsx",
        zinc_folder / "echem.xlsx",
        zinc_folder / "quartz_in_air.xlsx",
        area=AREA,
    )


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """A recording without noise, offset or delay."""
    return read(*make_experiment().save(tmp_path_factory.mktemp("quiet")), area=AREA, clock_offset=0.0)


@pytest.fixture(name="make_experiment")
def _make_experiment():
    return make_experiment
