"""Reference density q(x) against which the likelihood is measured.

The paper takes the empirical distribution of the data. With a single observation that is a point, and a ratio is not
identified there from finitely many simulations. Any density that covers p(x | β) does as well, because
log p(x | β) = r(x, β) + log q(x); here a Gaussian at the observations with second moment from simulations,

    q(x) = N(x; x̄, S),   S = E[(x − x̄)(x − x̄)ᵀ] over simulations at the guide's draws (and the observations)

In the coordinates y = L⁻¹(x − x̄), L Lᵀ = S, it is the standard normal.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Normal

from hmm_plating.errors import InputError

_KEPT = 0.98
_REACH = 1e-5


class Reference(NamedTuple):
    """Gaussian reference: `centre` (k,), lower triangular `scale` (k, k), both float64 in the units of the data."""

    centre: Tensor
    scale: Tensor

    @classmethod
    def around(cls, observed: Tensor, simulated: Tensor) -> Reference:
        """Of observations (N, k) and simulations (S, k), of which the farthest 2 % are left out against outliers.

        Raises:
            InputError: an entry of the data does not vary.
        """
        centre = observed.mean(0)
        offsets = torch.cat([simulated, observed]) - centre
        spread = offsets.abs().median(0).values
        spread = torch.where(spread > 0, spread, offsets.abs().mean(0))
        constant = (spread == 0).nonzero().flatten().tolist()
        if constant:
            raise InputError(f"simulator: entries {constant} of the data (flattened) never vary: leave them out")
        scaled = offsets / spread
        distance = scaled.square().sum(-1)
        near = scaled[distance <= torch.quantile(distance[: 2**23], _KEPT)]
        covariance = near.T @ near / len(near) + 1e-9 * torch.eye(len(centre), dtype=near.dtype)
        factor, info = torch.linalg.cholesky_ex(covariance)
        if info:
            raise InputError("simulator: entries of the data are linear functions of each other: leave some out")
        return cls(centre, spread[:, None] * factor)

    def whiten(self, data: Tensor) -> Tensor:
        """y = L⁻¹(x − x̄), float32: (…, k)."""
        return torch.linalg.solve_triangular(self.scale, (data - self.centre).mT, upper=False).mT.float()

    def covers(self, whitened: Tensor) -> Tensor:
        """Where q(x) has mass: pairs beyond, which no reference draw meets, say nothing on the ratio (…, k) -> (…,)."""
        return whitened.square().sum(-1) < farthest(whitened.shape[-1])

    def log_prob(self, data: Tensor) -> Tensor:
        """log q(x) in the units of the data: (…,)."""
        standard = Normal(0.0, 1.0).log_prob(self.whiten(data)).sum(-1)
        return standard - self.scale.diagonal().log().sum()


def farthest(dimension: int) -> float:
    """Distance² that a standard normal exceeds with probability 1e-5 (Wilson and Hilferty 1931)."""
    third = 2 / (9 * dimension)
    return dimension * (1 - third + float(Normal(0.0, 1.0).icdf(torch.tensor(1 - _REACH))) * third**0.5) ** 3
