"""The two shapes in which images travel."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from zpinch import open_images
from zpinch.errors import ImageError, UsageError
from zpinch.images import ImageCollection, open_stream, save_images
from zpinch.images.collection import fingerprints


def test_a_collection_knows_its_shape_and_is_cut_like_an_array(collection: ImageCollection) -> None:
    assert (len(collection), collection.shape, collection.is_labelled) == (12, (1, 8, 9), True)
    named = ImageCollection(collection.pixels, names=tuple("abcdefghijkl"))
    for which in (slice(2, 5), np.array([7, 1, 1]), np.arange(12) % 4 == 0):
        part = named[which]
        np.testing.assert_array_equal(part.pixels, collection.pixels[which])
        assert part.names == tuple(np.array(named.names)[which])
        np.testing.assert_array_equal(collection[which].labels, np.arange(12)[which] % 3)
    assert len(collection[np.zeros(12, bool)]) == 0


def test_lists_make_a_collection_too(collection: ImageCollection) -> None:
    assert collection.labels is not None
    made = ImageCollection(
        list(collection.pixels),  # type: ignore[arg-type]
        collection.labels.tolist(),
        list(collection.class_names),  # type: ignore[arg-type]
        list("abcdefghijkl"),  # type: ignore[arg-type]
    )
    assert made.fingerprint() == collection.fingerprint()
    assert (made.class_names, made.names) == (collection.class_names, tuple("abcdefghijkl"))


def test_a_number_gives_the_pixels_of_that_image(collection: ImageCollection) -> None:
    for number in (3, -1, np.int64(5)):
        np.testing.assert_array_equal(collection[number], collection.pixels[number])
    np.testing.assert_array_equal(list(collection), collection.pixels)
    with pytest.raises(IndexError):
        collection[12]


def test_what_runs_backwards_is_laid_out_anew(collection: ImageCollection) -> None:
    """PyTorch refuses negative strides."""
    for flipped, wanted in (
        (collection[::-1], collection.pixels[::-1]),
        (ImageCollection(collection.pixels[..., ::-1]), collection.pixels[..., ::-1]),
    ):
        np.testing.assert_array_equal(flipped.pixels, wanted)
        assert min(flipped.pixels.strides) > 0
    assert collection[::-1].labels.strides == (8,)
    assert np.shares_memory(collection[2:5].pixels, collection.pixels)


@pytest.mark.parametrize(
    "fields",
    [
        {"pixels": np.zeros((2, 8, 8), np.uint8)},
        {"pixels": np.zeros((2, 2, 8, 8), np.uint8)},
        {"pixels": np.zeros((2, 1, 8, 8), np.float32)},
        {"labels": np.zeros(2, np.int64)},
        {"class_names": ("a",)},
        {"labels": np.zeros(2, np.int32), "class_names": ("a",)},
        {"labels": np.zeros(3, np.int64), "class_names": ("a",)},
        {"labels": np.array([0, 1]), "class_names": ("a",)},
        {"labels": np.array([-1, 0]), "class_names": ("a",)},
        {"names": ("a",)},
    ],
)
def test_what_does_not_fit_together_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ImageError, match="made up"):
        ImageCollection(**{"pixels": np.zeros((2, 1, 8, 8), np.uint8), "source": "made up", **fields})  # type: ignore[arg-type]


def test_the_fingerprint_is_the_hash_it_says(collection: ImageCollection) -> None:
    words = np.array([12, 1, 8, 9], "<i8").tobytes() + collection.pixels.tobytes()
    assert ImageCollection(collection.pixels).fingerprint() == hashlib.sha256(words).hexdigest()
    assert collection.labels is not None
    words += collection.labels.astype("<i8").tobytes()
    assert collection.fingerprint() == hashlib.sha256(words).hexdigest()
    assert collection[::-1].fingerprint() != collection.fingerprint()


@pytest.mark.parametrize("kind", ["keras.npz", "folder"])
@pytest.mark.parametrize("is_labelled", [True, False])
def test_both_splits_have_the_fingerprint_of_all(
    collection: ImageCollection, tmp_path: Path, kind: str, is_labelled: bool
) -> None:
    images = collection if is_labelled else ImageCollection(collection.pixels)
    if kind == "folder":
        save_images(images[:7], tmp_path / kind / "train")
        save_images(images[7:], tmp_path / kind / "test")
    else:
        labels = {"y_train": images.labels[:7], "y_test": images.labels[7:]} if is_labelled else {}
        np.savez(tmp_path / kind, x_train=images.pixels[:7, 0], x_test=images.pixels[7:, 0], **labels)
    training, test, both = (open_images(tmp_path / kind, split=split) for split in ("train", "test", "all"))
    assert (len(training), len(test), both.is_labelled) == (7, 5, is_labelled)
    bare = ImageCollection(both.pixels).fingerprint()
    assert fingerprints(training, test) == (bare, both.fingerprint()) != fingerprints(test, training)


def test_a_stream_gives_the_same_images_at_any_batch_size_and_again() -> None:
    whole = open_images("digits", split="test")
    stream = open_stream("digits", split="test")
    assert (stream.count, stream.shape, stream.is_labelled, stream.has_names) == (3000, (1, 28, 28), True, False)
    for size in (999, 5000):
        batches = list(stream.batches(size))
        assert {len(batch) for batch in batches[:-1]} <= {size}
        np.testing.assert_array_equal(np.concatenate([batch.pixels for batch in batches]), whole.pixels)
    with pytest.raises(UsageError, match="at least one"):
        stream.batches(0)


def test_a_collection_is_shown_in_one_line() -> None:
    pixels = np.zeros((1200, 3, 8, 16), np.uint8)
    assert repr(ImageCollection(pixels, source="x.npz")) == "<ImageCollection: 1,200 of 16x8 RGB, from x.npz>"
