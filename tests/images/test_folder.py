"""Folders as people have them: flat, by class, split, mixed, looping, damaged."""

import errno
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, UsageError
from zpinch.images import check_source, open_stream, save_images, splits_of
from zpinch.images.layout import SPLITS, read_layout

Picture = Callable[..., Path]


def test_a_flat_folder_is_unlabelled_and_sorted(tmp_path: Path, picture: Picture) -> None:
    for name in ("b.png", "a10.png", "a2.PNG"):
        picture(tmp_path / name)
    images = open_images(tmp_path)
    assert images.names == ("a10.png", "a2.PNG", "b.png")
    assert (images.labels, images.class_names, images.notes, splits_of(tmp_path)) == (None, (), (), ())
    np.testing.assert_array_equal(images.pixels[2, 0], np.asarray(Image.open(tmp_path / "b.png")))
    with pytest.raises(ImageError, match="no test split"):
        open_images(tmp_path, split="test")
    with pytest.raises(UsageError, match="train, test or all"):
        open_images(tmp_path, split="val")


def test_class_folders_are_labels_at_any_depth(tmp_path: Path, picture: Picture) -> None:
    for name in ("dog/1.png", "cat/deep/er/2.png", "cat/1.png"):
        picture(tmp_path / name)
    (tmp_path / "empty").mkdir()
    images = open_images(tmp_path)
    assert images.class_names == ("cat", "dog")
    assert images.names == ("cat/1.png", "cat/deep/er/2.png", "dog/1.png")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 0, 1]


def test_classes_that_are_numbers_are_sorted_as_elsewhere(tmp_path: Path, picture: Picture) -> None:
    for name in ("10/1.png", "2/1.png", "9/1.png"):
        picture(tmp_path / "set" / name)
    images = open_images(tmp_path / "set")
    assert images.class_names == ("2", "9", "10")
    assert images.names == ("10/1.png", "2/1.png", "9/1.png")
    assert images.labels is not None
    assert images.labels.tolist() == [2, 0, 1]
    for out in ("again.npz", "again.zip", "again"):
        save_images(images, tmp_path / out)
        assert open_images(tmp_path / out).fingerprint() == images.fingerprint()
    picture(tmp_path / "set" / "x/1.png")
    assert open_images(tmp_path / "set").class_names == ("10", "2", "9", "x")


def test_splits_share_their_classes(tmp_path: Path, picture: Picture) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/b/1.png", "loose.png", "extra/1.png"):
        picture(tmp_path / name)
    assert splits_of(tmp_path) == ("train", "test")
    test = open_images(tmp_path, split="test")
    assert (test.class_names, test.names) == (("a", "b"), ("b/1.png",))
    assert test.labels is not None
    assert test.labels.tolist() == [1]
    assert test.notes == ("Classes of training images only: a.", "2 files lay beside train/ and test/: ignored.")
    assert open_images(tmp_path, split="all").names == ("train/a/1.png", "train/b/1.png", "test/b/1.png")


def test_a_class_is_one_however_its_accents_are_written(tmp_path: Path, picture: Picture) -> None:
    """As on Linux, and as in what macOS packed."""
    nfc, nfd = (unicodedata.normalize(form, "zéro") for form in ("NFC", "NFD"))
    for name in (f"train/{nfd}/1.png", f"train/{nfc}/2.png", "train/un/1.png", f"test/{nfd}/3.png", "test/un/2.png"):
        picture(tmp_path / "set" / name)
    train, test = (open_images(tmp_path / "set", split=split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("un", nfc)
    assert sorted(train.labels) == [0, 1, 1]  # type: ignore[arg-type]
    assert f"{nfd}/1.png" in train.names  # type: ignore[operator]
    save_images(train, tmp_path / "again")
    assert open_images(tmp_path / "again").fingerprint() == train.fingerprint()
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"un", nfc, nfd}
    words = open_images(np.zeros((3, 8, 8), np.uint8), labels=[nfd, "un", nfc])
    assert (words.class_names, words.labels.tolist()) == (("un", nfc), [1, 0, 1])  # type: ignore[union-attr]
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8), np.uint8), labels=[0, 1], class_names=[nfd, "un"])
    assert open_images(tmp_path / "a.npz").class_names == (nfc, "un")


def test_a_class_is_one_whatever_spaces_are_around_it(tmp_path: Path, picture: Picture) -> None:
    """Labels in text files have none, so that augment would write another class than it read."""
    for name in ("cat /1.png", "cat/2.png", " dog\u3000/3.png"):
        picture(tmp_path / "set" / name)
    images = open_images(tmp_path / "set")
    assert images.class_names == ("cat", "dog")
    for out, columns in (("again", {}), ("more", {"origin": np.arange(3)})):
        save_images(images, tmp_path / out, columns=columns)
        back = open_images(tmp_path / out)
        assert (back.class_names, sorted(back.labels)) == (("cat", "dog"), [0, 0, 1])  # type: ignore[arg-type]
    words = open_images(np.zeros((3, 8, 8), np.uint8), labels=["cat", "dog ", " cat"])
    assert (words.class_names, words.labels.tolist()) == (("cat", "dog"), [0, 1, 0])  # type: ignore[union-attr]


def test_the_name_of_a_class_is_composed_once_not_for_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def noted(name: str) -> str:
        asked.append(name)
        return name

    monkeypatch.setattr("zpinch.images.layout.class_name", noted)
    found = read_layout(
        [f"{split}/{c}/{i}.png" for split in SPLITS for c in "ab" for i in range(9)], "a set", skip_bad=False
    )
    assert [place.label for place in found.places["test"]] == [0] * 9 + [1] * 9
    assert sorted(asked) == ["a", "b"]


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("Training", "Testing"), ("TRAINING", "test")])
def test_splits_by_other_names(tmp_path: Path, picture: Picture, train: str, test: str) -> None:
    for name in (f"{train}/a/1.png", f"{train}/b/1.png", f"{test}/b/2.png", "Val/a/1.png"):
        picture(tmp_path / name)
    assert splits_of(tmp_path) == ("train", "test")
    assert open_images(tmp_path).names == ("a/1.png", "b/1.png")
    held = open_images(tmp_path, split="test")
    assert (held.names, held.class_names) == (("b/2.png",), ("a", "b"))
    assert open_images(tmp_path, split="all").names == ("train/a/1.png", "train/b/1.png", "test/b/2.png")
    shutil.rmtree(tmp_path / test)
    with pytest.raises(ImageError, match=f"has {train}/ but no test/. Name the folder {train} itself"):
        open_images(tmp_path)


def test_a_single_folder_in_test_is_no_class(tmp_path: Path, picture: Picture) -> None:
    for name in ("train/n01/1.png", "train/n02/1.png", "test/images/1.png"):
        picture(tmp_path / name)
    train, test, both = (open_images(tmp_path, split=split) for split in ("train", "test", "all"))
    assert (train.class_names, test.class_names, both.class_names) == (("n01", "n02"), (), ())
    assert train.labels is not None
    assert train.labels.tolist() == [0, 1]
    assert (test.labels, test.names) == (None, ("images/1.png",))
    assert test.notes == (
        "images in test/ is no class of train/: the test split has no labels, nor have both together.",
    )
    report = check_source(tmp_path)
    assert (report.count, report.classes, report.notes) == (3, (), test.notes)


def test_classes_of_one_split_only_are_named(tmp_path: Path, picture: Picture) -> None:
    for name in ("train/a/1.png", *(f"test/{name}/1.png" for name in "abcdefgh")):
        picture(tmp_path / name)
    assert open_images(tmp_path).notes == ("Classes of test images only: b, c, d, e, f and 2 more.",)
    shutil.rmtree(tmp_path / "test/a")
    with pytest.raises(ImageError, match="no class in common: a in one, b, c, d, e, f and 2 more in the other"):
        open_images(tmp_path)


def test_flat_splits_are_unlabelled_and_half_labelled_ones_refused(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "train/1.png")
    picture(tmp_path / "test/1.png")
    assert not open_images(tmp_path).is_labelled
    os.remove(tmp_path / "test/1.png")
    picture(tmp_path / "test/a/1.png")
    with pytest.raises(ImageError, match="the other has loose images"):
        open_images(tmp_path)


def test_a_lone_split_is_not_taken_for_a_class(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "train/a/1.png")
    picture(tmp_path / "val/a/1.png")
    with pytest.raises(ImageError, match=r"has train/ but no test/"):
        open_images(tmp_path)
    picture(tmp_path / "plane/1.png")  # now train is a vehicle
    assert open_images(tmp_path).class_names == ("plane", "train", "val")


def test_loose_images_beside_classes_are_refused_or_left_out(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "a/1.png")
    picture(tmp_path / "x.png")
    with pytest.raises(ImageError, match=r"x\.png lies loose"):
        open_images(tmp_path)
    images = open_images(tmp_path, skip_bad=True)
    assert images.names == ("a/1.png",)
    assert images.notes == ("1 file loose beside class folders: ignored.",)


def test_other_and_hidden_files_are_counted(tmp_path: Path, picture: Picture) -> None:
    for name in ("a.png", ".hidden.png", "__MACOSX/a.png", ".git/a.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    assert open_images(tmp_path).notes == (
        "1 file hidden: ignored.",
        "1 file without an image's ending: ignored.",
        "2 hidden folders: ignored.",
    )


def test_different_sizes_name_the_file_and_the_two_ways_out(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "a.png", size=(64, 64))
    picture(tmp_path / "cells/0412.png", size=(61, 64)).rename(tmp_path / "b.png")
    with pytest.raises(ImageError) as caught:
        open_images(tmp_path)
    assert str(caught.value) == (
        "b.png is 61x64, the first image was 64x64. "
        "Pass --size 64 to resize all images, or --skip-bad to leave this one out."
    )
    skipped = open_images(tmp_path, skip_bad=True)
    assert (skipped.names, skipped.notes) == (("a.png",), ("1 image left out: b.png.",))
    assert open_images(tmp_path, size=32).pixels.shape == (2, 1, 32, 32)


@pytest.mark.parametrize("side", [7, 129])
def test_sides_have_limits(tmp_path: Path, picture: Picture, side: int) -> None:
    path = picture(tmp_path / "a.png", size=(side, 64))
    with pytest.raises(ImageError, match=r"8 to 128 pixels.*--size"):
        open_images(path)
    assert open_images(path, size=16).shape == (1, 16, 16)
    with pytest.raises(UsageError, match="--size"):
        open_images(path, size=side)


def test_one_colour_image_makes_all_rgb(tmp_path: Path, picture: Picture) -> None:
    grey = picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", "RGB")
    images = open_images(tmp_path)
    np.testing.assert_array_equal(images.pixels[0], np.stack([np.asarray(Image.open(grey))] * 3))
    assert images.notes == ("1 image stood grey among colour ones: given three equal channels.",)


def test_broken_files_are_named_or_skipped_and_counted(tmp_path: Path, picture: Picture) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    (tmp_path / "a.png").write_bytes(b"not an image")
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[:-30])  # its header is whole: only decoding finds it
    with pytest.raises(CorruptImage, match=r"a\.png is not a readable image: it begins as none of PNG, JPEG") as caught:
        open_images(tmp_path)
    assert caught.value.exit_code == 2
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(CorruptImage, match=r"a\.png is not a readable image: it is empty"):
        open_images(tmp_path)
    stream = open_stream(tmp_path, skip_bad=True)
    assert (stream.count, stream.notes) == (1, ("2 images left out: a.png, b.png.",))
    assert [batch.names for batch in stream.batches(8)] == [("c.png",)]
    (tmp_path / "a.png").unlink()
    with pytest.raises(CorruptImage, match=r"b\.png"):
        open_images(tmp_path)
    (tmp_path / "c.png").unlink()
    with pytest.raises(ImageError, match=r"1 image, and none can be used\. The first: b\.png"):
        open_images(tmp_path, skip_bad=True)


def test_nothing_there_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is empty"):  # a shell's variable that is not set
        open_images("")
    with pytest.raises(ImageError, match="does not exist"):
        open_images(tmp_path / "missing")
    with pytest.raises(ImageError, match="holds no images"):
        open_images(tmp_path)
    (tmp_path / "table.txt").write_text("1,2")
    with pytest.raises(UsageError, match="not a kind of file"):
        open_images(tmp_path / "table.txt")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="neither a file nor a folder"):
        open_images(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="holds no images"):
        open_images(tmp_path)


def test_links_are_followed_once(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "z/1.png")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "z/up").symlink_to("..")
    (tmp_path / "z/broken.png").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")
    picture(tmp_path.parent / "elsewhere/2.png")
    (tmp_path / "b").symlink_to(tmp_path.parent / "elsewhere")
    images = open_images(tmp_path)
    assert images.names == ("b/2.png", "z/1.png")
    assert images.notes == (
        "2 links to folders already read: not followed.",
        "2 broken links or pipes: ignored.",
    )


def test_a_folder_that_cannot_be_read_is_bad_unless_it_is_hidden(
    tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.png", "b/1.png", ".trash/1.png"):
        picture(tmp_path / name)
    scan = os.scandir

    def refusing(path: str) -> object:
        if path.endswith(("b", ".trash")):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ImageError, match="b cannot be read: Permission denied"):
        open_images(tmp_path)
    images = open_images(tmp_path, skip_bad=True)
    assert (images.names, images.notes[0]) == (("a/1.png",), "1 hidden folder: ignored.")
    assert "1 image left out: b/." in images.notes
    assert [fault.file for fault in check_source(tmp_path).problems] == ["b/"]


def test_names_that_are_not_utf8_are_written_in_percent(tmp_path: Path, picture: Picture) -> None:
    path = picture(tmp_path / "a.png")
    try:
        os.rename(path, os.fsencode(tmp_path) + b"/caf\xe9\n.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    images = open_images(tmp_path)
    assert images.names == ("caf%E9%0A.png",)
    images.names[0].encode()


def test_labels_can_come_from_a_file_or_an_array(tmp_path: Path, picture: Picture) -> None:
    for name in "abc":
        picture(tmp_path / "y" / f"{name}.png")
    np.save(tmp_path / "labels.npy", np.array([2, 0, 1]))
    numbered = open_images(tmp_path / "y", labels=tmp_path / "labels.npy")
    assert (numbered.class_names, numbered.labels.tolist()) == (("0", "1", "2"), [2, 0, 1])  # type: ignore[union-attr]
    worded = open_images(tmp_path / "y", labels=np.array(["yes", "no", "yes"]))
    assert (worded.class_names, worded.labels.tolist()) == (("no", "yes"), [1, 0, 1])  # type: ignore[union-attr]
    (tmp_path / "y/b.png").write_bytes(b"")
    skipped = open_images(tmp_path / "y", labels=np.array([0, 1, 2]), skip_bad=True)
    assert skipped.labels.tolist() == [0, 2]  # type: ignore[union-attr]
    with pytest.raises(ImageError, match="holds 3 images, but there are 2 labels"):
        open_images(tmp_path / "y", labels=np.array([0, 1]))
    for name, error, words in (
        ("labels.csv", UsageError, "neither .npy nor IDX, which --labels takes"),
        ("labels-idx1-ubyte", CorruptImage, "not an IDX file"),
    ):
        (tmp_path / name).write_text("0\n1\n2\n")
        with pytest.raises(error, match=words):
            open_images(tmp_path / "y", labels=tmp_path / name)
