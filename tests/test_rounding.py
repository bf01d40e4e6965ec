"""Matrix products have the same bits wherever their factors lie in memory, so that a resumed run ends the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import hmm_plating  # noqa: F401  sets the mode of MKL, before its first product


def moved(values: Tensor, slots: int) -> Tensor:
    """A copy that begins so many numbers after an aligned address."""
    room = torch.empty(values.numel() + slots, dtype=values.dtype)
    return room[slots:].view(values.shape).copy_(values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128])
@pytest.mark.parametrize(
    ("rows", "inner", "columns"), [(64, 64, 64), (7, 257, 5), (33, 100, 17), (3, 200, 1), (128, 10, 128)]
)
def test_products_do_not_depend_on_alignment(rows: int, inner: int, columns: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(rows)
    one = torch.randn(rows, inner, generator=generator, dtype=dtype)
    other = torch.randn(inner, columns, generator=generator, dtype=dtype)
    expected = one @ other, other.mT @ one.mT, one @ other[:, 0], one @ one.mH
    for first, second in ((1, 0), (0, 3), (5, 5), (7, 2)):
        a, b = moved(one, first), moved(other, second)
        for found, wanted in zip((a @ b, b.mT @ a.mT, a @ b[:, 0], a @ a.mH), expected, strict=True):
            assert torch.equal(found, wanted)
