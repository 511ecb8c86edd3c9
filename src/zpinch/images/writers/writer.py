"""The streaming writer: checks what comes, names every image, and makes OUT appear complete or not at all.

The ending of OUT chooses the kind: none (or an unknown one) is a folder of PNG. Pixels never accumulate (a sheet,
which is limited, apart); names and labels do, at about a hundred bytes an image.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from zpinch.errors import ImageError, UsageError, require_extra
from zpinch.images.collection import ImageCollection, Labels, Pixels, Shape
from zpinch.images.decoding import SUFFIXES
from zpinch.images.layout import SPLITS, class_folders, folder_part
from zpinch.images.naming import NameBook, composed, safe_name
from zpinch.images.writers import atomic
from zpinch.images.writers.columns import NO_COLUMNS, Columns, fit_in
from zpinch.images.writers.files import FolderSink, ZipSink
from zpinch.images.writers.npz import NpzSink
from zpinch.images.writers.parquet import ParquetSink
from zpinch.images.writers.sheet import SheetSink, check_sheet


class Sink(Protocol):
    """One kind of output, growing under a temporary name."""

    def add(self, pixels: Pixels, labels: Labels | None, names: list[str], columns: Columns) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None:
        """Let go of all files, finished or not."""
        ...


SINKS: dict[str, Callable[[Path, Shape, tuple[str, ...]], Sink]] = {
    "": FolderSink,
    ".npz": NpzSink,
    ".parquet": ParquetSink,
    ".png": SheetSink,
    ".zip": ZipSink,
}
# What the name of a file ends in and that of a folder does not: whoever asks for one wants no folder.
FILE_ENDINGS = (
    frozenset(filter(None, SINKS))
    | SUFFIXES
    | {".avif", ".csv", ".gz", ".html", ".json", ".npy", ".pdf", ".tar", ".tgz", ".txt", ".zpn"}
)


class ImageWriter:
    """Checks what comes, names it, and hands it on to one kind of output."""

    def __init__(self, out: Path, sink: Sink, shape: Shape, class_names: tuple[str, ...]) -> None:
        self._out, self._sink = out, sink
        self._shape, self._class_names = shape, class_names
        self._namer = _Namer(class_names)
        self.count = 0

    def write(self, batch: ImageCollection, columns: Columns = NO_COLUMNS) -> None:
        """Add images; columns: more that is known of each, the same names in every batch. A sheet leaves them out."""
        if batch.shape != self._shape or batch.class_names != self._class_names:
            raise ImageError(
                f"{batch.source}: images of shape {batch.shape} and {len(batch.class_names)} classes cannot join "
                f"those of shape {self._shape} and {len(self._class_names)} classes in one output"
            )
        if len(batch):
            with atomic.writing(self._out):
                self._sink.add(batch.pixels, batch.labels, self._namer.names(batch, self.count), columns)
            self.count += len(batch)


def check_ending(out: Path, what: str, ending: str = "") -> None:
    """Refuse a name that ends as other kinds of file do; without an `ending` of its own, as any does, for a folder.

    what: a clause on what is written. Raises UsageError.
    """
    if (found := out.suffix.lower()) in FILE_ENDINGS - {ending}:
        remedy = f", no {found}. Give it a name that ends in {ending}" if ending else f". Name it without {out.suffix}"
        raise UsageError(f"{out.name}: {what}{remedy}.")


def check_output(out: Path, *, force: bool) -> str:
    """The kind of sink for OUT, a key of SINKS; refuses what is not written, what is taken and what lacks its extra."""
    ending = out.suffix.lower()
    if ending in FILE_ENDINGS - SINKS.keys():
        kinds = ", ".join(sorted(filter(None, SINKS)))
        raise UsageError(f"{ending} is not written. OUT is a folder, or ends in {kinds} (.png is one contact sheet).")
    kind = ending if ending in SINKS else ""
    atomic.check_free(out, is_folder=kind == "", force=force)
    if kind == ".parquet":
        require_extra("pyarrow", "parquet")
    return kind


def open_writer(
    out: Path,
    *,
    shape: Shape,
    class_names: tuple[str, ...] = (),
    count_hint: int | None = None,
    force: bool = False,
) -> AbstractContextManager[ImageWriter]:
    """A writer for OUT, which is there, complete, when the block has ended; after an error nothing is left.

    shape: (channels, height, width) of every image
    count_hint: how many images will come, when known: a sheet that would be too large is refused at once
    force: replace a file, or add to a folder, that is there already
    """
    if count_hint is not None and out.suffix.lower() == ".png":
        check_sheet(count_hint)
    return _writer(out, check_output(out, force=force), shape, class_names, force=force)


@contextmanager
def _writer(out: Path, kind: str, shape: Shape, class_names: tuple[str, ...], *, force: bool) -> Generator[ImageWriter]:
    with atomic.growing(out, is_folder=kind == "", force=force) as part:
        with atomic.writing(out):
            sink = SINKS[kind](part, shape, class_names)
        try:
            yield ImageWriter(out, sink, shape, class_names)
            with atomic.writing(out):
                sink.finish()
                if not kind:
                    fit_in(part, out)
        finally:
            with atomic.writing(out):
                sink.close()


def save_images(
    images: ImageCollection, out: str | Path, *, columns: Columns = NO_COLUMNS, force: bool = False
) -> None:
    """Write a collection as a folder of PNG, .zip, .npz, .parquet or one .png sheet, by the ending of `out`.

    columns: more that is known of each image, (n,) of words or numbers each: arrays of an .npz, columns of a .parquet,
    and of metadata.csv in a folder or .zip. Nothing stands under the final name before all is written.

    Raises UsageError when `out` is taken and not `force`, or cannot be written, ImageError when a sheet is to hold no
    images, LimitError when too many, MissingExtra for .parquet without pyarrow.
    """
    with open_writer(
        Path(out), shape=images.shape, class_names=images.class_names, count_hint=len(images), force=force
    ) as writer:
        for start in range(0, len(images), 1024):
            part = slice(start, start + 1024)
            writer.write(images[part], {name: column[part] for name, column in columns.items()})


class _Namer:
    """Names below OUT: the images' own made safe, or numbers; in the folder of their class, so that it reads back."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self._book = NameBook()
        self._folders = class_folders(class_names)

    def names(self, batch: ImageCollection, start: int) -> list[str]:
        names: list[str] = []
        labels = batch.labels if batch.labels is not None else np.full(len(batch), -1)
        for i, label in enumerate(labels.tolist()):
            name = f"{start + i:06d}.png" if batch.names is None else _as_png(safe_name(batch.names[i]))
            folder = self._folders[label] if label >= 0 else None
            if folder is not None and not _is_in(name, folder):
                name = f"{folder}/{name}"
            names.append(self._book.take(name))
        return names


def _as_png(name: str) -> str:
    *folders, file = name.split("/")
    path = PurePosixPath(file)  # scan.0001, as a table may name an image, has no ending
    return "/".join([*map(folder_part, folders), (path.stem if path.suffix.lower() in SUFFIXES else file) + ".png"])


def _is_in(name: str, folder: str) -> bool:
    """Whether reading the name back gives that class: it is the first folder, maybe inside train/ or test/."""
    first, *rest = name.split("/")
    if first in SPLITS and rest[1:]:
        first, *rest = rest
    return composed(first) == composed(folder) and bool(rest)
