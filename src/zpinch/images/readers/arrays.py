"""Arrays of images, in memory or in files: which axis is what, which types are taken, and reading in batches.

Layouts: (n, height, width) is grey. Of four axes, channels (1 or 3) are the last or the second; when both could be,
that is an error, never a guess. Types: uint8 as it is; bool to 0 and 255; floats in [0, 1] times 255, rounded; uint16
keeps its high byte, unless that is next to nothing. Any other type is refused. `Rows` is the seam: idx, npz and npy
files and NumPy arrays give one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zpinch.errors import ImageError, LimitError, ZpinchError
from zpinch.images.collection import ImageCollection, ImageStream, Labels, Pixels, Shape, relabelled
from zpinch.images.decoding import LOSSES, MAX_PIXELS, check_sides, notes_on, resize, to_channels_first, to_picture
from zpinch.images.layout import Problem, in_order, one_sided
from zpinch.images.memory import require_memory
from zpinch.images.naming import counted

_TWELVE_BITS = 4095
_BLOCK_BYTES = 1 << 24  # what is read at once, before it is resized


@dataclass(frozen=True)
class Rows:
    """An array whose first axis is read in order, so that it need not be in memory.

    open: at its start; what it gives takes the next k rows
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    open: Callable[[], AbstractContextManager[Callable[[int], npt.NDArray[Any]]]]

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def all(self) -> npt.NDArray[Any]:
        require_memory(math.prod(self.shape) * self.dtype.itemsize, self.where)
        with self.open() as take:
            return take(len(self))


class Table(NamedTuple):
    """Rows of images with what is known of each.

    problems: rows that were left out; is_kept: (rows of the source,) which were not, None when all were kept;
    losses: those of the notes that say what the reader lost of the pixels
    """

    rows: Rows
    labels: Labels | None = None
    class_names: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    is_kept: npt.NDArray[np.bool_] | None = None
    losses: tuple[str, ...] = ()


def rows_of(array: npt.NDArray[Any], where: str) -> Rows:
    @contextmanager
    def opened() -> Generator[Callable[[int], npt.NDArray[Any]]]:
        done = 0

        def take(k: int) -> npt.NDArray[Any]:
            nonlocal done
            done += k
            return array[done - k : done]

        yield take

    return Rows(where, array.shape, array.dtype, opened)


def one_by_one(images: Iterator[Pixels], sides: tuple[int, ...], missing: ZpinchError) -> Callable[[int], Pixels]:
    """What takes the next k of images of these sides that come one at a time; `missing` is raised when none is left."""

    def take(k: int) -> Pixels:
        block = np.empty((k, *sides), np.uint8)
        for row in block:
            image = next(images, None)
            if image is None:
                raise missing
            row[:] = image
        return block

    return take


def join_rows(first: Rows, second: Rows) -> Rows:
    """One after the other, as NumPy's concatenate."""
    if (first.shape[1:], first.dtype) != (second.shape[1:], second.dtype):
        raise ImageError(
            f"{first.where} is {first.dtype} {first.shape} but {second.where} is {second.dtype} {second.shape}: "
            "they cannot be read together (--split all). Save both alike, or read one of them: --split train."
        )

    @contextmanager
    def opened() -> Generator[Callable[[int], npt.NDArray[Any]]]:
        with first.open() as take_first, second.open() as take_second:
            left = len(first)

            def take(k: int) -> npt.NDArray[Any]:
                nonlocal left
                here = min(k, left)
                left -= here
                parts = [take_first(here)] if here else []
                return np.concatenate([*parts, take_second(k - here)] if k > here or not parts else parts)

            yield take

    return Rows(first.where, (len(first) + len(second), *first.shape[1:]), first.dtype, opened)


def choose_split(train: Table, test: Table, split: str, source: str) -> Table:
    """One of two splits, or both ("all"), one after the other; classes are those of both, matched by name."""
    class_names = in_order({*train.class_names, *test.class_names})
    notes = one_sided(train.class_names, test.class_names, source)
    train, test = _with_classes(train, class_names), _with_classes(test, class_names)
    if split != "all":
        return (train if split == "train" else test)._replace(notes=notes)
    rows = join_rows(train.rows, test.rows)
    if train.labels is None or test.labels is None:
        return Table(rows)
    return Table(rows, np.concatenate([train.labels, test.labels]), class_names, notes=notes)


def _with_classes(table: Table, class_names: tuple[str, ...]) -> Table:
    if table.labels is None:
        return table
    return table._replace(labels=relabelled(table.labels, table.class_names, class_names), class_names=class_names)


def stream_table(table: Table, source: str, *, size: tuple[int, int] | None) -> ImageStream:
    rows, labels, class_names, names, notes, *_ = table
    channel_axis = _channel_axis(rows)
    shape, conversions = _settle(rows, channel_axis, size)
    notes = (*notes, *notes_on(conversions))
    losses = (*table.losses, *notes_on(conversions, LOSSES))
    count = len(rows)
    if labels is not None and len(labels) != count:
        raise ImageError(f"{source} holds {counted(count, 'image')}, but there are {counted(len(labels), 'label')}")
    step = _rows_at_once(rows)

    def read(batch: int) -> Iterator[ImageCollection]:
        with rows.open() as take:
            for start in range(0, count, batch):
                those = slice(start, min(start + batch, count))
                pixels = np.empty((those.stop - start, *shape), np.uint8)
                for at in range(0, len(pixels), step):
                    part = pixels[at : at + step]
                    block = _to_uint8(take(len(part)), f"{rows.where}, from image {start + at:,}")
                    part[:] = _stretch(_channels_second(block, channel_axis), shape)
                yield ImageCollection(
                    pixels,
                    None if labels is None else labels[those],
                    class_names,
                    None if names is None else names[those],
                    source,
                    notes,
                    losses,
                )

    return ImageStream(shape, count, class_names, labels is not None, names is not None, source, notes, read, losses)


def _channel_axis(rows: Rows) -> int | None:
    shape, where = rows.shape, rows.where
    if len(shape) == 3:
        return None
    if len(shape) != 4:
        raise ImageError(
            f"{where} has shape {shape}. Reshape it to (n, height, width) or (n, height, width, channels)."
        )
    last, second = shape[3] in (1, 3), shape[1] in (1, 3)
    if last and second:
        raise ImageError(f"{where} has shape {shape}: channels could be the second or the last axis. Drop or move one.")
    if not last and not second:
        raise ImageError(f"{where} has shape {shape}: no axis of 1 (grey) or 3 (RGB) channels stands second or last")
    return 3 if last else 1


def _rows_at_once(rows: Rows) -> int:
    return max(1, _BLOCK_BYTES // max(1, math.prod(rows.shape[1:]) * rows.dtype.itemsize))


def _settle(rows: Rows, channel_axis: int | None, size: tuple[int, int] | None) -> tuple[Shape, dict[str, int]]:
    """The shape the images will have, once sides and type are found to be usable, and how many are converted how."""
    height, width = (side for axis, side in enumerate(rows.shape) if axis not in (0, channel_axis))
    if len(rows) == 0:
        raise ImageError(f"{rows.where} holds no images (its shape is {rows.shape})")
    if size is None:
        check_sides(width, height, f"{rows.where}: its images are")
    if not 0 < height * width <= MAX_PIXELS:
        raise LimitError(
            f"{rows.where}: its images are {width}x{height}; the limit is 1 to {MAX_PIXELS:,} pixels an image"
        )
    kinds = {("u", 1): "", ("b", 1): "boolean", ("u", 2): "sixteen", ("f", rows.dtype.itemsize): "floats"}
    kind = kinds.get((rows.dtype.kind, rows.dtype.itemsize))
    if kind is None:
        raise ImageError(
            f"{rows.where} is {rows.dtype}. Save it as uint8 in 0 to 255, as floats in 0 to 1, as bool or as uint16."
        )
    if kind == "sixteen":
        _check_deep(rows)
    stretched = "stretched" if size not in (None, (height, width)) else ""
    conversions = {key: len(rows) for key in (kind, stretched) if key}
    return (1 if channel_axis is None else rows.shape[channel_axis], *(size or (height, width))), conversions


def _check_deep(rows: Rows) -> None:
    """Refuse 16 bits that hold 8, 10 or 12: their high bytes would be black, or nearly."""
    step = _rows_at_once(rows)
    with rows.open() as take:
        highest = max(int(take(min(step, len(rows) - start)).max()) for start in range(0, len(rows), step))
    if highest <= _TWELVE_BITS:
        raise ImageError(
            f"{rows.where} has 16 bits a sample and no value above {highest:,}: its high bytes would be "
            f"{'black' if highest < 256 else 'nearly black'}. Save it as uint8, or scale it to 0 to 65,535 (samples of "
            "8 bits times 257, of 10 bits times 64, of 12 bits times 16)."
        )


def _to_uint8(block: npt.NDArray[Any], where: str) -> Pixels:
    if block.dtype == np.uint8:
        return block
    if block.dtype.kind == "b":
        return block.astype(np.uint8) * np.uint8(255)
    if block.dtype.kind == "u":
        return (block >> 8).astype(np.uint8)
    if not (block.min() >= 0 and block.max() <= 1):  # NaN lands here too
        raise ImageError(
            f"{where}: floats from {block.min():g} to {block.max():g}. Scale them into 0 to 1, or save uint8."
        )
    return np.rint(block.astype(np.float64) * 255).astype(np.uint8)


def _channels_second(block: Pixels, channel_axis: int | None) -> Pixels:
    if channel_axis is None:
        return block[:, None]
    return block.transpose(0, 3, 1, 2) if channel_axis == 3 else block


def _stretch(block: Pixels, shape: Shape) -> Pixels:
    if block.shape[1:] == shape:
        return block
    return np.stack([to_channels_first(np.asarray(resize(to_picture(image), shape[1:]))) for image in block])
