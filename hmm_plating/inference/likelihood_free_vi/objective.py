"""The two losses of likelihood-free variational inference (Tran, Ranganath, Blei 2017, arXiv:1702.08896).

Objective, equation 4 of the paper, with N data points of which M are in the minibatch:

    L = E_q[log p(β) − log q(β)] + (N/M) Σ_m E_q[r(x_m, z_m, β)]

Ratio loss, equation 6 of the paper, whose minimum is r = log p(x, z | β) − log q(x, z | β):

    D = E_p[softplus(−r(x, z, β))] + E_q[softplus(r(x, z, β))]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class Objective(nn.Module):
    """L, to be maximised over the guide.

    Args:
        data_points: N.
        temperature: τ; the data count as τ N points, between 0 (the prior) and 1.
    """

    def __init__(self, data_points: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.data_points = data_points
        self.temperature = temperature

    def forward(self, weights: Tensor, log_prior: Tensor, log_guide: Tensor, ratios: Tensor) -> Tensor:
        """L from draws of the guide.

        Args:
            weights: of the draws, summing to 1, (S,): 1/S, or those of a stratified guide.
            log_prior, log_guide: log p(β) and log q(β) at the draws, (S,).
            ratios: r(x_m, z_m, β), (S, M).
        """
        scale = self.temperature * self.data_points / ratios.shape[-1]
        return (weights * (log_prior - log_guide + scale * ratios.sum(-1))).sum()


def ratio_loss(model_ratios: Tensor, reference_ratios: Tensor, share: float = 1.0) -> Tensor:
    """D from r at draws of the model (S,) and of the reference (R,).

    `share` is the part of the model's draws that the reference covers, where the others are left out of S.
    """
    return share * softplus(-model_ratios).mean() + softplus(reference_ratios).mean()


def expected_ratio_loss(model_ratios: Tensor, reference_ratios: Tensor, share: float = 1.0) -> Tensor:
    """What `ratio_loss` would be if r were exact: the entropy of the class of a draw, whose odds are exp(r)."""
    return share * class_entropy(model_ratios).mean() + class_entropy(reference_ratios).mean()


def class_entropy(ratios: Tensor) -> Tensor:
    """Entropy [nats] of a class with log odds r."""
    return torch.sigmoid(ratios) * softplus(-ratios) + torch.sigmoid(-ratios) * softplus(ratios)
