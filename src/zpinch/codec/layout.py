"""The fixed points of an archive: magic words, field layouts and limits, all little-endian and without padding.

    header  magic 8 | version 2 | length 4 | JSON | CRC-32 4
    model   as many bytes as the header says | CRC-32 4        (only where it says so)
    block   sync 4 | number 4 | images 4 | kind 1 | payload length 4 | names length 4 | hash 8
            | payload | names | CRC-32 4
    footer  sync 4 | blocks 4 | statistics length 4 | images 8 | JSON | index, 16 a block | CRC-32 4
    end     footer length 4 | end magic 8

docs/format.md says what each field means. Nothing here reads or writes.
"""

from math import prod
from struct import Struct
from typing import TypeAlias

from zpinch.errors import LimitError

Shape: TypeAlias = tuple[int, int, int]  # channels, height, width

MAGIC = b"\x8bZPN\r\n\x1a\n"
END_MAGIC = b"\x8bEND\r\n\x1a\n"
BLOCK_SYNC = b"\x8bBLK"
FOOTER_SYNC = b"\x8bFTR"
VERSION = 1

HEADER = Struct("<8sHI")
BLOCK = Struct("<4sIIBII8s")
FOOTER = Struct("<4sIIQ")
INDEX_ENTRY = Struct("<QII")
END = Struct("<I8s")
CRC = Struct("<I")

RANGE_CODED = 0
STORED = 1  # zlib-packed; read, no longer written
RAW = 2  # as they are; pixels only
SOLID = 3  # LZMA2-packed

JSON_BYTES = 64 << 10  # of the header, and of the statistics
MODEL_BYTES = 1 << 28  # of the model inside, packed or not
BLOCK_PIXELS = 4 << 20  # bytes of the images of a block; also the most code values in one
BLOCK_IMAGES = 4096
BLOCKS = 1 << 18  # a terabyte of pixels; the index of so many takes 48 MiB when read
NAME_BYTES = 1024  # of one name in UTF-8


def images_per_block(image_shape: Shape, code_shape: Shape = (1, 1, 1)) -> int:
    """How many images of this shape a block may hold.

    >>> images_per_block((1, 64, 64))
    1024
    """
    values = max(prod(image_shape), prod(code_shape))
    if values > BLOCK_PIXELS:
        raise LimitError(
            f"an image of {'x'.join(map(str, image_shape))} with codes of {'x'.join(map(str, code_shape))} "
            f"is larger than a block, {BLOCK_PIXELS:,} bytes. Pass a smaller --size"
        )
    return min(BLOCK_IMAGES, BLOCK_PIXELS // values)


def packed_limit(size: int) -> int:
    """No more than this many bytes come out of zlib for `size` bytes, however little they compress."""
    return size + size // 1024 + 64
