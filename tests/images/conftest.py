"""Real files made on the spot: pictures and sets of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zpinch.images import ImageCollection


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def collection(rng: np.random.Generator) -> ImageCollection:
    """Twelve labelled grey images of 9x8 (height 8)."""
    pixels = rng.integers(0, 256, (12, 1, 8, 9), np.uint8)
    return ImageCollection(pixels, np.arange(12, dtype=np.int64) % 3, ("cat", "dog", "eel"), source="made up")


@pytest.fixture
def picture(rng: np.random.Generator) -> Callable[..., Path]:
    """Save a random picture of a mode and (width, height) at a path, whose folders are made."""

    def make(path: Path, mode: str = "L", size: tuple[int, int] = (8, 8)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], *channels), np.uint8), mode).save(path)
        return path

    return make
