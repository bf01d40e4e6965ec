"""Covariances of particles against NumPy's, and their factors where they are singular."""

import numpy as np
import pytest
import torch

from hmm_plating.inference.covariance import jittered_cholesky, weighted_covariance


def test_weights_count_as_copies_do():
    points = torch.tensor([[0.0, 1.0], [2.0, -1.0], [3.0, 5.0]], dtype=torch.float64)
    copies = np.array([1, 3, 2])
    found = weighted_covariance(points, torch.from_numpy(copies / 6))
    np.testing.assert_allclose(found, np.cov(points.T.numpy(), fweights=copies, ddof=0), rtol=1e-12)


@pytest.mark.parametrize("covariance", [torch.zeros(2, 2), torch.ones(2, 2), 1e6 * torch.tensor([[4.0, 2], [2, 1]])])
def test_a_singular_covariance_has_a_factor(covariance):
    covariance = covariance.double()
    factor = jittered_cholesky(covariance)
    assert (factor.diagonal() > 0).all()
    allowed = 1e-9 * (1 + covariance.diagonal().max())
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=0, atol=1.001 * float(allowed))
