"""Predicted posterior widths against closed forms, finite differences, and what regression learns from simulations."""

import math
from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch
from static_problems import FLAT, OVERTONES, ROUGH, flat_film, flat_response, number

from hmm_plating.errors import InputError
from hmm_plating.morphology import nucleation_sites
from hmm_plating.report import Sensitivity, sensitivity
from hmm_plating.report.figures import sensitivity_figure

POINT = {"mean_height": 60e-9, "root_mean_square_height": 10e-9, "correlation_length": 30e-9}


def test_a_flat_film_has_the_width_of_sauerbreys_law():
    """(P⁻¹ + Σ_n (dΔf_n/dh)²/σ_n²)^−½, and the information that goes with it."""
    found = sensitivity(FLAT, realisations=12)
    data = float((flat_response() / torch.tensor(FLAT.frequency_noise)).square().sum())
    assert float(found.fisher_information) == pytest.approx(data, rel=3e-3)
    assert found.values == {"mean_height": pytest.approx(50e-9)}
    assert found.posterior_deviation["mean_height"] == pytest.approx((1 / 4e-9**2 + data) ** -0.5, rel=1e-3)
    assert found.expected_information == pytest.approx(0.5 * math.log(1 + data * 4e-9**2), rel=1e-3)
    assert float(found.shifts[0]) == pytest.approx(float(flat_response()[0]) * 50e-9, rel=1e-3)


@pytest.mark.slow
def test_the_jacobian_is_the_slope_of_the_mean_shifts():
    """Against central differences with the same white noise, at a finer solve."""
    fine = replace(ROUGH, tolerance=1e-8)
    found = sensitivity(fine, POINT, realisations=12, seed=4)
    for column, name in enumerate(POINT):
        step = 1e-4 * POINT[name]
        up, down = (sensitivity(fine, {**POINT, name: POINT[name] + sign * step}, 12, 4).shifts for sign in (1, -1))
        torch.testing.assert_close(found.jacobian[:, column], (up - down) / (2 * step), rtol=1e-3, atol=1e-3)


def test_algebra_of_the_prediction():
    """Two parameters, one seen through a known channel, one not at all; surface noise adds."""
    made = Sensitivity(
        overtones=(3,),
        values={"seen": 1.0, "unseen": 2.0},
        prior_deviation=torch.tensor([2.0, 5.0]).double(),
        shifts=torch.zeros(2).double(),
        jacobian=torch.tensor([[3.0, 0.0], [0.0, 0.0]]).double(),
        instrument_noise=torch.tensor([0.6, 1e-7]).double(),
        surface_covariance=torch.tensor([[0.64, 0.0], [0.0, 1e-14]]).double(),
    )
    width = (1 / 4 + 9 / (0.36 + 0.64)) ** -0.5
    assert made.posterior_deviation == pytest.approx({"seen": width, "unseen": 5.0}, rel=1e-6)
    eigenvalues, vectors = made.directions
    assert eigenvalues.tolist() == pytest.approx([36, 0], rel=1e-6, abs=1e-9)
    torch.testing.assert_close(vectors, torch.eye(2, dtype=torch.float64))
    text = made.text()
    assert "1 of 2 combinations" in text
    assert [row[-1] for row in made.direction_table().rows] == ["identified", "not identified"]
    assert made.parameter_table().rows[1] == ("unseen", "2", "5", "5", "1.00")
    bars, combinations, _ = sensitivity_figure(made).axes
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([width / 2, 1.0], rel=1e-6)
    assert combinations.images[0].get_array().tolist() == [[1, 0], [0, 1]]


@pytest.mark.slow
def test_predicted_widths_are_those_of_a_regression_on_simulations():
    """Within a third. The error of a quadratic regression of the parameters on the data is that of the posterior
    mean, so the posterior's width, where that mean is near quadratic: no gradient and no Gaussian assumed.
    """
    count, problem = 1500, replace(ROUGH, boxes=6)
    pyro.set_rng_seed(0)
    with pyro.plate("draws", count):
        values = problem.prior()
    data = problem.simulator(values)
    target = torch.stack(list(values.values()), -1)
    _, _, axes = torch.linalg.svd((data - data.mean(0)) / problem.noise, full_matrices=False)
    scores = (data - data.mean(0)) / problem.noise @ axes.mT
    scores = scores / scores.std(0)
    products = (scores[:, :, None] * scores[:, None, :])[:, *torch.triu_indices(6, 6)]
    design = torch.cat([torch.ones(len(data), 1).double(), scores, products], -1)
    fit = torch.linalg.lstsq(design[::2], target[::2]).solution
    error = (design[1::2] @ fit - target[1::2]).square().mean(0).sqrt()
    predicted = torch.tensor(list(sensitivity(problem, POINT).posterior_deviation.values()), dtype=torch.float64)
    ratio = predicted / error
    assert 0.75 < float(ratio.min()) <= float(ratio.max()) < 1.33


def test_a_density_is_seen_though_nuclei_appear_at_once():
    """A flat film of 2 nm per nucleus: its mean thickness follows the mean number of a Poisson process, λ · length.

    At given noise the number does not change but in jumps, so that the gradient there is 0.
    """
    length, deviation = 250e-9, 2 / 250e-9

    def film_by_number(parameters):
        uniform = pyro.sample("nucleus_position", dist.Uniform(number(1e-12), 1.0).expand([30]).to_event(1))
        found = torch.isfinite(nucleation_sites(uniform, parameters["nucleation_density"], length)).sum(-1)
        return flat_film({"mean_height": 20e-9 + 2e-9 * found + 0 * parameters["nucleation_density"]})

    prior = {"nucleation_density": dist.Normal(number(6 / length), deviation)}
    problem = replace(FLAT, parameters=prior, surface=film_by_number)
    found = sensitivity(problem, realisations=400).jacobian[:3, 0]
    error = 4 * math.sqrt(2 / 400) / 2  # of a mean of Poisson numbers of 2, relative
    torch.testing.assert_close(found, flat_response() * 2e-9 * length, rtol=error, atol=0)
    assert sensitivity(problem, realisations=12, by_differences=()).jacobian.abs().max() == 0


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="realisations must be at least 12"):
        sensitivity(ROUGH, POINT, realisations=len(OVERTONES))
    with pytest.raises(InputError, match="values are for"):
        sensitivity(ROUGH, {"mean_height": 60e-9})
    with pytest.raises(InputError, match="outgrow"):
        sensitivity(ROUGH, {**POINT, "mean_height": 140e-9}, realisations=12)
