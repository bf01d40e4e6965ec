"""Compile kernels into Numba's cache: `python tests/compile_kernels.py` with a name out of `KERNELS`."""

from __future__ import annotations

import sys

import torch

import hmm_plating as hp
from hmm_plating.transition import Interface, Parameters, initial_state, step
from hmm_plating.transition.classical import ClassicalParameters, ClassicalState, classical_step

WATER = hp.Electrolyte(density=997.05, viscosity=0.890e-3)


def emission() -> None:
    fraction, resonator = torch.zeros(8, 16, dtype=torch.float64), hp.Resonator(fundamental_frequency=5e6)
    for field in (torch.float32, torch.float64):
        hp.emission.solve(fraction, 8e-9, (3,), WATER, resonator, keep_field=field)


def emission_single() -> None:
    fraction, resonator = torch.zeros(8, 16, dtype=torch.float64), hp.Resonator(fundamental_frequency=5e6)
    hp.emission.solve(fraction, 8e-9, (3,), WATER, resonator, precision="single", keep_gradient=True)


def transition() -> None:
    surface, noise, p = _surface()
    step(initial_state(surface), 0.0, 1e-3, noise, p)


def classical_form() -> None:
    surface, _, p = _surface()
    classical_step(ClassicalState(surface), 0.0, 1e-6, ClassicalParameters(p, interface_mobility=1.0))


def _surface() -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    p = Parameters.from_materials(hp.Metal.zinc(), WATER, Interface(16e-9, 4e-9))
    surface = hp.morphology.film(torch.full((8,), 4e-8, dtype=torch.float64), 24, 16e-9, 4e-9)
    return surface, torch.zeros_like(surface), p


KERNELS = {
    "emission": emission,
    "emission-single": emission_single,
    "transition": transition,
    "classical": classical_form,
}

if __name__ == "__main__":
    KERNELS[sys.argv[1]]()
