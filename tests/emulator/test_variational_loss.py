"""The loss without trajectories: the surface that it asks for against sharp interfaces and the simulated step."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from small_source import small_source
from torch import Tensor

from hmm_plating import Electrolyte, Metal
from hmm_plating.emulator.conservation import conserving_shift
from hmm_plating.emulator.evaluation import errors, roll_out
from hmm_plating.emulator.features import CHANNELS, signed_distance, step_lengths
from hmm_plating.emulator.multiscale_network import Architecture, MultiscaleNetwork
from hmm_plating.emulator.trajectories import draw_trajectories, simulate_trajectories
from hmm_plating.emulator.variational_loss import (
    AT_END,
    minimising_movements,
    minimising_surface,
    newton_step,
    well_curvature,
)
from hmm_plating.transition import Interface, Parameters, initial_state, step
from hmm_plating.transition.coefficients import Coefficients, coefficients
from hmm_plating.transition.reference import profile_force

WATER = Electrolyte(997.05, 0.890e-3)
PARAMETERS = Parameters.from_materials(Metal.zinc(), WATER, Interface(16e-9, 4e-9))


def of_step(duration: float, parameters: Parameters = PARAMETERS) -> Coefficients:
    return coefficients(parameters, torch.Size([1]), duration, torch.zeros(1, dtype=torch.float64))


def disc(radius: float, cells: int = 64) -> Tensor:
    axis = torch.arange(cells, dtype=torch.float64) + 0.5 - cells / 2
    return radius - (axis[:, None] ** 2 + axis**2).sqrt()[None]


def minimum(
    before: Tensor, metal: Tensor, noise: Tensor, duration: float, p: Parameters = PARAMETERS
) -> tuple[Tensor, Tensor]:
    """The surface, found from an even displacement, and that displacement: signed distances."""
    c = of_step(duration, p)
    displacement = conserving_shift(before, metal, c.width)
    even = before + displacement.reshape(-1, *[1] * (before.ndim - 1))
    lengths = step_lengths(displacement, duration, c)
    return minimising_surface(before, even, noise, lengths, metal, c.width, newton_steps=8), even


def rows(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.float64)[:, None] + 0.5


RIDGE = (6 - ((torch.arange(16) - 8) ** 2 + rows(24) ** 2).sqrt()).expand(1, 12, 24, 16)


def height(distance: Tensor, width: float = 4.0) -> Tensor:
    """Of every column [cells]."""
    return torch.sigmoid(4 / width * distance).sum(-2)


@pytest.mark.parametrize("displacement", [0.0, 1.0, -1.0])
def test_a_wave_is_smoothed_as_curvature_does(displacement: float) -> None:
    """h' = h (1 − x/3)/(1 + 2x/3), x = m q²: dh/dt = −M γ q² h by the rule of thirds, for a wave of 32 cells."""
    duration = 20.0
    wave = torch.cos(2 * math.pi * torch.arange(32, dtype=torch.float64) / 32)
    before = (10 + 0.3 * wave - rows(24))[None]
    metal = torch.sigmoid(before + displacement).sum((1, 2))
    after, _ = minimum(before, metal, torch.zeros_like(before), duration)
    found = 2 * float((height(after) * wave).mean())
    even = torch.tensor([displacement], dtype=torch.float64)
    decay = float(step_lengths(even, duration, of_step(duration)).smoothing) * (2 * math.pi / 32) ** 2
    wanted = 0.3 * (1 - (1 - AT_END) * decay) / (1 + AT_END * decay)
    assert (0.3 - found) == pytest.approx(0.3 - wanted, rel=0.05)


def test_noise_displaces_the_front_that_it_pushes() -> None:
    """Noise that is even across the interface moves the front by itself, and leaves its profile."""
    p, duration = replace(PARAMETERS, noise_amplitude=37.0, surface_energy=0.0), 4.0
    wave = torch.cos(2 * math.pi * torch.arange(32, dtype=torch.float64) / 32)
    pushed = float(of_step(duration, p).noise_velocity) * duration
    before = (10 - rows(24)).expand(24, 32)[None]
    metal = torch.sigmoid(before).sum((1, 2))
    after, _ = minimum(before, metal, wave.expand(1, 24, 32), duration, p)
    assert 2 * float((height(after) * wave).mean()) == pytest.approx(pushed, rel=0.05)


@pytest.mark.parametrize("growth", [1.5, -1.5])
def test_a_disc_grows_and_shrinks_evenly_without_surface_energy(growth: float) -> None:
    """The profile's repair does not move it, though its energy would shrink the disc."""
    before = disc(10.0, 32)
    metal = torch.sigmoid(before + growth).sum((1, 2))
    after, even = minimum(before, metal, torch.zeros_like(before), 4.0, replace(PARAMETERS, surface_energy=0.0))
    assert float((torch.sigmoid(after) - torch.sigmoid(even)).abs().max()) < 0.01


def test_a_bent_profile_becomes_that_of_equilibrium() -> None:
    """One of twice the width, by a plating of four cells, which repairs with R = ½ℓ|D| = 8 cells²."""
    before = 0.5 * (10 - rows(32)).expand(32, 8)[None]
    metal = torch.sigmoid(10 + 4 - rows(32)).expand(32, 8)[None].sum((1, 2))
    after, _ = minimum(before, metal, torch.zeros_like(before), 4.0)
    wrong = [
        float((torch.sigmoid(d) - torch.sigmoid(10 + r - rows(32))).abs().max()) for d, r in ((before, 0), (after, 4))
    ]
    assert wrong[0] > 0.1
    assert wrong[1] < 0.02


@pytest.mark.parametrize(
    ("start", "bound"),
    [
        pytest.param((10.3 - rows(24)).expand(24, 32)[None], 0.15, id="film"),
        pytest.param(
            torch.maximum(*(6 - ((torch.arange(48) - x) ** 2 + (rows(24) - 3) ** 2).sqrt() for x in (14, 28)))[None],
            0.3,
            id="islands that meet",
        ),
        pytest.param(RIDGE, 0.3, id="ridge in three dimensions"),
    ],
)
def test_a_noisy_step_of_the_phase_field_ends_near_it(start: Tensor, bound: float) -> None:
    """Error relative to that of an even displacement, profiles that earlier noise has disturbed included."""
    p, duration, dimensions = replace(PARAMETERS, noise_amplitude=37.0), 3.0, start.ndim - 1
    if dimensions == 3:
        p = replace(p, interface=Interface(16e-9, 4e-9, 3))
    generator = torch.Generator().manual_seed(1)
    state = initial_state(torch.sigmoid(start), dimensions)
    for _ in range(3):
        before = state
        noise = torch.randn(start.shape, dtype=torch.float64, generator=generator)
        state = step(before, -10.0, duration, noise, p)
    first, last = (signed_distance(s.order_parameter, 4.0, dimensions) for s in (before, state))
    after, even = minimum(first, state.order_parameter.flatten(1).sum(1), noise, duration, p)
    wrong, without = ((torch.sigmoid(d) - torch.sigmoid(last)).square().sum().sqrt() for d in (after, even))
    assert float(wrong) < bound * float(without)


def test_movements_follow_the_simulated_trajectories_whatever_the_network() -> None:
    """Four steps of plating: nearer than the first guess of an untrained network, and the same from another one."""
    source, found = small_source(8), []
    simulated, drawn = (draw(source, 8, 5) for draw in (simulate_trajectories, draw_trajectories))
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = MultiscaleNetwork(Architecture(2, CHANNELS, scales=2, hidden=8))
        found.append(minimising_movements(network, drawn).distance.double())
    wrong, guessed = (
        errors(distance, simulated, 4e-9)["field"][3].square().mean().sqrt()
        for distance in (found[0], roll_out([network], simulated))
    )
    assert float(wrong) < 0.007
    assert float(wrong) < 0.5 * float(guessed)
    torch.testing.assert_close(torch.sigmoid(found[0][:5]), torch.sigmoid(found[1][:5]), rtol=0, atol=1e-3)


def test_newtons_method_has_the_wells_own_curvature() -> None:
    xi = torch.linspace(0.02, 0.98, 25, dtype=torch.float64).reshape(1, 5, 5).requires_grad_()
    width = 5.0
    even = torch.full((1, 5, 5), 0.3, dtype=torch.float64, requires_grad=True)  # an even field has no Laplacian
    (slope,) = torch.autograd.grad(profile_force(even, width, 2)[0, 2, 2], even)
    torch.testing.assert_close(-slope.sum(), well_curvature(even.detach(), width)[0, 2, 2])
    repair = torch.full((1, 1, 1), 0.7, dtype=torch.float64)
    wanted = torch.rand(1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, image = torch.autograd.functional.jvp(lambda x: x - repair * profile_force(x, width, 2), xi.detach(), wanted)
    torch.testing.assert_close(newton_step(image, xi.detach(), repair, width), wanted, rtol=0, atol=0.02)
