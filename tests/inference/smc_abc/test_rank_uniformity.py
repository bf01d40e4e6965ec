"""Simulation-based calibration: ranks of the truth among the posterior draws are uniform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pyro import distributions as dist
from scipy.stats import kstest

from hmm_plating.inference import SMCABC


def conjugate(theta: torch.Tensor) -> torch.Tensor:
    """Five Poisson counts; their posterior is a gamma distribution."""
    return torch.poisson(theta[:, None].expand(-1, 5).contiguous())


@pytest.mark.slow
def test_ranks_are_uniform_on_a_conjugate_model() -> None:
    """Talts et al., arXiv:1804.06788; gamma prior and Poisson data: skewed posterior, discrete data."""
    prior = dist.Gamma(torch.tensor(3.0), torch.tensor(0.5))
    method = SMCABC(prior, conjugate, summary=lambda data: data.sum(-1, keepdim=True).float(), draws=99)
    generator = torch.Generator().manual_seed(0)
    ranks = []
    for replication in range(100):
        truth = torch._standard_gamma(torch.tensor([3.0]), generator=generator) / 0.5
        observed = torch.poisson(truth.expand(5).contiguous(), generator=generator)
        result = method.run(observed, simulations=1000, seed=replication)
        ranks.append((result.posterior.theta.values < float(truth)).sum())
    uniform = (np.array(ranks) + np.random.default_rng(1).uniform(size=100)) / 100
    assert kstest(uniform, "uniform").pvalue > 0.01
