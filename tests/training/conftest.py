"""The cases beside this file are imported by their plain name; runs are short."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def runs_are_tiny() -> Iterator[None]:
    from model_cases import tiny_training

    with tiny_training():
        yield
