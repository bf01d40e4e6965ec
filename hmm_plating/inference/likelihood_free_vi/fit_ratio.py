"""Learning the ratio from the replay buffer, with early stopping on a held-out ratio loss.

Every simulated pair (x, β) meets reference data drawn anew at each step for a β of the same buffer, so that both
classes have one and the same distribution of β, whatever the proposals were. A pair whose data lie beyond the reach of
the reference counts in neither class; such a weight that depends on (x, β) alone leaves the optimal ratio as it is.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hmm_plating.inference.likelihood_free_vi.log_ratio import LogRatio
from hmm_plating.inference.likelihood_free_vi.objective import class_entropy, expected_ratio_loss, ratio_loss
from hmm_plating.inference.likelihood_free_vi.ratio import STANDARD_ERRORS
from hmm_plating.inference.likelihood_free_vi.schedule import one_cycle

_EVALUATIONS = 25
_PATIENCE = 8
_REFERENCE_DRAWS = 4


class Pairs(NamedTuple):
    """Simulations in whitened coordinates, and which of them the reference covers.

    Attributes:
        data, local, parameters: (S, k), (S, l), (S, d), float32.
        covered: (S,).
        nearby: (S,), where the parameters are those of the current guide; the Gaussian part is fitted there.
    """

    data: Tensor
    local: Tensor
    parameters: Tensor
    covered: Tensor
    nearby: Tensor

    def select(self, index: Tensor) -> Pairs:
        return Pairs(*(column[index] for column in self))


class RatioFit(NamedTuple):
    """How well the ratio fits the held-out pairs.

    Attributes:
        held_out_loss: ratio loss there.
        expected_loss: what it would be if the ratio were exact.
        excess_error: standard error of their difference.
        calibration_error: mean over bins of |share of model pairs − predicted probability|, weighted by their number.
        corrected: whether the network improved on the Gaussian part.
    """

    held_out_loss: float
    expected_loss: float
    excess_error: float
    calibration_error: float
    corrected: bool


def fit_ratio(
    log_ratio: LogRatio, training: Pairs, held_out: Pairs, steps: int, batch: int, learning_rate: float
) -> RatioFit:
    """Fit `log_ratio` in place: Gaussian part in closed form, then the network by Adam, averaged over the steps."""
    beta = log_ratio.parameter_frame.inverse(training.parameters[training.nearby])
    joint = torch.cat([training.data, training.local], -1)[training.nearby]
    log_ratio.network.fit_gaussian(joint, beta)
    if log_ratio.local_guide is not None:
        _fit_local(log_ratio, training, steps, batch, learning_rate)
    repeated = held_out.parameters.repeat(_REFERENCE_DRAWS, 1)
    with torch.no_grad():
        reference = _reference_draws(log_ratio, repeated)

    def scores(model: torch.nn.Module) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            inside = held_out.select(held_out.covered)
            return model(inside.data, inside.local, inside.parameters), model(*reference, repeated)

    share = float(held_out.covered.float().mean())
    initial = scores(log_ratio)
    start = copy.deepcopy(log_ratio.network.state_dict())
    best, best_loss, since = start, math.inf, 0
    averaged = AveragedModel(log_ratio.network, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    optimizer = torch.optim.AdamW(log_ratio.network.parameters(), lr=learning_rate, weight_decay=1e-4)
    schedule = one_cycle(optimizer, learning_rate, steps)
    order = torch.randperm(len(training.data))
    position = 0
    for step in range(1, steps + 1):
        if position + batch > len(order):
            order, position = torch.randperm(len(order)), 0
        pairs = training.select(order[position : position + batch])
        position += batch
        inside = pairs.select(pairs.covered)
        with torch.no_grad():
            drawn = _reference_draws(log_ratio, pairs.parameters)
        loss = ratio_loss(
            log_ratio(inside.data, inside.local, inside.parameters),
            log_ratio(*drawn, pairs.parameters),
            len(inside.data) / len(pairs.data),
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(log_ratio.network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(log_ratio.network)
        if step % max(1, steps // _EVALUATIONS) == 0:
            current = copy.deepcopy(log_ratio.network.state_dict())
            log_ratio.network.load_state_dict(averaged.module.state_dict())
            held_out_loss = float(ratio_loss(*scores(log_ratio), share))
            since += 1
            if held_out_loss < best_loss:
                best, best_loss, since = copy.deepcopy(averaged.module.state_dict()), held_out_loss, 0
            if since == _PATIENCE:
                break
            log_ratio.network.load_state_dict(current)
    log_ratio.network.load_state_dict(best)
    corrected = _improves(initial, scores(log_ratio), share)
    if not corrected:
        log_ratio.network.load_state_dict(start)
    return _assess(*scores(log_ratio), share, corrected)


def _fit_local(log_ratio: LogRatio, training: Pairs, steps: int, batch: int, learning_rate: float) -> None:
    """Start q(z | x, β) at the latents that the simulator returned, by maximum likelihood."""
    guide = log_ratio.local_guide
    assert guide is not None
    inside = training.select(training.covered & training.nearby)
    optimizer = torch.optim.Adam(guide.parameters(), lr=learning_rate)
    schedule = one_cycle(optimizer, learning_rate, steps, rising=0.3)
    for _ in range(steps):
        pairs = inside.select(torch.randint(len(inside.data), (batch,)))
        b = log_ratio.parameter_frame.inverse(pairs.parameters)
        loss = -guide(pairs.data, b).log_prob(pairs.local).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()


def _reference_draws(log_ratio: LogRatio, parameters: Tensor) -> tuple[Tensor, Tensor]:
    data = torch.randn(len(parameters), log_ratio.data_size)
    return data, log_ratio.draw_local(data, parameters)


def _improves(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor], share: float) -> bool:
    """Whether the held-out loss fell by more than its standard error allows for."""
    model = (softplus(-before[0]) - softplus(-after[0])) * share
    reference = softplus(before[1]) - softplus(after[1])
    error = math.sqrt(float(model.var() / len(model) + reference.var() / len(reference)))
    return float(model.mean() + reference.mean()) > STANDARD_ERRORS * error


def _assess(model: Tensor, reference: Tensor, share: float, corrected: bool) -> RatioFit:
    parts = (share * (softplus(-model) - class_entropy(model)), softplus(reference) - class_entropy(reference))
    error = math.sqrt(sum(float(part.var() / len(part)) for part in parts))
    weights = torch.cat([torch.full_like(model, share / len(model)), torch.full_like(reference, 1 / len(reference))])
    labels = torch.cat([torch.ones_like(model), torch.zeros_like(reference)])
    predicted = torch.sigmoid(torch.cat([model, reference]))
    bins = (predicted * 20).long().clamp(max=19)
    gaps = torch.zeros(20).index_add(0, bins, weights * (labels - predicted)).abs()
    return RatioFit(
        held_out_loss=float(ratio_loss(model, reference, share)),
        expected_loss=float(expected_ratio_loss(model, reference, share)),
        excess_error=error,
        calibration_error=float(gaps.sum() / weights.sum()),
        corrected=corrected,
    )
