"""What the particles predicted: draws of the observed sites, completed where the observation has gaps, and the error
when it contradicts every particle."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.program import allowed, has_value
from hmm_plating.inference.resampling import systematic
from hmm_plating.inference.weighting import Weighting

DRAWN_AT_ONCE = 2**18  # numbers


def predictive(log_weights: Tensor, weighting: Weighting, draws: int) -> dict[str, Tensor]:
    """Draws of each observed site from the mixture of the particles' distributions, before the observation counts.

    Shapes (draws, …). The mixture has the carried weights, corrected for the guide; its components are chosen
    systematically, which takes the noise of that choice away.
    """
    sites = [site for site in weighting.observed if has_value(site)]
    if draws == 0 or not sites:
        return {}
    prior = torch.where(weighting.invalid, -torch.inf, log_weights + weighting.log_proposal)
    chosen = systematic(prior, draws)
    return {site["name"]: _draw(site["fn"], chosen) for site in sites}


def withheld(log_weights: Tensor, weighting: Weighting, draws: dict[str, Tensor]) -> dict[str, Tensor]:
    """`draws` of `predictive` with the entries that the observation lacks (NaN) drawn given those that it has.

    What is never observed is thus predicted from the other channels of the same step. `log_weights` are those after the
    observation; only distributions with a method `conditional` can tell.
    """
    completed = dict(draws)
    for site in weighting.observed:
        if site["name"] not in draws or not hasattr(site["fn"], "conditional"):
            continue
        value = site["value"].expand(site["fn"].shape())
        missing = torch.isnan(value[0])
        if not bool(missing.any()) or bool(missing.all()):
            continue
        chosen = systematic(log_weights, len(draws[site["name"]]))
        completed[site["name"]] = torch.where(
            missing, _draw(site["fn"].conditional(value), chosen), draws[site["name"]]
        )
    return completed


def observed_values(weighting: Weighting) -> dict[str, Tensor]:
    """Value of each observed site, without the particles."""
    values = {}
    for site in weighting.observed:
        if has_value(site):
            value, shape = site["value"], site["fn"].shape()
            values[site["name"]] = (value[0] if value.dim() == len(shape) else value).expand(shape[1:])
    return values


def failure(log_weights: Tensor, weighting: Weighting, where: str) -> InputError:
    """The error to raise when all weights are zero: what was predicted, and what was observed."""
    valid = weighting._replace(invalid=torch.zeros_like(weighting.invalid), log_proposal=torch.zeros_like(log_weights))
    predicted, observed = predictive(log_weights, valid, 400), observed_values(weighting)
    clauses = []
    for site in weighting.observed:
        if has_value(site) and not allowed(site["fn"], site["value"]).any():
            missing = "; for missing values use PartiallyObservedNormal" if site["value"].isnan().any() else ""
            clauses.append(f"{site['name']} has a value outside the support of its distribution{missing}")
    for name, value in observed.items():
        centre, spread = predicted[name].double().nanmean(0), _nanstd(predicted[name].double())
        value, centre, spread = value.double().reshape(-1), centre.reshape(-1), spread.reshape(-1)
        surprise = torch.nan_to_num((value - centre).abs() / spread, nan=torch.inf).masked_fill(value.isnan(), -1)
        for index in surprise.argsort(descending=True, stable=True)[:3].sort().values.tolist():
            label = name if len(value) == 1 else f"{name}[{index}]"
            clauses.append(f"{label} predicted {centre[index]:.6g} ± {spread[index]:.3g}, observed {value[index]:.6g}")
    invalid = int(weighting.invalid.sum())
    reason = f" ({invalid} of {len(log_weights)} weights are NaN or infinite)" if invalid else ""
    return InputError(
        f"{where}: no particle can explain the observation{reason}: {'; '.join(clauses) or 'no observed site'}; "
        "check this part of the recording, or widen the model's noise or prior"
    )


def _draw(distribution: Any, chosen: Tensor) -> Tensor:
    """A draw from the distribution of each chosen particle (indices ascending): every round draws once for all."""
    repetition = torch.arange(len(chosen)) - torch.searchsorted(chosen, chosen)
    count = max(1, distribution.shape().numel())
    parts = []
    for rounds in torch.arange(int(repetition.max()) + 1).split(max(1, DRAWN_AT_ONCE // count)):
        members = (repetition >= rounds[0]) & (repetition <= rounds[-1])
        parts.append((members, distribution.sample((len(rounds),))[repetition[members] - rounds[0], chosen[members]]))
    draws = parts[0][1].new_empty(len(chosen), *parts[0][1].shape[1:])
    for members, drawn in parts:
        draws[members] = drawn
    return draws


def _nanstd(values: Tensor) -> Tensor:
    return (values - values.nanmean(0)).square().nanmean(0).sqrt()
