"""From what a person typed to images: choose the reader, apply the options, check them.

A built-in name (digits, mnist, fashion-mnist) wins over a file of that name: write ./digits for the file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from zpinch.errors import CorruptImage, ImageError, UsageError
from zpinch.images import builtin
from zpinch.images.collection import ImageStream, Labels
from zpinch.images.decoding import SIDES, SUFFIXES, are_sides
from zpinch.images.layout import SPLITS, check_split
from zpinch.images.naming import counted, readable
from zpinch.images.readers import arrays, encoded, folder, idx, npz, parquet, parquet_pixels, pixel_csv, tarred, zipped
from zpinch.images.readers.labels import to_labels

Source: TypeAlias = str | Path | npt.NDArray[Any]
LabelSource: TypeAlias = str | Path | npt.ArrayLike  # lists too, as NumPy takes them
Size: TypeAlias = int | tuple[int, int]
Given: TypeAlias = tuple[Labels, tuple[str, ...]]  # labels instead of a source's own, and the names of their classes

KINDS = (
    "a folder of images, a single image, a .zip or .tar of images, IDX files or the folder of the four, .npz, .npy, "
    "pixel .csv, .parquet, or a name: " + ", ".join(builtin.NAMES)
)


def open_stream(
    source: Source,
    *,
    split: str = "train",
    labels: LabelSource | None = None,
    size: Size | None = None,
    skip_bad: bool = False,
) -> ImageStream:
    """Images read batch by batch; arguments as in `zpinch.open_images` (tasks/source.py), which reads archives too."""
    shown = shown_source(source)
    check_split(split, SPLITS, shown)
    given, sides = _read_labels(labels), read_size(size)
    if isinstance(source, np.ndarray):
        check_split(split, (), shown)
        return _stream_table(arrays.Table(arrays.rows_of(source, shown)), shown, given, sides)
    if (name := str(source)) in builtin.NAMES:
        return _stream_table(builtin.read_table(name, split), shown, given, sides)
    path = existing(source)
    own = labels is None
    if (shelf := shelf_of(path, shown, split=split, skip_bad=skip_bad, own_labels=own)) is not None:
        return encoded.stream_shelf(_relabel(shelf, given), size=sides, skip_bad=skip_bad)
    table = table_of(path, shown, split=split, size=sides, skip_bad=skip_bad, own_labels=own)
    return _stream_table(table, shown, given, sides)


def open_alpha(
    source: Source,
    *,
    split: str = "all",
    labels: LabelSource | None = None,
    size: Size | None = None,
    skip_bad: bool = False,
) -> ImageStream:
    """How opaque each pixel of these images is, 0 to 255, as grey images in the same order.

    Arguments as in `open_stream`: what leaves an image out there, as a label that is missing, does here.

    Raises UsageError for a source of anything but image files.
    """
    shown = shown_source(source)
    if isinstance(source, np.ndarray) or str(source) in builtin.NAMES:
        shelf = None
    else:
        shelf = shelf_of(existing(source), shown, split=split, skip_bad=skip_bad, own_labels=labels is None)
    if shelf is None:
        raise UsageError(f"{shown} has no transparent pixels: those are in image files, such as a folder of PNG.")
    return encoded.stream_shelf(shelf, size=read_size(size), skip_bad=skip_bad, of_alpha=True)


def open_table(
    table: arrays.Table, shown: str, *, split: str, labels: LabelSource | None = None, size: Size | None = None
) -> ImageStream:
    """Rows without splits as a stream; arguments as in `open_stream`."""
    check_split(split, (), shown)
    return _stream_table(table, shown, _read_labels(labels), read_size(size))


def splits_of(source: Source) -> tuple[str, ...]:
    """("train", "test") when the source has both, else ()."""
    if isinstance(source, np.ndarray):
        return ()
    if str(source) in builtin.NAMES:
        return SPLITS
    path = existing(source)
    if path.suffix.lower() == ".parquet" and not path.is_dir():  # has none, and a shelf of it is columns to read
        return ()
    shelf = shelf_of(path, shown_source(source), split="all", skip_bad=True, own_labels=False)
    return table_splits(path) if shelf is None else shelf.splits


def shelf_of(path: Path, shown: str, *, split: str, skip_bad: bool, own_labels: bool = True) -> encoded.Shelf | None:
    """A source of encoded images, or None when the path is a source of arrays.

    own_labels: False when others take their place, so that those of a table need not be right
    """
    if path.is_dir():
        return None if idx.find_files(path) else folder.folder_shelf(path, shown, split=split, skip_bad=skip_bad)
    if path.suffix.lower() == ".zip":
        return zipped.zip_shelf(path, shown, split=split, skip_bad=skip_bad)
    if tarred.is_tar(path):
        return tarred.tar_shelf(path, shown, split=split, skip_bad=skip_bad)
    if path.suffix.lower() == ".parquet":
        return parquet.parquet_shelf(path, shown, split=split, skip_bad=skip_bad, own_labels=own_labels)
    if path.suffix.lower() in SUFFIXES:
        check_split(split, (), shown)
        return folder.file_shelf(path, shown)
    return None


def table_of(
    path: Path, shown: str, *, split: str, size: tuple[int, int] | None, skip_bad: bool, own_labels: bool = True
) -> arrays.Table:
    check_split(split, table_splits(path), shown)
    if path.is_dir():
        return idx.idx_folder_table(idx.find_files(path), split, shown)
    if path.suffix.lower() == ".npz":
        return npz.npz_table(path, split, shown)
    if path.suffix.lower() == ".npy":
        return arrays.Table(npz.npy_rows(path))
    if path.suffix.lower() == ".parquet":
        return parquet_pixels.parquet_table(path, shown, size=size, skip_bad=skip_bad, own_labels=own_labels)
    if pixel_csv.is_pixel_csv(path):
        return pixel_csv.csv_table(path, size=size, skip_bad=skip_bad, own_labels=own_labels)
    if idx.is_idx(path):
        return idx.idx_table(path)
    raise UsageError(f"{shown} is not a kind of file that is read as images. Those are: {KINDS}.")


def table_splits(path: Path) -> tuple[str, ...]:
    """The splits of a source of arrays, of which none is read."""
    if path.is_dir():
        return SPLITS if len(idx.find_files(path)) == len(SPLITS) else ()
    return npz.npz_splits(path) if path.suffix.lower() == ".npz" else ()


def existing(source: str | Path) -> Path:
    shown, path = shown_source(source), Path(source)
    if not shown:  # which pathlib takes for the current folder
        raise UsageError(f"the path of the images is empty. Images come from {KINDS}.")
    if not path.exists():
        raise ImageError(f"{shown} does not exist. Images come from {KINDS}.")
    if not path.is_dir() and not path.is_file():
        raise ImageError(f"{shown} is neither a file nor a folder")
    return path


def shown_source(source: Source) -> str:
    """Raises UsageError for what is no source, which NumPy's users may pass: a list of arrays, a tensor."""
    if isinstance(source, np.ndarray):
        return "the array"
    try:
        return readable(os.fspath(source))
    except TypeError as error:
        raise UsageError(
            f"images come from an array, a path or a name, not from a {type(source).__name__}. Of a list of arrays "
            "numpy.stack makes one; of a tensor, tensor.numpy()."
        ) from error


def _stream_table(table: arrays.Table, shown: str, given: Given | None, size: tuple[int, int] | None) -> ImageStream:
    if given is not None:
        labels, class_names = given
        if table.is_kept is not None and len(labels) == len(table.is_kept):
            labels = labels[table.is_kept]
        table = table._replace(labels=labels, class_names=class_names)
    table = table._replace(notes=(*table.notes, *encoded.left_out_note(table.problems)))
    return arrays.stream_table(table, shown, size=size)


def _relabel(shelf: encoded.Shelf, given: Given | None) -> encoded.Shelf:
    if given is None:
        return shelf
    labels, class_names = given
    if len(labels) != len(shelf.places):
        raise ImageError(
            f"{shelf.source} holds {counted(len(shelf.places), 'image')}, but there are {counted(len(labels), 'label')}"
        )
    places = [place._replace(label=int(label)) for place, label in zip(shelf.places, labels, strict=True)]
    return replace(shelf, places=places, class_names=class_names)


def _read_labels(labels: LabelSource | None) -> Given | None:
    if labels is None:
        return None
    if not isinstance(labels, str | os.PathLike):
        return to_labels(_array(labels), "the labels")
    path = existing(labels)
    try:
        rows = npz.npy_rows(path) if path.suffix.lower() == ".npy" else idx.idx_rows(path)
    except CorruptImage as error:
        if path.suffix.lower() == ".npy" or idx.is_idx(path):
            raise
        raise UsageError(
            f"{shown_source(path)} is neither .npy nor IDX, which --labels takes. Save the labels with numpy.save, or "
            "write them into a metadata.csv beside the images."
        ) from error
    return to_labels(rows.all(), path.name)


def _array(labels: npt.ArrayLike) -> npt.NDArray[Any]:
    """What NumPy makes of labels, and words of those that pandas holds as objects."""
    try:
        found = np.asarray(labels)
    except ValueError as error:  # rows of several lengths
        raise ImageError(f"the labels make no array: {error}. Give one whole number or word an image.") from error
    is_words = found.dtype == object and all(isinstance(label, str) for label in found.flat)
    return found.astype(str) if is_words else found


def read_size(size: Size | None) -> tuple[int, int] | None:
    """(height, width) to stretch images to; None to leave them as they are. Raises UsageError."""
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if not are_sides(height, width):
        raise UsageError(f"--size is from {SIDES[0]} to {SIDES[1]} pixels, not {height}x{width}")
    return height, width
