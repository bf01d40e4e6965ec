"""The two losses against their formulas written out, and the ratio loss's minimum on a finite space."""

import math

import pytest
import torch

from hmm_plating.inference.likelihood_free_vi.objective import Objective, expected_ratio_loss, ratio_loss


def test_objective_is_the_displayed_formula():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(6, generator=generator)
    weights /= weights.sum()
    log_prior, log_guide = torch.randn(2, 6, generator=generator)
    ratios = torch.randn(6, 4, generator=generator)
    written_out = sum(
        float(weights[s]) * (float(log_prior[s]) - float(log_guide[s]) + 30 / 4 * sum(float(r) for r in ratios[s]))
        for s in range(6)
    )
    assert float(Objective(30)(weights, log_prior, log_guide, ratios)) == pytest.approx(written_out, rel=1e-5)


def test_temperature_scales_the_data_alone():
    zeros, ones = torch.zeros(5), torch.ones(5, 2)
    assert float(Objective(2, 0.25)(torch.full((5,), 0.2), zeros, zeros, ones)) == pytest.approx(0.5)


def test_the_log_density_ratio_minimises_the_ratio_loss():
    """Minimised over a table of ratios by Newton's method: log p/q, whose loss is the classes' entropy."""
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.3, 0.6])
    counts = torch.tensor([1000.0])
    model, reference = (torch.repeat_interleave(torch.arange(3), (d * counts).round().long()) for d in (p, q))
    table = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([table], max_iter=100, tolerance_grad=1e-9)

    def closure():
        optimizer.zero_grad()
        loss = ratio_loss(table[model], table[reference])
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(table.detach(), (p / q).log(), atol=1e-4)
    entropy = -sum(
        float(a) * math.log(a / (a + b)) + float(b) * math.log(b / (a + b)) for a, b in zip(p, q, strict=True)
    )
    exact = (p / q).log()
    assert float(ratio_loss(exact[model], exact[reference])) == pytest.approx(entropy, rel=1e-5)
    assert float(expected_ratio_loss(exact[model], exact[reference])) == pytest.approx(entropy, rel=1e-5)
