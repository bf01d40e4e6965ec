"""Torch works in one thread where the plating model runs, and as before after that."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from hmm_plating.threads import in_threads, one_torch_thread


@pytest.fixture
def two() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


def test_one_thread_inside_and_the_former_number_after_an_error(two: int) -> None:
    seen = []

    @one_torch_thread()
    def work() -> None:
        seen.append(torch.get_num_threads())
        raise ValueError("within")

    for _ in range(2):
        with pytest.raises(ValueError, match="within"):
            work()
        assert torch.get_num_threads() == two
    assert seen == [1, 1]


def test_every_call_is_made_and_torch_keeps_its_threads(two: int) -> None:
    done: dict[int, int] = {}
    in_threads(lambda k: done.__setitem__(k, threading.get_ident()), [(k,) for k in range(20)])
    assert sorted(done) == list(range(20))
    assert torch.get_num_threads() == two


def test_an_error_in_a_thread_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda k: 1 // k, [(1,), (0,)])
