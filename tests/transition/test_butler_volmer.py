"""The galvanostat's overpotential against a bracketing root finder."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from hmm_plating.transition import butler_volmer
from hmm_plating.transition.butler_volmer import galvanostatic_overpotential
from hmm_plating.transition.kernels.overpotential import solve_overpotential

POSITIVE = st.floats(-9, 3).map(lambda exponent: 10.0**exponent)


@settings(deadline=None)
@given(POSITIVE, POSITIVE, st.floats(-1e3, 1e3), st.sampled_from([0.5, 0.2, 0.37, 0.8]))
def test_overpotential_carries_the_rate(cathodic, anodic, rate, alpha):
    def excess(y):
        return cathodic * math.exp(-alpha * y) - anodic * math.exp((1 - alpha) * y) - rate

    expected = brentq(excess, -220, 220, xtol=1e-13, rtol=1e-14)
    one = torch.ones(1, dtype=torch.float64)
    tensor = galvanostatic_overpotential(cathodic * one, anodic * one, rate * one, alpha)
    assert float(tensor) == pytest.approx(expected, rel=1e-10, abs=1e-7)
    assert solve_overpotential(cathodic, anodic, rate, alpha) == pytest.approx(expected, rel=1e-10, abs=1e-7)


@pytest.mark.parametrize("alpha", [0.5, 0.3])
def test_overpotential_has_the_gradient_of_its_root(alpha):
    arguments = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.7, 0.4, -0.9)]
    assert torch.autograd.gradcheck(lambda *a: galvanostatic_overpotential(*a, alpha), arguments)


def test_butler_volmer_has_the_instruments_sign_and_the_tafel_slope():
    """Cathodic is negative; at large |η| a decade of current costs 2.303 RT/(αzF)."""
    eta = torch.tensor([-0.3, -0.2, 0.2], dtype=torch.float64)
    j = butler_volmer(eta, 2.0, 0.4, 0.0128)
    assert j[0] < j[1] < 0 < j[2]
    assert float(torch.log10(j[0] / j[1])) == pytest.approx(0.1 * 0.4 / (math.log(10) * 0.0128), rel=1e-5)
