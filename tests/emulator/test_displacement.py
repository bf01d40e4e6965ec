"""The displacement of a surface: its first guess is curvature flow, and what networks cannot decide they do not."""

from __future__ import annotations

import math

import pytest
import torch
from small_emulator import small_emulator

from hmm_plating import Electrolyte, Metal
from hmm_plating.emulator.displacement import Move, interface_weight, move
from hmm_plating.emulator.features import redistanced, step_lengths
from hmm_plating.transition import Interface, Parameters
from hmm_plating.transition.coefficients import Coefficients, coefficients

DURATION, WAVELENGTH, ROWS = 4.0, 32, 40


def rest(noise_amplitude: float = 0.0, exchange_current_density: float = 1.0) -> Coefficients:
    parameters = Parameters.from_materials(
        Metal.zinc(),
        Electrolyte(1322.8, 3.14e-3),
        Interface(16e-9, 4e-9),
        exchange_current_density=exchange_current_density,
        noise_amplitude=noise_amplitude,
    )
    return coefficients(parameters, torch.Size([1]), DURATION, torch.zeros(1, dtype=torch.float64))


def wave(amplitude: float) -> torch.Tensor:
    x = torch.arange(2 * WAVELENGTH, dtype=torch.float64)
    y = torch.arange(ROWS, dtype=torch.float64)[:, None] + 0.5
    return redistanced((20 + amplitude * torch.cos(2 * math.pi * x / WAVELENGTH) - y)[None], 2)


def moved(distance: torch.Tensor, c: Coefficients, displacement: float = 0.0, size: float = 1.0, seed: int = 0) -> Move:
    noise = torch.randn(distance.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    metal = torch.sigmoid(4 / c.width * (distance + displacement)).flatten(1).sum(1)
    return move(small_emulator(size=size).networks, distance, metal, noise, DURATION, c)


def height_of_wave(distance: torch.Tensor) -> float:
    heights = torch.sigmoid(distance).sum(-2)[0]
    x = torch.arange(heights.numel(), dtype=torch.float64)
    return float(2 * (heights * torch.cos(2 * math.pi * x / WAVELENGTH)).mean())


def test_the_first_guess_is_curvature_flow() -> None:
    """A wave at rest decays by m q² (Mullins, J. Appl. Phys. 28 (1957) 333, evaporation and condensation)."""
    c = rest(exchange_current_density=2.0)
    smoothing = float(step_lengths(torch.zeros(1, dtype=torch.float64), DURATION, c).smoothing)
    assert 0.05 < smoothing < 0.15
    before = wave(0.5)
    after = moved(before, c, size=0.0).distance
    decay = -math.log(height_of_wave(after) / height_of_wave(before))
    assert decay == pytest.approx(smoothing * (2 * math.pi / WAVELENGTH) ** 2, rel=0.03)


def test_at_rest_networks_add_at_most_what_is_of_second_order() -> None:
    c = rest()
    lengths = step_lengths(torch.zeros(1, dtype=torch.float64), DURATION, c)
    difference = moved(wave(1.0), c).distance - moved(wave(1.0), c, size=0.0).distance
    assert 0 < float(difference.abs().max()) < 2 * float(lengths.smoothing) ** 2 / 0.1


def test_an_even_part_of_the_prediction_does_nothing() -> None:
    """The last displacement takes it back; held at its bound it would leave no room for the rest."""
    c, networks = rest(30.0), small_emulator().networks
    distance = wave(2.0)
    metal = torch.sigmoid(distance + 0.7).flatten(1).sum(1)
    noise = torch.randn(distance.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = move(networks, distance, metal, noise, DURATION, c)
    with torch.no_grad():
        for network in networks:
            network.scales[0].layers[-1].bias += 30.0
    after = move(networks, distance, metal, noise, DURATION, c)
    torch.testing.assert_close(after.distance, before.distance, rtol=0, atol=1e-5)


def test_the_spread_is_the_networks_and_the_step_s() -> None:
    c = rest(30.0)
    one = moved(wave(2.0), c, 0.7)
    assert 0 < float(one.spread) < float(one.lengths.correction)
    assert float(moved(wave(2.0), c, 0.7, size=0.0).spread) == 0


def test_interface_weights_count_columns_alike() -> None:
    """Of the height, where half of the columns are 10 cells high and half 20."""
    height = torch.where(torch.arange(32) < 16, 10.0, 20.0).double()
    y = torch.arange(40, dtype=torch.float64)[:, None] + 0.5
    weight = interface_weight(redistanced((height - y)[None], 2), 4.0)
    assert float(weight.sum()) == pytest.approx(1.0)
    assert float((weight * y).sum()) == pytest.approx(15.0, abs=0.1)
