"""Data as simulators return them: a tensor or an array with the draws leading, or a mapping of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hmm_plating.errors import InputError


def flatten(data: Any, count: int, hint: str = "") -> Tensor:
    """Data with `count` draws leading as (count, k), float64; entries of a mapping in the order of their names.

    Args:
        hint: what else to try where the leading dimension is wrong, in words.

    Raises:
        InputError: they are not tensors, arrays or a mapping of these, or the leading dimension differs.
    """
    if isinstance(data, Mapping):
        if not data:
            raise InputError("the simulator returned an empty mapping")
        return torch.cat([flatten(data[name], count, hint) for name in sorted(data)], 1)
    try:
        tensor = torch.as_tensor(data, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"data must be a tensor, an array or a mapping of them, got {type(data).__name__}") from error
    if tensor.dim() == 0 or len(tensor) != count:
        raise InputError(
            f"the simulator was given {count} draws and returned data of shape {tuple(tensor.shape)}: the draws must "
            f"be its first dimension{f' ({hint})' if hint else ''}"
        )
    return tensor.reshape(count, -1)


def with_leading(data: Any) -> Any:
    """One data set as a batch of one."""
    if isinstance(data, Mapping):
        return {name: with_leading(value) for name, value in data.items()}
    return torch.as_tensor(data)[None]
