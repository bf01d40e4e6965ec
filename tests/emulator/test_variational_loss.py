"""The loss without trajectories: its parts against closed forms, and its minimum against the sharp interface."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from hmm_plating import Electrolyte, Metal
from hmm_plating.emulator.conservation import conserving_shift
from hmm_plating.emulator.features import step_lengths
from hmm_plating.emulator.variational_loss import dissipation, incremental_potential, interface_area
from hmm_plating.errors import InputError
from hmm_plating.transition import Interface, Parameters
from hmm_plating.transition.butler_volmer import butler_volmer
from hmm_plating.transition.coefficients import Coefficients, coefficients

WATER = Electrolyte(997.05, 0.890e-3)
PARAMETERS = Parameters.from_materials(Metal.zinc(), WATER, Interface(16e-9, 4e-9))


def of_step(duration: float, parameters: Parameters = PARAMETERS) -> Coefficients:
    return coefficients(parameters, torch.Size([1]), duration, torch.zeros(1, dtype=torch.float64))


def disc(radius: float, cells: int = 64) -> torch.Tensor:
    axis = torch.arange(cells, dtype=torch.float64) + 0.5 - cells / 2
    return radius - (axis[:, None] ** 2 + axis**2).sqrt()[None]


@pytest.mark.parametrize(("width", "tolerance"), [(4.0, 0.02), (8.0, 0.005)])
def test_the_area_is_the_circumference(width: float, tolerance: float) -> None:
    """Differences between neighbours are short by (h/ℓ)²/…: 1.6 % at 4 cells, 0.4 % at 8."""
    assert float(interface_area(disc(20.0), width)) == pytest.approx(2 * math.pi * 20, rel=tolerance)


def test_the_force_of_the_dissipation_is_butler_volmers() -> None:
    overpotential = torch.linspace(-0.2, 0.2, 9, dtype=torch.float64)
    velocity = -butler_volmer(overpotential, 0.7, 0.5, 0.0128).requires_grad_()
    (force,) = torch.autograd.grad(dissipation(velocity, torch.tensor(0.7, dtype=torch.float64)).sum(), velocity)
    torch.testing.assert_close(force, -overpotential / 0.0128)


@pytest.mark.parametrize("displacement", [0.0, 1.0, -1.0])
def test_its_minimum_smooths_a_wave_as_curvature_does(displacement: float) -> None:
    """h' = D + h/(1 + m q²): implicit Euler of dh/dt = −M γ q² h, for a wave of 32 cells."""
    duration = 20.0
    c = of_step(duration)
    x = torch.arange(32, dtype=torch.float64)
    y = torch.arange(24, dtype=torch.float64)[:, None] + 0.5
    wave = torch.cos(2 * math.pi * x / 32)

    def front(height: torch.Tensor) -> torch.Tensor:
        return (height - y)[None]

    before, moved = front(10 + 0.3 * wave), torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([moved], max_iter=60, tolerance_grad=1e-12, tolerance_change=1e-14)
    metal = torch.sigmoid(before + displacement).sum((1, 2))
    middle = front(10 + displacement / 2 + 0.3 * wave)
    noise = torch.zeros_like(before)

    def potential() -> torch.Tensor:
        optimiser.zero_grad()
        after = front(10 + displacement + moved * wave)
        after = after + conserving_shift(after, metal, c.width)
        value = incremental_potential(before, after, middle, noise, duration, c).sum()
        value.backward()
        return value

    for _ in range(5):
        optimiser.step(potential)
    smoothing = step_lengths(torch.tensor([displacement], dtype=torch.float64), duration, c).smoothing
    wanted = 0.3 / (1 + float(smoothing) * (2 * math.pi / 32) ** 2)
    found = float(moved.detach())
    assert found < 0.3
    assert (0.3 - found) == pytest.approx(0.3 - wanted, rel=0.05)


def test_noise_displaces_the_front_that_it_pushes() -> None:
    """The minimum for noise that is even across the interface is a front moved by it."""
    p = replace(PARAMETERS, noise_amplitude=37.0, surface_energy=0.0)
    duration = 4.0
    c = of_step(duration, p)
    x = torch.arange(16, dtype=torch.float64)
    y = torch.arange(24, dtype=torch.float64)[:, None] + 0.5
    noise = torch.cos(2 * math.pi * x / 16).expand(1, 24, 16)
    pushed = float(c.noise_velocity) * duration
    before = (10 - y).expand(24, 16)[None]
    amplitude = torch.linspace(0, 2, 9, dtype=torch.float64)
    found = [
        float(incremental_potential(before, before + one * pushed * noise, before, noise, duration, c))
        for one in amplitude
    ]
    assert int(torch.tensor(found).argmin()) == 4  # an amplitude of one


def test_other_kinetics_are_refused() -> None:
    still = disc(10.0, 32)
    for changed in (replace(PARAMETERS, transfer_coefficient=0.3), replace(PARAMETERS, anisotropy_strength=0.05)):
        with pytest.raises(InputError, match="transfer coefficient of ½ and an isotropic"):
            incremental_potential(still, still, still, still, 1.0, of_step(1.0, changed))
