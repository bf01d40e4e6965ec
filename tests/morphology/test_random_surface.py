"""Random surfaces as deterministic functions of numbers and noise, and as Pyro programs."""

import math

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.morphology import (
    NeuralField,
    film,
    gaussian_heights,
    gaussian_surface,
    neural_surface,
    nucleated_surface,
    nuclei,
    root_mean_square_height,
    thickness,
)

SPACING, WIDTH = 4e-9, 16e-9
PRIOR = {
    "mean_height": dist.Uniform(torch.tensor(60e-9).double(), 100e-9),
    "root_mean_square_height": dist.LogNormal(torch.tensor(math.log(8e-9)).double(), 0.2),
    "correlation_length": dist.LogNormal(torch.tensor(math.log(30e-9)).double(), 0.2),
}


def white(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("shape", "dimensions"), [((4000, 32), 2), ((1500, 12, 16), 3)])
def test_moments_over_many_surfaces(shape, dimensions):
    """The mean of each is exact; Sq² in the mean over surfaces, whatever the box; every point has the same variance."""
    heights = gaussian_heights(white(*shape), 1e-7, 5e-9, 20e-9, SPACING, 0.7, dimensions)
    lateral = tuple(range(1, dimensions))
    torch.testing.assert_close(heights.mean(lateral), torch.full(shape[:1], 1e-7).double(), rtol=1e-6, atol=0)
    square = root_mean_square_height(heights, dimensions).square()
    error = 4 * float(square.std()) / math.sqrt(shape[0])
    assert float(square.mean()) == pytest.approx(25e-18, abs=error)
    torch.testing.assert_close(
        heights.var(0), torch.full(shape[1:], 25e-18).double(), rtol=6 * math.sqrt(2 / shape[0]), atol=0
    )


def test_covariance_is_the_stated_one_summed_over_periods():
    """Against the dense covariance matrix of the torus less its mean, by the law of large numbers."""
    columns, length, hurst = 24, 30e-9, 0.6
    lag = torch.arange(columns, dtype=torch.float64)
    images = torch.arange(-3, 4)[:, None] * columns
    one = torch.exp(-(((lag + images).abs() * SPACING / length) ** (2 * hurst))).sum(0)
    matrix = one[(lag[:, None] - lag).long() % columns]
    centred = matrix - matrix.mean()
    expected = centred / centred.diagonal().mean()
    heights = gaussian_heights(white(20000, columns), 0.0, 1.0, length, SPACING, hurst)
    found = heights.T @ heights / 20000
    torch.testing.assert_close(found, expected, rtol=0, atol=5 * math.sqrt(2 / 20000))


def test_numbers_per_surface():
    noise = white(64, seed=1)
    deviation = torch.tensor([0.0, 3e-9, 6e-9], dtype=torch.float64)
    heights = gaussian_heights(noise.expand(3, -1), torch.tensor([5e-8, 6e-8, 7e-8]).double(), deviation, 3e-8, SPACING)
    torch.testing.assert_close(heights[0], torch.full((64,), 5e-8).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(heights[2] - heights[2].mean(), 2 * (heights[1] - heights[1].mean()))
    shifted = gaussian_heights(noise.roll(7, -1), 5e-8, 3e-9, 3e-8, SPACING)
    torch.testing.assert_close(shifted, gaussian_heights(noise, 5e-8, 3e-9, 3e-8, SPACING).roll(7, -1))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_gradient(dimensions):
    noise = white(2, *(5, 8)[3 - dimensions :], seed=2).requires_grad_()
    numbers = [torch.tensor([value, 1.2 * value]).double().requires_grad_() for value in (10.0, 1.0, 2.0, 0.6)]

    def heights(noise, mean, deviation, length, hurst):
        return gaussian_heights(noise, mean, deviation, length, 1.0, hurst, dimensions)

    assert torch.autograd.gradcheck(heights, [noise, *numbers])


def test_a_film_as_a_pyro_program():
    """Sites with a plate of particles; the surface is that of the sampled numbers and noise."""
    pyro.set_rng_seed(0)
    with poutine.trace() as trace, pyro.plate("particles", 5, dim=-1):
        surface = gaussian_surface({**PRIOR, "hurst_exponent": 0.8}, (40, 64), WIDTH, SPACING)
    sites = {name: site["value"] for name, site in trace.trace.iter_stochastic_nodes() if name != "particles"}
    assert set(sites) == {*PRIOR, "surface_noise"}
    assert surface.shape == (5, 40, 64)
    torch.testing.assert_close(thickness(surface, SPACING), sites["mean_height"], rtol=0.02, atol=0)
    heights = gaussian_heights(sites["surface_noise"], *(sites[name] for name in PRIOR), SPACING, 0.8)
    torch.testing.assert_close(surface, film(heights, 40, WIDTH, SPACING))
    assert bool(torch.isfinite(trace.trace.log_prob_sum()))
    assert gaussian_surface(PRIOR, (32, 40, 36), WIDTH, SPACING).shape == (32, 40, 36)


@pytest.mark.parametrize("shape", [(24, 64), (24, 24, 32)])
def test_nuclei_as_a_pyro_program(shape):
    parameters = {
        "nucleation_density": dist.LogNormal(torch.tensor(math.log(1 / 80e-9**2)).double(), 0.3),
        "nucleus_radius": 20e-9,
    }
    pyro.set_rng_seed(0)
    with poutine.trace() as trace, pyro.plate("particles", 2, dim=-1):
        surface = nucleated_surface(parameters, shape, WIDTH, SPACING, candidates=32)
    sites = {name: site["value"] for name, site in trace.trace.iter_stochastic_nodes() if name != "particles"}
    assert set(sites) - {"nucleus_across"} == {"nucleation_density", "nucleus_position", "nucleus_size"}
    density, across = sites["nucleation_density"], sites.get("nucleus_across")
    expected = nuclei(
        1 - sites["nucleus_position"], sites["nucleus_size"], density if len(shape) == 3 else density.sqrt(),
        20e-9, 0.2, shape, WIDTH, SPACING, across,
    )  # fmt: skip
    torch.testing.assert_close(surface, expected)


@pytest.mark.parametrize("shape", [(20, 32), (12, 20, 16)])
def test_neural_fields_as_a_pyro_program(shape):
    """Each draw is the `NeuralField` of its thickness, amplitude and weights."""
    parameters = {"thickness": dist.Uniform(torch.tensor(30e-9).double(), 50e-9), "amplitude": 6e-9}
    pyro.set_rng_seed(0)
    with poutine.trace() as trace, pyro.plate("particles", 2, dim=-1):
        surface = neural_surface(parameters, shape, WIDTH, SPACING, harmonics=2, hidden=(8,))
    sites = {name: site["value"] for name, site in trace.trace.iter_stochastic_nodes() if name != "particles"}
    assert set(sites) == {"thickness", "surface_weights"}
    for drawn, weights, thick in zip(surface, sites["surface_weights"], sites["thickness"].tolist(), strict=True):
        torch.testing.assert_close(drawn, NeuralField(shape, SPACING, WIDTH, thick, 6e-9, 2, (8,))(weights))


def test_what_makes_no_surface_is_refused():
    noise = white(32)
    for numbers, message in (
        ((1e-7, -1e-9, 2e-8, SPACING), "root_mean_square_height"),
        ((1e-7, 1e-9, 7e-8, SPACING), "correlation_length"),
        ((1e-7, 1e-9, math.nan, SPACING), "correlation_length"),
        ((1e-7, 1e-9, 2e-8, SPACING, 1.2), "hurst_exponent"),
        ((1e-7, 1e-9, 2e-8, SPACING, 1.0, 3), "noise"),
    ):
        with pytest.raises(InputError, match=message):
            gaussian_heights(noise, *numbers)
    with pytest.raises(InputError, match="unknown: roughness, missing: correlation_length"):
        gaussian_surface(
            {"mean_height": 1e-7, "root_mean_square_height": 1e-9, "roughness": 1e-9}, (8, 8), WIDTH, SPACING
        )
