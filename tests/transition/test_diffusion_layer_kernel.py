"""The compiled diffusion layer is the one in torch, and its hand-written adjoint is autograd's."""

import math

import numpy as np
import pytest
import torch
from hmm_plating.transition.diffusion_layer_kernel import advance_profile, advance_profile_adjoint
from hypothesis import given
from hypothesis import strategies as st

from hmm_plating.transition import Transport
from hmm_plating.transition.diffusion_layer import NODES, advance, depletion_time

VALUES = (1e3, 3e-10, 5e-5, 0.4)  # bulk concentration, diffusivity, thickness, t₊
TIME_SCALE = VALUES[2] ** 2 / VALUES[1]


def random_profile(seed: int) -> np.ndarray:
    return 0.5 + np.random.default_rng(seed).random(NODES)


@given(seed=st.integers(0, 1000), flux=st.floats(-0.05, 0.05), exponent=st.floats(-9, 2))
def test_agrees_with_torch(seed, flux, exponent):
    """Profiles to 1e-12, depletion at the same time."""
    start, following, duration = random_profile(seed), np.full(NODES, -1.0), 10**exponent * TIME_SCALE
    transport = Transport(*VALUES[:3], transference_number=VALUES[3])
    depleted = advance_profile(start, flux, duration, *VALUES, following)
    expected = depletion_time(torch.as_tensor(start), flux, duration, transport).item()
    assert depleted == pytest.approx(expected, rel=1e-9)
    if depleted < math.inf:
        assert (following == -1).all()
    else:
        torch_profile = advance(torch.as_tensor(start), flux, duration, transport, 1).numpy()
        np.testing.assert_allclose(following, torch_profile, rtol=0, atol=1e-12 * max(1, abs(torch_profile).max()))


def test_may_overwrite_its_input():
    start, following = random_profile(0), np.empty(NODES)
    advance_profile(start, 1e-3, 0.1, *VALUES, following)
    advance_profile(start, 1e-3, 0.1, *VALUES, start)
    np.testing.assert_array_equal(start, following)


@pytest.mark.parametrize("duration", [1e-8, 1e-4, 0.1, 3.0, 1e4])
@pytest.mark.parametrize("flux", [1e-3, 0.0, -5e-3])
def test_adjoint_is_that_of_autograd(flux, duration):
    """Relative 1e-10, for random adjoints of the new profile."""
    start, following_adjoint = random_profile(1), np.random.default_rng(2).normal(size=NODES)
    concentration_adjoint = np.empty(NODES)
    others = advance_profile_adjoint(start, flux, duration, *VALUES, following_adjoint, concentration_adjoint)
    leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (start, flux, *VALUES)]
    profile, flux_tensor, bulk, diffusivity, thickness, share = leaves
    transport = Transport(bulk, diffusivity, thickness, transference_number=share)
    advance(profile, flux_tensor, duration, transport, 1).backward(torch.as_tensor(following_adjoint))
    np.testing.assert_allclose(concentration_adjoint, profile.grad.numpy(), rtol=1e-10, atol=1e-12)
    for value, leaf in zip(others, leaves[1:], strict=True):
        assert value == pytest.approx(leaf.grad.item(), rel=1e-10, abs=1e-300)
