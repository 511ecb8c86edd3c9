"""Pictures made of small pictures: rows of tiles with a word beside each, clear where there is nothing.

Tiles are (height, width, 4) uint8, RGBA. Words are grey and gaps clear, so that a board reads on a light and on a dark
page alike. Everything is drawn at twice the size that it is meant to be seen at, for fine screens.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Tile: TypeAlias = NDArray[np.uint8]
DENSITY = 2  # pixels of the board to one as it is seen
POSITIVE, NEGATIVE = (196, 92, 46), (58, 120, 168)  # rust and blue: readable on white and on black
GREY = (128, 128, 128)
PALETTE = (  # ten hues of about one lightness, tellable on white and on black
    (214, 92, 70), (52, 133, 189), (201, 141, 25), (63, 155, 96), (160, 98, 194),
    (139, 112, 75), (222, 112, 160), (112, 150, 40), (27, 158, 163), (112, 118, 200),
)  # fmt: skip
TILE_WIDTH, GAP, WORD_SIZE, MARGIN = 104, 6, 22, 24
MOST_LETTERS = 22


class Row(NamedTuple):
    word: str
    tiles: Sequence[Tile | None]  # None: a gap of a third of a tile


def image_tile(image: NDArray[np.uint8]) -> Tile:
    """(channels, height, width) as it is."""
    colour = np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3))
    return np.concatenate([colour, np.full((*image.shape[1:], 1), 255, np.uint8)], 2)


def signed_tile(values: NDArray[np.floating], most: float | None = None) -> Tile:
    """(channels, height, width) of both signs: rust where positive, blue where negative, clear at 0.

    most: the magnitude that is opaque; the largest there is when not given. Colour channels are averaged.
    """
    mean = values.mean(0)
    most = most or float(np.abs(mean).max()) or 1.0
    tile = np.empty((*mean.shape, 4), np.uint8)
    tile[..., :3] = np.where(mean[..., None] > 0, POSITIVE, NEGATIVE)
    tile[..., 3] = (np.abs(mean) / most * 255).clip(max=255)
    return tile


def colour_tile(values: NDArray[np.floating]) -> Tile:
    """(3, height, width) of both signs as a colour: grey at 0, each channel up or down from there."""
    most = float(np.abs(values).max()) or 1.0
    return image_tile((values / most * 127 + 128).astype(np.uint8))


def ink_tile(image: NDArray[np.uint8], colour: tuple[int, int, int], *, dark_ink: bool) -> Tile:
    """(1, height, width) as ink of one colour on nothing."""
    tile = np.empty((*image.shape[1:], 4), np.uint8)
    tile[..., :3] = colour
    tile[..., 3] = 255 - image[0] if dark_ink else image[0]
    return tile


def board(rows: Sequence[Row], heads: Sequence[str] = (), *, width: int = TILE_WIDTH, gap: int = GAP) -> Image.Image:
    """The rows one below the other, their words to the left, `heads` above the columns ("" for none).

    width: about what a tile takes; a small one is enlarged a whole number of times, so that its pixels stay squares.
    """
    font = ImageFont.load_default(WORD_SIZE)
    words = [_shortened(row.word) for row in rows]
    margin = round(max((font.getlength(word) for word in words), default=0)) + (MARGIN if any(words) else 0)
    tiles = [tile for row in rows for tile in row.tiles if tile is not None]
    high, wide = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    scale = max(1, round(width / wide))
    high, wide = high * scale, wide * scale
    top = WORD_SIZE + 12 if any(heads) else 0
    lengths = [_lefts(row.tiles, wide, gap)[-1] for row in rows]
    picture = Image.new("RGBA", (margin + max(lengths) - gap, top + len(rows) * (high + gap) - gap), (*GREY, 0))
    draw = ImageDraw.Draw(picture)
    for left, head in zip(_lefts(rows[0].tiles, wide, gap), heads, strict=False):
        draw.text((margin + left + wide / 2, top - 8), head, (*GREY, 255), font, anchor="ms")
    for number, (row, word) in enumerate(zip(rows, words, strict=True)):
        y = top + number * (high + gap)
        draw.text((margin - 18, y + high / 2), word, (*GREY, 255), font, anchor="rm")
        for left, tile in zip(_lefts(row.tiles, wide, gap), row.tiles, strict=False):
            if tile is not None:
                picture.paste(Image.fromarray(tile.repeat(scale, 0).repeat(scale, 1)), (margin + left, y))
    return picture


def with_legend(picture: Image.Image, names: Sequence[str]) -> Image.Image:
    """The picture below a line with each name beside its colour of the palette."""
    font = ImageFont.load_default(WORD_SIZE)
    line, box = WORD_SIZE + 16, WORD_SIZE - 6
    places: list[tuple[int, int]] = []
    x = y = 0
    for name in map(_shortened, names):
        length = box + 8 + round(font.getlength(name)) + 26
        if x and x + length > picture.width:
            x, y = 0, y + line
        places.append((x, y))
        x += length
    top = y + line + 8
    whole = Image.new("RGBA", (picture.width, top + picture.height), (*GREY, 0))
    draw = ImageDraw.Draw(whole)
    for number, ((x, y), name) in enumerate(zip(places, map(_shortened, names), strict=True)):
        draw.rectangle((x, y + 6, x + box, y + 6 + box), (*palette(number), 255))
        draw.text((x + box + 8, y + 6 + box), name, (*GREY, 255), font, anchor="ls")
    whole.paste(picture, (0, top))
    return whole


def palette(number: int) -> tuple[int, int, int]:
    return PALETTE[number % len(PALETTE)]


def _lefts(tiles: Sequence[Tile | None], wide: int, gap: int) -> list[int]:
    """Where each tile begins, and where the next would."""
    lefts = [0]
    for tile in tiles:
        lefts.append(lefts[-1] + (wide + gap if tile is not None else wide // 3))
    return lefts


def _shortened(word: str) -> str:
    return word if len(word) <= MOST_LETTERS else word[: MOST_LETTERS - 2] + ".."
