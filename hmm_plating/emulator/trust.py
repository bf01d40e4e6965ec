"""Which surfaces a surrogate knows: those that look like the ones it was trained on, and on which its networks agree.

A surface is described by a few numbers of its columns; its distance from the training surfaces (Mahalanobis, Proc.
Nat. Inst. Sci. India 2 (1936) 49) tells whether it is unlike all of them, the spread of networks that differ in their
seed whether they had to guess (Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017). Both thresholds are quantiles
over surfaces that were held out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

QUANTILE = 0.995  # of held-out surfaces that are within each threshold
MARGIN = 1.25  # on both thresholds: a filter's posterior is not quite its prior
_LEAST_DEVIATION = 0.02  # of a descriptor, in cells or as a share: what never varied in training may vary so little


def descriptors(solid_fraction: Tensor) -> Tensor:
    """What surfaces (surface, y, x) look like, (surface, descriptor), lengths in cells.

    Mean, root mean square and greatest height of the metal in a column, highest metal, mean and greatest step between
    columns, covered share, liquid below metal: mean and greatest of a column.
    """
    rows = solid_fraction.shape[-2]
    height = solid_fraction.sum(-2)
    level = torch.arange(rows, dtype=height.dtype, device=height.device)[:, None]
    top = (solid_fraction.sign() * (level + solid_fraction)).amax(-2)  # of the topmost metal, which fills a part
    below = (top - height).clamp(min=0)
    step = (height - height.roll(1, -1)).abs()
    return torch.stack(
        [
            height.mean(-1),
            height.std(-1, correction=0),
            height.amax(-1),
            top.amax(-1),
            step.mean(-1),
            step.amax(-1),
            (height > 0.5).to(height.dtype).mean(-1),
            below.mean(-1),
            below.amax(-1),
        ],
        -1,
    )


class Trust(NamedTuple):
    """Thresholds of distance and spread.

    Attributes:
        centre: mean of the descriptors over the training surfaces (descriptor,).
        whitening: turns differences from it into uncorrelated numbers of variance 1 (descriptor, descriptor).
        distance: largest Mahalanobis distance that is trusted.
        spread: largest spread of the networks that is trusted.
    """

    centre: Tensor
    whitening: Tensor
    distance: Tensor
    spread: Tensor

    @classmethod
    def empty(cls) -> Trust:
        """Of the right shapes."""
        count = descriptors(torch.zeros(1, 2, 2)).shape[-1]
        return cls(torch.zeros(count), torch.zeros(count, count), torch.zeros(()), torch.zeros(()))

    @classmethod
    def calibrate(cls, training: Tensor, held_out: Tensor, spread: Tensor) -> Trust:
        """From training surfaces (surface, y, x), held-out ones, and the networks' spread on the latter (surface,)."""
        known = descriptors(training).double()
        covariance = torch.cov(known.T) + _LEAST_DEVIATION**2 * torch.eye(known.shape[1], dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance)
        trust = cls(
            known.mean(0).float(), (vectors / values.sqrt()).T.float(), torch.tensor(torch.inf), torch.tensor(torch.inf)
        )
        return trust._replace(
            distance=MARGIN * trust.mahalanobis(held_out).quantile(QUANTILE).float(),
            spread=MARGIN * spread.float().quantile(QUANTILE),
        )

    def mahalanobis(self, solid_fraction: Tensor) -> Tensor:
        """Distance of surfaces (surface, y, x) from those of the training (surface,)."""
        return ((descriptors(solid_fraction) - self.centre) @ self.whitening.T).square().sum(-1).sqrt()

    def trusted(self, solid_fraction: Tensor, spread: Tensor) -> Tensor:
        """Whether each surface is within both thresholds, bool (surface,); a bare crystal is, its load is exact."""
        known = (self.mahalanobis(solid_fraction) <= self.distance) & (spread <= self.spread)
        return known | (solid_fraction == 0).flatten(1).all(-1)
