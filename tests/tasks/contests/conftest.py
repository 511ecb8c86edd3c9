"""The model that the contests are tried on."""

from pathlib import Path

import pytest

from zpinch.model.model import Model
from zpinch.model.storage import load


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return load(trained)
