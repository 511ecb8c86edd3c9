"""Images to files: a kind of output a file, chosen by its ending in `writer`."""

from zpinch.images.writers.sheet import contact_sheet
from zpinch.images.writers.writer import ImageWriter, open_writer, save_images

__all__ = ["ImageWriter", "contact_sheet", "open_writer", "save_images"]
