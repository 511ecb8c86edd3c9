"""Runs are short."""

import pytest

from trained_models import classifiers_are_quick, runs_are_tiny  # noqa: F401 (pytest finds fixtures by the names in a conftest)


@pytest.fixture(autouse=True)
def brief_runs_look_as_often_as_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zpinch.training.session.LOOK_STEPS", 1)
