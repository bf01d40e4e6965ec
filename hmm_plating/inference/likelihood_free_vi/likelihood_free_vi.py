"""Likelihood-free variational inference (Tran, Ranganath, Blei 2017, arXiv:1702.08896).

    L = E_q[log p(β) − log q(β)] + (N/M) Σ_m E_q[r(x_m, z_m, β)]

is maximised over a guide q, where r, the log ratio of the simulator's density and a reference density, is learned from
simulations at draws of the guide. Each round simulates at the guide, learns r from all simulations so far and fits the
guide to it; the first round simulates at the prior. See `docs/likelihood_free_vi.md`.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.arviz_export import InferenceData, from_groups
from hmm_plating.inference.fingerprint import fingerprint
from hmm_plating.inference.likelihood_free_vi.diagnostics import cautions
from hmm_plating.inference.likelihood_free_vi.guides import FlowGuide, Guide
from hmm_plating.inference.likelihood_free_vi.ratio import RatioNetwork
from hmm_plating.inference.likelihood_free_vi.rounds import (
    Problem,
    RoundInfo,
    State,
    Training,
    diagnose,
    final_draws,
    next_state,
)
from hmm_plating.inference.likelihood_free_vi.store import Store
from hmm_plating.inference.prior import read_prior
from hmm_plating.inference.random_stream import require_seed, seeded
from hmm_plating.inference.simulated_data import flatten, with_leading


class RoundProgress(Protocol):
    """Called after each round: rounds done, how many there are, the record of the last one."""

    def __call__(self, step: int, total: int, info: RoundInfo) -> None: ...


@dataclass(frozen=True)
class LFVI:
    """Likelihood-free variational inference for a prior and a simulator.

    Attributes:
        model: (prior, simulator). The prior is a Pyro program without arguments, whose sample sites are the parameters,
            or a distribution, whose one parameter is called `theta`. The simulator takes many draws at once, a tensor
            (draws, …) for a distribution, a dict of these for a program, and returns data (draws, …), a tensor, array
            or dict of these; with `local` a pair (local latents, data). What it draws, from torch, Pyro or NumPy's
            global generator, follows from the seed.
        guide: builds the family of q(β) from the number of unconstrained parameters, see `guides`; options by
            `functools.partial`.
        ratio: builds the network of the ratio from the lengths of data (with latents) and parameters, see `ratio`.
        exchangeable: the observation holds N data points along its leading dimension, independent given β, of each of
            which one simulation is one.
        local: each data point has latent variables z_n of its own, real numbers that the simulator returns.
        minibatch: M, data points per step of the guide; None: all.
        rounds: number of rounds that the budget of simulations is split into.
        ratio_steps, guide_steps: gradient steps of the last ratio (earlier ones take fewer), of each guide.
        ratio_batch, guide_batch: simulations, and draws of the guide, per step.
        ratio_rate, guide_rate: largest learning rates of Adam.
        draws: equally weighted draws in the result.
        max_failed: fraction of the simulations of a round that may raise or be NaN.
        dims, coords: names of the dimensions of the parameters, as in ArviZ.
    """

    model: tuple[Any, Callable[[Any], Any]]
    guide: Callable[[int], Guide] = FlowGuide
    ratio: Callable[[int, int], RatioNetwork] = RatioNetwork
    _: KW_ONLY
    exchangeable: bool = False
    local: bool = False
    minibatch: int | None = None
    rounds: int = 4
    ratio_steps: int = 4000
    guide_steps: int = 500
    ratio_batch: int = 512
    guide_batch: int = 256
    ratio_rate: float = 2e-3
    guide_rate: float = 5e-3
    draws: int = 4000
    max_failed: float = 0.5
    dims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        integers = ("minibatch", "rounds", "ratio_steps", "guide_steps", "ratio_batch", "guide_batch", "draws")
        for name in integers:
            value = getattr(self, name)
            if value is not None or name != "minibatch":
                require_integer(f"LFVI: {name}", value, 1)
        for name in ("ratio_rate", "guide_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"LFVI: {name} must be positive, got {getattr(self, name)!r}")
        if not 0 <= self.max_failed < 1:
            raise InputError(f"LFVI: max_failed must be at least 0 and below 1, got {self.max_failed!r}")
        if not isinstance(self.model, tuple) or len(self.model) != 2 or not callable(self.model[1]):
            raise InputError("LFVI: model must be a pair (prior, simulator) with a callable simulator")
        if (self.local or self.minibatch is not None) and not self.exchangeable:
            raise InputError("LFVI: local latents and minibatches are those of data points: set exchangeable=True")

    def run(
        self,
        observed: Any,
        *,
        simulations: int,
        seed: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        progress: RoundProgress | None = None,
    ) -> InferenceData:
        """Approximate the posterior given `observed`.

        Args:
            observed: of the shape of one simulation without the leading dimension, or of many with it if
                `exchangeable`.
            simulations: how many to make; a data point counts as one.
            seed: of all random draws; the same seed gives the same result.
            checkpoint: folder to keep the state in, written after each round.
            resume: continue from `checkpoint`, where there is one; the result is that of an uninterrupted run.
            progress: called after each round.

        Returns:
            One chain, in the groups

            * posterior (chain, draw): equally weighted draws of the guide;
            * sample_stats (chain, draw): `log_guide`, log q of each draw on unconstrained coordinates, and
              `log_weight`, log p(β) + Σ r − log q there, by which draws can be weighted;
            * prior (chain, draw): the parameters of the first round;
            * round_stats (chain, round): see `RoundInfo`;
            * diagnostics (chain): of the last round, see `Diagnostics`;
            * observed_data.

            `attrs["log_evidence"]` (not with local latents: there it is a lower bound), `attrs["objective"]`, and
            `attrs["cautions"]`, which says when not to trust the answer, and is warned of too.

        Raises:
            InputError: an improper prior, data of another shape than the simulator's or not finite, too many failed
                simulations, a checkpoint of other inputs.
        """
        least = 100 * self.rounds
        if not isinstance(simulations, int) or simulations < least:
            raise InputError(f"run: simulations must be an integer ≥ {least} (100 per round), got {simulations!r}")
        require_seed(seed)
        points = self._points(observed)
        training = Training(*(getattr(self, name) for name in Training._fields))
        with seeded(seed):
            prior = read_prior(self.model[0])
            problem = Problem.of(prior, self.model[1], points, self.local, self.max_failed, simulations, self.rounds)
        settings = [getattr(self, item.name) for item in fields(self) if item.name not in ("dims", "coords", "draws")]
        store = Store.open(checkpoint, fingerprint(settings, points, simulations, seed), resume)
        state = None
        if store.exists():
            with seeded(seed):
                state = store.load(prior.dimension, self.guide, self.ratio)
        for number in range(0 if state is None else len(state.infos), self.rounds):
            with seeded(seed, 1 + number):
                state = next_state(state, problem, training, self.guide, self.ratio)
            store.save(state)
            if progress is not None:
                progress(number + 1, self.rounds, state.infos[-1])
        assert state is not None
        with seeded(seed, 0):
            return self._result(state, problem, observed, seed)

    def _points(self, observed: Any) -> Tensor:
        """Observed data points (N, k), float64."""
        if self.exchangeable:
            first = next(iter(observed.values())) if isinstance(observed, Mapping) else observed
            points = flatten(observed, len(first))
        else:
            points = flatten(with_leading(observed), 1)
        if points.numel() == 0 or not points.isfinite().all():
            raise InputError("observed: the data are empty or not finite; leave missing values out")
        return points

    def _result(self, state: State, problem: Problem, observed: Any, seed: int) -> InferenceData:
        draws, log_guide, log_weight = final_draws(state, problem, self.draws)
        found = diagnose(state, problem, log_weight)
        sentences = cautions(found)
        for sentence in sentences:
            warnings.warn(f"LFVI: {sentence}", RuntimeWarning, stacklevel=3)
        scalars = {name: getattr(found, name) for name in found._fields if name not in ("ratio", "ranks")}
        scalars |= found.ratio._asdict()
        first = state.simulations.parameters[state.simulations.round == 0]
        named = observed if isinstance(observed, Mapping) else {"data": observed}
        log_evidence = float(torch.logsumexp(log_weight, 0)) - math.log(len(log_weight)) + problem.log_scale(state)
        return from_groups(
            {
                "posterior": (("chain", "draw"), self._parameters(problem, draws)),
                "sample_stats": (
                    ("chain", "draw"),
                    {"log_guide": log_guide.numpy()[None], "log_weight": log_weight.numpy()[None]},
                ),
                "prior": (("chain", "draw"), self._parameters(problem, first)),
                "round_stats": (
                    ("chain", "round"),
                    {
                        name: np.array([[float(getattr(info, name)) for info in state.infos]])
                        for name in RoundInfo._fields
                    },
                ),
                "diagnostics": (
                    ("chain",),
                    {name: np.array([float(value)]) for name, value in scalars.items()} | {"ranks": found.ranks[None]},
                ),
                "observed_data": ((), {name: np.asarray(value) for name, value in named.items()}),
            },
            attrs={
                "log_evidence": log_evidence,
                "objective": state.infos[-1].objective,
                "cautions": "; ".join(sentences),
                "simulations": state.attempted,
                "seed": seed,
            },
            dims=self.dims,
            coords=self.coords,
        )

    def _parameters(self, problem: Problem, unconstrained: Tensor) -> dict[str, Any]:
        values, _ = problem.prior.evaluate(unconstrained)
        return {name: value.detach().numpy()[None] for name, value in values.items()}
