"""Rules that end a run after a population; the first that applies does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hmm_plating.errors import InputError
from hmm_plating.inference.smc_abc.population import PopulationInfo


class StoppingRule(Protocol):
    """Whether to stop, from the record of the last population and the time since the start [s]."""

    def __call__(self, info: PopulationInfo, elapsed: float) -> bool: ...


@dataclass(frozen=True)
class ToleranceReached:
    """The tolerance has come down to a value."""

    tolerance: float

    def __call__(self, info: PopulationInfo, elapsed: float) -> bool:
        return info.tolerance <= self.tolerance


@dataclass(frozen=True)
class AcceptanceBelow:
    """The acceptance rate of a population's simulations has fallen below a value between 0 and 1."""

    rate: float

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise InputError(f"AcceptanceBelow: the rate must lie between 0 and 1, got {self.rate!r}")

    def __call__(self, info: PopulationInfo, elapsed: float) -> bool:
        return info.acceptance_rate < self.rate


@dataclass(frozen=True)
class SimulationsAbove:
    """There are as many simulations; unlike the budget of `run`, this neither sizes nor cuts the populations."""

    simulations: int

    def __call__(self, info: PopulationInfo, elapsed: float) -> bool:
        return info.simulations >= self.simulations


@dataclass(frozen=True)
class TimeAbove:
    """The run, with all runs that it was resumed from, has taken as long [s]."""

    seconds: float

    def __call__(self, info: PopulationInfo, elapsed: float) -> bool:
        return elapsed >= self.seconds
