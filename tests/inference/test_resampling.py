"""Douc, Cappé and Moulines (2005): what each resampling scheme promises."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmm_plating.errors import InputError
from hmm_plating.inference import effective_sample_size, multinomial, residual, stratified, systematic
from hmm_plating.inference.resampling import thinned

SCHEMES = [systematic, stratified, residual, multinomial]
log_weight_lists = st.lists(st.one_of(st.floats(-40, 5), st.just(-math.inf)), min_size=1, max_size=40).filter(
    lambda values: max(values) > -math.inf
)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_offspring_are_unbiased(scheme):
    """E[offspring of j] = N W_j: the mean of 2000 repetitions within 4.5 standard errors for each of 7 particles."""
    log_weights = torch.tensor([0.0, -1.0, -30.0, 0.7, -math.inf, -2.5, 0.69], dtype=torch.float64) + 100
    generator = torch.Generator().manual_seed(5)
    repetitions, count = 2000, 11
    offspring = torch.stack(
        [torch.bincount(scheme(log_weights, count, generator=generator), minlength=7) for _ in range(repetitions)]
    ).double()
    weights = np.exp(log_weights.numpy() - 100)
    expected = count * weights / weights.sum()
    error = offspring.mean(0).numpy() - expected
    assert (np.abs(error) <= 4.5 * offspring.std(0).numpy() / math.sqrt(repetitions) + 1e-9).all()
    assert offspring[:, 4].sum() == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=60, deadline=None)
@given(log_weight_lists, st.integers(1, 60), st.integers(0, 2**31))
def test_ancestors_are_sorted_positive_weight_indices(scheme, log_weights, count, seed):
    log_weights = torch.tensor(log_weights, dtype=torch.float64)
    ancestors = scheme(log_weights, count, generator=torch.Generator().manual_seed(seed))
    assert ancestors.shape == (count,)
    assert (ancestors.diff() >= 0).all()
    assert torch.isfinite(log_weights[ancestors]).all()
    shifted = scheme(log_weights + 64.0, count, generator=torch.Generator().manual_seed(seed))
    assert (ancestors != shifted).sum() <= count * 1e-3  # invariant but for rounding


@settings(max_examples=60, deadline=None)
@given(log_weight_lists, st.integers(0, 2**31))
def test_systematic_offspring_differ_from_their_mean_by_less_than_one(log_weights, seed):
    log_weights = torch.tensor(log_weights, dtype=torch.float64)
    ancestors = systematic(log_weights, generator=torch.Generator().manual_seed(seed))
    offspring = torch.bincount(ancestors, minlength=len(log_weights))
    assert (offspring - len(log_weights) * log_weights.softmax(-1)).abs().max() < 1 + 1e-9


@settings(max_examples=60, deadline=None)
@given(log_weight_lists, st.integers(1, 60), st.integers(0, 2**31))
def test_thinned_particles_weigh_what_they_stand_for(log_weights, count, seed):
    """Systematic offspring differ from count W by less than one, so that weights change by less than 1/count."""
    log_weights = torch.tensor(log_weights, dtype=torch.float64)
    kept, weights = thinned(log_weights, count, systematic, generator=torch.Generator().manual_seed(seed))
    assert len(kept) <= count
    after = torch.zeros(len(log_weights), dtype=torch.float64).index_add(0, kept, weights.softmax(-1))
    few = log_weights.isfinite().sum() <= count
    assert (after - log_weights.softmax(-1)).abs().max() < (1e-12 if few else (1 + 1e-9) / count)


@settings(max_examples=60, deadline=None)
@given(log_weight_lists, st.integers(0, 2**31))
def test_residual_keeps_the_integer_part(log_weights, seed):
    log_weights = torch.tensor(log_weights, dtype=torch.float64)
    ancestors = residual(log_weights, generator=torch.Generator().manual_seed(seed))
    offspring = torch.bincount(ancestors, minlength=len(log_weights))
    assert (offspring >= torch.floor(len(log_weights) * log_weights.softmax(-1) - 1e-9)).all()


@pytest.mark.parametrize("scheme", [systematic, stratified, residual])
@pytest.mark.parametrize("count", [1, 49, 1000])
def test_equal_weights_stay_themselves(scheme, count):
    """N (1/N) rounds to 1 − ulp for N = 49."""
    ancestors = scheme(torch.full((count,), -math.log(count)), generator=torch.Generator().manual_seed(0))
    if scheme is stratified:  # a stratum's point may round into the neighbour, but nothing more
        assert (ancestors != torch.arange(count)).sum() <= 1
    else:
        assert torch.equal(ancestors, torch.arange(count))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_million_single_precision_weights(scheme):
    """pyro's systematic resampling returns index N here; the cumulative sum of float32 is off by 1e-2 of N W."""
    count = 1_000_000
    generator = torch.Generator().manual_seed(1)
    log_weights = torch.randn(count, generator=generator)
    ancestors = scheme(log_weights, generator=generator)
    assert int(ancestors.min()) >= 0
    assert int(ancestors.max()) < count
    weights = log_weights.double().softmax(-1)
    block = torch.arange(count) // (count // 10)
    offspring = torch.bincount(block[ancestors], minlength=10).double()
    expected = count * torch.zeros(10, dtype=torch.float64).index_add_(0, block, weights)
    bound = 1.0 + 1e-6 if scheme is systematic else 4.5 * math.sqrt(count / 10)
    assert (offspring - expected).abs().max() <= bound


def test_points_at_the_very_end_belong_to_the_last_particle(monkeypatch):
    """(N − 1 + u)/N rounds to 1 for u close enough to 1."""
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.full((n,), 1 - 2**-53, dtype=torch.float64))
    for scheme in (systematic, stratified, multinomial):
        assert int(scheme(torch.tensor([0.0, 0.0, -math.inf]), 100_003).max()) == 1


@given(log_weight_lists)
def test_effective_sample_size_is_the_inverse_sum_of_squares(log_weights):
    weights = np.exp(np.array(log_weights) - max(log_weights))
    weights /= weights.sum()
    size = float(effective_sample_size(torch.tensor(log_weights, dtype=torch.float64)))
    assert size == pytest.approx(1 / np.sum(weights**2), rel=1e-10)
    assert 1 - 1e-9 <= size <= len(weights) * (1 + 1e-9)


@pytest.mark.parametrize("bad", [[-math.inf, -math.inf], [0.0, math.nan], [0.0, math.inf], []])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_without_meaning_are_refused(scheme, bad):
    with pytest.raises(InputError):
        scheme(torch.tensor(bad))
