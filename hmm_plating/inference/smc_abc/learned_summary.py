"""Summaries learned from the simulations: estimates of posterior moments.

    s(x) = (E[z | x], E[z zᵀ | x]),   z the standardised parameters

Posterior means are the summaries that lose least for quadratic loss (Fearnhead and Prangle, JRSS B 74 (2012) 419,
here regressed by a neural network as by Jiang et al., Statistica Sinica 27 (2017) 1595); second moments tell apart
data whose posteriors share their mean, as with modes that mirror each other. The outputs are standardised like their
targets: what the data do not tell about varies little and so counts little in a Euclidean distance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from hmm_plating.errors import InputError

_MOST_PAIRS = 8


@dataclass(frozen=True)
class PosteriorMoments:
    """Fits a network with two hidden layers; second moments of all pairs for up to 8 parameters, else variances alone.

    Attributes:
        hidden: width of the layers.
        steps: of Adam (Kingma and Ba, arXiv:1412.6980), with a learning rate that falls from 3e-3 to 0 (cosine).
        batch: simulations per step.
    """

    hidden: int = 64
    steps: int = 1500
    batch: int = 256

    def __post_init__(self) -> None:
        if min(self.hidden, self.steps, self.batch) < 1:
            raise InputError(f"PosteriorMoments: hidden, steps and batch must be at least 1, got {self}")

    def fit(self, parameters: Tensor, data: Tensor, generator: Generator) -> Callable[[Tensor], Tensor]:
        """From parameters (n, d) and data (n, m), rows with NaN left out, to the map from data (k, m) to summaries."""
        usable = data.isfinite().all(-1)
        parameters, data = parameters[usable], data[usable]
        centre = data.median(0).values
        spread = (data - centre).abs().mean(0)
        spread = torch.where(spread > 0, spread, 1.0)

        def inputs(raw: Tensor) -> Tensor:
            return torch.asinh((raw - centre) / spread).float()

        targets = _standardised(_moments(_standardised(parameters))).float()
        network = _network(data.shape[1], self.hidden, targets.shape[1], generator)
        optimiser = torch.optim.Adam(network.parameters(), 3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        features = inputs(data)
        with torch.enable_grad():
            for _ in range(self.steps):
                rows = torch.randint(len(features), (self.batch,), generator=generator)
                optimiser.zero_grad()
                nn.functional.mse_loss(network(features[rows]), targets[rows]).backward()
                optimiser.step()
                schedule.step()

        def summaries(raw: Tensor) -> Tensor:
            with torch.no_grad():
                parts = [network(inputs(block)) for block in raw.split(100_000)]
            return torch.cat(parts).double()

        return summaries


def _network(inputs: int, hidden: int, outputs: int, generator: Generator) -> nn.Sequential:
    layers = [nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def _moments(standard: Tensor) -> Tensor:
    dimension = standard.shape[1]
    if dimension > _MOST_PAIRS:
        return torch.cat([standard, standard.square()], 1)
    first, second = torch.triu_indices(dimension, dimension)
    return torch.cat([standard, standard[:, first] * standard[:, second]], 1)


def _standardised(values: Tensor) -> Tensor:
    deviation = values.std(0)
    return (values - values.mean(0)) / torch.where(deviation > 0, deviation, 1.0)
