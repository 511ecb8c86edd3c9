"""The models come from tests/trained_models.py."""

import pytest

from trained_models import *  # noqa: F403 (pytest finds fixtures by the names in a conftest)


@pytest.fixture(autouse=True)
def brief_runs_look_as_often_as_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zpinch.training.session.LOOK_STEPS", 1)
