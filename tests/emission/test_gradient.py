"""Gradients against central differences, and the solver's own promises: warm start, error estimate, batching."""

import pytest
import torch
from surfaces import gaussian_surface, random_surface

from hmm_plating.emission import kanazawa_gordon, load_impedance, sauerbrey, solve
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal, Resonator

WATER, QUARTZ, SPACING = Electrolyte(997.05, 0.890e-3), Resonator(), 6e-9
OVERTONES = [3, 9]
TIGHT = {"tolerance": 1e-14, "absolute_tolerance": 1e-13}


@pytest.mark.parametrize(("seed", "metal"), [(0, None), pytest.param(1, Metal.zinc(), marks=pytest.mark.slow)])
def test_gradient_is_the_central_difference(seed, metal):
    fraction = random_surface(5, 12, seed)
    fraction[0] = 1  # and a row of solid, whose liquid moves rigidly
    weight = torch.randn(2, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))

    def value(surface):
        load = load_impedance(surface, SPACING, OVERTONES, WATER, QUARTZ, metal, **TIGHT)
        return (load * weight).real.sum()

    tracked = fraction.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(tracked), tracked)
    for y, x in ((1, 0), (2, 5), (3, 7), (4, 11)):
        bump = torch.zeros_like(fraction)
        bump[y, x] = 2e-4
        # five points: the truncation error is of fourth order
        first, second = ((value(fraction + s * bump) - value(fraction - s * bump)) / (2 * s * 2e-4) for s in (1, 2))
        assert float((4 * first - second) / 3) == pytest.approx(float(gradient[y, x]), rel=1e-6)


def test_gradient_inside_solid_metal_is_the_inertia_it_displaces():
    fraction = torch.ones(5, 6, dtype=torch.float64)
    fraction[-1] = 0
    fraction.requires_grad_()
    load = load_impedance(fraction, SPACING, [3], WATER, QUARTZ, Metal.zinc())
    load.imag.sum().backward()
    cell = sauerbrey((Metal.zinc().density - WATER.density) * SPACING / 6, [3], QUARTZ).imag
    assert float(fraction.grad[1, 2]) == pytest.approx(float(cell), rel=1e-3)


def test_gradient_reaches_every_member_of_a_batch():
    batch = torch.stack([random_surface(4, 8, s) for s in range(4)]).reshape(2, 2, 4, 8).requires_grad_()
    load = load_impedance(batch, SPACING, OVERTONES, WATER, QUARTZ, **TIGHT)
    assert load.shape == (2, 2, 2)
    load[1, 0].real.sum().backward()
    single = batch[1, 0].detach().clone().requires_grad_()
    load_impedance(single, SPACING, OVERTONES, WATER, QUARTZ, **TIGHT).real.sum().backward()
    torch.testing.assert_close(batch.grad[1, 0], single.grad)
    assert float(batch.grad[0].abs().max()) == 0


def test_float32_surface_gets_a_float32_gradient():
    fraction = random_surface(4, 8, 0).to(torch.float32).requires_grad_()
    load_impedance(fraction, SPACING, [3], WATER, QUARTZ).imag.sum().backward()
    assert fraction.grad.dtype == torch.float32


def test_warm_start_reaches_the_same_load_sooner():
    old, new = random_surface(10, 32, 5), random_surface(10, 32, 5) * 0.995
    cold = solve(new, SPACING, OVERTONES, WATER, QUARTZ, tolerance=1e-4)
    start = solve(old, SPACING, OVERTONES, WATER, QUARTZ, tolerance=1e-4)
    warm = solve(new, SPACING, OVERTONES, WATER, QUARTZ, tolerance=1e-4, initial_guess=start.field)
    exact = solve(new, SPACING, OVERTONES, WATER, QUARTZ, **TIGHT)
    excess = (exact.load - load_impedance(torch.zeros(1, 32), SPACING, OVERTONES, WATER, QUARTZ)).abs()
    assert ((warm.load - exact.load).abs() < 1e-3 * excess).all()
    assert (warm.applications < cold.applications / 2).all()


def test_a_guess_in_single_precision_is_taken_as_its_numbers():
    batch = torch.stack([random_surface(6, 16, s) for s in range(2)])
    guess = solve(batch * 0.99, SPACING, OVERTONES, WATER, QUARTZ).field.float()
    single, double = (solve(batch, SPACING, OVERTONES, WATER, QUARTZ, initial_guess=g) for g in (guess, guess.double()))
    assert all(bool((one == other).all()) for one, other in zip(single, double, strict=True))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-5])
def test_error_stays_near_the_tolerance(tolerance):
    """The estimate is the spread of the last iterates, not a bound: three times the tolerance is allowed."""
    batch = torch.stack([random_surface(12, 40, s) for s in range(4)])
    options = {"tolerance": tolerance, "absolute_tolerance": 1e-12}
    load = solve(batch, SPACING, OVERTONES, WATER, QUARTZ, **options, keep_field=False).load
    exact = solve(batch, SPACING, OVERTONES, WATER, QUARTZ, **TIGHT, keep_field=False).load
    excess = (exact - load_impedance(torch.zeros(1, 40), SPACING, OVERTONES, WATER, QUARTZ)).abs()
    assert ((load - exact).abs() < 3 * tolerance * excess).all()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "rms", "depth", "seed"), [(256, 32, 20, 0), (128, 24, 10, 26)])
def test_a_load_that_pauses_is_not_taken_for_converged(width, rms, depth, seed):
    """Loads of rough surfaces in tall boxes rest for tens of steps: here 10 and 2.2 % of the excess off."""
    surface = gaussian_surface(256, width, rms, 8, seed)
    spacing = WATER.penetration_depth(QUARTZ.angular_frequency(3)) / depth
    loads = [
        solve(surface, spacing, [3], WATER, QUARTZ, tolerance=t, absolute_tolerance=1e-12, keep_field=False).load
        for t in (1e-2, 1e-5)
    ]
    excess = loads[1] - kanazawa_gordon([3], WATER, QUARTZ)
    assert float((loads[0] - loads[1]).abs() / excess.abs()) < 1e-2


def test_members_of_a_batch_do_not_touch():
    batch = torch.stack([random_surface(6, 16, s) for s in range(3)])
    together = load_impedance(batch, SPACING, OVERTONES, WATER, QUARTZ)
    alone = torch.stack([load_impedance(b, SPACING, OVERTONES, WATER, QUARTZ) for b in batch])
    assert bool((together == alone).all())


def test_initial_guess_of_another_shape_is_refused():
    with pytest.raises(InputError, match="initial_guess must have shape"):
        solve(torch.zeros(3, 8), SPACING, [3], WATER, QUARTZ, initial_guess=torch.zeros(1, 18, 3, 9))
