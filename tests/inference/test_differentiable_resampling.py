"""Values of every scheme against those of the weighted particles, gradients against enumeration."""

import math

import pytest
import torch
from scipy.optimize import linprog

from hmm_plating.errors import InputError
from hmm_plating.inference import OptimalTransport, Soft, StopGradient, multinomial
from hmm_plating.inference.optimal_transport import transport

X = torch.tensor([-1.0, 0.5, 2.0, 0.7, -0.2], dtype=torch.float64)
LOGITS = torch.tensor([0.3, -1.0, 0.8, -3.0, 0.1], dtype=torch.float64)


def mean_of(scheme, logits, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        resampled = scheme({"x": X}, logits.log_softmax(-1))
    return (resampled.log_weights.exp() * resampled.particles["x"].square()).sum()


@pytest.mark.parametrize("scheme", [StopGradient(), StopGradient(multinomial), Soft(0.5), Soft(0.2, multinomial)])
def test_values_are_unbiased(scheme):
    """E[Σ w̃ x̃²] = Σ W x²: 600 repetitions, 4 standard errors."""
    values = torch.stack([mean_of(scheme, LOGITS, seed) for seed in range(600)])
    exact = (LOGITS.softmax(-1) * X.square()).sum()
    assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(600)


def gradients(scheme, repetitions=600):
    found = []
    for seed in range(repetitions):
        logits = LOGITS.clone().requires_grad_()
        found.append(torch.autograd.grad(mean_of(scheme, logits, seed), logits)[0])
    return torch.stack(found)


def test_stop_gradient_has_the_gradient_of_the_expectation():
    """∂/∂l_j Σ W x² = W_j (x_j² − Σ W x²)."""
    found = gradients(StopGradient())
    weights = LOGITS.softmax(-1)
    exact = weights * (X.square() - (weights * X.square()).sum())
    assert ((found.mean(0) - exact).abs() < 4 * found.std(0) / math.sqrt(len(found)) + 1e-12).all()


def test_soft_has_the_gradient_of_its_weights_with_the_choice_held():
    """Karkus et al.: E over A ~ q of ∂(W/q)_A x_A², q = α W + (1 − α)/N, by hand for N = 5."""
    share = 0.5
    found = gradients(Soft(share))
    weights = LOGITS.softmax(-1)
    mixed = share * weights + (1 - share) / 5
    derivative = torch.diag(weights) - torch.outer(weights, weights)  # ∂W_i/∂l_j
    ratio = (1 - share) / 5 / mixed.square()  # ∂(W/q)/∂W
    exact = (mixed * ratio * X.square()) @ derivative
    assert ((found.mean(0) - exact).abs() < 4 * found.std(0) / math.sqrt(len(found)) + 1e-12).all()


def test_transport_plan_approaches_the_optimal_one():
    """Linear programme without entropy; both marginals are met."""
    weights = LOGITS.softmax(-1)
    plan = transport(X[:, None], weights.log(), 0.002, iterations=20_000)
    torch.testing.assert_close(plan.sum(0), weights, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(plan.sum(1), torch.full((5,), 0.2, dtype=torch.float64), rtol=1e-4, atol=1e-5)
    cost = (X[:, None] - X).square()
    rows = torch.kron(torch.eye(5), torch.ones(1, 5))
    columns = torch.kron(torch.ones(1, 5), torch.eye(5))
    exact = linprog(
        cost.reshape(-1).numpy(), A_eq=torch.cat([rows, columns]).numpy(), b_eq=[0.2] * 5 + weights.tolist()
    )
    assert float((plan * cost).sum()) == pytest.approx(exact.fun, rel=0.02)


def test_transport_keeps_the_mean_and_its_gradient_is_right():
    def second_moment(logits, x):
        moved = OptimalTransport(0.3, 1e-10)({"x": x}, logits.log_softmax(-1))
        assert torch.allclose(moved.particles["x"].mean(0), logits.softmax(-1) @ x)
        return moved.particles["x"].square().mean()

    points = torch.stack([X, X.flip(0) ** 2], -1)
    logits = LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(second_moment(logits, points), logits)
    for j in range(5):
        step = torch.zeros(5, dtype=torch.float64)
        step[j] = 1e-5
        numerical = (second_moment(LOGITS + step, points) - second_moment(LOGITS - step, points)) / 2e-5
        assert float(gradient[j]) == pytest.approx(float(numerical), rel=1e-4, abs=1e-7)


def test_what_cannot_be_transported_is_refused():
    with pytest.raises(InputError, match="state\\['s'\\]"):
        OptimalTransport()({"s": torch.arange(5)}, LOGITS.log_softmax(-1))
    with pytest.raises(InputError, match="marginals are off"):
        OptimalTransport(1e-4, iterations=3)({"x": X}, LOGITS.log_softmax(-1))
    with pytest.raises(InputError, match="share"):
        Soft(0.0)
