"""Pixels in a row without a shape, as tables have them: which sides they make."""

from __future__ import annotations

import math
import re

from zpinch.errors import ImageError
from zpinch.images.naming import counted

_GRID_NAME = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")


def sides_of(count: int, *, size: tuple[int, int] | None, last_name: str = "") -> tuple[int, ...] | None:
    """(height, width), or (height, width, 3) with the colours of a pixel side by side; None when nothing tells.

    A square first, then three times a square; else the name of the last column when columns are called 1x1, 1x2 ...,
    else the size asked for.
    """
    for channels in ((), (3,)):
        side = math.isqrt(count // math.prod(channels))
        if side and side * side * math.prod(channels) == count:
            return (side, side, *channels)
    named = _GRID_NAME.fullmatch(last_name)
    for sides in ((int(named[1]), int(named[2])) if named else None, size):
        for channels in ((), (3,)):
            if sides and math.prod(sides) * math.prod(channels) == count:
                return (*sides, *channels)
    return None


def need_sides(count: int, where: str, *, size: tuple[int, int] | None, last_name: str = "") -> tuple[int, ...]:
    sides = sides_of(count, size=size, last_name=last_name)
    if sides is None:
        raise ImageError(
            f"{where} has {count:,} pixels an image, which is neither a square nor three of one. Call the labels' "
            "column label, and the pixels' 1x1, 1x2, ... by row and column, or pass size=(height, width) in Python."
        )
    return sides


def colour_note(sides: tuple[int, ...], count: int) -> tuple[str, ...]:
    if len(sides) == 2:
        return ()
    return (f"{counted(count, 'image')} read as RGB, with the three colours of a pixel side by side.",)
