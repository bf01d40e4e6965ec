"""All simulations of a run, block by block: from the checkpoint those that are there, the others from the executor."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.executor import Executor
from hmm_plating.inference.prior import Prior
from hmm_plating.inference.smc_abc.simulation import Simulation
from hmm_plating.inference.smc_abc.store import Simulated, Store

_FEWEST = 100


@dataclass
class Campaign:
    """The simulations so far.

    Attributes:
        simulation: what simulates a block.
        executor: where.
        store: the checkpoint.
        seed: of the run.
        block_size: draws per block.
        max_failed: fraction of the simulations that may fail.
        blocks, simulations, failed: so far.
        message: of the first exception of a simulator.
    """

    simulation: Simulation
    executor: Executor
    store: Store
    seed: int
    block_size: int
    max_failed: float
    blocks: int = 0
    simulations: int = 0
    failed: int = 0
    message: str = ""
    start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.store.blocks:
            self.start -= self.store.blocks[-1].elapsed

    def simulate(self, draws: Tensor) -> tuple[Tensor, Tensor, float]:
        """Parameters (n, dimension), data (n, m), and the time from the start of the run to the last of them [s].

        Raises:
            InputError: more simulations failed than may.
        """
        parts = list(draws.split(self.block_size))
        stored = self.store.blocks[self.blocks : self.blocks + len(parts)]
        results = []
        for block in stored:
            results.append(block)
            self._count(block)
        missing = [(part, (self.seed, self.blocks + i)) for i, part in enumerate(parts[len(stored) :])]
        try:
            for (part, _), block in zip(missing, self.executor(self.simulation, missing), strict=True):
                results.append(Simulated(part, block.data, block.message, time.monotonic() - self.start))
                self.store.add(results[-1])
                self._count(results[-1])
        finally:
            self.store.flush()
        return (
            torch.cat([block.unconstrained for block in results]),
            torch.cat([block.data for block in results]),
            results[-1].elapsed,
        )

    def _count(self, block: Simulated) -> None:
        failed = ~block.data.isfinite().all(-1)
        self.blocks += 1
        self.simulations += len(failed)
        self.failed += int(failed.sum())
        self.message = self.message or block.message
        if self.failed > self.max_failed * max(self.simulations, _FEWEST):
            example = _described(self.simulation.prior, block.unconstrained[failed][:1])
            reason = self.message or "the data are NaN or infinite"
            raise InputError(
                f"the simulator failed for {self.failed} of {self.simulations} draws ({reason}), for example at "
                f"{example}: correct it, narrow the prior, or raise max_failed ({self.max_failed:g})"
            )


def _described(prior: Prior, unconstrained: Tensor) -> str:
    values, _ = prior.evaluate(unconstrained)
    with torch.no_grad():
        return ", ".join(
            f"{name} = {[float(f'{x:.6g}') for x in value.reshape(-1).tolist()] if value.numel() > 1 else float(value)}"
            for name, value in values.items()
        )
