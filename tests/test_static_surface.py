"""The static inverse problem: one program for simulation and Hamiltonian Monte Carlo, against exact answers."""

import math
import pickle

import pyro
import pytest
import torch
from static_problems import FLAT, OVERTONES, ROUGH, flat_response, number

from hmm_plating.errors import InputError
from hmm_plating.static_surface import StaticSurface


def draws(problem: StaticSurface, count: int) -> dict[str, torch.Tensor]:
    pyro.set_rng_seed(0)
    with pyro.plate("draws", count):
        return problem.prior()


def test_a_flat_film_is_seen_as_sauerbrey_says():
    """−2 f0² n ρ h/Z_q (Sauerbrey 1959), no dissipation, and the stated noise."""
    thickness = number(50e-9).expand(500)
    seen = FLAT.simulator({"mean_height": thickness})
    assert seen.shape == (500, 2 * len(OVERTONES))
    error = 4 * FLAT.noise / math.sqrt(500)
    expected = torch.cat([flat_response() * 50e-9, torch.zeros(len(OVERTONES))])
    assert bool(((seen.mean(0) - expected).abs() < error + 1e-4 * expected.abs()).all())
    torch.testing.assert_close(seen.std(0), FLAT.noise, rtol=0.15, atol=0)


def test_the_simulator_takes_the_priors_draws_and_hides_its_noise():
    values = draws(ROUGH, 6)
    assert set(values) == {"mean_height", "root_mean_square_height", "correlation_length"}
    pyro.set_rng_seed(1)
    first, second = ROUGH.simulator(values), ROUGH.simulator(values)
    pyro.set_rng_seed(1)
    again = ROUGH.simulator(values)
    assert first.shape == (6, 2 * len(OVERTONES))
    assert torch.equal(first, again)
    assert bool(((first - second).abs() > 0).all())


def test_prior_and_simulator_travel_between_processes():
    values = {name: prior.mean.expand(2) for name, prior in ROUGH.parameters.items()}
    sent = pickle.loads(pickle.dumps(ROUGH.simulator))
    pyro.set_rng_seed(2)
    here = ROUGH.simulator(values)
    pyro.set_rng_seed(2)
    assert torch.equal(sent(values), here)


def test_more_boxes_scatter_less():
    """The variance over surfaces falls as one over the number of boxes that are averaged."""
    values = {name: prior.mean.expand(150) for name, prior in ROUGH.parameters.items()}
    many = StaticSurface(**{**vars(ROUGH), "boxes": 4})
    ratio = ROUGH.simulator(values)[:, 0].var() / many.simulator(values)[:, 0].var()
    assert 4 / 1.9 < float(ratio) < 4 * 1.9  # four standard errors of the logarithm of a ratio of variances: 0.65
    assert many().shape == (2 * len(OVERTONES),)


def test_a_surface_that_outgrows_its_box_is_nan_and_spares_the_others():
    heights = torch.tensor([50e-9, 200e-9, 60e-9], dtype=torch.float64, requires_grad=True)
    shifts = FLAT.shifts(FLAT.surface({"mean_height": heights}))
    assert torch.isnan(shifts).all(-1).tolist() == [False, True, False]
    shifts[[0, 2], 0].sum().backward()
    torch.testing.assert_close(heights.grad[[0, 2]], flat_response()[:1].expand(2), rtol=1e-3, atol=0)


@pytest.mark.slow
def test_hamiltonian_monte_carlo_of_a_flat_film():
    """A Gaussian prior and a linear response: the posterior is Gaussian, in closed form."""
    precision = 1 / 4e-9**2 + float((flat_response() / torch.tensor(FLAT.frequency_noise)).square().sum())
    observed = torch.cat([flat_response() * 51e-9, torch.zeros(len(OVERTONES))]).double()
    result = FLAT.hamiltonian_monte_carlo(observed, draws=200, warmup=100, max_tree_depth=3, seed=2)
    heights = result.posterior["mean_height"].values
    mean = (50e-9 / 4e-9**2 + 51e-9 * (precision - 1 / 4e-9**2)) / precision
    assert heights.shape == (1, 200)
    assert heights.mean() == pytest.approx(mean, abs=4 * precision**-0.5 / math.sqrt(50))
    assert heights.std() == pytest.approx(precision**-0.5, rel=0.3)
    assert not result.sample_stats["diverging"].values.any()


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="dissipation_noise"):
        StaticSurface(**{**vars(FLAT), "dissipation_noise": (1e-7,)})
    with pytest.raises(InputError, match="Pyro distribution"):
        StaticSurface(**{**vars(FLAT), "parameters": {"mean_height": 1e-7}})
    with pytest.raises(InputError, match="boxes"):
        StaticSurface(**{**vars(FLAT), "boxes": 0})
    with pytest.raises(InputError, match="6 finite numbers"):
        FLAT.hamiltonian_monte_carlo(torch.zeros(3))
