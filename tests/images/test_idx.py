"""IDX: written here by hand from its definition, plain and packed, whole and damaged."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, LimitError
from zpinch.images import open_stream, splits_of

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 9), np.uint8)
LABELS = np.array([3, 1, 0, 2, 2, 1], np.uint8)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def four(folder: Path, *, packed: bool, dotted: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, part in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
        for kind, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
            data = idx(array[part])
            name = f"{stem}-{kind}-ubyte"
            name = name.replace("-idx", ".idx") if dotted else name
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", [".", "raw", "MNIST/raw"])
def test_the_folder_of_four(tmp_path: Path, packed: bool, below: str) -> None:
    four(tmp_path / below, packed=packed, dotted=below == ".")
    assert splits_of(tmp_path) == ("train", "test")
    for split, part in (("train", slice(0, 4)), ("test", slice(4, 6)), ("all", slice(None))):
        images = open_images(tmp_path, split=split)
        np.testing.assert_array_equal(images.pixels[:, 0], IMAGES[part])
        assert images.labels is not None
        np.testing.assert_array_equal(images.labels, LABELS[part])
        assert (images.class_names, images.names) == (("0", "1", "2", "3"), None)
    assert [len(batch) for batch in open_stream(tmp_path, split="all").batches(3)] == [3, 3]


def test_one_file_finds_its_labels(tmp_path: Path) -> None:
    four(tmp_path, packed=True)
    images = tmp_path / "t10k-images-idx3-ubyte.gz"
    found = open_images(images)
    assert (found.labels.tolist(), found.class_names) == ([1, 0], ("1", "2"))  # type: ignore[union-attr]
    with pytest.raises(ImageError, match="no test split"):
        open_images(images, split="test")
    with pytest.raises(ImageError, match="holds labels"):
        open_images(tmp_path / "t10k-labels-idx1-ubyte.gz")
    given_labels = open_images(images, labels=tmp_path / "t10k-labels-idx1-ubyte.gz")
    assert (given_labels.labels.tolist(), given_labels.class_names) == ([1, 0], ("1", "2"))  # type: ignore[union-attr]
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(LABELS))
    with pytest.raises(CorruptImage, match=r"\(6,\) labels"):
        open_images(images)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert not open_images(images).is_labelled
    assert not open_images(tmp_path, split="all").is_labelled


def test_labels_from_1_make_no_class_0(tmp_path: Path) -> None:
    """As EMNIST's letters have them."""
    for stem, labels in (("train", [1, 26, 1, 2, 3, 1]), ("t10k", [26, 1, 1, 1, 1, 1])):
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(idx(IMAGES))
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(idx(np.array(labels, np.uint8)))
    for split, wanted in (("train", [0, 3, 0, 1, 2, 0]), ("test", [3, 0, 0, 0, 0, 0])):
        images = open_images(tmp_path, split=split)
        assert images.labels is not None
        assert (images.labels.tolist(), images.class_names) == (wanted, ("1", "2", "3", "26"))


def test_a_folder_of_one_split_is_everything(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    assert splits_of(tmp_path) == ()
    assert len(open_images(tmp_path, split="all")) == 6


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx")


@pytest.mark.parametrize("packed", [True, False])
def test_any_byte_of_the_header_may_change_to_anything(scratch: Path, packed: bool) -> None:
    """Either the very same pixels come back or a named error."""

    @given(at=st.integers(0, 15), to=st.integers(0, 255))
    def check(at: int, to: int) -> None:
        data = bytearray(idx(IMAGES))
        data[at] = to
        path = scratch / "images-idx3-ubyte"
        path.write_bytes(gzip.compress(bytes(data), 1) if packed else bytes(data))
        try:
            pixels = open_images(path).pixels
        except (ImageError, LimitError):
            return
        assert pixels.tobytes() == IMAGES.tobytes()

    check()


@settings(max_examples=40)
@given(cut=st.integers(1, 500), extra=st.binary(min_size=1, max_size=20))
def test_too_short_and_too_long_are_damage(scratch: Path, cut: int, extra: bytes) -> None:
    whole = idx(IMAGES)
    packed = gzip.compress(whole, 1)
    path = scratch / "a-idx3-ubyte"
    for data in (whole[: -min(cut, len(whole))], whole + extra):
        for stored in (data, gzip.compress(data, 1)):
            path.write_bytes(stored)
            with pytest.raises(CorruptImage):
                open_images(path)
    path.write_bytes(packed[: -min(cut, len(packed) - 2)])
    with pytest.raises(CorruptImage):
        open_images(path)


def test_a_packed_file_cannot_claim_more_than_it_could_unpack_to(tmp_path: Path) -> None:
    path = tmp_path / "a-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 1 << 31, 28, 28)))
    with pytest.raises(CorruptImage, match="holds at most"):
        open_stream(path)


def test_other_types_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(struct.pack(">HBB3I", 0, 0x0D, 3, 1, 8, 8) + bytes(256))
    with pytest.raises(ImageError, match="type 0x0d"):
        open_images(path)
    path.write_bytes(gzip.compress(bytes(100))[:-9])
    with pytest.raises(CorruptImage):
        open_images(path)
