"""Calls of the simulator, and the replay buffer of all that it has returned.

A pair (β, x) with x ~ p(x | β) stays a valid draw of the likelihood whatever proposal β came from: the ratio loss pairs
the same β with reference data, so that its optimum log p(x | β) − log q(x) does not depend on how β is distributed
(Hermans, Begy, Louppe, ICML 2020, arXiv:1903.04057, section 3). The buffer therefore keeps every pair of every round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.prior import Prior
from hmm_plating.inference.simulated_data import flatten


class Simulations(NamedTuple):
    """Pairs of parameters and data.

    Attributes:
        parameters: unconstrained coordinates, (S, d), float64.
        data: flattened, (S, k), float64.
        local: local latent variables of each data point, (S, l), float64; l = 0 without.
        round: in which round each was made, (S,).
    """

    parameters: Tensor
    data: Tensor
    local: Tensor
    round: Tensor

    def append(self, other: Simulations) -> Simulations:
        return Simulations(*(torch.cat(pair) for pair in zip(self, other, strict=True)))

    def select(self, index: Tensor) -> Simulations:
        return Simulations(*(column[index] for column in self))


def simulate(
    prior: Prior,
    simulator: Callable[..., Any],
    unconstrained: Tensor,
    data_size: int,
    local: bool,
    max_failed: float,
    round_number: int,
) -> Simulations:
    """Simulate at (S, d) unconstrained coordinates; the draws that failed are left out.

    A draw fails where its data are not finite, or where the simulator raises on it alone: a batch that raises is
    halved until the draws that are to blame are found.

    Raises:
        InputError: more than `max_failed` of the draws fail; a result of the wrong shape or type.
    """
    allowed = int(max_failed * len(unconstrained))
    parts: list[Simulations] = []
    failed, last_error = 0, None
    pending = [unconstrained]
    while pending and failed <= allowed:
        batch = pending.pop()
        with torch.no_grad():
            parameters = prior.arguments(prior.evaluate(batch)[0])
            try:
                returned = simulator(parameters)
            except Exception as error:  # whatever goes wrong for some parameters is theirs
                last_error = error
                if len(batch) > 1:
                    pending += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                else:
                    failed += 1
                continue
        data, latent = _rows(returned, len(batch), data_size, local)
        finite = torch.isfinite(data).all(-1) & torch.isfinite(latent).all(-1)
        failed += int((~finite).sum())
        number = torch.full((int(finite.sum()),), round_number)
        parts.append(Simulations(batch[finite], data[finite], latent[finite], number))
    if failed > allowed or failed == len(unconstrained):
        reason = f"it raised {type(last_error).__name__}: {last_error}" if last_error else "it returned NaN or infinity"
        raise InputError(
            f"simulator: more than {max_failed:.0%} of {len(unconstrained)} draws failed in round {round_number} "
            f"({reason}): mend it, narrow the prior or raise max_failed"
        ) from last_error
    return Simulations(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _rows(returned: Any, count: int, data_size: int, local: bool) -> tuple[Tensor, Tensor]:
    """Data and local latents, each flattened to (count, …)."""
    latent: Any = torch.zeros(count, 0)
    if local:
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise InputError("simulator: with local=True it must return a pair (latents, data)")
        latent, returned = returned
    data = flatten(returned, count)
    if data.shape[1] != data_size:
        raise InputError(
            f"one simulation has {data.shape[1]} numbers, one observation has {data_size}: simulator and observed must "
            "have the same shape"
        )
    return data, flatten(latent, count)
