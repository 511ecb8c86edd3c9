"""A model of colours and images that are all grey, as the test split of a set with a few colour images may be."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_cases import blobs, finished_model, quick_classifiers

import zpinch
from zpinch.errors import ImageError
from zpinch.images import ImageCollection, save_images
from zpinch.images.collection import fingerprints
from zpinch.model.model import Model
from zpinch.tasks.evaluate import both_splits

COLOUR, TOLD = (
    blobs(24, (3, 8, 8), classes=2),
    "24 images are grey, for a model of colours: given three equal channels.",
)
GREY = blobs(24, classes=2, seed=1)
REPEATED = replace(GREY, pixels=np.repeat(GREY.pixels, 3, axis=1))


@pytest.fixture(scope="module")
def model() -> Model:
    return finished_model(COLOUR)


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_classifiers():
        yield


def test_they_are_compressed_found_and_embedded_as_three_equal_channels(model: Model, tmp_path: Path):
    save_images(ImageCollection(GREY.pixels), tmp_path / "grey")
    written = zpinch.compress(tmp_path / "grey", model, tmp_path / "a.zpn")
    assert TOLD in written.warnings
    with zpinch.open_archive(written.path, model) as archive:
        np.testing.assert_array_equal(archive.codes, model.encode(REPEATED.pixels))
    assert zpinch.find(written.path, tmp_path / "grey" / "000007.png", 1, model=model)[0].distance == 0
    found = zpinch.embed(GREY, model)
    np.testing.assert_array_equal(found.features, zpinch.embed(REPEATED, model).features)
    assert TOLD in found.notes


def test_a_grey_test_split_is_evaluated(model: Model, tmp_path: Path):
    save_images(COLOUR, tmp_path / "set" / "train")
    save_images(GREY, tmp_path / "set" / "test")
    found = zpinch.evaluate(tmp_path / "set", model)
    assert found.images == 24
    assert TOLD in found.notes
    off = model.decode(model.encode(REPEATED.pixels)) / 255 - REPEATED.pixels / 255
    assert found.archive.reconstruction.mse == pytest.approx(np.mean(off**2), rel=1e-6)


def test_halves_of_grey_images_are_known_to_a_model_that_was_trained_on_all():
    assert both_splits(GREY, channels=3).whole == fingerprints(REPEATED)
    assert both_splits(GREY).whole == fingerprints(GREY)


def test_they_are_looked_at_and_added_to(model: Model, tmp_path: Path):
    assert TOLD in zpinch.explore(model, GREY, tmp_path / "explored").left_out
    made = zpinch.augment(GREY, model, per_class=13, prove=True, test=blobs(8, classes=2, seed=2), repeats=5)
    assert made.images.shape == (3, 8, 8)
    assert TOLD in made.notes


def test_colours_are_not_made_grey(tmp_path: Path):
    """Which of two splits they are in is said: the other one is what the model was trained on."""
    grey = finished_model(GREY)
    with pytest.raises(ImageError, match="these are 8x8 RGB"):
        zpinch.compress(COLOUR, grey, tmp_path / "a.zpn")
    save_images(GREY, tmp_path / "set" / "train")
    save_images(COLOUR, tmp_path / "set" / "test")
    with pytest.raises(ImageError, match=r"the test images of .*set are 8x8 RGB. Convert them"):
        zpinch.evaluate(tmp_path / "set", grey)
    with pytest.raises(ImageError, match=r"the test images of .*set are 8x8 RGB. Convert them"):
        zpinch.augment(tmp_path / "set", grey, per_class=13, prove=True)
