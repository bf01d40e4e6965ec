"""Resampling by entropy-regularised optimal transport (Corenflos, Thornton, Deligiannidis and Doucet, ICML 2021).

    P = argmin Σ_ij P_ij |x_i − x_j|²/δ² + ε Σ_ij P_ij log P_ij,    Σ_j P_ij = 1/N,    Σ_i P_ij = W_j,
    x̃_i = N Σ_j P_ij x_j,    weights 1/N,

with δ the root mean square spread times √d, so that ε has no unit. Every output is a weighted mean: the mean of the
particles is kept exactly, their spread shrinks with ε, and the evidence is consistent but not unbiased. Sinkhorn's
algorithm in the log domain, ε lowered by steps (Peyré and Cuturi, Found. Trends Mach. Learn. 11 (2019) 355); the
gradient passes through some further iterations from the converged potentials. An iteration costs N².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.differentiable_resampling import Resampled

GRADIENT_ITERATIONS = 30  # at least, each costs memory for N² numbers


@dataclass(frozen=True)
class OptimalTransport:
    """The transport as a resampling scheme for particles whose state is real numbers throughout.

    Attributes:
        regularisation: ε > 0.
        tolerance: of the marginals, as the sum of their errors.
        iterations: at each ε at most.
    """

    regularisation: float = 0.1
    tolerance: float = 1e-4
    iterations: int = 1000

    def __post_init__(self) -> None:
        for name in ("regularisation", "tolerance", "iterations"):
            if not getattr(self, name) > 0:
                raise InputError(f"OptimalTransport: {name} must be positive, got {getattr(self, name)!r}")

    def __call__(self, particles: dict[str, Tensor], log_weights: Tensor) -> Resampled:
        """Transported particles with equal weights.

        Raises:
            InputError: a part of the state is not real numbers, or Sinkhorn's iterations do not converge.
        """
        for name, value in particles.items():
            if not value.is_floating_point():
                raise InputError(
                    f"OptimalTransport averages particles, which state[{name!r}] of type {value.dtype} does not allow; "
                    "use StopGradient"
                )
        points = torch.cat([value.reshape(len(value), -1).double() for value in particles.values()], -1)
        plan = transport(points, log_weights, self.regularisation, self.tolerance, self.iterations)
        moved = {}
        for name, value in particles.items():
            rows = plan.to(value.dtype) @ value.reshape(len(value), -1)
            moved[name] = (len(value) * rows).reshape(value.shape)
        return Resampled(moved, torch.full_like(log_weights, -math.log(len(log_weights))))


def transport(
    points: Tensor, log_weights: Tensor, regularisation: float, tolerance: float = 1e-4, iterations: int = 1000
) -> Tensor:
    """The plan P, (N, N), between points (N, d) with equal weights (rows) and with normalised weights W (columns)."""
    log_weights = log_weights.clamp(min=-600)  # a weight of zero has an infinite potential
    spread = points.detach().std(0, correction=0).square().sum().sqrt() * math.sqrt(points.shape[-1])
    cost = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    cost = cost / torch.where(spread > 0, spread, 1.0).square()
    rows = torch.full_like(log_weights, -math.log(len(log_weights)))
    with torch.no_grad():
        column, epsilon = torch.zeros_like(log_weights), max(float(cost.max()), regularisation)
        while epsilon > regularisation:
            column = _sinkhorn(cost, rows, log_weights, column, epsilon, 1e-2, 20)[1]
            epsilon = max(regularisation, 0.5 * epsilon)
        column = _sinkhorn(cost, rows, log_weights, column, regularisation, tolerance, iterations)[1]
    row, column = _sinkhorn(cost, rows, log_weights, column, regularisation, tolerance, iterations, GRADIENT_ITERATIONS)
    plan = torch.exp((row[:, None] + column - cost) / regularisation)
    error = float((plan.detach().sum(1) - rows.exp()).abs().sum())
    if not error < 10 * tolerance:
        raise InputError(
            f"OptimalTransport: the marginals are off by {error:.1e} after {iterations} iterations; "
            "raise regularisation or iterations"
        )
    return plan


def _sinkhorn(
    cost: Tensor,
    log_rows: Tensor,
    log_columns: Tensor,
    column: Tensor,
    epsilon: float,
    tolerance: float,
    iterations: int,
    least: int = 1,
) -> tuple[Tensor, Tensor]:
    """Potentials of rows and columns, the columns' marginal met exactly."""
    row = column
    for iteration in range(iterations):
        new = epsilon * (log_rows - torch.logsumexp((column - cost) / epsilon, 1))
        change = (new - row).detach()
        row = new
        column = epsilon * (log_columns - torch.logsumexp((row[:, None] - cost) / epsilon, 0))
        # the rows' marginal before this iteration is exp(−change/ε) of what it should be
        error = float((log_rows.exp() * torch.expm1(-change / epsilon)).abs().sum()) if iteration else math.inf
        if error < tolerance and iteration + 1 >= least:
            break
    return row, column
