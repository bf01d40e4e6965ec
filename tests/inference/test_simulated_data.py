"""What simulators return, as rows of numbers."""

import numpy as np
import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.inference.simulated_data import flatten, with_leading


def test_entries_of_a_mapping_stand_in_the_order_of_their_names():
    data = {"b": torch.arange(6.0).reshape(2, 3), "a": {"y": np.array([10, 20]), "x": [[1.0], [2.0]]}}
    rows = flatten(data, 2)
    assert rows.dtype == torch.float64
    assert rows.tolist() == [[1, 10, 0, 1, 2], [2, 20, 3, 4, 5]]


def test_one_data_set_is_a_batch_of_one():
    one = {"y": np.zeros((2, 3)), "x": 1.0}
    assert {name: tuple(value.shape) for name, value in with_leading(one).items()} == {"y": (1, 2, 3), "x": (1,)}
    assert flatten(with_leading(one), 1).shape == (1, 7)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "empty mapping"),
        ({"a": "text"}, "got str$"),
        (torch.tensor(1.0), "first dimension$"),
        ({"a": torch.zeros(3)}, r"2 draws and returned data of shape \(3,\)"),
    ],
)
def test_what_is_no_batch_of_data_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        flatten(data, 2)


def test_the_hint_follows_the_message():
    with pytest.raises(InputError, match=r"first dimension \(look again\)$"):
        flatten({"a": torch.zeros(3)}, 2, hint="look again")
