"""Which pixels are missing, as a person says it: by a word, by an image, or where images are transparent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.errors import ImageError, UsageError
from zpinch.images import ImageStream, open_stream
from zpinch.images.naming import counted
from zpinch.tasks.rows import BATCH

Bools: TypeAlias = NDArray[np.bool_]
Mask: TypeAlias = str | Path | Bools | ImageStream

KINDS = "half, center, lines, random:P (P a share of the pixels), alpha, or an image whose white pixels are missing"


def half(height: int, width: int) -> Bools:
    """The lower half."""
    return np.repeat(np.arange(height)[:, None] >= height // 2, width, axis=1)


def center(height: int, width: int) -> Bools:
    """A rectangle in the middle, half as high and half as wide."""
    y, x = np.arange(height)[:, None] - height // 4, np.arange(width) - width // 4
    return (y >= 0) & (y < height // 2) & (x >= 0) & (x < width // 2)


def lines(height: int, width: int) -> Bools:
    """Two rows of every four."""
    return np.repeat(np.arange(height)[:, None] // 2 % 2 == 1, width, axis=1)


WORDS: dict[str, Callable[[int, int], Bools]] = {"half": half, "center": center, "lines": lines}


def masks_of(mask: Mask, count: int, sides: tuple[int, int], *, seed: int) -> Iterator[Bools]:
    """Masks for `count` images, a batch of rows.BATCH after another: (batch, height, width).

    mask: a word, the path of an image, an array (height, width) or (n, height, width), or how opaque pixels are.
    sides: (height, width) of the images. Raises, before the first batch, UsageError for a word that is none and
    ImageError for a mask of other sides; ImageError too when all pixels of an image are missing, or none.
    """
    if isinstance(mask, ImageStream):
        check_fits(mask.shape[1:], mask.count, sides, count)
        return (checked(found.pixels[:, 0] < 255, found.names) for found in mask.batches(BATCH))
    sizes = [min(BATCH, count - start) for start in range(0, count, BATCH)]
    if isinstance(mask, str) and mask.partition(":")[0] == "random":
        share = share_of(mask)
        return (scattered(share, sides, n, np.random.default_rng((seed, i))) for i, n in enumerate(sizes))
    found = named(mask, sides) if isinstance(mask, str | Path) else np.asarray(mask)
    if found.dtype != np.bool_ or found.ndim not in (2, 3):
        raise ImageError(
            f"a mask is a bool array (height, width) or (n, height, width), not {found.dtype} {found.shape}"
        )
    check_fits(found.shape[-2:], count if found.ndim == 2 else len(found), sides, count)
    if found.ndim == 2:
        found = np.broadcast_to(checked(found[None]), (count, *sides))
    return (checked(found[i * BATCH : i * BATCH + n]) for i, n in enumerate(sizes))


def named(mask: str | Path, sides: tuple[int, int]) -> Bools:
    if str(mask) in WORDS:
        return WORDS[str(mask)](*sides)
    if not Path(mask).is_file():
        raise UsageError(f"--mask {mask}: there is no such file, nor such a word. A mask is {KINDS}.")
    images = open_stream(mask, split="all").collect()
    if len(images) != 1:
        raise UsageError(
            f"--mask {mask} holds {counted(len(images), 'image')}: give one, whose white pixels are missing."
        )
    return images.pixels[0].min(0) >= 128


def share_of(mask: str) -> float:
    try:
        share = float(mask.partition(":")[2])
    except ValueError:
        share = float("nan")
    if not 0 < share < 1:
        raise UsageError(f"--mask {mask}: say which share of the pixels is missing, above 0 and below 1: random:0.5.")
    return share


def scattered(share: float, sides: tuple[int, int], count: int, rng: np.random.Generator) -> Bools:
    """That share of the pixels of each image, but at least one and not all: (count, height, width)."""
    pixels = sides[0] * sides[1]
    most = min(max(1, round(share * pixels)), pixels - 1)
    return (rng.random((count, pixels)).argsort(1) < most).reshape(count, *sides)


def check_fits(found: tuple[int, ...], masks: int, sides: tuple[int, int], images: int) -> None:
    if tuple(found) != sides:
        (height, width), (wanted_height, wanted_width) = found, sides
        raise ImageError(
            f"the mask is {width}x{height}, the images are {wanted_width}x{wanted_height}. Give one of their size."
        )
    if masks != images:
        raise ImageError(f"there are {masks:,} masks for {images:,} images. Give one mask, or one for each image.")


def checked(masks: Bools, names: tuple[str, ...] | None = None) -> Bools:
    """The masks, when each of them leaves something to do and something to go by."""
    missing = masks.mean((1, 2))
    for number in np.flatnonzero((missing == 0) | (missing == 1)).tolist():
        whose = f"the mask of {names[number]}" if names else "a mask"
        if missing[number]:
            raise ImageError(f"{whose} covers everything: nothing is left to go by. New images: zpinch generate.")
        raise ImageError(f"{whose} covers nothing: no pixel is missing. A mask is {KINDS}.")
    return masks
