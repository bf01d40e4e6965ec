"""Geometry and drive that the network sees, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from hmm_plating import Electrolyte, Metal, morphology
from hmm_plating.emulator.features import (
    BEYOND,
    CHANNELS,
    FARTHEST,
    TRUSTED,
    Lengths,
    features,
    mean_along_normal,
    mean_curvature,
    redistanced,
    signed_distance,
    step_lengths,
)
from hmm_plating.transition import Interface, Parameters
from hmm_plating.transition.coefficients import coefficients

WATER = Electrolyte(997.05, 0.890e-3)


def disc(dimensions: int, radius: float, cells: int = 48) -> torch.Tensor:
    """Signed distance from a disc or ball about the middle of a box [cells]."""
    axis = torch.arange(cells, dtype=torch.float64) + 0.5 - cells / 2
    return radius - sum(one**2 for one in torch.meshgrid(*[axis] * dimensions, indexing="ij")).sqrt()[None]


@pytest.mark.parametrize(("dimensions", "width"), [(2, 4.0), (2, 8.0), (3, 4.0)])
def test_the_distance_of_a_disc(dimensions: int, width: float) -> None:
    true = disc(dimensions, 10.0, 40 if dimensions == 3 else 48)
    found = signed_distance(torch.sigmoid(4 / width * true), width, dimensions)
    near = true.abs() <= TRUSTED
    torch.testing.assert_close(found[near], true[near], rtol=0, atol=1e-6)
    # beyond, a chamfer of two or three cells: 5 % of what lies beyond, 9 % along the diagonals of space
    beyond = (true.abs() > TRUSTED) & (true.abs() < FARTHEST - 1)
    bound = (0.05 if dimensions == 2 else 0.09) * (true.abs() - TRUSTED + 1) + 0.25
    assert bool(((found - true).abs() <= bound)[beyond].all())
    assert bool((found.abs()[true.abs() > 1.1 * FARTHEST + 1] == BEYOND).all())


def test_a_tail_that_lies_is_not_believed() -> None:
    """Traces of metal that a receding front left behind, and liquid never touched: both are far."""
    true = 20.0 - torch.arange(48, dtype=torch.float64)[:, None].expand(48, 8)[None]
    xi = torch.sigmoid(true)
    xi[:, 35:] = 0.0
    xi[:, 30:35] = 1e-5
    found = signed_distance(xi, 4.0, 2)
    torch.testing.assert_close(found[:, 8:33, 0], true[:, 8:33, 0], rtol=0.06, atol=1e-3)
    assert bool((found[:, 36:] == -BEYOND).all())


def test_what_lies_near_keeps_its_gradient() -> None:
    distance = disc(2, 10.0).requires_grad_()
    redistanced(distance, 2).sum().backward()
    assert distance.grad is not None
    near = distance.detach().abs() <= TRUSTED
    assert torch.equal(distance.grad, near.double())


@pytest.mark.parametrize("displacement", [2.0, -2.0])
def test_smoothing_of_a_strong_drive_is_tafels(displacement: float) -> None:
    """v ∝ exp(∓ α zFη/RT): a curvature κ changes the displacement by −α d0 κ of it."""
    p = Parameters.from_materials(Metal.zinc(), WATER, Interface(16e-9, 4e-9), exchange_current_density=1e-4)
    c = coefficients(p, torch.Size([1]), 3.0, torch.zeros(1, dtype=torch.float64))
    lengths = step_lengths(torch.tensor([displacement], dtype=torch.float64), 3.0, c)
    wanted = 0.5 * abs(displacement) * float(p.capillary_length) / 4e-9
    assert float(lengths.smoothing) == pytest.approx(wanted, rel=1e-3)


def test_smoothing_at_rest_is_the_mobility() -> None:
    """dv/dη · γκ/(zFc_s) at equilibrium: m = j0/(zFc_s) d0 Δt (both slopes of Butler–Volmer add up to 1)."""
    p = Parameters.from_materials(Metal.zinc(), WATER, Interface(16e-9, 4e-9))
    c = coefficients(p, torch.Size([1]), 3.0, torch.zeros(1, dtype=torch.float64))
    lengths = step_lengths(torch.zeros(1, dtype=torch.float64), 3.0, c)
    speed = 0.3 / float(p.charge_per_volume)
    assert float(lengths.smoothing) == pytest.approx(speed * float(p.capillary_length) * 3.0 / 4e-9**2, rel=1e-9)
    assert float(lengths.scale) == pytest.approx(float(lengths.smoothing), rel=1e-9)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_channels(dimensions: int) -> None:
    distance = disc(dimensions, 6.0, 24)
    noise = torch.ones_like(distance)
    lengths = Lengths(*(torch.tensor([value], dtype=torch.float64) for value in (2.0, 0.5, 0.1)))
    seen = features(distance, noise, noise, mean_curvature(distance, dimensions), lengths, 4.0, dimensions)
    assert seen.shape == (1, CHANNELS, *distance.shape[1:])
    assert bool(torch.isfinite(seen).all())
    weight = seen[0, 3] * 2.6 / 0.1  # 4ξ(1 − ξ), 1 at the surface
    assert float(weight.max()) == pytest.approx(1.0, abs=0.2)
    # curvature of the disc times smoothing over scale, at its surface
    at_surface = distance[0].abs() < 0.5
    curvature = seen[0, 6][at_surface].mean() * 2.6 / 0.5
    assert float(curvature) == pytest.approx((dimensions - 1) / 6.0, rel=0.05)
    assert float(seen[0, 10].amax()) == pytest.approx(math.exp(-0.5 / 8), rel=1e-9)


def test_a_step_in_which_nothing_moves_has_no_size() -> None:
    nothing = Lengths(*(torch.zeros(1, dtype=torch.float64) for _ in range(3)))
    ones = torch.ones(1, 24, 24, dtype=torch.float64)
    seen = features(disc(2, 6.0, 24), ones, ones, 0 * ones, nothing, 4.0, 2)
    assert bool(torch.isfinite(seen).all())
    assert float(nothing.scale) == float(nothing.correction) == 0


def test_a_film_is_seen_as_its_height() -> None:
    film = morphology.film(torch.full((8,), 50e-9, dtype=torch.float64), 32, 16e-9, 4e-9)
    found = signed_distance(film[None], 4.0, 2)
    torch.testing.assert_close(found[0, 8:18, 0], 12.5 - torch.arange(8, 18, dtype=torch.float64) - 0.5)


def test_noise_that_is_even_across_the_front_is_its_own_mean() -> None:
    """And what changes sign across it cancels."""
    distance = (12.0 - torch.arange(24, dtype=torch.float64)[:, None] - 0.5).expand(1, 24, 16)
    along = torch.cos(2 * math.pi * torch.arange(16, dtype=torch.float64) / 16).expand(1, 24, 16)
    still = torch.zeros(1, dtype=torch.float64)
    near = distance.abs() < 3
    found = mean_along_normal(along, distance, still, 4.0, 2)
    torch.testing.assert_close(found[near], along[near], rtol=0, atol=1e-2)
    found = mean_along_normal(torch.sign(distance), distance, still, 4.0, 2)
    assert float(found[distance.abs() < 1].abs().max()) < 0.5
