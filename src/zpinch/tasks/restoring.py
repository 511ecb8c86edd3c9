"""The one place where images become a block of an archive and a block images, and where the two are compared."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.container import ArchiveHeader, Block
from zpinch.codec.exact import within
from zpinch.errors import UsageError
from zpinch.images.collection import ImageCollection, Labels, Pixels, Which, relabelled
from zpinch.model.model import Model
from zpinch.tasks.locate import quality_of

ALL = slice(None)


def check_realism(realism: float | None, header: ArchiveHeader) -> None:
    """Refuse a realism outside 0 to 1, and any where no generator decodes. Raises UsageError."""
    if realism is None:
        return
    if not 0 <= realism <= 1:
        raise UsageError(f"--realism is 0, the least error, to 1, what the critic accepts, not {realism:g}.")
    if header.is_exact:
        raise UsageError(
            "this archive holds the pixels themselves: there is no realism to choose. Leave --realism out."
        )


def codes_of(model: Model, header: ArchiveHeader, pixels: Pixels) -> NDArray[np.int32] | Pixels:
    """What a block holds of images (n, channels, height, width): their codes, or pixels within the error allowed."""
    if header.is_exact:
        return within(pixels, header.max_error)
    return model.encode(pixels, quality_of(header, model))


def pixels_of(
    model: Model, header: ArchiveHeader, block: Block, which: Which = ALL, realism: float | None = None
) -> Pixels:
    """The images of a block, or those of them that were asked for: (n, channels, height, width) uint8.

    realism: 0 to 1; None for the model's own, which is the one that the archive's errors were measured at.
    """
    if header.is_exact:
        return block.codes[which].astype(np.uint8, copy=False)
    codes = block.codes[which].astype(np.int32, copy=False)
    return model.decode(codes, realism=realism, quality=quality_of(header, model))


def stored_labels(batch: ImageCollection, header: ArchiveHeader) -> NDArray[np.int32] | None:
    """The labels of images as a block holds them."""
    labels = labels_among(header.class_names, batch) if header.has_labels else None
    return None if labels is None else labels.astype(np.int32)


def labels_among(class_names: tuple[str, ...], images: ImageCollection) -> Labels | None:
    """The labels of images as indices into other class names, matched by name; None where these lack one of theirs."""
    if images.labels is None or not {*class_names} >= {*images.class_names}:
        return None
    return relabelled(images.labels, images.class_names, class_names)


class Errors(NamedTuple):
    """How far images are from what an archive gives back, in levels of 0 to 255; sums of integers, so exact."""

    worst: int = 0
    squared: int = 0
    values: int = 0

    def with_images(self, wanted: Pixels, found: Pixels) -> "Errors":
        apart = wanted.astype(np.int16) - found
        worst = int(np.abs(apart).max(initial=0))
        squared = int(np.square(apart, dtype=np.int64).sum())
        return Errors(max(self.worst, worst), self.squared + squared, self.values + wanted.size)

    @property
    def mse(self) -> float:
        """Of pixels in [0, 1]."""
        return self.squared / max(self.values, 1) / 255**2
