"""Images as every other room sees them: uint8, channels first, all of one shape.

`ImageCollection` holds them in memory, or mapped from a file; `ImageStream` reads them batch by batch, so that memory
is bounded by the batch and not by their number. Nothing here knows a file format: the readers make streams, `collect`
makes a collection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, overload

import numpy as np
import numpy.typing as npt

from zpinch.errors import CorruptImage, ImageError, UsageError
from zpinch.images.cache import Pixels, PixelStore, gathered

Labels: TypeAlias = npt.NDArray[np.int64]
Shape: TypeAlias = tuple[int, int, int]
Which: TypeAlias = slice | npt.NDArray[np.integer] | npt.NDArray[np.bool_]

_BATCH = 1024


@dataclass(frozen=True, eq=False)
class ImageCollection:
    """Images in memory.

    pixels: (n, channels, height, width) uint8, channels 1 (grey) or 3 (RGB)
    labels: (n,) int64, an index into class_names each; None when unlabelled
    class_names: () when unlabelled
    names: relative POSIX names; None when the source has none (IDX, npz)
    source: what the person typed, for messages
    notes: sentences on what was converted or left out
    losses: those of the notes that say what converting lost of the pixels

    Lists do for arrays and tuples. Raises ImageError where these do not fit together.
    """

    pixels: Pixels
    labels: Labels | None = None
    class_names: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    source: str = "an array"
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in {"pixels": np.asarray, "labels": np.asarray, "class_names": tuple, "names": tuple}.items():
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, kind(given))
        pixels, labels, n = self.pixels, self.labels, len(self.pixels)
        if pixels.ndim != 4 or pixels.dtype != np.uint8 or pixels.shape[1] not in (1, 3):
            raise ImageError(
                f"{self.source}: pixels must be uint8 of shape (n, 1 or 3, height, width), "
                f"not {pixels.dtype} of shape {pixels.shape}"
            )
        if (labels is None) != (not self.class_names):
            raise ImageError(f"{self.source}: labels and class names come together or not at all")
        if labels is not None:
            if labels.shape != (n,) or labels.dtype != np.int64:
                raise ImageError(
                    f"{self.source}: labels must be int64 of shape ({n},), not {labels.dtype} {labels.shape}"
                )
            if n and not 0 <= labels.min() <= labels.max() < len(self.class_names):
                raise ImageError(
                    f"{self.source}: labels run from {labels.min()} to {labels.max()}, "
                    f"but there are {len(self.class_names)} class names"
                )
        if self.names is not None and len(self.names) != n:
            raise ImageError(f"{self.source}: {len(self.names):,} names for {n:,} images")
        # PyTorch takes no view that runs backwards, as images[::-1] does.
        if min(pixels.strides) < 0:
            object.__setattr__(self, "pixels", gathered(pixels, np.arange(n), self.source))
        if labels is not None and labels.strides[0] < 0:
            object.__setattr__(self, "labels", labels.copy())

    def __repr__(self) -> str:
        classes = f", {len(self.class_names)} classes" if self.class_names else ""
        return f"<ImageCollection: {len(self):,} of {described(self.shape)}{classes}, from {self.source}>"

    def _repr_html_(self) -> str:
        from zpinch.images.notebook import as_html  # which builds on this file

        return as_html(repr(self).strip("<>"), self.pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def __iter__(self) -> Iterator[Pixels]:
        """The pixels of each image, (channels, height, width)."""
        return iter(self.pixels)

    @overload
    def __getitem__(self, which: int) -> Pixels: ...
    @overload
    def __getitem__(self, which: Which) -> ImageCollection: ...
    def __getitem__(self, which: int | Which) -> Pixels | ImageCollection:
        """The images of a slice, of an array of positions, or where a mask is true; of a number, its pixels."""
        if isinstance(which, int | np.integer):
            return self.pixels[which]
        names = self.names
        if names is not None:
            whole = names
            names = whole[which] if isinstance(which, slice) else tuple(whole[i] for i in np.arange(len(self))[which])
        labels = None if self.labels is None else self.labels[which]
        pixels = self.pixels[which] if isinstance(which, slice) else gathered(self.pixels, which, self.source)
        return ImageCollection(pixels, labels, self.class_names, names, self.source, self.notes, self.losses)

    @property
    def shape(self) -> Shape:
        """(channels, height, width)"""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    @property
    def count(self) -> int:
        return len(self)

    @property
    def is_labelled(self) -> bool:
        return self.labels is not None

    @property
    def has_names(self) -> bool:
        return self.names is not None

    def batches(self, size: int) -> Iterator[ImageCollection]:
        """As a stream's, without opening anything."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels: the same images in the same order, whatever file they came from."""
        return fingerprints(self)[1]


def described(shape: tuple[int, ...]) -> str:
    """28x28 grey (width x height) for (1, 28, 28)."""
    channels, height, width = shape
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"


def relabelled(labels: Labels, names: Sequence[str], class_names: Sequence[str]) -> Labels:
    """Labels that point into `names`, pointing to the same names in `class_names`, which has them all."""
    index = {name: i for i, name in enumerate(class_names)}
    return np.array([index[name] for name in names], np.int64)[labels]


def fingerprints(*parts: ImageCollection) -> tuple[str, str]:
    """Those of all images of collections of one shape, in this order, without their labels and with them.

    `--split all` joins its two so.
    """
    digest = hashlib.sha256(np.asarray((sum(map(len, parts)), *parts[0].shape), "<i8").tobytes())
    for part in parts:
        for start in range(0, len(part), _BATCH):
            digest.update(part.pixels[start : start + _BATCH].tobytes())
    of_pixels = digest.hexdigest()
    labels = [part.labels for part in parts if part.labels is not None]
    if len(labels) == len(parts):  # joined with unlabelled images, they have none
        digest.update(np.concatenate(labels).astype("<i8").tobytes())
    return of_pixels, digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ImageStream:
    """The same images, read once in order; `batches` opens the source afresh each time it is called."""

    shape: Shape
    count: int
    class_names: tuple[str, ...]
    is_labelled: bool
    has_names: bool
    source: str
    notes: tuple[str, ...]
    read: Callable[[int], Iterator[ImageCollection]] = field(repr=False)
    losses: tuple[str, ...] = ()

    def batches(self, size: int) -> Iterator[ImageCollection]:
        """Collections of `size` images each, the last one maybe smaller."""
        if size < 1:
            raise UsageError(f"a batch has at least one image, not {size}")
        return self.read(size)

    def collect(self) -> ImageCollection:
        """All images: in memory, or mapped from a file where that would take more than half of what is free.

        Raises LimitError where there is no room for that file either.
        """
        store = PixelStore((self.count, *self.shape), self.source)
        labels = np.empty(self.count, np.int64) if self.is_labelled else None
        names: list[str] = []
        done = 0
        for batch in self.batches(_BATCH):
            there = slice(done, done + len(batch))
            store.add(batch.pixels)
            if labels is not None and batch.labels is not None:
                labels[there] = batch.labels
            names.extend(batch.names or ())
            done += len(batch)
        if done != self.count:
            raise CorruptImage(f"{self.source}: {self.count:,} images were promised, {done:,} arrived")
        note = "they are too many for memory: their pixels are read from a file in the cache"
        return ImageCollection(
            store.pixels(),
            labels,
            self.class_names,
            tuple(names) if self.has_names else None,
            self.source,
            (*self.notes, note) if store.is_mapped else self.notes,
            self.losses,
        )
