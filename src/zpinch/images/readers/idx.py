"""IDX files, as MNIST came: one by one, or the folder that holds the four; plain or .gz, read in one pass.

The labels of `...images...` are looked for beside it under the standard name. Only unsigned bytes are read.
"""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zpinch.errors import CorruptImage, ImageError
from zpinch.images.collection import Labels
from zpinch.images.layout import SPLITS
from zpinch.images.readers.arrays import Rows, Table, choose_split
from zpinch.images.readers.labels import to_labels
from zpinch.images.readers.packed import is_packed, open_packed
from zpinch.images.readers.records import RecordHeader, read_exactly, record_rows

_IMAGE_FILES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}  # their official names, unpacked
_MAX_GZIP_RATIO = 1040  # deflate reaches 1032
_MAX_AXES = 4


def is_idx(path: Path) -> bool:
    """By its name: ubyte or idx in it, or .gz at its end."""
    name = path.name.lower()
    return "ubyte" in name or "idx" in name or name.endswith(".gz")


def find_files(folder: Path) -> dict[str, Path]:
    """The image files of a folder by split; also in the raw/ where torchvision puts them."""
    for place in (folder, folder / "raw", folder / "MNIST" / "raw"):
        found = {split: path for split, name in _IMAGE_FILES.items() if (path := _present(place, name))}
        if found:
            return found
    return {}


def idx_rows(path: Path) -> Rows:
    where, packed = path.name, is_packed(path)
    held = path.stat().st_size * (_MAX_GZIP_RATIO if packed else 1)
    open_file = partial(open_packed, path, where, packed=packed)
    return record_rows(where, open_file, lambda file: _read_head(file, where), held=held, is_packed=packed)


def idx_table(path: Path) -> Table:
    """One file of images, with the labels beside it when they are there."""
    rows = idx_rows(path)
    if len(rows.shape) == 1:
        raise ImageError(f"{path.name} holds labels, not images. Name the images file.")
    labels, class_names = _labels_beside(path, len(rows))
    return Table(rows, labels, class_names)


def idx_folder_table(files: dict[str, Path], split: str, source: str) -> Table:
    """One split of the four files, or both; classes are those of both. Where only one is there, that."""
    tables = {one: idx_table(path) for one, path in files.items()}
    if len(tables) < len(SPLITS):
        return next(iter(tables.values()))
    return choose_split(tables["train"], tables["test"], split, source)


def _read_head(file: BinaryIO, where: str) -> RecordHeader:
    zeros, kind, axes = struct.unpack(">HBB", read_exactly(file, 4, where))
    if zeros != 0 or not 1 <= axes <= _MAX_AXES:
        raise CorruptImage(f"{where} is not an IDX file: it begins {zeros:04x}, with {axes} axes")
    if kind != 0x08:
        raise ImageError(f"{where} holds IDX type 0x{kind:02x}; only unsigned bytes (0x08) are read")
    shape = struct.unpack(f">{axes}I", read_exactly(file, 4 * axes, where))
    return RecordHeader(shape, np.dtype(np.uint8), False, 4 + 4 * axes)


def _labels_beside(path: Path, count: int) -> tuple[Labels | None, tuple[str, ...]]:
    plain = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    beside = _present(path.parent, plain)
    if beside is None or plain == path.name.removesuffix(".gz"):
        return None, ()
    rows = idx_rows(beside)
    if rows.shape != (count,):
        raise CorruptImage(f"{beside.name} holds {rows.shape} labels, {path.name} {count:,} images")
    return to_labels(rows.all(), beside.name)


def _present(folder: Path, plain: str) -> Path | None:
    """The file in the folder, unpacked first, then .gz; also with the dot that some copies have in the name."""
    for name in (plain, plain + ".gz", plain.replace("-idx", ".idx"), plain.replace("-idx", ".idx") + ".gz"):
        if (folder / name).is_file():
            return folder / name
    return None
