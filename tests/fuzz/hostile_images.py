"""Sources of images, valid and hostile, one maker a kind of file: each gives the files to write and, where it is known,
the pixels that must come back."""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from mutations import NUMBERS, mutated, word
from PIL import Image

from zpinch import open_images

HOSTILITY = (0.0, 0.002, 0.02, 0.3)  # how many of the words of a text are


class Input(NamedTuple):
    """files: name -> bytes, the first is opened (or, ending in /, is a folder); pixels: what must be read, if known."""

    files: dict[str, bytes]
    pixels: np.ndarray | None = None


class Target(NamedTuple):
    make: Callable[[Random], Input]
    read: Callable[[Path, Input, Random], None]  # raises a ZpinchError, or nothing, or the input has found a bug


def read_images(path: Path, made: Input, rng: Random) -> None:
    skip_bad = rng.random() < 0.5
    size = rng.choice((None, None, None, 16))
    images = open_images(
        path, split=rng.choice(("train", "train", "all", "all", "all", "test")), size=size, skip_bad=skip_bad
    )
    n, channels, height, width = images.pixels.shape
    assert images.pixels.dtype == np.uint8
    assert n > 0
    assert channels in (1, 3)
    assert 8 <= min(height, width) <= max(height, width) <= 128
    assert images.names is None or len(images.names) == n
    for text in (*(images.names or ()), *images.class_names):
        text.encode()
        assert "\0" not in text
    if made.pixels is not None and size is None:
        assert np.array_equal(images.pixels, made.pixels), "a valid file gave other pixels"


def idx(rng: Random) -> Input:
    array = np.frombuffer(rng.randbytes(6 * 72), np.uint8).reshape(6, 8, 9)
    shape = array.shape if rng.random() < 0.7 else tuple(rng.choice(NUMBERS) % 2**32 for _ in range(rng.randrange(5)))
    head = bytes([0, 0, rng.choice((8, 8, 8, 9, 13)), len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    data = (bytes([0, 0, 8, 3]) + head[4:] if len(shape) == 3 else head) + array.tobytes()
    valid = data if shape == array.shape else None
    if rng.random() < 0.6:
        data = mutated(rng, data)
    files = {"t-images-idx3-ubyte": data}
    if rng.random() < 0.3:
        files["t-labels-idx1-ubyte"] = mutated(rng, b"\0\0\x08\1\0\0\0\6" + rng.randbytes(6))
        return Input(packed(rng, files))
    return Input(packed(rng, files), array[:, None] if data == valid else None)


def packed(rng: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """Sometimes the first file packed with gzip, sometimes damaged in its packing."""
    if rng.random() > 0.3:
        return files
    (name, data), *rest = files.items()
    data = gzip.compress(data, 1, mtime=0)
    return {f"{name}.gz": mutated(rng, data) if rng.random() < 0.3 else data, **dict(rest)}


def npy_bytes(rng: Random) -> tuple[bytes, np.ndarray | None]:
    usual = ("|u1", "<f4", ">f8", "<u2") if rng.random() < 0.3 else ("|u1",)
    kind = (
        rng.choice(usual)
        if rng.random() < 0.6
        else rng.choice(("|b1", "<f4", ">f8", "<u2", "<i8", "|O", "<U3", "<c8", "<M8[s]", "x" * 90))
    )
    shape: Any = (
        (4, 8, 9) if rng.random() < 0.7 else rng.choice(((4, 8, 9, 3), (4, 3, 8, 9), (4, 72), (4,), (0, 8, 8), ()))
    )
    order = rng.random() < 0.15
    if rng.random() < 0.1:
        shape = tuple(rng.choice((*NUMBERS, -1, True, "x", 1.5, None)) for _ in range(rng.randrange(9)))
    body = rng.randbytes(4 * 72)
    pixels = np.frombuffer(body, np.uint8).reshape(4, 1, 8, 9)
    is_known = (kind, shape, order) == ("|u1", (4, 8, 9), False)
    if not is_known and kind == "<f4" and shape == (4, 8, 9):
        body = (pixels / np.float32(255)).astype(np.float32).tobytes()
        is_known = not order
    text = f"{{'descr': {kind!r}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if rng.random() < 0.1:
        text, is_known = mutated(rng, text.encode("latin-1")).decode("latin-1"), False
    if rng.random() < 0.02:
        text, is_known = "(" * rng.choice((50, 300, 5000)) + text, False
    head = text.encode("latin-1") + b"\n"
    data = b"\x93NUMPY\1\0" + (len(head) % 65536).to_bytes(2, "little") + head + body
    if rng.random() < 0.4:
        return mutated(rng, data), None
    return data, pixels if is_known else None


def npy(rng: Random) -> Input:
    data, pixels = npy_bytes(rng)
    return Input({"a.npy": data}, pixels)


def zip_of(rng: Random, entries: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names given twice are the point
        with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, data in entries:
                archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "x"), data)
    return file.getvalue()


def npz(rng: Random) -> Input:
    keys = rng.choice((("images", "labels"), ("x", "y"), ("arr_0",), ("x_train", "y_train", "x_test", "y_test"),
                       ("a", "b"), ("images", "labels", "names", "class_names")))  # fmt: skip
    entries = [(f"{key}.npy", npy_bytes(rng)[0]) for key in keys]
    if rng.random() < 0.7:
        labels = io.BytesIO()
        np.save(
            labels,
            np.array([rng.choice((0, 1, 2, 2, -1, 70000)) for _ in range(4)]).astype(rng.choice(("i8", "u1", "U2"))),
        )
        entries = [(name, labels.getvalue() if name[0] in "ylnc" else data) for name, data in entries]
    pixels = None
    if rng.random() < 0.5:
        data, pixels = npy_bytes(rng)
        entries[0] = (entries[0][0], data)
        if len(keys) > 1:
            pixels = None
    data = zip_of(rng, entries)
    if rng.random() < 0.4:
        data, pixels = mutated(rng, data), None
    return Input({"a.npz": data}, pixels)


def csv_file(rng: Random) -> Input:
    hostility = rng.choice(HOSTILITY)
    side = rng.choice((8, 8, 9, 10))
    images = np.frombuffer(rng.randbytes(3 * side * side), np.uint8).reshape(3, 1, side, side)
    names = [f"p{i}" for i in range(side * side)]
    label_at = rng.choice((None, None, 0, side * side, 5))
    has_header = label_at == 5 or rng.random() < 0.5
    rows = [names] if has_header else []
    rows += [[str(level) for level in image.ravel()] for image in images]
    if label_at is not None:
        label = rng.choice(("label", "Class", "target")) if has_header else "1"
        usual = ("cat", "dog") if rng.random() < 0.5 or label_at == side * side else ("0", "1", "11")
        rows = [[*row[:label_at], rng.choice(usual), *row[label_at:]] for row in rows]
        if has_header:
            rows[0][label_at] = label
    if hostility:
        rows = [[word(rng, (field,), hostility / 10) for field in row] for row in rows]
        if rng.random() < hostility:
            rows[rng.randrange(len(rows))] = [word(rng, ("1",), 0.5) for _ in range(rng.randrange(70))]
    text = io.StringIO()
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    if rng.random() < 0.7 or not hostility:
        csv.writer(
            text, delimiter=rng.choice(",,;\t"), quoting=quoting, lineterminator=rng.choice(("\n", "\r\n"))
        ).writerows(rows)
    else:
        text.write("\n".join(",".join(row) for row in rows))
    data = text.getvalue().encode("utf-8", "surrogateescape")
    is_known = not hostility
    if rng.random() < 0.3:
        data, is_known = mutated(rng, data), False
    return Input(packed(rng, {"a.csv": data}), images if is_known else None)


@lru_cache
def pictures() -> tuple[bytes, ...]:
    """Small images in every format that is read."""
    found = []
    for kind, mode in (("PNG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB"), ("BMP", "L"), ("GIF", "P"),
                       ("TIFF", "RGB"), ("WEBP", "RGB"), ("PPM", "L"), ("PNG", "I;16")):  # fmt: skip
        file = io.BytesIO()
        Image.linear_gradient("L").resize((9, 8)).convert(mode if mode != "I;16" else "L").convert(mode).save(
            file, kind
        )
        found.append(file.getvalue())
    return tuple(found)


def picture(rng: Random) -> bytes:
    data = rng.choice(pictures()) if rng.random() < 0.5 else pictures()[0]
    return mutated(rng, data, pictures()) if rng.random() < 0.1 else data


NAMES = ("a.png", "b.png", "c/a.png", "d/b.png", "train/c/a.png", "test/c/a.png", "top/train/x.png", "top/test/x.png",
         "../a.png", "/a.png", "C:/a.png", ".hidden.png", "__MACOSX/a.png", "x/", "a.txt", "\udcff.png", "é\n.png",
         "n" * 300 + ".png", "metadata.csv", "metadata.jsonl", "train/metadata.csv")  # fmt: skip


def entries(rng: Random) -> list[tuple[str, bytes]]:
    names = NAMES[:2] if rng.random() < 0.3 else [rng.choice(NAMES) for _ in range(rng.randrange(6))]
    return [
        (name, metadata_bytes(rng, name.endswith("l"))[0] if "metadata" in name else picture(rng)) for name in names
    ]


def zip_file(rng: Random) -> Input:
    data = zip_of(rng, entries(rng))
    return Input({"a.zip": mutated(rng, data) if rng.random() < 0.5 else data})


def tar_entry(rng: Random, name: bytes, data: bytes) -> bytes:
    block = bytearray(512)
    block[:100] = name[:100].ljust(100, b"\0")
    block[124:136] = b"%011o\0" % len(data)
    block[156:157] = b"0"
    block[257:265] = rng.choice((b"ustar\x0000", b"ustar  \0", bytes(8)))
    if rng.random() < 0.3:
        start, stop = rng.choice(((0, 100), (124, 136), (156, 157), (257, 265), (345, 500)))
        number = rng.choice(NUMBERS)
        hostile = (
            b"%o" % number,
            b"\x80" + number.to_bytes(11, "big"),
            b"\xff" * 12,
            b"LxXgKS123457\0"[rng.randrange(13) :],
        )
        block[start:stop] = rng.choice(hostile).ljust(stop - start, b"\0")[: stop - start]
    if rng.random() < 0.95:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + bytes(-len(data) % 512)


def tar_file(rng: Random) -> Input:
    pieces: list[bytes] = []
    for name, data in entries(rng):
        kind = rng.random()
        if kind < 0.15:
            key = rng.choice((b"path", b"size", b"GNU.sparse.name", b"mtime"))
            record = b" %s=%s\n" % (key, rng.choice((b"z.png", b"64", b"-1", b"9" * 30, b"", b"a=b", b"\xff\0")))
            length = len(record) + 2 if rng.random() < 0.8 else rng.choice(NUMBERS)
            extra = tar_entry(rng, b"x", b"%d%s" % (length, record))
            pieces.append(extra[:156] + b"x" + extra[157:] if kind < 0.02 else with_kind(extra, b"x"))
        elif kind < 0.25:
            pieces.append(with_kind(tar_entry(rng, b"L", name.encode("utf-8", "surrogateescape") + b"\0"), b"L"))
        pieces.append(tar_entry(rng, name.encode("utf-8", "surrogateescape"), data))
    data = b"".join(pieces) + bytes(rng.choice((1024, 1024, 1024, 512, 0, 10240)))
    if rng.random() < 0.3:
        data = mutated(rng, data)
    if rng.random() < 0.3:
        data = gzip.compress(data, 1, mtime=0)
        return Input({"a.tgz": mutated(rng, data) if rng.random() < 0.3 else data})
    return Input({"a.tar": data})


def with_kind(entry: bytes, kind: bytes) -> bytes:
    block = bytearray(entry)
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


def metadata_bytes(rng: Random, is_json: bool) -> tuple[bytes, bool]:
    hostility = rng.choice(HOSTILITY)
    names = ("a.png", "b.png", "c/a.png", "c/b.png")
    labels = rng.choice((("0", "1", "3"), ("cat", "dog")))
    rows = [(name, rng.choice(labels)) for name in (names if rng.random() < 0.7 else rng.choices(names, k=3))]
    is_valid = not hostility and len({name for name, _ in rows}) == len(rows)
    if is_json:
        values: list[Any] = [
            {"file_name": word(rng, (n,), hostility), "label": word(rng, (v,), hostility)} for n, v in rows
        ]
        if rng.random() < hostility:
            values.append(rng.choice((1, None, [], {}, "x", {"file_name": 1}, {"label": [1]}, {"file_name": "a.png"})))
        data = "\n".join(json.dumps(value, ensure_ascii=rng.random() < 0.5) for value in values)
    else:
        text = io.StringIO()
        writer = csv.writer(text, quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)))
        header = [word(rng, (name,), hostility) for name in ("file_name", "label", "other")]
        writer.writerows([header, *([word(rng, (n,), hostility), word(rng, (v,), hostility), "x"] for n, v in rows)])
        data = text.getvalue()
    out = data.encode("utf-8", "surrogateescape" if rng.random() < 0.9 else "replace") if "\ud800" not in data else b""
    return (mutated(rng, out), False) if rng.random() < 0.3 else (out, is_valid)


def metadata(rng: Random) -> Input:
    is_json = rng.random() < 0.5
    data, _ = metadata_bytes(rng, is_json)
    name = "metadata.jsonl" if is_json else "metadata.csv"
    images = {f"set/{image}": pictures()[0] for image in ("a.png", "b.png", "c/a.png", "c/b.png")}
    return Input({"set/": b"", f"set/{name}": data, **images})


@lru_cache
def tables() -> tuple[bytes, ...]:
    """Parquet of every form that is read, and of some that are not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    grey = np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8)
    png = pictures()[0]
    labels, words = [0, 2, 1, 0, 1], ["a", "b", "a", "c", "b"]
    columns: list[dict[str, Any]] = [
        {"image": [png] * 5, "label": labels, "name": [f"{i}.png" for i in range(5)]},
        {"image": [{"bytes": png, "path": "x.png"}] * 5, "label": words},
        {"image": [png, None, b"", png, png], "label": [0, None, 1, 0, 1]},
        {"image": grey.reshape(5, 64).tolist(), "label": pa.array(words).dictionary_encode()},
        {"image": pa.FixedSizeListArray.from_arrays(pa.array(grey.ravel()), 64)},
        {"image": (grey / 255).tolist(), "label": labels},
        {f"p{i}": grey.reshape(5, 64)[:, i] for i in range(64)} | {"label": words},
        {"image": [[1] * 64, [2] * 63, None, [256] * 64, [-1] * 64]},
        {"text": words, "when": pa.array([1, 2, 3, 4, 5], pa.timestamp("s"))},
        {"image": pa.array([{"x": {"y": [1]}}] * 5)},
    ]
    found = []
    for column in columns:
        for compression, version in (("none", "1.0"), ("snappy", "2.6"), ("zstd", "2.6"), ("gzip", "1.0")):
            file = io.BytesIO()
            dictionary = compression in ("zstd", "none")
            pq.write_table(pa.table(column), file, row_group_size=3, compression=compression, version=version,
                           use_dictionary=dictionary, data_page_version=rng_free(compression))  # fmt: skip
            found.append(file.getvalue())
    return tuple(found)


def rng_free(compression: str) -> str:
    return "2.0" if compression == "zstd" else "1.0"


def parquet(rng: Random) -> Input:
    data = rng.choice(tables())
    if rng.random() < 0.97:
        others = tables() if rng.random() < 0.5 else ()
        tail = data[-4000:]  # the footer, where the claims are
        data = data[: -len(tail)] + mutated(rng, tail) if rng.random() < 0.5 else mutated(rng, data, others)
        if rng.random() < 0.7:  # or the frame is what fails each time
            data = b"PAR1" + data[4:-4] + b"PAR1"
    return Input({"a.parquet": data})


TARGETS = {
    "idx": Target(idx, read_images),
    "npy": Target(npy, read_images),
    "npz": Target(npz, read_images),
    "csv": Target(csv_file, read_images),
    "parquet": Target(parquet, read_images),
    "zip": Target(zip_file, read_images),
    "tar": Target(tar_file, read_images),
    "metadata": Target(metadata, read_images),
}
