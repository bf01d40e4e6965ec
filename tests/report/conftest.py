"""The known result as fixtures."""

from __future__ import annotations

import pytest
from arviz import InferenceData
from known_result import make_result


@pytest.fixture
def result() -> InferenceData:
    return make_result()


@pytest.fixture(scope="session")
def result_factory():
    return make_result
