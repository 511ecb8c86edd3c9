"""NumPy arrays, .npy and .npz: which axis is what, which types, and headers that lie."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, LimitError, UsageError
from zpinch.images import open_stream, splits_of

GREY = np.random.default_rng(0).integers(0, 256, (5, 8, 9), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (5, 8, 9, 3), np.uint8)


def test_layouts() -> None:
    np.testing.assert_array_equal(open_images(GREY).pixels[:, 0], GREY)
    np.testing.assert_array_equal(open_images(GREY[..., None]).pixels[:, 0], GREY)
    np.testing.assert_array_equal(open_images(GREY[:, None]).pixels[:, 0], GREY)
    for layout in (RGB, RGB.transpose(0, 3, 1, 2)):
        np.testing.assert_array_equal(open_images(layout).pixels, RGB.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 3, 8, 3), "second or the last"),
        ((5, 1, 8, 3), "second or the last"),
        ((5, 8, 9, 4), "no axis of 1"),
        ((5, 784), "Reshape it"),
        ((8, 8, 8, 8, 3), "Reshape it"),
        ((), "Reshape it"),
        ((0, 8, 8), "holds no images"),
        ((5, 7, 8), "8 to 128"),
        ((5, 8, 129), "8 to 128"),
    ],
)
def test_shapes_that_are_refused(shape: tuple[int, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=message):
        open_images(np.zeros(shape, np.uint8))
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(ImageError, match=message):
        open_images(tmp_path / "a.npy")


@given(value=st.floats(0, 1))
def test_floats_are_scaled_and_rounded(value: float) -> None:
    for kind in (np.float16, np.float32, np.float64):
        array = np.full((1, 8, 8), value, kind)
        images = open_images(array)
        assert abs(images.pixels[0, 0] - 255 * array[0].astype(np.float64)).max() <= 0.5
        assert images.notes == ("1 image held floats in [0, 1]: times 255, rounded.",)


def test_other_types() -> None:
    assert open_images(GREY > 99).pixels[:, 0].tolist() == np.where(GREY > 99, 255, 0).tolist()
    np.testing.assert_array_equal(open_images(GREY.astype(">u2") * 256 + 255).pixels[:, 0], GREY)
    for array in (GREY.astype(np.int64), GREY.astype(np.int8), GREY.astype(complex), GREY.astype("U3")):
        with pytest.raises(ImageError, match="Save it as uint8"):
            open_images(array)
    for bad in (1.5, -0.1, np.nan, np.inf):
        with pytest.raises(ImageError, match="Scale them into 0 to 1"):
            open_images(np.full((2, 8, 8), bad))


def test_sixteen_bits_that_hold_fewer() -> None:
    array = np.zeros((5, 8, 8), np.uint16)
    for highest in (255, 1023, 4095):
        array[4, 7, 7] = highest
        with pytest.raises(ImageError, match=f"no value above {highest:,}: .* scale it to 0 to 65,535"):
            open_images(array)
    array[4, 7, 7] = 4096
    assert open_images(array).pixels.max() == 16


def test_size_and_sides() -> None:
    assert open_images(np.zeros((2, 200, 5, 3), np.uint8), size=16).pixels.shape == (2, 3, 16, 16)
    with pytest.raises(LimitError):
        open_images(np.broadcast_to(np.uint8(0), (1, 1 << 13, 1 << 13)), size=16)


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_read_in_batches(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / "a.npy", np.asarray(RGB, order=order))  # type: ignore[call-overload]
    stream = open_stream(tmp_path / "a.npy")
    assert [len(batch) for batch in stream.batches(2)] == [2, 2, 1]
    np.testing.assert_array_equal(stream.collect().pixels, RGB.transpose(0, 3, 1, 2))


def test_npz_keys(tmp_path: Path) -> None:
    labels = np.array([0, 2, 1, 0, 0])
    np.savez(tmp_path / "keras.npz", x_train=GREY, y_train=labels, x_test=GREY[:2], y_test=labels[:2, None] // 2)
    assert splits_of(tmp_path / "keras.npz") == ("train", "test")
    assert len(open_images(tmp_path / "keras.npz")) == 5
    test = open_images(tmp_path / "keras.npz", split="test")
    assert (test.labels.tolist(), test.class_names) == ([0, 1], ("0", "1", "2"))  # type: ignore[union-attr]
    both = open_images(tmp_path / "keras.npz", split="all")
    np.testing.assert_array_equal(both.pixels[:, 0], np.concatenate([GREY, GREY[:2]]))
    assert both.labels.tolist() == [0, 2, 1, 0, 0, 0, 1]  # type: ignore[union-attr]
    for keys in (("images", "labels"), ("images", "label"), ("images", "Class"), ("images", "target"), ("x", "y")):
        np.savez_compressed(tmp_path / "a.npz", **dict(zip(keys, (GREY, labels), strict=True)))
        assert open_images(tmp_path / "a.npz").labels.tolist() == labels.tolist()  # type: ignore[union-attr]
    np.savez(tmp_path / "a.npz", images=GREY, label=labels, target=labels)
    with pytest.raises(ImageError, match="several arrays of labels: label, target"):
        open_images(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", GREY)
    assert not open_images(tmp_path / "a.npz").is_labelled
    np.savez(tmp_path / "a.npz", foo=GREY, bar=GREY)
    with pytest.raises(ImageError, match="has arrays bar, foo"):
        open_images(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("in_train", "in_test", "classes"),
    [
        (["cat", "dog", "eel"], ["eel", "dog", "eel"], ("cat", "dog", "eel")),
        (["dog", "eel", "eel"], ["ant", "dog", "cat"], ("ant", "cat", "dog", "eel")),
    ],
)
def test_the_splits_of_an_npz_share_classes_by_name(
    tmp_path: Path, in_train: list[str], in_test: list[str], classes: tuple[str, ...]
) -> None:
    np.savez(tmp_path / "w.npz", x_train=GREY[:3], y_train=in_train, x_test=GREY[:3], y_test=in_test)
    for split, wanted in (("train", in_train), ("test", in_test), ("all", in_train + in_test)):
        images = open_images(tmp_path / "w.npz", split=split)
        assert images.class_names == classes
        assert [classes[label] for label in images.labels] == wanted  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_classes_are_the_numbers_that_occur(tmp_path: Path, kind: type[np.generic]) -> None:
    labels = np.array([26, 3, 1, 3, 100], kind)
    np.savez(tmp_path / "one.npz", images=GREY, labels=labels)
    given = (labels, labels.tolist(), tuple(labels))
    for images in (*(open_images(GREY, labels=one) for one in given), open_images(tmp_path / "one.npz")):
        assert images.labels is not None
        assert (images.labels.tolist(), images.class_names) == ([2, 1, 0, 1, 3], ("1", "3", "26", "100"))
    np.savez(tmp_path / "two.npz", x_train=GREY, y_train=labels, x_test=GREY[:2], y_test=np.array([100, 7], kind))
    test = open_images(tmp_path / "two.npz", split="test")
    assert test.labels is not None
    assert (test.labels.tolist(), test.class_names) == ([4, 2], ("1", "3", "7", "26", "100"))
    with pytest.raises(ImageError, match="70,000 different labels; at most 65,536"):
        open_images(GREY, labels=np.arange(70_000))


def test_labels_are_positions_where_class_names_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=GREY, labels=[3, 1, 3, 3, 1], class_names=["a", "b", "c", "d"])
    images = open_images(tmp_path / "a.npz")
    assert images.labels is not None
    assert (images.labels.tolist(), images.class_names) == ([3, 1, 3, 3, 1], ("a", "b", "c", "d"))
    np.savez(tmp_path / "a.npz", images=GREY, labels=[3, 1, 3, 3, 1], class_names=["a", "b"])
    with pytest.raises(ImageError, match="labels up to 3 but 2 class names"):
        open_images(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "labels",
    [np.arange(4), -np.ones(5, int), np.zeros(5), np.zeros((5, 2), int), np.empty(0, int)],
)
def test_labels_that_do_not_fit(labels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="labels"):
        open_images(GREY, labels=labels)
    np.savez(tmp_path / "a.npz", images=GREY, labels=labels)
    with pytest.raises(ImageError, match="labels"):
        open_images(tmp_path / "a.npz")


def test_lists_are_labels_and_no_images() -> None:
    words = ["eel", "dog", "eel", "ant", "dog"]
    for labels in (words, np.array(words, object)):  # pandas holds words as objects
        images = open_images(GREY, labels=labels)
        assert images.labels is not None
        assert [images.class_names[label] for label in images.labels] == words
    shown = open_images(np.zeros((2, 8, 8), np.uint8), labels=["a\nb", "\x1b[31mc"])
    assert shown.class_names == ("%1B[31mc", "a%0Ab")  # as archives can hold them
    for wrong in ([1, 2], [[1], [2, 3]], [None, *words[1:]], [0.5] * 5, 3):
        with pytest.raises(ImageError, match="labels"):
            open_images(GREY, labels=wrong)
    for source in (list(GREY), [[0, 1]], None):
        for asked in (open_images, splits_of):
            with pytest.raises(UsageError, match=r"not from a (list|NoneType)\. Of a list of arrays numpy\.stack"):
                asked(source)  # type: ignore[arg-type]


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("unpickled",))

    np.save(tmp_path / "a.npy", np.array([Trap()], object))
    np.savez(tmp_path / "a.npz", images=np.array([Trap()], object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ImageError, match="pickled"):
            open_images(tmp_path / name)
    (tmp_path / "b.npy").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CorruptImage):
        open_images(tmp_path / "b.npy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrays")


@given(at=st.integers(0, 140), to=st.integers(0, 255), cut=st.integers(0, 200))
def test_a_damaged_npy_is_an_error_or_images(folder: Path, at: int, to: int, cut: int) -> None:
    file = io.BytesIO()
    np.save(file, GREY)
    data = bytearray(file.getvalue())
    data[at] = to
    for damaged in (bytes(data), file.getvalue()[: -cut or None], file.getvalue() + bytes(cut)):
        (folder / "a.npy").write_bytes(damaged)
        try:
            assert open_images(folder / "a.npy").pixels.size == GREY.size
        except (ImageError, LimitError, UsageError):
            continue


def test_claims_beyond_the_file_take_no_memory(tmp_path: Path) -> None:
    def write(shape: str) -> None:
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        head = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text
        (tmp_path / "a.npy").write_bytes(head + bytes(320))
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("images.npy", head + bytes(320))

    write("(5, 8, 8)")
    assert [open_images(tmp_path / name).pixels.shape for name in ("a.npy", "a.npz")] == [(5, 1, 8, 8)] * 2
    for shape in ("(1000000000, 28, 28)", "(-1, 8, 8)", "(True, 8, 8)", "(5, 8, 8", "5", "[5, 8, 8]"):
        write(shape)
        for name in ("a.npy", "a.npz"):
            with pytest.raises(CorruptImage):
                open_images(tmp_path / name)
