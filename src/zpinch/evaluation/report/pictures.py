"""Small images as data: URIs, within a budget of bytes for the whole page."""

import numpy as np
from PIL import Image

from zpinch.evaluation.board import signed_tile
from zpinch.images.collection import Pixels
from zpinch.images.decoding import to_picture
from zpinch.images.notebook import png_uri


def affordable(shape: tuple[int, ...], budget_bytes: int, *, bytes_a_pixel: int) -> int:
    """How many images of (channels, height, width) fit even if PNG gains nothing; base64 adds a third."""
    return max(1, int(budget_bytes / (shape[-1] * shape[-2] * bytes_a_pixel * 4 / 3 + 120)))


def data_uri(image: Pixels) -> str:
    """(channels, height, width) as a PNG in a data: URI."""
    return png_uri(to_picture(image))


def error_uri(original: Pixels, reconstructed: Pixels) -> str:
    """Where a reconstruction is too bright (rust) or too dark (blue); clear where it is right. Error 0.5 is opaque."""
    return png_uri(Image.fromarray(signed_tile(reconstructed.astype(np.float64) - original, most=255 / 2)))


def shown_width(side: int, target: int) -> int:
    """Pixels on the page for an image this wide: a whole multiple of its own when small, so that pixels stay square."""
    return side * max(1, round(target / side)) if side <= target else target
