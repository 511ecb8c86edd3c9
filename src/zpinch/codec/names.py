"""The names of the images of a block: UTF-8, joined by NUL, packed with zlib.

Names are kept as given and are not safe as paths: whoever writes files checks them.
"""

import zlib
from collections.abc import Sequence

from zpinch.codec.layout import NAME_BYTES, packed_limit
from zpinch.errors import CorruptArchive, LimitError, UsageError


def pack_names(names: Sequence[str]) -> bytes:
    for name in names:
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise UsageError(f"the name {name!r} is not valid Unicode: rename the image") from None
        if size > NAME_BYTES:
            raise LimitError(f"the name {name[:40]}… has {size:,} bytes, the limit is {NAME_BYTES:,}: rename the image")
        if "\0" in name:
            raise UsageError(f"the name {name!r} holds a NUL: rename the image")
    return zlib.compress("\0".join(names).encode(), 9)


def unpack_names(packed: bytes, count: int) -> tuple[str, ...]:
    try:
        names = tuple(unpack(packed, names_limit(count)).decode().split("\0"))
    except UnicodeDecodeError:
        raise CorruptArchive("has names that are not UTF-8") from None
    if len(names) != count:
        raise CorruptArchive(f"has {len(names):,} names for {count:,} images")
    if max(len(name.encode()) for name in names) > NAME_BYTES:
        raise CorruptArchive(f"has a name of more than {NAME_BYTES:,} bytes")
    return names


def names_limit(count: int) -> int:
    """The most bytes `count` names take before packing."""
    return count * (NAME_BYTES + 1) - 1


def packed_names_limit(count: int) -> int:
    return packed_limit(names_limit(count))


def unpack(packed: bytes, limit: int) -> bytes:
    """One complete zlib stream of at most `limit` bytes, and nothing after it."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, limit + 1)  # stops there: a bomb does not go off
    except zlib.error:
        raise CorruptArchive("holds zlib data that does not unpack") from None
    if len(data) > limit or not unpacker.eof or unpacker.unused_data:
        raise CorruptArchive("holds zlib data of another length than it should")
    return data
