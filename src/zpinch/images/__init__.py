"""Images in and out: every format a person has, as uint8 channels-first arrays, and back to files.

`open_images` and `open_stream` read; `open_writer` and `save_images` write. No torch here: NumPy and Pillow only.
"""

from zpinch.images.collection import ImageCollection, ImageStream
from zpinch.images.opening import open_images, open_stream, splits_of

__all__ = ["ImageCollection", "ImageStream", "open_images", "open_stream", "splits_of"]
