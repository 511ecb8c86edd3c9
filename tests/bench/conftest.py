"""The benches are imported by their plain names, in these tests alone: some are named as rooms of tests are."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, from which they are imported."""
    folder = Path(__file__).parents[2] / "bench"
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder
