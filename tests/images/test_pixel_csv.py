"""Pixel CSV: every form in which such files are handed out, and what is wrong with some."""

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, LimitError
from zpinch.images import check_source, open_stream
from zpinch.images.readers import packed

GREY = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
FLAT = [",".join(map(str, image.ravel())) for image in GREY]
COUNTED = ",".join(map(str, range(64)))
PIXELS = ",".join(f"pixel{i}" for i in range(64))

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: str, end: str = "\n", name: str = "a.csv") -> Path:
        data = "".join(line + end for line in lines).encode("utf-8", "surrogateescape")
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return tmp_path / name

    return write


def with_labels(labels: list[str], *, last: bool = False) -> list[str]:
    return [f"{row},{label}" if last else f"{label},{row}" for label, row in zip(labels, FLAT, strict=True)]


@pytest.mark.parametrize(
    ("lines", "classes"),
    [
        (FLAT, None),
        ([PIXELS, *FLAT], None),
        ([COUNTED, *FLAT], None),
        ([",".join(f"{y}x{x}" for y in range(1, 9) for x in range(1, 9)), *FLAT], None),
        (["," + PIXELS, *with_labels(["0", "1", "2"])], None),  # the numbers that pandas writes before each row
        (with_labels(["2", "0", "2"]), ["2", "0", "2"]),
        (with_labels(["cat", "dog", "cat"]), ["cat", "dog", "cat"]),
        (with_labels(["cat", "dog", "cat"], last=True), ["cat", "dog", "cat"]),
        ([f"Label,{PIXELS}", *with_labels(["2", "0", "2"])], ["2", "0", "2"]),
        ([f"{PIXELS},class", *with_labels(["2", "0", "2"], last=True)], ["2", "0", "2"]),
        ([f"digit,{PIXELS}", *with_labels(["2", "0", "2"])], ["2", "0", "2"]),
        ([f"{PIXELS},digit", *with_labels(["2", "0", "2"], last=True)], ["2", "0", "2"]),
        ([f"{COUNTED},y", *with_labels(["2", "0", "2"], last=True)], ["2", "0", "2"]),
        ([f"digit,{COUNTED}", *with_labels(["cat", "dog", "cat"])], ["cat", "dog", "cat"]),
        (["," + COUNTED, *with_labels(["0", "1", "2"])], None),
        ([f",{COUNTED},y", *(f"9,{row}" for row in with_labels(["2", "0", "2"], last=True))], ["2", "0", "2"]),
        ([f",{PIXELS},target", *(f"9,{row}" for row in with_labels(["a", "b", "a"], last=True))], ["a", "b", "a"]),
        ([line.replace(",", ";") for line in FLAT], None),
        ([line.replace(",", "\t") for line in FLAT], None),
        ([line.replace(",", " , ") for line in FLAT], None),
        (['"' + line.replace(",", '","') + '"' for line in FLAT], None),
        ([",".join(f"{float(field):.1f}" for field in line.split(",")) for line in FLAT], None),
        ([",".join(f"{int(field):03d}" for field in line.split(",")) for line in FLAT], None),
        (["\ufeff" + FLAT[0], "", *FLAT[1:], "  "], None),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_forms(write: Write, lines: list[str], classes: list[str] | None, end: str) -> None:
    for name in ("a.csv", "a.CSV.gz", "a.csv.gz"):
        images = open_images(write(*lines, end=end, name=name))
        np.testing.assert_array_equal(images.pixels[:, 0], GREY)
        found = None if images.labels is None else [images.class_names[label] for label in images.labels]
        assert (found, images.names) == (classes, None)


def test_a_label_in_the_middle(write: Write) -> None:
    half = PIXELS.index(",pixel32")
    lines = [",".join([*row.split(",")[:32], "7", *row.split(",")[32:]]) for row in FLAT]
    images = open_images(write(f"{PIXELS[:half]},label{PIXELS[half:]}", *lines))
    np.testing.assert_array_equal(images.pixels[:, 0], GREY)
    assert images.class_names == ("7",)


def test_shapes(write: Write) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
    path = write(*(",".join(map(str, image.ravel())) for image in rgb))
    images = open_images(path)
    np.testing.assert_array_equal(images.pixels, rgb.transpose(0, 3, 1, 2))
    assert images.notes == ("2 images read as RGB, with the three colours of a pixel side by side.",)
    wide = np.random.default_rng(1).integers(0, 256, (2, 8, 11), np.uint8)
    rows = [",".join(map(str, image.ravel())) for image in wide]
    with pytest.raises(ImageError, match="neither a square nor three of one"):
        open_images(write(*rows))
    np.testing.assert_array_equal(open_images(write(*rows), size=(8, 11)).pixels[:, 0], wide)
    header = ",".join(f"{y}x{x}" for y in range(1, 9) for x in range(1, 12))
    for lines in ([header, *rows], ["label," + header, *(f"1,{row}" for row in rows)]):
        np.testing.assert_array_equal(open_images(write(*lines)).pixels[:, 0], wide)
    assert open_images(write(*FLAT), size=16).shape == (1, 16, 16)


def test_batches_are_read_as_they_are_asked_for(write: Write) -> None:
    stream = open_stream(write(*FLAT))
    assert [len(batch) for batch in stream.batches(2)] == [2, 1]
    path = write(*FLAT)
    stream = open_stream(path)
    write(*FLAT[:2])
    with pytest.raises(CorruptImage, match="has changed"):
        stream.collect()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2", "2 fields, the first line has 64"),
        (FLAT[0] + ",1", "65 fields"),
        (FLAT[0] + ",", "65 fields"),
        ("256" + ",1" * 63, "'256' is no pixel"),
        ("-1" + ",1" * 63, "'-1' is no pixel"),
        ("1.5" + ",1" * 63, "'1.5' is no pixel"),
        ("1_0" + ",1" * 63, "'1_0' is no pixel"),
        ("٣" + ",1" * 63, "is no pixel"),
        ("9" * 5000 + ",1" * 63, "is no pixel"),
        ("nan" + ",1" * 63, "'nan' is no pixel"),
        ("" + ",1" * 63, "'' is no pixel"),
        ("1\0" + ",1" * 63, "'1%00' is no pixel"),
        ("\udcff" + ",1" * 63, "'%FF' is no pixel"),
        ('"1' + ",1" * 63, "unexpected end of data"),
        ("1\r1" + ",1" * 63, "new-line character"),
    ],
)
def test_bad_lines(write: Write, line: str, message: str) -> None:
    path = write(FLAT[0], line, FLAT[2])
    with pytest.raises(CorruptImage, match=f"line 2.*{message}"):
        open_images(path)
    images = open_images(path, skip_bad=True)
    np.testing.assert_array_equal(images.pixels[:, 0], GREY[[0, 2]])
    assert images.notes == ("1 image left out: line 2.",)
    relabelled = open_images(path, skip_bad=True, labels=np.array([4, 5, 6]))
    assert relabelled.labels is not None
    assert [relabelled.class_names[label] for label in relabelled.labels] == ["4", "6"]
    report = check_source(path)
    assert (report.count, [fault.file for fault in report.problems]) == (2, ["line 2"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty"),
        (["", " "], "is empty"),
        ([PIXELS], "no image that can be used"),
        (["label"], "no pixels"),
        (['""'], "no pixels"),
        (["a,b", "1,2"], "neither a square"),
        ([f"label,target,{PIXELS}"], "several columns of labels"),
        ([f"id,label,{PIXELS}", "1,2," + FLAT[0]], "has 65 pixels an image"),
        ([f"label,{PIXELS}", "," + FLAT[0]], "its label is empty"),
        ([f"label,{PIXELS}", "-1," + FLAT[0]], "labels run from -1"),
        (["0,0,0,0"], "8 to 128"),
        (["0," * (1 << 20)], "longer than"),
    ],
)
def test_files_that_cannot_be_used(write: Write, lines: list[str], message: str) -> None:
    for skip_bad in (False, True):
        with pytest.raises(ImageError, match=message):
            open_images(write(*lines), skip_bad=skip_bad)


def test_damaged_packing(write: Write) -> None:
    path = write(*FLAT, name="a.csv.gz")
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ImageError):
            open_images(path)
    for at in range(10, len(whole)):  # bytes 4 to 8 are a date
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(ImageError):
            open_images(path)
    path.write_bytes(FLAT[0].encode("utf-16"))
    with pytest.raises(CorruptImage, match="UTF-16"):
        open_images(path)


def test_a_bomb_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = ",".join("0" * 64)
    path = write(*[blank] * 20_000, name="a.csv.gz")
    assert path.stat().st_size * packed.MAX_SWELLING < 20_000 * len(blank)
    assert len(open_images(path)) == 20_000
    monkeypatch.setattr(packed, "SMALL_BYTES", 1 << 20)
    with pytest.raises(LimitError, match="times its size"):
        open_images(path)


@given(
    st.lists(st.binary(min_size=64, max_size=64), min_size=1, max_size=5),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.lists(st.text("abc ,é\"'", min_size=1), min_size=5),
)
def test_what_csv_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, images: list[bytes], quoting: int, words: list[str]
) -> None:
    wanted = [word.strip() or "x" for word in words[: len(images)]]
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["label", *range(64)])
    writer.writerows([word, *image] for word, image in zip(wanted, images, strict=True))
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_text(text.getvalue(), "utf-8", newline="")
    found = open_images(path)
    assert [image.tobytes() for image in found.pixels] == images
    assert found.labels is not None
    assert [found.class_names[label] for label in found.labels] == wanted
