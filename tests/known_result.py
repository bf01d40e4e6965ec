"""A small result whose every number is known: three cycles, four overtones, a calibrated predictive distribution."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz import InferenceData

OVERTONES = np.array([3, 5, 7, 9])
FUNDAMENTAL_FREQUENCY = 4.94e6
IMPEDANCE = 8.84e6


def make_result(seed: int = 0, draws: int = 400, noise_seen: float = 1.0, stripping: bool = True) -> InferenceData:
    """Triangular charge curve, Δf and ΔD proportional to it, predictive draws with the noise's own distribution.

    Args:
        noise_seen: width of the predictive distribution relative to that of the noise.
        stripping: False keeps the current cathodic, so that there is one cycle only.
    """
    generator = np.random.default_rng(seed)
    time = np.arange(1.0, 361.0, 2.0)
    phase = np.arange(len(time)) % 60
    current = np.where((phase < 30) | (not stripping), -10.0, 9.0)
    charge = np.cumsum(current) * 2.0
    chain, draw = np.arange(2), np.arange(draws // 2)
    truth = charge[:, None] * 3.0 * OVERTONES
    dissipation = 4e-6 * np.abs(charge[:, None]) / 600 * np.ones(4)
    noise_f, noise_d = 2.0 * OVERTONES, np.full(4, 0.2e-6)

    def noisy(mean: np.ndarray, scale: np.ndarray, *shape: int) -> np.ndarray:
        return mean + scale * generator.standard_normal((*shape, *mean.shape))

    def per_time(mean: np.ndarray, scale: float) -> tuple[tuple[str, ...], np.ndarray]:
        return ("chain", "draw", "time"), mean + scale * generator.standard_normal((2, len(draw), len(time)))

    thickness = np.abs(charge) / 600 * 30e-9
    y, x = (np.arange(12) + 0.5) * 6e-9, (np.arange(32) + 0.5) * 6e-9
    height = thickness[:, None] * (1 + 0.6 * np.sin(2 * np.pi * x / x.max() * 3))
    fraction = np.clip((height[:, None, :] - y[None, :, None]) / 6e-9 + 0.5, 0, 1)
    fraction[np.arange(len(time)) % 10 != 5] = np.nan
    coordinates = {"time": time, "chain": chain, "draw": draw}
    posterior = xr.Dataset(
        {
            "thickness": per_time(thickness, 1e-9),
            "roughness": per_time(0.4 * thickness + 2e-9, 0.5e-9),
            "solid_volume_fraction": per_time(np.full(len(time), 0.5), 0.05),
            "coverage": per_time(np.full(len(time), 0.7), 0.05),
            "side_mass": per_time(np.linspace(0, 2e-4, len(time)), 1e-5),
            "current_efficiency": per_time(np.full(len(time), 0.9), 0.01),
            "nucleation_density": per_time(np.full(len(time), 3e13), 2e12),
            "morphology": (
                ("chain", "draw", "time", "y", "x"),
                np.broadcast_to(fraction, (2, len(draw), *fraction.shape)).astype(np.float32),
            ),
        },
        coords={**coordinates, "y": y, "x": x},
    )
    channels = ("time", "overtone")
    both = {"time": time, "overtone": OVERTONES}
    predictive = xr.Dataset(
        {
            name: (("chain", "draw", *channels), noisy(mean, noise_seen * scale, 2, len(draw)))
            for name, mean, scale in (
                ("frequency_shift", truth, noise_f),
                ("dissipation_shift", dissipation, noise_d),
            )
        },
        coords={**coordinates, "overtone": OVERTONES},
    )
    observed = xr.Dataset(
        {
            "frequency_shift": (channels, noisy(truth, noise_f)),
            "dissipation_shift": (channels, noisy(dissipation, noise_d)),
        },
        coords=both,
    )
    constant = xr.Dataset(
        {
            "current_density": ("time", current),
            "potential": ("time", np.where(current < 0, -0.1, 0.15)),
            "charge_density": ("time", charge),
            "frequency_shift_noise": ("overtone", noise_f),
            "dissipation_shift_noise": ("overtone", noise_d),
            "withheld": ("overtone", OVERTONES == 7),
        },
        coords=both,
    )
    steps = ("chain", "time")
    effective = 200 + 50 * generator.random((2, len(time)))
    statistics = xr.Dataset(
        {
            "effective_sample_size": (steps, effective),
            "log_evidence_increment": (steps, generator.normal(-5, 1, (2, len(time)))),
            "resampled": (steps, effective < 220),
            "unique_ancestors": (steps, np.full((2, len(time)), 150)),
        },
        coords={"chain": chain, "time": time},
    )
    return InferenceData(
        posterior=posterior,
        posterior_predictive=predictive,
        observed_data=observed,
        constant_data=constant,
        filter_stats=statistics,
        attrs={
            "log_evidence": -900.5,
            "seed": 3,
            "particles": 400,
            "model": "models/zinc.py",
            "metal": "zinc",
            "metal_molar_mass": 65.38e-3,
            "metal_valence": 2,
            "fundamental_frequency": FUNDAMENTAL_FREQUENCY,
            "resonator_impedance": IMPEDANCE,
            "electrolyte_density": 1322.8,
            "electrolyte_viscosity": 3.14e-3,
            "area": 0.785e-4,
            "source": "made up <script>alert(1)</script>",
            "hmm_plating_version": "0.1.0",
        },
    )
