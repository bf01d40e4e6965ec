"""Two small static problems: a flat film, whose answers are known, and a rough one."""

import math
from functools import partial

import pyro.distributions as dist
import torch

from hmm_plating import Electrolyte, Metal, Resonator, morphology
from hmm_plating.static_surface import StaticSurface

OVERTONES = (3, 7, 11)
SPACING, WIDTH = 8e-9, 16e-9
COPPER, QUARTZ = Metal.copper(), Resonator()


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def flat_response() -> torch.Tensor:
    """dΔf_n/d(thickness) of a rigid film [Hz/m] (Sauerbrey)."""
    orders = torch.tensor(OVERTONES, dtype=torch.float64)
    return -2 * QUARTZ.fundamental_frequency**2 / QUARTZ.impedance * COPPER.density * orders


def flat_film(parameters):
    height = parameters["mean_height"][..., None].expand(*parameters["mean_height"].shape, 8)
    return morphology.film(height, 16, WIDTH, SPACING)


def problem(parameters, surface, frequency_noise: float) -> StaticSurface:
    return StaticSurface(
        parameters=parameters,
        surface=surface,
        spacing=SPACING,
        interface_width=WIDTH,
        overtones=OVERTONES,
        electrolyte=Electrolyte(997.05, 0.89e-3),
        resonator=QUARTZ,
        metal=COPPER,
        frequency_noise=tuple(frequency_noise * order for order in OVERTONES),
        dissipation_noise=(0.2e-6,) * len(OVERTONES),
    )


FLAT = problem({"mean_height": dist.Normal(number(50e-9), 4e-9)}, flat_film, 400.0)
ROUGH = problem(
    {
        "mean_height": dist.LogNormal(number(math.log(60e-9)), 0.03),
        "root_mean_square_height": dist.LogNormal(number(math.log(10e-9)), 0.25),
        "correlation_length": dist.LogNormal(number(math.log(30e-9)), 0.25),
    },
    partial(morphology.gaussian_surface, shape=(18, 32), interface_width=WIDTH, spacing=SPACING),
    1.0,
)
