"""Fixtures of tests/tasks, tests/cli and tests/training: runs are short, and most tests share three small models."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from zpinch.images import ImageCollection
    from zpinch.model.model import Model


@pytest.fixture(autouse=True)
def runs_are_tiny() -> Iterator[None]:
    from model_cases import tiny_training

    with tiny_training():
        yield


@pytest.fixture(scope="module")
def classifiers_are_quick() -> Iterator[None]:
    from model_cases import quick_classifiers

    with quick_classifiers():
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


class Pipe(io.RawIOBase):
    """Bytes that can be read once, in pieces as small as a pipe likes to give."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece, self._rest = self._rest[: min(size, 50)], self._rest[min(size, 50) :]
        return bytes(piece)


class Spots(NamedTuple):
    """An archive of several small blocks, what went in, and the model that wrote it; nothing in it is written to."""

    path: Path
    images: ImageCollection
    model: Model
    folder: Path  # the model's


SPOTS_PER_BLOCK = 7


def write_spots(images: ImageCollection, model: Model, path: Path) -> Path:
    """An archive whose blocks have seven images."""
    from zpinch.tasks.compress import compress

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.tasks.compress.images_per_block", lambda *_: SPOTS_PER_BLOCK)
        compress(images, model, path)
    return path


@pytest.fixture(scope="session")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Spots:
    """32 images of 8x8 pixels in five blocks, with names and labels, and an untrained model that codes them."""
    from model_cases import blobs, finished_model

    from zpinch.images import ImageCollection

    drawn = blobs(32, classes=2)
    kinds = [f"{'cat' if i % 5 == 0 else 'dog'}/{i:03}.png" for i in range(32)]
    images = ImageCollection(drawn.pixels, drawn.labels, drawn.class_names, tuple(kinds), source="spots")
    model, here = finished_model(images), tmp_path_factory.mktemp("spots")
    model.save(here / "spots model")
    return Spots(write_spots(images, model, here / "spots.zpn"), images, model, here / "spots model")
