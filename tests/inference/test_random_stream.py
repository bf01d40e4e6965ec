"""Standard normal numbers depend on torch's global generator alone, and are standard normal."""

import pytest
import torch
from scipy import stats

from hmm_plating.inference.random_stream import initial_random_state, random_stream, standard_normal


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7,), (40, 500)])  # below and above what the ziggurat draws
def test_standard_normal_follows_the_stream(shape, dtype):
    like = torch.zeros(shape, dtype=dtype)

    def drawn(seed):
        with random_stream(initial_random_state(seed)):
            return standard_normal(like), standard_normal(like)

    first, second = drawn(3)
    assert first.shape == shape
    assert first.dtype == dtype
    assert torch.equal(first, drawn(3)[0])
    assert not torch.equal(first, second)
    assert not torch.equal(first, drawn(4)[0])


def test_standard_normal_is_normal():
    """Each p-value is below 1e-3 once in a thousand seeds."""
    with random_stream(initial_random_state(8)):
        first, second = standard_normal(torch.zeros(2, 200_000, dtype=torch.float64)).numpy()
    for values in (first, second, (first + second) / 2**0.5, (first[1:] - first[:-1]) / 2**0.5):
        assert stats.kstest(values, "norm").pvalue > 1e-3
    assert stats.pearsonr(first, second).pvalue > 1e-3
    assert stats.kurtosistest(first).pvalue > 1e-3
