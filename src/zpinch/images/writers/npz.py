"""An .npz with arrays images (n, height, width) or (n, height, width, 3), labels, class_names, names and any columns.

A .npy header must say how many rows follow, so pixels wait in a file beside OUT until their number is known.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from zpinch.images.collection import Labels, Pixels, Shape
from zpinch.images.writers.columns import Columns
from zpinch.images.writers.files import zip_entry


class NpzSink:
    def __init__(self, part: Path, shape: Shape, class_names: tuple[str, ...]) -> None:
        channels, height, width = shape
        self._row_shape = (height, width) if channels == 1 else (height, width, channels)
        self._class_names = class_names
        self._labels: list[Labels] = []
        self._names: list[str] = []
        self._columns: dict[str, list[npt.NDArray[Any]]] = {}
        self._raw = tempfile.TemporaryFile(dir=part.parent)  # noqa: SIM115 (closed by close)
        self._archive = zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED)

    def add(self, pixels: Pixels, labels: Labels | None, names: list[str], columns: Columns) -> None:
        self._raw.write(pixels.transpose(0, 2, 3, 1).tobytes())
        self._names += names
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column)
        if labels is not None:
            self._labels.append(labels)

    def finish(self) -> None:
        self._raw.seek(0)
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(self._names), *self._row_shape)}
        with member(self._archive, "images") as file:
            npy.write_array_header_1_0(file, header)
            shutil.copyfileobj(self._raw, file, 1 << 20)
        arrays: dict[str, npt.NDArray[Any]] = {"names": np.array(self._names, "U")}
        if self._class_names:
            arrays["labels"] = np.concatenate([np.empty(0, np.int64), *self._labels])
            arrays["class_names"] = np.array(self._class_names, "U")
        arrays |= {name: np.concatenate(parts) for name, parts in self._columns.items()}
        for key, array in arrays.items():
            write_member(self._archive, key, array)

    def close(self) -> None:
        self._archive.close()
        self._raw.close()


def write_member(archive: zipfile.ZipFile, key: str, array: npt.NDArray[Any]) -> None:
    """An array, never pickled: older NumPys' savez_compressed takes allow_pickle for the name of one more."""
    with member(archive, key) as file:
        npy.write_array(file, array, allow_pickle=False)


def member(archive: zipfile.ZipFile, key: str) -> BinaryIO:
    entry = zip_entry(f"{key}.npy")
    entry.compress_type = zipfile.ZIP_DEFLATED
    return cast(BinaryIO, archive.open(entry, "w", force_zip64=True))
