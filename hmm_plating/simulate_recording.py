"""A recording that the model itself draws, with the true surface beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyro
import torch
import xarray as xr
from torch import Tensor

from hmm_plating import emission
from hmm_plating.errors import InputError
from hmm_plating.filter_recording import drives, require_overtones
from hmm_plating.instrument import Drive
from hmm_plating.model import PlatingModel
from hmm_plating.recording import validate
from hmm_plating.threads import one_torch_thread

CUTOFF_POTENTIAL = 1.5  # V, where an anodic current on a bare crystal takes the electrode
MOST_SAMPLES = 2**20 - 1  # rows of a spreadsheet below its header


@dataclass(frozen=True)
class Protocol:
    """What the potentiostat does and how the crystal is read.

    Attributes:
        cycles: platings that are followed by stripping, before a last plating.
        current_density: magnitude of both currents [A/m²].
        plating_time, stripping_time, rest_time: of each part; rest comes once, first [s].
        sampling: interval between samples [s].
        overtones: odd orders.
        fundamental_frequency: [Hz].
        area: of the electrode [m²].
        frequency_noise: standard deviation of a sample's Δf_n/n [Hz].
        dissipation_noise: of a sample's ΔD_n.
    """

    cycles: int = 1
    current_density: float = 10.0
    plating_time: float = 60.0
    stripping_time: float = 55.0
    rest_time: float = 10.0
    sampling: float = 0.5
    overtones: tuple[int, ...] = (3, 5, 7, 9, 11)
    fundamental_frequency: float = 5e6
    area: float = 0.785e-4
    frequency_noise: float = 1.0
    dissipation_noise: float = 0.2e-6

    def __post_init__(self) -> None:
        for name in ("current_density", "plating_time", "sampling", "fundamental_frequency", "area"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"Protocol.{name} must be positive, got {getattr(self, name)!r}")
        for name in ("cycles", "stripping_time", "rest_time"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"Protocol.{name} must not be negative, got {getattr(self, name)!r}")
        if self.plating_time < 2 * self.sampling:
            raise InputError(
                f"Protocol: a plating of {self.plating_time:g} s needs a sampling interval below half of it"
            )
        duration = self.rest_time + self.cycles * (self.plating_time + self.stripping_time) + self.plating_time
        if duration / self.sampling > MOST_SAMPLES:
            raise InputError(
                f"Protocol: {duration:g} s at a sampling interval of {self.sampling:g} s are more than "
                f"{MOST_SAMPLES} samples"
            )

    def current(self) -> np.ndarray:
        """Current density of each sample [A/m²], plating negative."""
        parts = [(0.0, self.rest_time)]
        parts += [(-1.0, self.plating_time), (1.0, self.stripping_time)] * self.cycles + [(-1.0, self.plating_time)]
        return self.current_density * np.concatenate(
            [np.full(round(duration / self.sampling), sign) for sign, duration in parts]
        )

    def recording(self) -> xr.Dataset:
        """The recording before anything is measured: shifts NaN, current and noise known."""
        current = self.current()
        order = np.array(self.overtones)
        unknown = np.full((len(current), len(order)), np.nan)
        return xr.Dataset(
            {
                "frequency_shift": (("time", "overtone"), unknown),
                "dissipation_shift": (("time", "overtone"), unknown),
                "current_density": ("time", current),
                "potential": ("time", np.zeros(len(current))),
                "charge_density": ("time", np.cumsum(current) * self.sampling),
                "frequency_shift_noise": ("overtone", order * self.frequency_noise),
                "dissipation_shift_noise": ("overtone", np.full(len(order), self.dissipation_noise)),
            },
            coords={"time": self.sampling * np.arange(1, len(current) + 1), "overtone": order},
            attrs={
                "fundamental_frequency": self.fundamental_frequency,
                "area": self.area,
                "interval": self.sampling,
                "instrument": "simulated",
                "source": "simulated",
            },
        )


@one_torch_thread()
def simulate_recording(
    build: Callable[[xr.Dataset], PlatingModel],
    protocol: Protocol,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Draw a recording from a model file's `plating_model`; returns it and the truth, (time, …) in SI units.

    Raises:
        InputError: the protocol's numbers make no recording, or the model is for other overtones.
    """
    recording = validate(protocol.recording())
    model = build(recording)
    require_overtones(recording, model)
    imposed = drives(recording, model.instrument.lag_times)
    samples, truths, potentials = [], [], []
    with torch.no_grad(), torch.random.fork_rng(devices=[]), pyro.plate("particles", 1, dim=-1):
        torch.manual_seed(seed)
        state: dict[str, Tensor] = {}
        model.init(state)
        for index in range(recording.sizes["time"]):
            drive = Drive(*(series[index] for series in imposed))
            potential = _potential(state, float(drive.current_density))
            drive = drive._replace(potential=torch.tensor(potential, dtype=torch.float64))
            samples.append(model.step(state, None, drive)[0])
            truths.append(model.report(state))
            potentials.append(potential)
            if progress is not None:
                progress(index + 1, recording.sizes["time"])
    values = torch.stack(samples).numpy()
    count = len(protocol.overtones)
    recording["frequency_shift"] = ("time", "overtone"), values[:, :count]
    recording["dissipation_shift"] = ("time", "overtone"), values[:, count:]
    recording["potential"] = "time", np.array(potentials)
    _add_absolute_values(recording, model)
    return recording, _truth(truths, recording["time"], model)


def _potential(state: dict[str, Tensor], current: float) -> float:
    """Electrode potential against the metal's equilibrium [V], as the surface before the step sets it."""
    bare = not bool((state["order_parameter"] > 0.5).any()) and float(state["base_thickness"]) == 0
    return CUTOFF_POTENTIAL if bare and current > 0 else float(state["overpotential"])


def _add_absolute_values(recording: xr.Dataset, model: PlatingModel) -> None:
    """What an instrument would add: absolute frequencies in liquid, and the step from air (Kanazawa and Gordon)."""
    overtones = model.overtones
    load = emission.kanazawa_gordon(overtones, model.electrolyte, model.resonator)
    frequency, dissipation = emission.shifts(load, torch.zeros_like(load), overtones, model.resonator)
    in_air = model.resonator.fundamental_frequency * np.array(overtones)
    recording["reference_frequency"] = "overtone", in_air + frequency.numpy()
    recording["reference_dissipation"] = "overtone", dissipation.numpy()
    recording["air_to_liquid_frequency_shift"] = "overtone", frequency.numpy()
    recording["air_to_liquid_dissipation_shift"] = "overtone", dissipation.numpy()


def _truth(reports: list[dict[str, Tensor]], time: xr.DataArray, model: PlatingModel) -> xr.Dataset:
    """Reports of the only particle; pictures of the surface are NaN where none was taken."""
    truth = xr.Dataset(coords={"time": time, **{name: list(values) for name, values in model.coords.items()}})
    for name in {key: None for report in reports for key in report}:
        example = next(report[name] for report in reports if name in report)[0]
        series = [report[name][0] if name in report else torch.full_like(example, torch.nan) for report in reports]
        truth[name] = ("time", *model.dims.get(name, ())), torch.stack(series).numpy()
    return truth
