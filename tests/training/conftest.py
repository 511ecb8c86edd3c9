"""The cases beside this file and in tests/model are imported by their plain name; runs are short."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "model")]


@pytest.fixture(autouse=True)
def runs_are_tiny() -> Iterator[None]:
    from model_cases import tiny_training

    with tiny_training():
        yield
