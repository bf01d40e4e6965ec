"""Fitting the guide to p(β) exp(τ Σ_n r(x_n, β)).

First, draws of the last guide mixed with draws of the prior are weighted by importance; τ ≤ 1 is the largest at which
their effective sample size holds up (as in annealed population Monte Carlo; Cappé et al., Stat. Comput. 18 (2008) 447).
The guide is fitted to them by maximum likelihood, which covers all modes that carry weight. Then the objective is
climbed with the path gradient, log q(β) differentiated through β alone: it has no variance where q is exact (Roeder,
Wu, Duvenaud, NeurIPS 2017, arXiv:1703.09194). A guide that cannot be exact gives up modes or edges for the objective's
sake, as KL(q ‖ p) rewards; of the guides before and after, the one that is likelier at weighted draws of both is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hmm_plating.inference.likelihood_free_vi.guides import Guide
from hmm_plating.inference.likelihood_free_vi.log_ratio import LogRatio
from hmm_plating.inference.likelihood_free_vi.objective import Objective
from hmm_plating.inference.likelihood_free_vi.schedule import one_cycle

_PRIOR_SHARE = 0.1
_OUTWEIGHED = math.log(20.0)
_AVERAGED_PART = 0.3
_LONGEST = 5.0


class Weighted(NamedTuple):
    """Importance sample of the tempered target.

    Attributes:
        draws: (S, d).
        log_weights: normalised, (S,).
        log_target: log p(β) + τ Σ r, (S,).
        log_normaliser: log of its integral.
        temperature: τ.
        effective_sample_size: of the weights at τ, as a fraction of S.
    """

    draws: Tensor
    log_weights: Tensor
    log_target: Tensor
    log_normaliser: float
    temperature: float
    effective_sample_size: float

    def resample(self, count: int) -> Tensor:
        return self.draws[torch.multinomial(self.log_weights.exp(), count, replacement=True)]


@torch.no_grad()
def weigh(
    guides: Sequence[Guide],
    prior_draws: Tensor,
    log_prior: Callable[[Tensor], Tensor],
    log_likelihood: Callable[[Tensor], Tensor],
    count: int,
    least_size: float,
) -> Weighted:
    """Weigh `count` draws of the guides, in equal parts, and of the prior (of it alone without guides); choose τ."""
    each = int((1 - _PRIOR_SHARE) * count / len(guides)) if guides else 0
    parts = [prior_draws[torch.randint(len(prior_draws), (count - each * len(guides),))]]
    parts += [guide.sample(each) for guide in guides]
    draws = torch.cat(parts)
    prior_density = log_prior(draws)
    densities = [prior_density, *(guide.log_prob(draws) for guide in guides)]
    shares = [math.log(len(part) / count) for part in parts]
    proposal = torch.logsumexp(torch.stack([d + share for d, share in zip(densities, shares, strict=True)]), 0)
    likelihood = log_likelihood(draws)
    base = (prior_density - proposal).double()

    def size(temperature: float) -> float:
        log_weights = (base + temperature * likelihood).log_softmax(0)
        return float((-torch.logsumexp(2 * log_weights, 0)).exp()) / len(draws)

    low, temperature = 0.0, 1.0
    if size(1.0) < least_size:
        high = 1.0
        for _ in range(40):
            temperature = 0.5 * (low + high)
            low, high = (temperature, high) if size(temperature) >= least_size else (low, temperature)
    log_weights = base + temperature * likelihood
    return Weighted(
        draws,
        log_weights.log_softmax(0),
        prior_density + temperature * likelihood,
        float(torch.logsumexp(log_weights, 0)) - math.log(len(draws)),
        temperature,
        size(temperature),
    )


def fit_to_draws(guide: Guide, weighted: Weighted, steps: int, batch: int, learning_rate: float) -> None:
    """Maximum likelihood of the guide on the weighted draws, in place."""
    guide.standardise(weighted.resample(10_000))
    optimizer, schedule = _adam(guide, steps, learning_rate)
    for _ in range(steps):
        _descend(-guide.log_prob(weighted.resample(batch)).mean(), guide, optimizer, schedule)


def climb(
    guide: Guide,
    log_ratio: LogRatio,
    observed: Tensor,
    log_prior: Callable[[Tensor], Tensor],
    temperature: float,
    minibatch: int | None,
    steps: int,
    batch: int,
    learning_rate: float,
) -> float:
    """Maximise the objective over the guide (and the local guide), in place; parameters of the last steps are averaged.

    Returns:
        The objective, mean over the averaged steps.
    """
    count = len(observed)
    objective = Objective(count, temperature)
    fitted = nn.ModuleList([guide] + ([] if log_ratio.local_guide is None else [log_ratio.local_guide]))
    optimizer, schedule = _adam(fitted, steps, learning_rate)
    averages = [parameter.detach().clone() for parameter in fitted.parameters()]
    values = []
    for step in range(steps):
        draws, weights = guide(batch)
        draws.register_hook(_tame)
        constants = {name: value.detach() for name, value in guide.named_parameters()}
        log_guide = functional_call(_LogProb(guide), {f"guide.{n}": v for n, v in constants.items()}, (draws.clone(),))
        chosen = observed if minibatch is None else observed[torch.randperm(count)[:minibatch]]
        value = objective(weights, log_prior(draws), log_guide, log_ratio.sampled(chosen, draws))
        _descend(-value, fitted, optimizer, schedule)
        if step >= int((1 - _AVERAGED_PART) * steps):
            values.append(float(value.detach()))
            for average, parameter in zip(averages, fitted.parameters(), strict=True):
                average += (parameter.detach() - average) / len(values)
    with torch.no_grad():
        for average, parameter in zip(averages, fitted.parameters(), strict=True):
            parameter.copy_(average)
    return sum(values) / len(values)


@torch.no_grad()
def likeliest(guides: Sequence[Guide], weighted: Weighted) -> Guide:
    """The guide that is closest to the target in KL(target ‖ guide), by its density at the weighted draws."""
    weights = weighted.log_weights.exp()
    return max(guides, key=lambda guide: float((weights * guide.log_prob(weighted.draws)).sum()))


@torch.no_grad()
def missed_mass(guide: Guide, weighted: Weighted) -> float:
    """Part of the target's mass where the guide's density is below a twentieth of the target's."""
    gap = weighted.log_target - weighted.log_normaliser - guide.log_prob(weighted.draws)
    return float(weighted.log_weights.exp()[gap > _OUTWEIGHED].sum())


class _LogProb(nn.Module):
    def __init__(self, guide: Guide) -> None:
        super().__init__()
        self.guide = guide

    def forward(self, draws: Tensor) -> Tensor:
        return self.guide.log_prob(draws)


def _adam(module: nn.Module, steps: int, learning_rate: float) -> tuple[Any, Any]:
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    return optimizer, one_cycle(optimizer, learning_rate, steps)


def _descend(loss: Tensor, module: nn.Module, optimizer: Any, schedule: Any) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 10.0)
    optimizer.step()
    schedule.step()


def _tame(gradient: Tensor) -> Tensor:
    """Rows no longer than five times the median: a draw between two modes has a slope that would outvote all others."""
    length = gradient.norm(dim=-1, keepdim=True)
    return gradient * (_LONGEST * length.median() / length.clamp(min=1e-30)).clamp(max=1)
