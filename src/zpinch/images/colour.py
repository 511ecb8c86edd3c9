"""Grey images for a model of colour ones: three equal channels, and a note that says so.

Never the other way round: colour made grey is lost, and what was asked for would be another thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from zpinch.images.collection import ImageCollection, ImageStream
from zpinch.images.naming import counted

Images = TypeVar("Images", bound=ImageCollection | ImageStream)


def with_channels(images: Images, channels: int) -> Images:
    """Grey images as RGB where `channels` is 3; all others as they are. A collection's pixels are shared."""
    if (images.shape[0], channels) != (1, 3):
        return images
    if isinstance(images, ImageStream):
        _, height, width = images.shape

        def read(size: int) -> Iterator[ImageCollection]:
            return (with_channels(batch, channels) for batch in images.batches(size))

        return replace(images, shape=(3, height, width), notes=_with_note(images.notes, images.count), read=read)
    # One plane that is seen three times: pixels that are mapped from a file may not fit into memory even once.
    count, _, height, width = images.pixels.shape
    pixels = np.broadcast_to(images.pixels, (count, channels, height, width))
    return replace(images, pixels=pixels, notes=_with_note(images.notes, len(images)))


def _with_note(notes: tuple[str, ...], count: int) -> tuple[str, ...]:
    are = "is" if count == 1 else "are"
    return (*notes, f"{counted(count, 'image')} {are} grey, for a model of colours: given three equal channels.")
