"""Liu and West's filter: static parameters as a part of the state, kept diverse by a kernel that shrinks.

    u' = a u + (1 − a) ū + N(0, (1 − a²) V),        a = (3δ − 1) / (2δ)

for the parameters u on unconstrained space, with mean ū and covariance V of the particles, which the kernel keeps; the
discount δ is 0.95 to 0.99 (Liu and West, in "Sequential Monte Carlo Methods in Practice" (2001) 197,
doi:10.1007/978-1-4757-3437-9_10; without their auxiliary first stage, which needs a point prediction that a program
does not give). One filter in one pass: cheap, and biased, since the kernel is normal. Check with `SMC2` or `PMMH`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.block_filter import ModelOfParameters
from hmm_plating.inference.covariance import jittered_cholesky
from hmm_plating.inference.parameter_prior import ParameterPrior, Parameters
from hmm_plating.inference.particle_filter import ParticleFilter
from hmm_plating.inference.random_stream import initial_random_state, random_stream

KEY = "unconstrained_parameters"


@dataclass(frozen=True)
class LiuWestModel:
    """`model(parameters)` with the parameters in its state; the particles must be equally weighted at every step.

    Attributes:
        model: maps {name: (N, …)}, a value per particle, to an object with `init` and `step`.
        prior: a Pyro program that draws the parameters.
        particles: N.
        discount: δ.
        example: the model of some parameters: names and dimensions of what is recorded are its own.
    """

    model: ModelOfParameters
    prior: Callable[[], Any]
    particles: int
    discount: float
    example: Any

    @property
    def dims(self) -> dict[str, Any]:
        """As the model's."""
        return getattr(self.example, "dims", {})

    @property
    def coords(self) -> dict[str, Any]:
        """As the model's."""
        return getattr(self.example, "coords", {})

    def init(self, state: dict[str, Tensor], *args: Any) -> None:
        """Draw parameters from their prior and the state from the model."""
        position = ParameterPrior(self.prior).sample(self.particles)
        self.model(self._parameters(position)).init(state, *args)
        state[KEY] = position

    def step(self, state: dict[str, Tensor], *args: Any) -> None:
        """Shrink and jitter the parameters, then advance the state with them."""
        position = state.pop(KEY)
        keep = (3 * self.discount - 1) / (2 * self.discount)
        mean = position.mean(0)
        centred = position - mean
        covariance = centred.T @ centred / len(position)
        factor = jittered_cholesky(covariance, 1e-12)
        position = mean + keep * centred + math.sqrt(1 - keep**2) * torch.randn_like(position) @ factor.T
        self.model(self._parameters(position)).step(state, *args)
        state[KEY] = position

    def report(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The parameters, and what the model reports."""
        parameters = self._parameters(state[KEY])
        own = {name: value for name, value in state.items() if name != KEY}
        program = self.model(parameters)
        reported = program.report(own) if hasattr(program, "report") else own
        both = sorted(reported.keys() & parameters.keys())
        if both:
            raise InputError(f"{both[0]!r} is both a parameter and part of the reported state: rename one")
        return {**parameters, **reported}

    def report_predictive(self, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """As the model's."""
        return self.example.report_predictive(draws) if hasattr(self.example, "report_predictive") else draws

    def _parameters(self, position: Tensor) -> Parameters:
        return ParameterPrior(self.prior).constrain(position)[0]


def liu_west(
    model: ModelOfParameters,
    prior: Callable[[], Any],
    particles: int,
    *,
    discount: float = 0.98,
    max_plate_nesting: int = 0,
) -> ParticleFilter:
    """The particle filter of state and parameters; it resamples at every step. `posterior` holds both, over time.

    Raises:
        InputError: a discount outside (1/3, 1); a prior that cannot be used.
    """
    if not 1 / 3 < discount < 1:
        raise InputError(f"liu_west: discount must be between 1/3 and 1, usually 0.95 to 0.99, got {discount!r}")
    with random_stream(initial_random_state(0)):
        parameters, _ = ParameterPrior(prior).constrain(ParameterPrior(prior).sample(particles))
    program = LiuWestModel(model, prior, particles, discount, model(parameters))
    return ParticleFilter(program, particles, ess_threshold=1.0, max_plate_nesting=max_plate_nesting)
