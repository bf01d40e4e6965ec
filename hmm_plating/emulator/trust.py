"""Which surfaces a network knows: those that look like the ones it was trained on, and on which several of them agree.

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


def descriptors(solid_fraction: Tensor, dimensions: int = 2) -> Tensor:
    """What surfaces (surface, [z,] y, x) look like, (surface, descriptor), lengths in cells.

    Mean, root mean square and greatest height of the metal in a column, highest metal, mean and greatest step between
    columns, covered share, liquid below metal: mean and greatest of a column.
    """
    rows = solid_fraction.shape[-2]
    height = solid_fraction.sum(-2)
    level = torch.arange(rows, dtype=height.dtype, device=height.device)[:, None]
    top = (solid_fraction.sign() * (level + solid_fraction)).amax(-2)  # of the topmost metal, which fills a part
    below = (top - height).clamp(min=0).flatten(1)
    steps = [(height - height.roll(1, axis)).abs().flatten(1) for axis in range(-1, -dimensions, -1)]
    step, height, top = torch.cat(steps, 1), height.flatten(1), top.flatten(1)
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


def relief_descriptors(solid_fraction: Tensor, dimensions: int = 2) -> Tensor:
    """Those of `descriptors` that a film below the surface does not change, and the greatest height above the mean."""
    mean, deviation, greatest, _, *others = descriptors(solid_fraction, dimensions).unbind(-1)
    return torch.stack([deviation, greatest - mean, *others], -1)


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
    def empty(cls, descriptors: int) -> Trust:
        """Of so many descriptors, which trusts no surface."""
        count, never = descriptors, torch.tensor(-1.0)
        return cls(torch.zeros(count), torch.zeros(count, count), never, never)

    @classmethod
    def calibrate(cls, training: Tensor, held_out: Tensor, spread: Tensor) -> Trust:
        """From the descriptors of training surfaces (surface, descriptor) and of held-out ones.

        Args:
            training, held_out: descriptors.
            spread: of the networks on the held-out surfaces (surface,).
        """
        known = training.double()
        covariance = torch.cov(known.T) + _LEAST_DEVIATION**2 * torch.eye(known.shape[1], dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance)
        trust = cls(
            known.mean(0).float(), (vectors / values.sqrt()).T.float(), torch.tensor(torch.inf), torch.tensor(torch.inf)
        )
        return trust._replace(
            distance=MARGIN * trust.mahalanobis(held_out).quantile(QUANTILE).float(),
            spread=MARGIN * spread.float().quantile(QUANTILE),
        )

    def mahalanobis(self, described: Tensor) -> Tensor:
        """Distance of surfaces (surface, descriptor) from those of the training (surface,)."""
        return ((described - self.centre) @ self.whitening.T).square().sum(-1).sqrt()

    def trusted(self, described: Tensor, spread: Tensor) -> Tensor:
        """Whether each surface is within both thresholds, bool (surface,)."""
        return (self.mahalanobis(described) <= self.distance) & (spread <= self.spread)
