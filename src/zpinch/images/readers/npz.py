"""NumPy's .npz and .npy files, read row by row; pickles are never loaded.

Keys of an .npz: x_train, y_train, x_test, y_test (as Keras), else images and labels (or label, class, target; and names
and class_names, as our writer adds), else x and y, else its only array.
"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zpinch.errors import CorruptImage, ImageError
from zpinch.images.layout import SPLITS, are_numbers
from zpinch.images.naming import readable
from zpinch.images.readers.arrays import Rows, Table, choose_split
from zpinch.images.readers.labels import as_positions, is_label_name, to_labels
from zpinch.images.readers.packed import open_packed, reading
from zpinch.images.readers.records import RecordHeader, read_exactly, record_rows
from zpinch.images.readers.zipped import open_entry, open_zip

_MAX_HEAD_BYTES = 1 << 14
_TYPES = re.compile(r"[<>|=](b1|[iu][1248]|f[248]|U[0-9]{1,6})")
_SINGLE = (("x", "y"), ("X", "y"))


def npy_rows(path: Path) -> Rows:
    open_file, held = partial(open_packed, path, path.name, packed=False), path.stat().st_size
    return record_rows(path.name, open_file, lambda file: _read_head(file, path.name), held=held, is_packed=False)


def npz_splits(path: Path) -> tuple[str, ...]:
    keys = _members(path).keys()
    return SPLITS if {"x_train", "x_test"} <= keys else ()


def npz_table(path: Path, split: str, source: str) -> Table:
    members = _members(path)
    if not npz_splits(path):
        images, labels = _single_keys(members, source)
        return _table(path, members, images, labels)
    train, test = (_table(path, members, f"x_{one}", f"y_{one}") for one in SPLITS)
    return choose_split(train, test, split, source)


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    with open_zip(path, path.name) as archive:
        return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def _single_keys(members: dict[str, zipfile.ZipInfo], source: str) -> tuple[str, str]:
    if "images" in members:
        named = ["labels"] if "labels" in members else list(filter(is_label_name, members))
        if len(named) > 1:
            raise ImageError(f"{source} has several arrays of labels: {', '.join(map(readable, named))[:200]}")
        return "images", named[0] if named else ""
    for images, labels in _SINGLE:
        if images in members:
            return images, labels
    if len(members) != 1:
        found = ", ".join(sorted(map(readable, members))) or "none"
        raise ImageError(
            f"{source} has arrays {found}. Name them images and labels, or x_train, y_train, x_test, y_test."
        )
    return next(iter(members)), ""


def _table(path: Path, members: dict[str, zipfile.ZipInfo], images: str, labels: str) -> Table:
    rows = _member_rows(path, members[images])
    table = Table(rows)

    def words(key: str) -> tuple[str, ...] | None:
        if key not in members:
            return None
        array = _member_rows(path, members[key]).all()
        if array.dtype.kind != "U" or array.ndim != 1:
            raise ImageError(f"{path.name}, {key}: must be words, not {array.dtype} {array.shape}")
        return tuple(readable(word) for word in array.tolist())

    if labels in members:
        label_rows = _member_rows(path, members[labels])
        if len(label_rows) != len(rows):
            raise ImageError(f"{path.name} holds {len(rows):,} images, but there are {len(label_rows):,} labels")
        values, class_names = to_labels(label_rows.all(), label_rows.where)
        named = words("class_names") if images == "images" else None
        if named is not None and are_numbers(class_names):
            values, class_names = as_positions(values, class_names, named, path.name)
        table = table._replace(labels=values, class_names=class_names)
    if images == "images" and (names := words("names")) is not None:
        if len(names) != len(rows):
            raise ImageError(f"{path.name} holds {len(rows):,} images, but there are {len(names):,} names")
        table = table._replace(names=names)
    return table


def _member_rows(path: Path, info: zipfile.ZipInfo) -> Rows:
    where = f"{path.name}, {readable(info.filename)}"
    if info.flag_bits & 1:
        raise CorruptImage(f"{where} is encrypted")

    @contextmanager
    def open_file() -> Generator[BinaryIO]:
        with reading(where, "zip"), open_zip(path, where) as archive, open_entry(archive, info) as file:
            yield file

    return record_rows(where, open_file, lambda file: _read_head(file, where), held=info.file_size, is_packed=False)


def _read_head(file: BinaryIO, where: str) -> RecordHeader:
    """The header of a .npy stream: NumPy's own format, of which only plain types are taken."""
    magic = bytes(read_exactly(file, 8, where))
    if magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise CorruptImage(f"{where} is not a .npy array")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(read_exactly(file, width, where), "little")
    if length > _MAX_HEAD_BYTES:
        raise CorruptImage(f"{where}: a header of {length:,} bytes; the limit is {_MAX_HEAD_BYTES:,}")
    text = read_exactly(file, length, where)
    try:
        head: Any = ast.literal_eval(text.decode("utf-8" if magic[6] == 3 else "latin-1").strip())
        descr, is_fortran, shape = head["descr"], head["fortran_order"], head["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise CorruptImage(f"{where}: its header cannot be read") from error
    whole = isinstance(shape, tuple) and all(type(side) is int and 0 <= side < 1 << 48 for side in shape)
    if not whole or len(shape) > 8 or not isinstance(is_fortran, bool):
        raise CorruptImage(f"{where}: its header gives no usable shape")
    if not isinstance(descr, str) or not _TYPES.fullmatch(descr):
        raise ImageError(
            f"{where} holds {readable(str(descr))[:80]}; only plain numbers are read, never pickled objects"
        )
    return RecordHeader(shape, np.dtype(descr), is_fortran, 8 + width + length)
