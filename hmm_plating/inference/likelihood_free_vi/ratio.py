"""Network for the log ratio r(x, z, β) = log p(x, z | β) − log q(x, z | β).

It learns the first term; the second is known:

    r(x, z, β) = f(x, z, β) − log q(x) − log q(z | x, β),     f = log N((x, z); m(β), Σ) + n(x, z, β)

so that f has one target whatever the guide is, and simulations of earlier rounds go on teaching it. The Gaussian part
is a regression of the simulations on the parameters in closed form (the synthetic likelihood of Wood, Nature 466 (2010)
1102, linear or quadratic in β): exact for linear-Gaussian models. The network n starts at zero and learns the rest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hmm_plating.inference.likelihood_free_vi.reference import farthest


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
        self.register_buffer("coefficients", torch.zeros(_feature_count(parameter_size), data_size))
        self.register_buffer("whitening", torch.eye(data_size))

    def fit_gaussian(self, data: Tensor, parameters: Tensor) -> None:
        """Regress (S, t) data on (S, b) parameters; quadratic where that predicts a held-out tenth better."""
        data, features = data.double(), _features(parameters.double())
        size = parameters.shape[-1]
        held_out = torch.arange(len(data)) % 10 == 0
        candidates = []
        for count in (1 + size, features.shape[-1]):
            if 4 * count > len(data):
                continue
            *_, score = _regress(data, features[:, :count], held_out)
            candidates.append((score, count))
        count = max(candidates)[1] if candidates else 1
        coefficients, whitening, _ = _regress(data, features[:, :count], torch.zeros_like(held_out))
        self.coefficients.zero_()
        self.coefficients[:count] = coefficients.float()
        self.whitening.copy_(whitening.float())

    def forward(self, data: Tensor, parameters: Tensor) -> Tensor:
        """f for t of shape (…, data_size) and b of shape (…, parameter_size): (…,)."""
        residual = (data - _features(parameters) @ self.coefficients) @ self.whitening.mT
        log_determinant = self.whitening.diagonal().log().sum()
        constant = log_determinant - 0.5 * data.shape[-1] * math.log(2 * math.pi)
        distance = residual.square().sum(-1)
        # Where no Gaussian data are, grow slowly: a single simulation far from the regression would rule the loss.
        distance = torch.where(
            distance > self.reach, self.reach * (1 + (distance.clamp(min=self.reach) / self.reach).log()), distance
        )
        gaussian = constant - 0.5 * distance
        return gaussian + self.correction(torch.cat([data, residual, parameters], -1))[..., 0]


def _regress(data: Tensor, features: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor, float]:
    """Coefficients (features, t), W with WᵀW = Σ⁻¹ and mean log N on the held-out rows."""
    x, y = features[~held_out], data[~held_out]
    ridge = 1e-10 * len(x) * torch.eye(x.shape[-1], dtype=x.dtype)
    coefficients = torch.linalg.solve(x.mT @ x + ridge, x.mT @ y)
    residual = y - x @ coefficients
    covariance = residual.mT @ residual / max(len(x) - x.shape[-1], 1)
    covariance = covariance + 1e-8 * torch.eye(len(covariance), dtype=x.dtype)
    factor = torch.linalg.cholesky(covariance)
    whitening = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=x.dtype), upper=False)
    if not held_out.any():
        return coefficients, whitening, math.nan
    errors = (data[held_out] - features[held_out] @ coefficients) @ whitening.mT
    return coefficients, whitening, float(whitening.diagonal().log().sum() - 0.5 * errors.square().sum(-1).mean())


def _features(parameters: Tensor) -> Tensor:
    """1, b_i and b_i b_j with i ≤ j."""
    size = parameters.shape[-1]
    first, second = torch.triu_indices(size, size, device=parameters.device)
    ones = torch.ones_like(parameters[..., :1])
    return torch.cat([ones, parameters, parameters[..., first] * parameters[..., second]], -1)


def _feature_count(size: int) -> int:
    return 1 + size + size * (size + 1) // 2
