"""Parquet from pyarrow: our own files, Hugging Face's, plain pixels, and what is wrong with some."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, LimitError, MissingExtra, ZpinchError
from zpinch.images import ImageCollection, check_source, open_alpha, open_stream, save_images
from zpinch.images.readers import packed, parquet_pixels
from zpinch.images.readers.parquet_pages import check_pages

GREY = np.random.default_rng(0).integers(0, 256, (5, 8, 8), np.uint8)
LABELS = [2, 0, 2, 1, 0]


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


PNGS = [png(image) for image in GREY]


def save(path: Path, metadata: dict[str, str] | None = None, **columns: Any) -> Path:
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path, row_group_size=2)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.parquet"


@pytest.mark.parametrize("is_labelled", [True, False])
def test_our_own_files_come_back(path: Path, collection: ImageCollection, is_labelled: bool) -> None:
    if not is_labelled:
        collection = ImageCollection(collection.pixels, source="made up")
    save_images(collection, path)
    images = open_images(path)
    assert images.fingerprint() == collection.fingerprint()
    assert images.class_names == collection.class_names
    assert images.names is not None
    assert len(set(images.names)) == len(collection)
    assert [len(batch) for batch in open_stream(path).batches(5)] == [5, 5, 2]


def test_files_of_hugging_face(path: Path) -> None:
    cells = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(PNGS)]
    told = {"info": {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}
    images = open_images(save(path, {"huggingface": json.dumps(told)}, image=cells, label=LABELS))
    np.testing.assert_array_equal(images.pixels[:, 0], GREY)
    assert images.labels is not None
    assert (images.labels.tolist(), images.class_names) == (LABELS, ("a", "b", "c"))
    assert images.names == tuple(f"{i}.png" for i in range(5))
    cells[3]["path"] = None  # type: ignore[assignment]
    images = open_images(save(path, {"huggingface": "[" * 9000}, img=cells, label=["x", "y", "x", "z", "y"]))
    assert (images.names, images.class_names) == (None, ("x", "y", "z"))


@pytest.mark.parametrize(
    ("column", "note"),
    [
        (GREY.reshape(5, 64).tolist(), ()),
        (GREY.tolist(), ()),
        (pa.FixedSizeListArray.from_arrays(pa.array(GREY.ravel()), 64), ()),
        (pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(pa.array(GREY.ravel()), 8), 8), ()),
        (pa.array(GREY.reshape(5, 64).tolist(), pa.large_list(pa.uint16())), ()),
        ((GREY / 255.0).reshape(5, 64).tolist(), ("5 images held floats in [0, 1]: times 255, rounded.",)),
        (
            (GREY[..., None] / 255.0).astype(np.float32).tolist(),
            ("5 images held floats in [0, 1]: times 255, rounded.",),
        ),
    ],
)
def test_lists(path: Path, column: Any, note: tuple[str, ...]) -> None:
    images = open_images(save(path, image=column, label=LABELS, other=["x"] * 5))
    np.testing.assert_array_equal(images.pixels[:, 0], GREY)
    assert (images.class_names, images.names) == (("0", "1", "2"), None)
    assert images.notes == images.losses == note


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int16])
def test_a_column_a_pixel(path: Path, dtype: type[np.generic]) -> None:
    columns = {f"pixel{i}": column for i, column in enumerate(GREY.reshape(5, 64).astype(dtype).T)}
    words = pa.array(["b", "a", "b", "c", "a"]).dictionary_encode()
    images = open_images(save(path, **columns, Class=words, comment=["x"] * 5, __index_level_0__=range(5)))
    np.testing.assert_array_equal(images.pixels[:, 0], GREY)
    assert images.labels is not None
    assert [images.class_names[label] for label in images.labels] == ["b", "a", "b", "c", "a"]
    assert [len(batch) for batch in open_stream(path).batches(2)] == [2, 2, 1]


def test_other_shapes(path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (2, 9, 8, 3), np.uint8)
    np.testing.assert_array_equal(open_images(save(path, image=rgb.tolist())).pixels, rgb.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(
        open_images(save(path, image=rgb.transpose(0, 3, 1, 2).tolist())).pixels, rgb.transpose(0, 3, 1, 2)
    )
    flat = [image.ravel().tolist() for image in rgb]
    with pytest.raises(ImageError, match="neither a square"):
        open_images(save(path, image=flat))
    np.testing.assert_array_equal(open_images(path, size=(9, 8)).pixels, rgb.transpose(0, 3, 1, 2))
    bits = (GREY > 99).tolist()
    np.testing.assert_array_equal(open_images(save(path, image=bits)).pixels[:, 0], (GREY > 99) * 255)
    assert open_images(save(path, image=GREY.tolist()), size=16).shape == (1, 16, 16)


def changed(cells: list[Any], to: Any) -> list[Any]:
    return [*cells[:2], to, *cells[3:]]


FLAT = GREY.reshape(5, 64).astype(int).tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": changed(PNGS, None)}, "row 2 is null"),
        ({"image": changed(PNGS, b"")}, "row 2 is not a readable image"),
        ({"image": changed([{"bytes": data} for data in PNGS], None)}, "row 2 is null"),
        ({"image": changed(PNGS, png(np.zeros((9, 8), np.uint8)))}, "8x9, the first image was"),
        ({"image": PNGS, "label": changed(LABELS, None)}, "row 2 has no label"),
        ({"image": FLAT, "label": changed(LABELS, None)}, "row 2 has no label"),
        ({"image": changed(FLAT, None)}, "row 2 is a list of 0, the first row's was 64"),
        ({"image": changed(FLAT, FLAT[0][1:])}, "row 2 is a list of 63"),
        ({"image": changed(FLAT, [None] * 64)}, "row 2 lacks a pixel"),
        ({"image": changed(FLAT, [-1] * 64)}, "row 2 holds numbers from -1 to -1"),
        ({"image": changed(FLAT, [256] * 64)}, "row 2 holds numbers from 256"),
        ({"image": changed(GREY.tolist(), GREY[0, :7].tolist())}, "row 2 is a list of 7"),
        ({"image": changed((GREY / 255).tolist(), (GREY[0] * 1.0).tolist())}, "row 2 holds floats from"),
        ({"image": changed((GREY / 255).tolist(), [[float("nan")] * 8] * 8)}, "row 2 holds floats from nan"),
        ({f"p{i}": changed(np.array(FLAT)[:, i].tolist(), None) for i in range(64)}, "row 2 lacks a pixel"),
    ],
)
def test_bad_rows(path: Path, columns: dict[str, Any], message: str) -> None:
    save(path, **columns)
    with pytest.raises(CorruptImage if "8x9" not in message else ImageError, match=message):
        open_images(path)
    images = open_images(path, skip_bad=True)
    np.testing.assert_array_equal(images.pixels[:, 0], GREY[[0, 1, 3, 4]])
    if "label" in columns:
        assert images.labels is not None
        assert images.labels.tolist() == [2, 0, 1, 0]
    assert images.notes[-1] == "1 image left out: row 2."
    report = check_source(path)
    assert (report.count, [fault.file for fault in report.problems]) == (4, ["row 2"])
    if "label" in columns:
        assert open_images(path, labels=np.arange(5)).class_names == tuple("01234")
    else:
        assert open_images(path, skip_bad=True, labels=np.arange(5)).labels.tolist() == [0, 1, 3, 4]  # type: ignore[union-attr]


def test_transparency_is_of_the_images_that_are_read(path: Path) -> None:
    """One is left out for its label: a mask of it would belong to no image."""
    save(path, image=PNGS, label=changed(LABELS, None))
    assert open_alpha(path, skip_bad=True).count == open_stream(path, skip_bad=True).count == 4
    given = np.arange(5)
    assert open_alpha(path, labels=given).count == open_stream(path, labels=given).count == 5


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["x"]}, "no column of images or pixels; its columns are text"),
        ({"a": PNGS, "b": PNGS}, "several columns of images"),
        ({"a": FLAT, "b": FLAT}, "several columns of lists"),
        ({"image": pa.array([], pa.binary())}, "holds no images"),
        ({"image": pa.array([], pa.list_(pa.uint8()))}, "holds no images"),
        ({"image": [None, FLAT[0]]}, "row 0 holds no pixels"),
        ({"image": PNGS[:1], "label": [1.5]}, "whole numbers or words, not double"),
        ({"image": PNGS[:1], "label": [-1]}, "labels run from -1"),
        ({"image": PNGS[:1], "label": [""]}, "its label is empty"),
        ({"image": PNGS[:1], "label": ["x"], "class": ["y"]}, "several columns of labels"),
        ({"a": [1], "b": [2]}, "2 pixels an image"),
    ],
)
def test_files_that_cannot_be_used(path: Path, columns: dict[str, Any], message: str) -> None:
    save(path, **columns)
    for skip_bad in (False, True):
        with pytest.raises(ImageError, match=message):
            open_images(path, skip_bad=skip_bad)


def test_numbers_that_do_not_occur_are_classes_only_where_they_have_names(path: Path) -> None:
    labels = [3, 1, 3, 3, 1]
    for told, wanted in ((None, ([1, 0, 1, 1, 0], ("1", "3"))), ("abcd", (labels, tuple("abcd")))):
        metadata = None if told is None else {"class_names": json.dumps(list(told))}
        images = open_images(save(path, metadata, image=PNGS, label=labels))
        assert images.labels is not None
        assert (images.labels.tolist(), images.class_names) == wanted


def test_too_few_class_names(path: Path) -> None:
    with pytest.raises(ImageError, match="labels up to 2 but 1 class names"):
        open_images(save(path, {"class_names": '["a"]'}, image=PNGS, label=LABELS))


def test_claims_and_bombs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"image": pa.array([b""] * 70_000)}), path)
    with pytest.raises(LimitError, match="claims 70,000 images"):
        open_images(path)
    blank = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(64 * 2000, np.uint8)), 64)
    pq.write_table(pa.table({"image": blank}), path)
    assert len(open_images(path)) == 2000
    monkeypatch.setattr(parquet_pixels, "_SMALL_VALUES", 1000)
    monkeypatch.setattr(parquet_pixels, "MAX_SWELLING", 1)
    with pytest.raises(LimitError, match="claims 128,000 pixels"):
        open_images(path)
    pq.write_table(pa.table({"image": [bytes(1 << 22)]}), path, compression="zstd")
    monkeypatch.setattr(packed, "SMALL_BYTES", 1 << 20)
    with pytest.raises(LimitError, match="times its size"):
        open_images(path)


def test_damaged_bytes_are_named_errors_or_images(path: Path) -> None:
    save(path, image=PNGS, label=LABELS)
    whole = path.read_bytes()
    for at in range(0, len(whole), 31):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x51]) + whole[at + 1 :]):
            path.write_bytes(data)
            try:
                assert len(open_images(path, skip_bad=True)) <= 5
            except ZpinchError:
                continue


def test_without_pyarrow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, image=PNGS)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'zpinch\[parquet\]'"):
        open_images(path)


def varint(number: int, width: int = 0) -> bytes:
    """Thrift's zigzag form of a count, with as many bytes as asked for."""
    number, out = 2 * number, bytearray()
    while not out or number or len(out) < width:
        out.append(number & 127 | 128)
        number >>= 7
    out[-1] &= 127
    return bytes(out)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_footer_that_hides_a_bomb(path: Path, version: str) -> None:
    """pyarrow would unpack the page before anything could be said: 64 MiB here, 2 GiB in the wild."""
    size = (1 << 26) + 77
    pq.write_table(
        pa.table({"image": [bytes(size)]}), path, compression="zstd", use_dictionary=False, data_page_version=version
    )
    told = pq.ParquetFile(path).metadata.row_group(0)
    data = path.read_bytes()
    for claim in {told.total_byte_size, told.column(0).total_uncompressed_size}:
        head, found, tail = data.rpartition(b"PAR1")[0].partition(varint(claim))
        while found:
            tail_head, more, rest = tail.partition(varint(claim))
            head, found, tail = head + varint(1000, len(found)) + tail_head, more, rest
        data = head + b"PAR1"
    path.write_bytes(data)
    assert pq.ParquetFile(path).metadata.row_group(0).total_byte_size == 1000
    with pytest.raises(LimitError, match=r"its page at byte 4 unpacks to 67,1"):
        open_images(path)


def test_what_pages_claim_is_what_they_hold(path: Path) -> None:
    for version in ("1.0", "2.0"):
        for dictionary in (True, False):
            table = pa.table({"image": [[i] * 64 for i in range(500)], "label": list(range(500))})
            pq.write_table(
                table,
                path,
                row_group_size=150,
                data_page_size=100,
                data_page_version=version,
                use_dictionary=dictionary,
            )
            assert check_pages(path, "it") == {"image": 500 * 64, "label": 500}


def test_a_footer_that_ends_pyarrow_is_read_without_it(path: Path) -> None:
    """Found by bench/fuzz.py: a histogram of another length than the column's levels, and C++ calls std::terminate."""
    pq.write_table(pa.table({"image": pa.array([[1] * 64, [2] * 64])}), path)
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for at in range(footer, len(data) - 8):
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 6)]) + data[at + 1 :])
        try:
            open_images(path)
        except ZpinchError:
            continue
