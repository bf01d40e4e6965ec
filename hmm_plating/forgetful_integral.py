"""The integral of an Ornstein–Uhlenbeck process over a regressor, which forgets as the regressor changes.

    dI = θ dx − I |dx|/μ,    θ an Ornstein–Uhlenbeck process of unit variance,

is linear, so a step is Gaussian. With time in steps, a and b the rates at which θ and I forget, and

    g(s) = (e^{−as} − e^{−bs})/(b − a),

the covariance of I over two regressors is x x' 2a ∫ g g' ds and that of I with θ x 2a ∫ g(s) e^{−as} ds, both over the
step, by Gauss–Legendre quadrature in panels that double in length. Gillespie, Phys. Rev. E 54 (1996) 2084, has b = 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class ForgetfulIntegral(NamedTuple):
    """I after a step from I_0 and θ_0: N(kept I_0 + x (gain θ_0 + pull m), x root rootᵀ x), x the change of regressors.

    For θ of unit variance with mean m; `covariance` times x is that of I with θ at the end of the step.
    """

    kept: Tensor
    gain: Tensor
    pull: Tensor
    covariance: Tensor
    root: Tensor  # (..., nodes)


def forgetful_integral(ratio: float, forgotten: Tensor) -> ForgetfulIntegral:
    """Over a step of `ratio` = a correlation times of θ, any a ≥ 0, in which x changes evenly by 1.

    `forgotten` (...,) is b ≥ 0, the change of x in units of μ.
    """
    nodes, weights = _graded_quadrature(ratio + float(forgotten.detach().max()))

    def response(s: Tensor) -> Tensor:
        rate = forgotten[..., None]
        return s * torch.exp(-rate.clamp(max=ratio) * s) * _mean_decay((rate - ratio).abs() * s)

    gain, within = response(torch.ones(1, dtype=torch.float64))[..., 0], response(nodes)
    return ForgetfulIntegral(
        torch.exp(-forgotten),
        gain,
        _mean_decay(forgotten) - gain,
        2 * ratio * (within * weights * torch.exp(-ratio * nodes)).sum(-1),
        (2 * ratio * weights).sqrt() * within,
    )


def _mean_decay(z: Tensor) -> Tensor:
    """(1 − e^{−z})/z, the mean of e^{−u} over u from 0 to z; its derivative at 0 is left out."""
    divisor = torch.where(z > 0, z, 1.0)  # a quotient by zero would spoil the gradient
    return torch.where(z > 0, -torch.expm1(-divisor) / divisor, 1.0)


def _graded_quadrature(rate: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1] for smooth functions that change over 1/rate near 0, shape (nodes,)."""
    node, weight = (torch.from_numpy(values) / 2 for values in np.polynomial.legendre.leggauss(16))
    panels = max(math.ceil(math.log2(rate)), 0) if rate > 0 else 0
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), 2.0 ** torch.arange(-panels, 1, dtype=torch.float64)])
    length = edges.diff()[:, None]
    return (edges[:-1, None] + length * (node + 0.5)).flatten(), (length * weight).flatten()
