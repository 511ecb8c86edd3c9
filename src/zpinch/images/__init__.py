"""Images in and out: every format a person has, as uint8 channels-first arrays, and back to files.

`open_stream` reads; `open_writer` and `save_images` write. No torch here: NumPy and Pillow only.
"""

from zpinch.images.builtin import NAMES as BUILTIN_NAMES
from zpinch.images.checking import CheckReport, check_source
from zpinch.images.collection import ImageCollection, ImageStream
from zpinch.images.opening import open_alpha, open_stream, splits_of
from zpinch.images.writers import ImageWriter, contact_sheet, open_writer, save_images

__all__ = [
    "BUILTIN_NAMES",
    "CheckReport",
    "ImageCollection",
    "ImageStream",
    "ImageWriter",
    "check_source",
    "contact_sheet",
    "open_alpha",
    "open_stream",
    "open_writer",
    "save_images",
    "splits_of",
]
