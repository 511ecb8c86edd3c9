"""What a notebook shows: of images, an archive or a model words and a sheet of pictures below them; of work, a line."""

import base64
import sys
from html import escape

from PIL import Image

from zpinch.images.collection import Pixels
from zpinch.images.decoding import encoded
from zpinch.images.writers.sheet import contact_sheet

SHOWN, COLUMNS = 40, 20  # images of a sheet, in a row
SIDE = 56  # pixels of the screen that the longer side of an image is to be about


def as_html(words: str, pixels: Pixels | None = None) -> str:
    """words: plain text; pixels: (n, channels, height, width) uint8, of which the first SHOWN are drawn."""
    if pixels is None or not len(pixels):
        return f"<p>{escape(words)}</p>"
    scale = max(1, round(SIDE / max(pixels.shape[2:])))
    sheet = contact_sheet(pixels[:SHOWN], columns=COLUMNS, scale=scale)
    return f'<p>{escape(words)}</p><img alt="{escape(words)}" src="{png_uri(sheet)}">'


def png_uri(image: Image.Image) -> str:
    """A picture as a data: URI, for pages that hold what they show."""
    return "data:image/png;base64," + base64.b64encode(encoded(image, "PNG", optimize=True)).decode()


def is_notebook() -> bool:
    """Whether this is a cell of one."""
    python = sys.modules.get("IPython")
    return hasattr(python and python.get_ipython(), "kernel")


class NotebookLine:
    """A line below the cell, written over; it appears with the first word."""

    def __init__(self) -> None:
        from IPython.display import DisplayHandle  # pyright: ignore[reportMissingImports]: a notebook has it

        self._handle, self._is_there = DisplayHandle(), False

    def say(self, text: str) -> None:
        show = self._handle.update if self._is_there else self._handle.display
        show({"text/plain": text}, raw=True)
        self._is_there = True
