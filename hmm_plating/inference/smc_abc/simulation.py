"""Simulations in blocks: each with a random stream of its own, so that nothing depends on who computes it, or when.

A draw whose simulation raises or is not finite counts as failed: its data are NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.prior import Prior
from hmm_plating.inference.random_stream import own_random_state, seed_word
from hmm_plating.inference.simulated_data import flatten, with_leading

SINGLE_DRAWS = "for a simulator of single draws set vectorised=False"


class Block(NamedTuple):
    """Simulations of one block.

    Attributes:
        data: (draws, m), float64; NaN where the simulation failed.
        message: of the first exception that the simulator raised, if it did.
    """

    data: Tensor
    message: str


@dataclass(frozen=True)
class Simulation:
    """All that a worker needs.

    Attributes:
        prior: for the names and shapes of the parameters.
        simulator: from parameters, draws leading, to data, draws leading.
        summary: from data to summaries, applied where they are simulated; None keeps the data.
        vectorised: whether the simulator takes many draws at once; otherwise one without the leading dimension.
        width: numbers in the observed summaries, which simulated ones must have too.
    """

    prior: Prior
    simulator: Callable[[Any], Any]
    summary: Callable[[Any], Any] | None
    vectorised: bool
    width: int

    def __call__(self, unconstrained: Tensor, seed: tuple[int, int]) -> Block:
        """Simulate the draws (n, dimension) of one block."""
        with own_random_state():
            return self._simulate(unconstrained, seed)

    def _simulate(self, unconstrained: Tensor, seed: tuple[int, int]) -> Block:
        values, _ = self.prior.evaluate(unconstrained)
        if self.vectorised:
            data, message = self._try(values, seed_word(*seed))
            if not message:
                return Block(self._rows(data, len(unconstrained)), "")
        # One at a time, so that those that fail do not take the others with them.
        rows, first_message = [], ""
        for draw in range(len(unconstrained)):
            single = {name: value[draw : draw + 1] for name, value in values.items()}
            data, message = self._try(single, seed_word(*seed, draw))
            first_message = first_message or message
            failed = torch.full((1, self.width), torch.nan, dtype=torch.float64)
            rows.append(failed if message else self._rows(data, 1))
        return Block(torch.cat(rows), first_message)

    def _try(self, values: dict[str, Tensor], seed: int) -> tuple[Any, str]:
        """Data, or what the simulator raised."""
        pyro.set_rng_seed(seed)
        if not self.vectorised:
            values = {name: value[0] for name, value in values.items()}
        try:
            data = self.simulator(self.prior.arguments(values))
            data = data if self.vectorised else with_leading(data)
            return data if self.summary is None else self.summary(data), ""
        except Exception as error:  # whatever goes wrong for some parameters is theirs
            return None, f"{type(error).__name__}: {error}"

    def _rows(self, data: Any, count: int) -> Tensor:
        rows = flatten(data, count, SINGLE_DRAWS)
        if rows.shape[1] != self.width:
            raise InputError(
                f"one simulation has {rows.shape[1]} numbers{' after summary' if self.summary else ''}, the observed "
                f"data have {self.width}: simulator and observed must have the same shape"
            )
        return torch.where(rows.isfinite().all(-1, keepdim=True), rows, torch.nan)
