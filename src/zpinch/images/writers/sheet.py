"""One picture with all images in a grid: a contact sheet, for the eye and for reports."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from zpinch.errors import ImageError, LimitError, UsageError
from zpinch.images.collection import Labels, Pixels, Shape
from zpinch.images.decoding import to_picture
from zpinch.images.writers.atomic import check_free
from zpinch.images.writers.columns import Columns

MAX_SHEET = 4096
_GAP_LEVEL = 128  # tells black images from white ones


def check_picture(picture: Path, *, beside: str | Path | None, force: bool) -> None:
    """Refuse a --picture that is no .png, is taken, or would stand in the way of the output `beside` it.

    Raises UsageError.
    """
    if picture.suffix.lower() != ".png":
        raise UsageError(f"--picture {picture}: the picture is a .png.")
    if beside is not None and picture.resolve().is_relative_to(Path(beside).resolve()):
        raise UsageError(f"--picture {picture} is, or is in, what -o names. Choose another place for one of them.")
    check_free(picture, is_folder=False, force=force)


def contact_sheet(pixels: Pixels, columns: int | None = None, scale: int = 1) -> Image.Image:
    """A grid of images, row by row, a grey pixel apart.

    pixels: (n, channels, height, width) uint8
    columns: as many as make the grid about square, when not given
    scale: each pixel becomes a square of that side
    """
    n, channels, height, width = pixels.shape
    check_sheet(n)
    if n == 0:
        raise ImageError("a contact sheet needs at least one image")
    columns = columns or math.ceil(math.sqrt(n))
    if columns < 1 or scale < 1:
        raise UsageError(f"columns {columns} and scale {scale} are at least 1")
    columns = min(columns, n)
    rows, high, wide = math.ceil(n / columns), height * scale + 1, width * scale + 1
    grid = np.full((channels, rows * high - 1, columns * wide - 1), _GAP_LEVEL, np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * high, i % columns * wide
        grid[:, top : top + height * scale, left : left + width * scale] = image.repeat(scale, 1).repeat(scale, 2)
    return to_picture(grid)


def check_sheet(count: int) -> None:
    if count > MAX_SHEET:
        raise LimitError(
            f"a contact sheet holds at most {MAX_SHEET:,} images, not {count:,}. Write a folder, .zip or .npz instead."
        )


class SheetSink:
    def __init__(self, part: Path, shape: Shape, class_names: tuple[str, ...]) -> None:
        self._path = part
        self._kept: list[Pixels] = []

    def add(self, pixels: Pixels, labels: Labels | None, names: list[str], columns: Columns) -> None:
        check_sheet(sum(map(len, self._kept)) + len(pixels))
        self._kept.append(pixels)

    def finish(self) -> None:
        if not self._kept:
            raise ImageError("a contact sheet needs at least one image")
        contact_sheet(np.concatenate(self._kept)).save(self._path, "PNG")

    def close(self) -> None:
        pass
