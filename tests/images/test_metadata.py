"""metadata.csv and metadata.jsonl beside images, in folders and archives, right and wrong."""

import csv
import json
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError
from zpinch.images import ImageCollection, check_source, save_images, splits_of
from zpinch.images.readers.lines import MAX_LINE_BYTES
from zpinch.images.readers.metadata import read_metadata

Picture = Callable[..., Path]


def labels(path: Path, **options: object) -> dict[str, str]:
    images = open_images(path, **options)  # type: ignore[arg-type]
    assert images.names is not None
    assert images.labels is not None
    return {name: images.class_names[label] for name, label in zip(images.names, images.labels, strict=True)}


@pytest.fixture
def three(tmp_path: Path, picture: Picture) -> Path:
    for name in ("a.png", "sub/b.png", "c.png"):
        picture(tmp_path / name)
    return tmp_path


def test_words_and_numbers(three: Path) -> None:
    file = three / "metadata.csv"
    file.write_bytes('\ufefffile_name,caption,Label\r\na.png,"two\r\nlines, a ""cat""",cat\r\n'.encode())
    with file.open("ab") as more:
        more.write("./sub\\b.png,,dög\r\nc.png,x, cat \r\n\r\n".encode())
    assert labels(three) == {"a.png": "cat", "c.png": "cat", "sub/b.png": "dög"}
    assert open_images(three).notes == ("Labels are those of metadata.csv.",)
    file.unlink()
    lines = [{"file_name": "a.png", "label": 3}, {"file_name": "sub/b.png", "label": 0, "x": [1]}]
    (three / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    assert labels(three) == {"a.png": "3", "sub/b.png": "0"}
    assert open_images(three).class_names == ("0", "3")
    assert "1 file not listed in the metadata file: ignored." in open_images(three).notes


@pytest.mark.parametrize(("there", "listed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_file_is_found_however_its_accents_are_written(
    tmp_path: Path, picture: Picture, there: str, listed: str
) -> None:
    picture(tmp_path / unicodedata.normalize(there, "é.png"))
    text = unicodedata.normalize(listed, "file_name,label\né.png,zéro\n")
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")
    assert labels(tmp_path) == {unicodedata.normalize(there, "é.png"): unicodedata.normalize("NFC", "zéro")}


@pytest.mark.parametrize(("below", "test"), [(True, "test"), (False, "test"), (True, "Testing")])
def test_splits(tmp_path: Path, picture: Picture, below: bool, test: str) -> None:
    for split, label in (("train", "z"), (test, "y")):
        picture(tmp_path / split / "1.png")
        if below:
            (tmp_path / split / "metadata.csv").write_text(f"file_name,label\n1.png,{label}\n")
    if not below:
        (tmp_path / "metadata.csv").write_text("file_name,label\ntrain/1.png,z\ntest/1.png,y\n")
    assert splits_of(tmp_path) == ("train", "test")
    assert labels(tmp_path, split="test") == {"1.png": "y"}
    assert labels(tmp_path, split="all") == {"train/1.png": "z", "test/1.png": "y"}


@pytest.mark.parametrize("top", ["", "set/"])
def test_inside_a_zip(tmp_path: Path, three: Path, top: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(three / "a.png", f"{top}a.png")
        archive.writestr(f"{top}metadata.jsonl", '{"file_name": "a.png", "label": "q"}')
    assert labels(tmp_path / "x.zip") == {"a.png": "q"}


def test_without_labels_folders_decide(three: Path) -> None:
    for name, text in (
        ("metadata.csv", "file_name,text\na.png,x\n"),
        ("metadata.jsonl", '{"file_name": "a.png", "text": "x"}\n'),
        ("metadata.csv", ""),
    ):
        (three / name).write_text(text)
        assert open_images(three, skip_bad=True).class_names == ("sub",)
        (three / name).unlink()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gone.png,x", r"line 3: gone\.png is not there"),
        ("a.png,x", "listed twice"),
        ("../a.png,x", "leaves the folder"),
        ("/etc/a.png,x", "leaves the folder"),
        ("C:/a.png,x", "leaves the folder"),
        ("c.png", "has 1 fields, the first line 2"),
        ("c.png,x,y", "has 3 fields"),
        ("c.png,", "its label is empty"),
        ("c.png," + "x" * 256, "a label of 256 characters"),
        (",x", "has no file_name"),
        ("\udcff.png,x", "%FF.png is not there"),
        ("c\0.png,x", "c%00.png is not there"),
    ],
)
def test_lines_that_cannot_be_used(three: Path, line: str, message: str) -> None:
    text = f"file_name,label\na.png,q\n{line}\n"
    (three / "metadata.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CorruptImage, match=message):
        open_images(three)
    assert labels(three, skip_bad=True) == {"a.png": "q"}
    report = check_source(three)
    assert [fault.file for fault in report.problems] == ["metadata.csv, line 3"]
    assert report.count == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 5000, "is not JSON"),
        ("[]", "not an object with a file_name"),
        ('{"label": 1}', "not an object with a file_name"),
        ('{"file_name": "c.png"}', "has no label"),
        ('{"file_name": "c.png", "label": 1, "class": 2}', "several labels"),
        ('{"file_name": "c.png", "label": true}', "neither a whole number nor a word"),
        ('{"file_name": "c.png", "label": 1.5}', "neither a whole number nor a word"),
        ('{"file_name": "c.png", "label": null}', "neither a whole number nor a word"),
    ],
)
def test_json_lines_that_cannot_be_used(three: Path, line: str, message: str) -> None:
    (three / "metadata.jsonl").write_text('{"file_name": "a.png", "label": "q"}\n' + line)
    with pytest.raises(CorruptImage, match=message):
        open_images(three)
    assert labels(three, skip_bad=True) == {"a.png": "q"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name,label\na.png,x\n", "no column called file_name"),
        (b"file_name,file_name,label\n", "several columns called file_name"),
        (b"file_name,label,class\na.png,x,y\n", "several columns of labels"),
        (b'file_name,label\n"a.png,x\n', "unexpected end of data"),
        (b'file_name,label\n"a"b.png,x\n', "expected after"),
        ("file_name,label\n".encode("utf-16"), "is UTF-16"),
        (b"file_name,label\na.png," + b"x" * MAX_LINE_BYTES, "longer than"),
        (b'file_name,label\n"' + (b"x" * 999 + b"\n") * 2000, "field larger|a record of more than"),
        (b"file_name,label\ngone.png,x\n", "can be used|is not there"),
        (b"file_name,label\na.png,-1\n", "labels run from -1"),
    ],
)
def test_files_that_cannot_be_used(three: Path, data: bytes, message: str) -> None:
    (three / "metadata.csv").write_bytes(data)
    for skip_bad in (False, True):
        with pytest.raises(ImageError, match=message):
            open_images(three, skip_bad=skip_bad)
    assert not check_source(three).is_sound


def test_both_kinds_side_by_side(three: Path) -> None:
    (three / "metadata.csv").write_text("file_name,label\na.png,x\n")
    (three / "metadata.jsonl").write_text("")
    with pytest.raises(ImageError, match="side by side"):
        open_images(three)


def test_a_list_of_nothing_is_given_up(three: Path) -> None:
    (three / "metadata.csv").write_text("file_name,label\n" + "\n".join(f"{i}.png,x" for i in range(10_001)))
    with pytest.raises(ImageError, match="more than 10,000 images cannot be used"):
        open_images(three, skip_bad=True)


def test_a_class_of_the_longest_name_of_a_folder_comes_back(tmp_path: Path) -> None:
    names = ("x" * 255, "y")
    images = ImageCollection(np.zeros((2, 1, 8, 8), np.uint8), np.arange(2), names)
    save_images(images, tmp_path / "out", columns={"origin": np.array(["real", "real"])})
    assert open_images(tmp_path / "out").class_names == names


@given(table=st.dictionaries(st.from_regex(r"[a-z\"', ]{1,8}", fullmatch=True), st.text("ab,\"' é\n", min_size=1)))
def test_what_csv_writes_comes_back(tmp_path_factory: pytest.TempPathFactory, table: dict[str, str]) -> None:
    file = tmp_path_factory.getbasetemp() / "written.csv"
    wanted = {name: label.strip() for name, label in table.items() if label.strip()}
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["x", "file_name", "label"])
        writer.writerows([[1, name, label] for name, label in wanted.items()])
    found = read_metadata([*wanted, "metadata.csv"], "it", lambda _: file.open("rb"), skip_bad=False)
    if not wanted:
        assert found is None
    else:
        assert found is not None
        shown = {label: label.replace("\n", "%0A") for label in wanted.values()}
        assert {name: found.class_names[at] for name, at in found.classes.items()} == {
            name: shown[label] for name, label in wanted.items()
        }
