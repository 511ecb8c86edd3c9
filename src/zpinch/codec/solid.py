"""Symbols of a block packed in one stream, LZMA2: for images that repeat each other.

The model codes an image from what it learned in training, and knows nothing of the other images in the archive. Where
they share shapes to the pixel, as sprites and emoji do, a search for repetitions finds what no model of single images
can.
"""

import lzma

from zpinch.codec.layout import BLOCK_PIXELS
from zpinch.errors import CorruptArchive

FORMAT = {"id": lzma.FILTER_LZMA2, "dict_size": BLOCK_PIXELS, "lc": 4, "pb": 0}
QUICK = [FORMAT | {"preset": 0}]
THOROUGH = [FORMAT | {"preset": 9 | lzma.PRESET_EXTREME}]
PROMISING = 1.15  # the thorough search takes 9 to 12 % off the quick one's bytes, at 3 to 15 times its time


def pack_solid(data: bytes, rival: int) -> bytes | None:
    """data packed, or None when a quick look says that it would take more than `rival` bytes."""
    if len(lzma.compress(data, lzma.FORMAT_RAW, filters=QUICK)) > PROMISING * rival:
        return None
    return lzma.compress(data, lzma.FORMAT_RAW, filters=THOROUGH)


def unpack_solid(packed: bytes, limit: int) -> bytes:
    """What was packed, at most limit bytes of it, or CorruptArchive."""
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[FORMAT])
    try:
        data = unpacker.decompress(packed, limit + 1)
    except lzma.LZMAError as error:
        raise CorruptArchive(f"holds no LZMA2 data ({error})") from error
    if len(data) > limit or not unpacker.eof or unpacker.unused_data:
        raise CorruptArchive("holds LZMA2 data that is cut short, too long, or followed by something else")
    return data
