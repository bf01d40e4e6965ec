"""Network for the log ratio r(x, z, β) = log p(x, z | β) − log q(x, z | β).

It learns the first term; the second is known:

    r(x, z, β) = f(x, z, β) − log q(x) − log q(z | x, β),     f = log N((x, z); m(β), Σ(β)) + n(x, z, β)

so that f has one target whatever the guide is, and simulations of earlier rounds go on teaching it. The Gaussian part
is a regression of the simulations on the parameters (the synthetic likelihood of Wood, Nature 466 (2010) 1102), linear
or quadratic in β, exact for linear-Gaussian models. Where simulations scatter more at some parameters than at others,
Σ(β) = V diag(exp 2(a + Cβ)) Vᵀ (Harvey, Econometrica 44 (1976) 461). The network n starts at zero and learns the rest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hmm_plating.inference.likelihood_free_vi.reference import farthest

LARGEST_LOG_DEVIATION = 3.0  # of Σ(β) against its mean
STANDARD_ERRORS = 2.0  # by which the held-out density has to rise for a Σ(β) that is not constant
ROUNDS, SCORING_STEPS, LARGEST_SURPLUS = 2, 20, 20.0


class RatioNetwork(nn.Module):
    """f(t, b) of whitened data (and local latents) t and whitened parameters b.

    Args:
        data_size: length of t.
        parameter_size: length of b.
        hidden: widths of the layers of n.
    """

    def __init__(self, data_size: int, parameter_size: int, hidden: Sequence[int] = (128, 128, 128)) -> None:
        super().__init__()
        widths = [2 * data_size + parameter_size, *hidden]
        layers = [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.SiLU())]
        last = nn.Linear(widths[-1], 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.correction = nn.Sequential(*layers, last)
        self.reach = farthest(data_size)
        self.coefficients: Tensor
        self.whitening: Tensor
        self.scatter: Tensor
        self.register_buffer("coefficients", torch.zeros(_feature_count(parameter_size), data_size))
        self.register_buffer("whitening", torch.eye(data_size))
        self.register_buffer("scatter", torch.zeros(1 + parameter_size, data_size))

    def fit_gaussian(self, data: Tensor, parameters: Tensor) -> None:
        """Regress (S, t) data on (S, b) parameters; quadratic, and with a scatter of its own at each β, where that
        predicts a held-out tenth better.
        """
        data, features = data.double(), _features(parameters.double())
        first = 1 + parameters.shape[-1]
        held_out = torch.arange(len(data)) % 10 == 0
        best, score = (first, False), None
        for candidate in itertools.product((first, features.shape[-1]), (False, True)):
            if 4 * candidate[0] > len(data):
                continue
            fit = _regress(data[~held_out], features[~held_out], first, *candidate)
            found = _log_density(data[held_out], features[held_out], *fit)
            if score is None or _is_larger(found - score, at_least=STANDARD_ERRORS if candidate[1] else 0.0):
                best, score = candidate, found
        for buffer, value in zip(self.buffers(), _regress(data, features, first, *best), strict=True):
            buffer.copy_(value.float())

    def forward(self, data: Tensor, parameters: Tensor) -> Tensor:
        """f for t of shape (…, data_size) and b of shape (…, parameter_size): (…,)."""
        residual, log_determinant = _standardised(
            data, _features(parameters), self.coefficients, self.whitening, self.scatter
        )
        constant = log_determinant - 0.5 * data.shape[-1] * math.log(2 * math.pi)
        distance = residual.square().sum(-1)
        # Where no Gaussian data are, grow slowly: a single simulation far from the regression would rule the loss.
        distance = torch.where(
            distance > self.reach, self.reach * (1 + (distance.clamp(min=self.reach) / self.reach).log()), distance
        )
        gaussian = constant - 0.5 * distance
        return gaussian + self.correction(torch.cat([data, residual, parameters], -1))[..., 0]


def _standardised(
    data: Tensor, features: Tensor, coefficients: Tensor, whitening: Tensor, scatter: Tensor
) -> tuple[Tensor, Tensor]:
    """Residuals in units of their standard deviation (…, t), and log |their derivative by the data| (…,)."""
    log_deviation = (features[..., : len(scatter)] @ scatter).clamp(-LARGEST_LOG_DEVIATION, LARGEST_LOG_DEVIATION)
    residual = (data - features @ coefficients) @ whitening.mT * (-log_deviation).exp()
    return residual, torch.linalg.slogdet(whitening).logabsdet - log_deviation.sum(-1)


def _log_density(data: Tensor, features: Tensor, *fit: Tensor) -> Tensor:
    """log N of each row, but for a constant: (S,)."""
    residual, log_determinant = _standardised(data, features, *fit)
    return log_determinant - 0.5 * residual.square().sum(-1)


def _is_larger(difference: Tensor, at_least: float) -> bool:
    """Whether the mean is positive by so many standard errors."""
    return float(difference.mean()) > at_least * float(difference.std()) / math.sqrt(len(difference))


def _regress(data: Tensor, features: Tensor, first: int, count: int, scattering: bool) -> tuple[Tensor, Tensor, Tensor]:
    """`coefficients` (features, t), those from `count` on zero, `whitening` (t, t) and `scatter` (first, t)."""
    x, size = features[:, :count], data.shape[-1]
    residual, coefficients = _least_squares(data, x)
    covariance = residual.mT @ residual / max(len(x) - count, 1) + 1e-8 * torch.eye(size, dtype=x.dtype)
    factor = torch.linalg.cholesky(covariance)
    whitening = torch.linalg.solve_triangular(factor, torch.eye(size, dtype=x.dtype), upper=False)
    scatter = torch.zeros(first, size, dtype=x.dtype)
    if scattering:
        linear = features[:, :first]
        white = residual @ whitening.mT
        changes = torch.einsum("sb,si,sj->bij", linear[:, 1:] - linear[:, 1:].mean(0), white, white) / len(x)
        whitening = torch.linalg.eigh((changes @ changes).sum(0)).eigenvectors.mT @ whitening
        inverse, rotated = torch.linalg.inv(whitening), data @ whitening.mT
        for _ in range(ROUNDS):  # scatter from the residuals, then the regression weighted by it
            scatter = _log_linear_deviation(residual @ whitening.mT, linear, scatter)
            weights = (-(linear @ scatter).clamp(-LARGEST_LOG_DEVIATION, LARGEST_LOG_DEVIATION)).exp()
            columns = [_least_squares(rotated[:, k] * w, x * w[:, None])[1] for k, w in enumerate(weights.mT)]
            coefficients = torch.stack(columns, -1) @ inverse.mT
            residual = data - x @ coefficients
    padded = torch.zeros(features.shape[-1], size, dtype=x.dtype)
    padded[:count] = coefficients
    return padded, whitening, scatter


def _least_squares(data: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals and coefficients."""
    ridge = 1e-10 * len(x) * torch.eye(x.shape[-1], dtype=x.dtype)
    coefficients = torch.linalg.solve(x.mT @ x + ridge, x.mT @ data)
    return data - x @ coefficients, coefficients


def _log_linear_deviation(residual: Tensor, x: Tensor, start: Tensor) -> Tensor:
    """C of residuals (S, t) ~ N(0, exp 2 x C), by Fisher scoring."""
    scatter, inverse = start, torch.linalg.inv(x.mT @ x)
    for _ in range(SCORING_STEPS):
        surplus = (residual * (-(x @ scatter).clamp(-LARGEST_LOG_DEVIATION, LARGEST_LOG_DEVIATION)).exp()).square() - 1
        scatter = scatter + 0.5 * inverse @ (x.mT @ surplus.clamp(max=LARGEST_SURPLUS))
    return scatter


def _features(parameters: Tensor) -> Tensor:
    """1, b_i and b_i b_j with i ≤ j."""
    size = parameters.shape[-1]
    first, second = torch.triu_indices(size, size, device=parameters.device)
    ones = torch.ones_like(parameters[..., :1])
    return torch.cat([ones, parameters, parameters[..., first] * parameters[..., second]], -1)


def _feature_count(size: int) -> int:
    return 1 + size + size * (size + 1) // 2
