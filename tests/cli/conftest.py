"""The cases in tests/model are imported by their plain name; runs are short, and most tests share three models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zpinch.images import ImageCollection

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))


@pytest.fixture(autouse=True)
def runs_are_tiny() -> Iterator[None]:
    from model_cases import tiny_training

    with tiny_training():
        yield


@pytest.fixture(scope="session")
def train_digits() -> ImageCollection:
    from model_cases import digits

    return digits(240)


@pytest.fixture(scope="session")
def held_digits() -> ImageCollection:
    from model_cases import digits

    return digits(60, split="test")


SETTINGS = ("schedule.batch=32", "schedule.warm_up=5", "schedule.learning_rate=0.005")


def quickly_trained(images: ImageCollection, out: Path, recipe: str, steps: int) -> Path:
    from model_cases import tiny_training

    from zpinch.tasks.train import train

    with tiny_training():
        train(images, recipe=recipe, backbone="mlp", latent=16, steps=steps, settings=SETTINGS, out=out)
    return out


@pytest.fixture(scope="session")
def trained(train_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dense model of the fusion recipe that has seen a few hundred digits; no test writes to its folder."""
    return quickly_trained(train_digits, tmp_path_factory.mktemp("models") / "digits model", "fusion", 60)


@pytest.fixture(scope="session")
def gan(train_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quickly_trained(train_digits, tmp_path_factory.mktemp("models") / "gan model", "gan", 3)


@pytest.fixture(scope="session")
def unlabelled(train_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from zpinch.images import ImageCollection

    return quickly_trained(
        ImageCollection(train_digits.pixels), tmp_path_factory.mktemp("models") / "plain", "autoencoder", 10
    )
