"""What was written reads back, appears whole or not at all, and never leaves OUT."""

import csv
import errno
import importlib
import io
import json
import os
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from zpinch import open_images
from zpinch.errors import ImageError, LimitError, MissingExtra, UsageError
from zpinch.images import ImageCollection, contact_sheet, open_writer, save_images

KINDS = ("folder", "a.zip", "a.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("writers")


WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
NASTY = st.sampled_from(
    ["../x.png", "/a.png", "a", "A", "a.png", "con", "train/a.png", "c\\d.png", "b/a.png", "é", ".h"]
)


@st.composite
def collections(draw: st.DrawFn) -> ImageCollection:
    n, channels = draw(st.integers(1, 6)), draw(st.sampled_from([1, 3]))
    seed = draw(st.integers(0, 1 << 30))
    pixels = np.random.default_rng(seed).integers(0, 256, (n, channels, 8, 9), np.uint8)
    names = tuple(draw(st.lists(WORDS | NASTY, min_size=n, max_size=n))) if draw(st.booleans()) else None
    if not draw(st.booleans()):
        if names is not None:  # an unlabelled folder is a flat one
            names = tuple(name.replace("/", "_").replace("\\", "_") for name in names)
        return ImageCollection(pixels, names=names)
    classes = tuple(
        draw(st.lists((WORDS | NASTY).filter(lambda word: word not in ("train", "test")), min_size=1, max_size=4))
    )
    labels = np.array(draw(st.lists(st.integers(0, len(classes) - 1), min_size=n, max_size=n)), np.int64)
    return ImageCollection(pixels, labels, classes, names)


@settings(max_examples=40)
@given(images=collections(), kind=st.sampled_from(KINDS))
def test_what_is_written_reads_back(folder: Path, images: ImageCollection, kind: str) -> None:
    """The same pixels; the same images together in a class; in the same order where the kind keeps one."""
    out = folder / kind
    if kind == "a.zip" and images.names is not None and images.labels is not None and len(set(images.labels)) == 1:
        # In an archive one folder around several is looked through.
        images = replace(images, names=tuple(name.replace("/", "_").replace("\\", "_") for name in images.names))
    save_images(images, out, force=out.exists())
    try:
        back = open_images(out)
    finally:
        _remove(out)
    assert Counter(image.tobytes() for image in back.pixels) == Counter(image.tobytes() for image in images.pixels)
    assert back.is_labelled == images.is_labelled
    if images.labels is not None and back.labels is not None:
        assert _grouped(back) == _grouped(images)
    if kind == "a.npz":
        np.testing.assert_array_equal(back.pixels, images.pixels)
        if images.labels is not None:
            np.testing.assert_array_equal(back.labels, images.labels)


def _grouped(images: ImageCollection) -> Counter[tuple[bytes, ...]]:
    assert images.labels is not None
    groups = (images.pixels[images.labels == label] for label in np.unique(images.labels))
    return Counter(tuple(sorted(image.tobytes() for image in group)) for group in groups)


def _remove(out: Path) -> None:
    if out.is_file():
        out.unlink()
    elif out.is_dir():
        for path in sorted(out.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        out.rmdir()


def test_generated_names(tmp_path: Path, collection: ImageCollection) -> None:
    save_images(collection, tmp_path / "a")
    assert (tmp_path / "a/dog/000001.png").is_file()
    save_images(ImageCollection(collection.pixels), tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir())[:2] == ["000000.png", "000001.png"]
    assert open_images(tmp_path / "b").fingerprint() == ImageCollection(collection.pixels).fingerprint()


def test_names_of_classes_and_images_cannot_leave(tmp_path: Path, collection: ImageCollection) -> None:
    wicked = ImageCollection(
        collection.pixels[:3], np.array([0, 1, 1]), ("../../up", "/etc"), ("../../../a.png", "C:\\b.png", "/etc/b.png")
    )
    for out in (tmp_path / "deep/er/out", tmp_path / "deep/er/out.zip"):
        save_images(wicked, out)
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    assert {path.name for path in (tmp_path / "deep/er").iterdir()} == {"out", "out.zip"}
    expected = ["_.._.._up/a.png", "_etc/C_/b.png", "_etc/etc/b.png", "metadata.csv"]
    with zipfile.ZipFile(tmp_path / "deep/er/out.zip") as archive:
        assert sorted(archive.namelist()) == expected


def test_names_without_an_ending_keep_their_dots(tmp_path: Path, collection: ImageCollection) -> None:
    names = ("scan.0001", "scan.0002", "a.JPG", "b", "v1.2/c.tiff")
    save_images(ImageCollection(collection.pixels[:5], names=names), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["scan.0001.png", "scan.0002.png", "a.png", "b.png", "v1.2/c.png"]


@pytest.mark.parametrize("ending", ["", ".zip", ".npz"])
def test_an_output_may_have_as_long_a_name_as_files_have(
    tmp_path: Path, collection: ImageCollection, ending: str
) -> None:
    out = tmp_path / ("猫" * 83 + ending)  # 249 bytes
    save_images(collection, out)
    assert len(open_images(out)) == 12
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_npz_is_plain_numpy(tmp_path: Path, collection: ImageCollection) -> None:
    save_images(collection, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], collection.pixels[:, 0])
        np.testing.assert_array_equal(arrays["labels"], collection.labels)
        assert arrays["class_names"].tolist() == ["cat", "dog", "eel"]
        assert arrays["names"][1] == "dog/000001.png"
    colour = ImageCollection(np.repeat(collection.pixels, 3, 1))
    save_images(colour, tmp_path / "b.npz")
    with np.load(tmp_path / "b.npz") as arrays:
        assert arrays["images"].shape == (12, 8, 9, 3)
    assert open_images(tmp_path / "b.npz").fingerprint() == colour.fingerprint()


def test_the_same_images_give_the_same_bytes(tmp_path: Path, collection: ImageCollection) -> None:
    for kind in ("zip", "npz", "png"):
        for name in "ab":
            save_images(collection, tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_parquet(tmp_path: Path, collection: ImageCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    with monkeypatch.context() as without:
        without.setattr(importlib, "import_module", missing)
        with pytest.raises(MissingExtra, match=r"pip install 'zpinch\[parquet\]'"):
            save_images(collection, tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []
    reader = pytest.importorskip("pyarrow.parquet")
    save_images(collection, tmp_path / "a.parquet")
    table = reader.read_table(tmp_path / "a.parquet")
    rows = table.to_pylist()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(rows[4]["image"]))), collection.pixels[4, 0])
    assert (rows[4]["label"], rows[4]["name"]) == (1, "dog/000004.png")
    assert json.loads(table.schema.metadata[b"class_names"]) == ["cat", "dog", "eel"]


def test_a_sheet_is_a_grid(tmp_path: Path, collection: ImageCollection) -> None:
    sheet = np.asarray(contact_sheet(collection.pixels, columns=5, scale=2))
    assert sheet.shape == (3 * 17 - 1, 5 * 19 - 1)
    np.testing.assert_array_equal(sheet[17:33:2, 38:56:2], collection.pixels[7, 0])
    assert (sheet[16] == 128).all()
    save_images(collection, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (4 * 10 - 1, 3 * 9 - 1)
    assert contact_sheet(np.zeros((2, 3, 8, 8), np.uint8)).mode == "RGB"
    with pytest.raises(LimitError, match="at most 4,096"):
        open_writer(tmp_path / "b.png", shape=(1, 8, 8), count_hint=5000)
    with pytest.raises(ImageError, match="at least one"):
        contact_sheet(collection.pixels[:0])


@pytest.mark.parametrize("kind", [*KINDS, "a.png"])
def test_after_an_error_nothing_is_left(tmp_path: Path, collection: ImageCollection, kind: str) -> None:
    def fail_half_way() -> None:
        with open_writer(tmp_path / kind, shape=collection.shape, class_names=collection.class_names) as writer:
            writer.write(collection)
            assert not (tmp_path / kind).exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["a.zip", "a.npz", "a.png"])
def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path, collection: ImageCollection, kind: str) -> None:
    (tmp_path / kind).write_text("precious")
    with pytest.raises(UsageError, match="--force to replace it"):
        save_images(collection, tmp_path / kind)
    assert (tmp_path / kind).read_text() == "precious"
    save_images(collection, tmp_path / kind, force=True)
    assert (tmp_path / kind).read_bytes() != b"precious"
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / "x" / kind).mkdir(parents=True)
    with pytest.raises(UsageError, match="is a folder"):
        save_images(collection, tmp_path / "x" / kind, force=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_or_a_pipe_is_never_replaced(tmp_path: Path, collection: ImageCollection, kind: str) -> None:
    out = tmp_path / kind
    os.mkfifo(out)
    with pytest.raises(UsageError, match="device or a pipe"):
        save_images(collection, out, force=True)
    assert out.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_folder_that_is_there_is_only_added_to(tmp_path: Path, collection: ImageCollection) -> None:
    out = tmp_path / "out"
    out.mkdir()
    save_images(collection[:1], out)  # an empty folder is free
    (out / "cat/mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="--force to add to it"):
        save_images(collection, out)
    save_images(collection, out, force=True)
    assert (out / "cat/mine.txt").read_text() == "precious"
    assert len(open_images(out)) == 12
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        save_images(collection, tmp_path / "file", force=True)


def test_links_inside_out_are_not_followed(tmp_path: Path, collection: ImageCollection) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "dog").symlink_to(outside)
    with pytest.raises(UsageError, match="not followed"):
        save_images(collection, out, force=True)
    assert list(outside.iterdir()) == []
    assert [path.name for path in out.iterdir()] == ["dog"]
    (out / "dog").unlink()
    (out / "dog").mkdir()
    (outside / "x.png").write_text("precious")
    (out / "dog/000001.png").symlink_to(outside / "x.png")
    save_images(collection, out, force=True)  # the link itself is replaced
    assert (outside / "x.png").read_text() == "precious"
    assert not (out / "dog/000001.png").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "out"}


def test_batches_must_fit_and_endings_be_known(tmp_path: Path, collection: ImageCollection) -> None:
    for ending in ("npy", "jpg", "csv", "zpn", "tgz", "pgm", "avif", "HTML", "txt", "json", "pdf"):
        with pytest.raises(UsageError, match=r"is not written\. OUT is a folder"):
            save_images(collection, tmp_path / f"a.{ending}")
    with pytest.raises(ImageError, match="cannot join"), open_writer(tmp_path / "v1.2", shape=(1, 8, 8)) as writer:
        writer.write(collection)
    (tmp_path / "plain").write_text("")
    with pytest.raises(UsageError, match="plain is a file where a folder is needed"):
        save_images(collection, tmp_path / "plain/out.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_many_batches_make_one_output(tmp_path: Path, collection: ImageCollection) -> None:
    for kind in KINDS:
        with open_writer(tmp_path / kind, shape=collection.shape, class_names=collection.class_names) as writer:
            for start in range(0, 12, 5):
                writer.write(collection[start : start + 5])
            assert writer.count == 12
        assert open_images(tmp_path / kind).pixels.sum() == collection.pixels.sum()
    assert sorted(os.listdir(tmp_path)) == sorted(KINDS)


def test_columns_are_written_beside_images(tmp_path: Path):
    """Read back by csv, numpy and pyarrow; in several batches."""
    images = ImageCollection(np.zeros((1500, 1, 8, 8), np.uint8), np.arange(1500) % 2, ("a", "b, c"))
    columns = {"origin": np.array([f'x"{i}' for i in range(1500)]), "weight": np.linspace(0, 1, 1500).round(3)}
    for out in ("f", "f.zip", "f.npz", "f.parquet", "s.zip"):
        save_images(images if out != "s.zip" else images[:3], tmp_path / out, columns=columns if out != "s.zip" else {})
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        texts = [archive.read("metadata.csv").decode(), (tmp_path / "f" / "metadata.csv").read_text()]
    for text in texts:
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["origin"] for row in rows] == columns["origin"].tolist()
        assert [float(row["weight"]) for row in rows] == columns["weight"].tolist()
        assert [row["label"] for row in rows] == ["a", "b, c"] * 750
        assert all((tmp_path / "f" / row["file_name"]).is_file() for row in rows)
    with np.load(tmp_path / "f.npz") as arrays:
        assert arrays["origin"].tolist() == columns["origin"].tolist()
        assert arrays["weight"].tolist() == columns["weight"].tolist()
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table["origin"].to_pylist() == columns["origin"].tolist()
    assert table["weight"].to_pylist() == columns["weight"].tolist()
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert "metadata.csv" not in archive.namelist()
    assert open_images(tmp_path / "f").class_names == ("a", "b, c")


@pytest.mark.parametrize(
    "classes", [("01", "02", "07"), ("007", "07", "7"), ("1355868", "1355920"), ("2", "10"), ("1_0", "1e3", "+1")]
)
@pytest.mark.parametrize("out", ["f", "f.zip", "f.npz", "f.parquet"])
def test_classes_that_look_like_numbers_come_back(tmp_path: Path, classes: tuple[str, ...], out: str) -> None:
    """With metadata.csv, as augment writes it."""
    labels = np.arange(6) % len(classes)
    images = ImageCollection(np.zeros((6, 1, 8, 8), np.uint8), labels, classes, tuple(f"{i}.png" for i in range(6)))
    save_images(images, tmp_path / out, columns={"origin": np.arange(6)})
    back = open_images(tmp_path / out)
    assert back.names is not None
    assert back.labels is not None
    found = {name[-5:]: back.class_names[label] for name, label in zip(back.names, back.labels, strict=True)}
    assert found == {f"{i}.png": classes[label] for i, label in enumerate(labels)}


@pytest.mark.parametrize("has_columns", [False, True])
@pytest.mark.parametrize("out", ["f", "f.zip", "f.npz", "f.parquet"])
def test_classes_that_no_folder_may_be_called_come_back(tmp_path: Path, has_columns: bool, out: str) -> None:
    """Neither as splits, nor hidden, nor by the name that a system would make of theirs."""
    numbers, letters = ("-1", "0", "1"), ("A", "a", "zéro")
    splits, systems = ("Testing", "cat", "train", "val"), (".hidden", "__MACOSX", "a/b", "con", "dot.", "x.png")
    for classes in (numbers, letters, splits, splits[::3], splits[2:3], systems):
        labels = np.arange(8) % len(classes)
        images = ImageCollection(np.arange(8, dtype=np.uint8).repeat(64).reshape(8, 1, 8, 8), labels, classes)
        columns = {"origin": np.arange(8)} if has_columns else {}
        save_images(images, tmp_path / out, columns=columns, force=(tmp_path / out).exists())
        back = open_images(tmp_path / out)
        assert back.labels is not None
        found = {int(image[0, 0, 0]): back.class_names[c] for image, c in zip(back.pixels, back.labels, strict=True)}
        assert found == {i: classes[c] for i, c in enumerate(labels)}
        _remove(tmp_path / out)


def test_what_is_added_to_a_folder_hides_nothing_that_is_there(tmp_path: Path, collection: ImageCollection) -> None:
    """A metadata.csv that lists the new images alone would: others are ignored."""
    names = tuple(f"{i}.png" for i in range(12))
    images = replace(collection, class_names=("a/b", "cat", "test"), names=names)
    save_images(images[:5], tmp_path / "new")
    save_images(images[3:], tmp_path / "new", force=True)
    back = open_images(tmp_path / "new")
    assert (len(back), back.class_names) == (12, images.class_names)
    assert np.bincount(back.labels).tolist() == np.bincount(images.labels).tolist()  # type: ignore[arg-type]
    save_images(collection, tmp_path / "mine")
    save_images(images, tmp_path / "mine", force=True)
    assert open_images(tmp_path / "mine").class_names == ("a_b", "cat", "dog", "eel", "test_")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "metadata.csv").write_bytes(b"\xff")
    save_images(images, tmp_path / "torn", force=True)
    assert open_images(tmp_path / "torn").class_names == images.class_names


def test_a_folder_that_is_there_may_be_a_disk_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be renamed into a mounted disk from outside, nor through a link to it."""
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.mkdir()
    link.symlink_to(disk)
    renamed = os.replace

    def within(source: Path, target: Path) -> None:
        if Path(source).is_relative_to(disk) != Path(target).is_relative_to(disk):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        renamed(source, target)

    monkeypatch.setattr(os, "replace", within)
    images = ImageCollection(np.zeros((3, 1, 8, 8), np.uint8))
    save_images(images, link)
    save_images(images, disk, force=True)
    assert len(open_images(disk)) == 3
    assert not list(disk.glob(".*"))
