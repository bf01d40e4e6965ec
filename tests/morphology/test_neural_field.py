"""The coordinate network: where it starts, its symmetries, what it can represent."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.morphology import NeuralField, film

SPACING, WIDTH = 4e-9, 16e-9
SECTION = NeuralField((48, 64), SPACING, WIDTH, thickness=62e-9, amplitude=40e-9, hidden=(32, 32))
BOX = NeuralField((10, 24, 12), SPACING, WIDTH, thickness=38e-9, amplitude=20e-9, harmonics=3, hidden=(16,))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("field", [SECTION, BOX])
def test_starts_on_the_flat_equilibrium_profile(field):
    dimensions = len(field.shape)
    lateral = (*field.shape[:-2], field.shape[-1])
    flat = film(torch.full(lateral, field.thickness, dtype=torch.float64), field.shape[-2], WIDTH, SPACING, dimensions)
    torch.testing.assert_close(field(field.initial_weights(generator())), flat, rtol=1e-12, atol=0)


def test_standard_normal_weights_give_displacements_of_the_stated_size():
    """u of order 1 at every cell: a mean square of 2 in the limit of wide layers, from last weights and bias."""
    small = NeuralField((6, 8), SPACING, WIDTH, thickness=12e-9, amplitude=7e-9)
    weights = torch.randn(1500, small.weight_count, dtype=torch.float64, generator=generator())
    displacement = small.distance(weights) - small.distance(small.initial_weights())
    deviation = (displacement / small.amplitude).square().mean(0).sqrt()
    assert 1.25 < float(deviation.min()) <= float(deviation.max()) < 1.55


def test_periodic_along_the_crystal_and_not_across_it():
    """The gap from the last to the first column is as small as those inside; from the last to the first row it is not.

    The same network on a grid twice as fine takes the same values between.
    """
    weights = torch.randn(20, BOX.weight_count, dtype=torch.float64, generator=generator(1))
    displacement = BOX.distance(weights) - BOX.distance(BOX.initial_weights())
    for axis in (-1, -3):
        steps = (displacement.roll(-1, axis) - displacement).abs().mean(tuple({0, 1, 2, 3} - {4 + axis}))
        assert float(steps[-1]) < 1.3 * float(steps[:-1].mean())
    wrap = (displacement[:, :, 0] - displacement[:, :, -1]).abs().mean()
    assert float(wrap) > 3 * float((displacement[:, :, 1:] - displacement[:, :, :-1]).abs().mean())
    fine = NeuralField((30, 72, 36), SPACING / 3, WIDTH, BOX.thickness, BOX.amplitude, 3, (16,))
    torch.testing.assert_close(
        fine.distance(weights)[:, 1::3, 1::3, 1::3], BOX.distance(weights), rtol=1e-9, atol=1e-20
    )


def test_batches_and_vmap_agree_with_single_fields():
    weights = torch.randn(2, 3, SECTION.weight_count, dtype=torch.float64, generator=generator(2))
    batch = SECTION(weights)
    torch.testing.assert_close(batch[1, 2], SECTION(weights[1, 2]))
    torch.testing.assert_close(torch.func.vmap(torch.func.vmap(SECTION))(weights), batch)


def test_gradient():
    small = NeuralField((6, 4), 1.0, 4.0, thickness=3.0, amplitude=1.0, harmonics=1, hidden=(3,))
    weights = torch.randn(2, small.weight_count, dtype=torch.float64, generator=generator(3))
    assert torch.autograd.gradcheck(small, weights.requires_grad_())


def test_fits_a_mushroom():
    """A cap on a stem, with overhangs that no height profile has, by regression from the flat film."""
    rows, columns = SECTION.shape
    y = ((torch.arange(rows, dtype=torch.float64) + 0.5) * SPACING)[:, None]
    x = (torch.arange(columns, dtype=torch.float64) + 0.5 - columns / 2) * SPACING
    stem = torch.minimum(20e-9 - x.abs(), 110e-9 - y)
    cap = 48e-9 - torch.sqrt(x**2 + (y - 110e-9) ** 2)
    mushroom = torch.sigmoid(4 * torch.maximum(torch.maximum(30e-9 - y, stem), cap) / WIDTH)
    weights = SECTION.initial_weights(generator(1)).requires_grad_()
    optimiser = torch.optim.LBFGS([weights], max_iter=80, history_size=20, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(4 * SECTION.distance(weights) / WIDTH, mushroom)
        value.backward()
        return value

    optimiser.step(loss)
    fitted = SECTION(weights.detach())
    assert float((fitted - mushroom).square().mean().sqrt()) < 0.02
    assert float(((fitted > 0.5) != (mushroom > 0.5)).double().mean()) < 0.02
    overhang = (fitted[:-1] < 0.5) & (fitted[1:] > 0.5)
    assert bool(overhang.any())


def test_weights_as_a_latent_variable():
    def program():
        prior = dist.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
        return BOX(pyro.sample("weights", prior.expand([BOX.weight_count]).to_event(1)))

    pyro.set_rng_seed(0)
    with pyro.plate("particles", 3):
        surfaces = program()
    assert surfaces.shape == (3, *BOX.shape)
    assert bool(((surfaces >= 0) & (surfaces <= 1)).all())


def test_impossible_fields_are_refused():
    with pytest.raises(InputError, match="shape"):
        NeuralField((48,), SPACING, WIDTH, 60e-9, 40e-9)
    with pytest.raises(InputError, match="thickness"):
        NeuralField((48, 64), SPACING, WIDTH, math.nan, 40e-9)
    with pytest.raises(InputError, match="hidden"):
        NeuralField((48, 64), SPACING, WIDTH, 60e-9, 40e-9, hidden=())
    with pytest.raises(InputError, match="weights"):
        SECTION(torch.zeros(3, dtype=torch.float64))
