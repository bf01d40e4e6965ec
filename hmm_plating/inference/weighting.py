"""One call of a Pyro program for all particles at once: what it drew, and the log weight increment of each particle."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.resampling import systematic

Site = Mapping[str, Any]


class Weighting(NamedTuple):
    """Particles after one call, N leading everywhere.

    Attributes:
        particles: the model's state.
        log_proposal: log p(x) − log q(x) of the sites that the guide drew; 0 without a guide.
        log_increment: `log_proposal` plus the log density of the observed sites; −inf where `invalid`.
        invalid: the increment was NaN or +inf.
        observed: the observed sites, as Pyro's trace holds them.
    """

    particles: dict[str, Tensor]
    log_proposal: Tensor
    log_increment: Tensor
    invalid: Tensor
    observed: tuple[Site, ...]


def weigh(
    model: Any,
    guide: Any,
    method: str,
    particles: dict[str, Tensor],
    args: tuple[Any, ...],
    count: int,
    max_plate_nesting: int,
    where: str,
) -> Weighting:
    """Run `method` of the model, and of the guide where there is one, on `particles`, which it may change."""
    dim = -1 - max_plate_nesting
    # One particle that went astray must get weight zero, not end the run: parameters are not validated, values are.
    with poutine.block(), pyro.plate("particles", count, dim=dim), dist.validation_enabled(False):
        program = getattr(model, method)
        proposed: Mapping[str, Site] = {}
        if guide is not None:
            with poutine.trace() as guided:
                getattr(guide, method)(MappingProxyType(particles), *args)
            program = poutine.replay(program, trace=guided.trace)
            proposed = _sample_sites(guided.trace)
        with poutine.trace() as traced:  # as a context: around a function it appends a table of sites to each error
            program(particles, *args)
        drawn = _sample_sites(traced.trace)
    for key, value in particles.items():
        if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != count:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"{where}: state[{key!r}] must be a tensor with leading dimension {count}, got {found}")
    log_proposal = torch.zeros(count, dtype=torch.float64)
    for name, site in proposed.items():
        if name not in drawn:
            raise InputError(f"{where}: the guide draws {name!r}, the model has no such site")
        log_proposal += _log_density(drawn[name], count, dim, where)
        log_proposal -= _log_density(site, count, dim, where)
    observed = tuple(site for site in drawn.values() if site["is_observed"])
    log_increment = log_proposal.clone()
    for site in observed:
        log_increment += _log_density(site, count, dim, where)
    invalid = torch.isnan(log_increment) | torch.isposinf(log_increment)
    return Weighting(particles, log_proposal, log_increment.masked_fill(invalid, -torch.inf), invalid, observed)


def predictive(log_weights: Tensor, weighting: Weighting, draws: int) -> dict[str, Tensor]:
    """Draws of each observed site from the mixture of the particles' distributions, before the observation counts.

    Shapes (draws, …). The mixture has the carried weights, corrected for the guide; its components are chosen
    systematically, which takes the noise of that choice away.
    """
    sites = [site for site in weighting.observed if _has_value(site)]
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
        if _has_value(site):
            value, shape = site["value"], site["fn"].shape()
            values[site["name"]] = (value[0] if value.dim() == len(shape) else value).expand(shape[1:])
    return values


def failure(log_weights: Tensor, weighting: Weighting, where: str) -> InputError:
    """The error to raise when all weights are zero: what was predicted, and what was observed."""
    valid = weighting._replace(invalid=torch.zeros_like(weighting.invalid), log_proposal=torch.zeros_like(log_weights))
    predicted, observed = predictive(log_weights, valid, 400), observed_values(weighting)
    clauses = []
    for site in weighting.observed:
        if _has_value(site) and not _allowed(site["fn"], site["value"]).any():
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


def _sample_sites(trace: Any) -> dict[str, Site]:
    return {n: site for n, site in prune_subsample_sites(trace).nodes.items() if site["type"] == "sample"}


def _log_density(site: Site, count: int, particle_dim: int, where: str) -> Tensor:
    if any(frame.dim is not None and frame.dim < particle_dim for frame in site["cond_indep_stack"]):
        raise InputError(f"{where}: site {site['name']!r} is in a plate inside the particles': raise max_plate_nesting")
    distribution, value = site["fn"], site["value"]
    density = distribution.log_prob(value, *site["args"], **site["kwargs"])
    if _has_value(site):  # some log_prob formulas continue smoothly outside the support
        density = density.masked_fill(~_allowed(distribution, value), -torch.inf)
    density = scale_and_mask(density, site["scale"], site["mask"])
    if density.dim() == 0 or len(density) != count:
        raise InputError(
            f"{where}: site {site['name']!r} has a log density of shape {tuple(density.shape)}; its first dimension "
            f"must be that of the {count} particles (a value of the wrong shape, or a missing to_event?)"
        )
    return density.reshape(count, -1).sum(-1).double().cpu()


def _allowed(distribution: Any, value: Tensor) -> Tensor:
    """Whether the value is in the support; assumed where the distribution does not say what that is."""
    try:
        return distribution.support.check(value)
    except NotImplementedError:
        return torch.tensor(True, device=value.device)


def _has_value(site: Site) -> bool:
    """False for pyro.factor, whose value is empty."""
    return site["value"].numel() > 0


def _draw(distribution: Any, chosen: Tensor) -> Tensor:
    """A draw from the distribution of each chosen particle (indices ascending): every round draws once for all."""
    repetition = torch.arange(len(chosen)) - torch.searchsorted(chosen, chosen)
    draws = torch.empty(0)
    for number in range(int(repetition.max()) + 1):
        members = repetition == number
        sample = distribution.sample()
        if number == 0:
            draws = sample.new_empty(len(chosen), *sample.shape[1:])
        draws[members] = sample[chosen[members]]
    return draws


def _nanstd(values: Tensor) -> Tensor:
    return (values - values.nanmean(0)).square().nanmean(0).sqrt()
