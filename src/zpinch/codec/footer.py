"""What is known only at the end: how many images, statistics, and where each block stands.

It can be read forward, after the last block of a pipe, or backward from the end of a file.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from zpinch.codec.canonical import from_json, to_json
from zpinch.codec.layout import (
    BLOCK_IMAGES,
    BLOCKS,
    CRC,
    END,
    END_MAGIC,
    FOOTER,
    FOOTER_SYNC,
    INDEX_ENTRY,
    JSON_BYTES,
)
from zpinch.codec.source import ByteSource
from zpinch.codec.text import can_be_shown
from zpinch.errors import LimitError, UsageError

Statistic = float | int | str


class IndexEntry(NamedTuple):
    """Where a block begins, how many images it holds, and its CRC-32."""

    offset: int
    images: int
    checksum: int


@dataclass(frozen=True)
class Footer:
    count: int  # images in the archive
    statistics: Mapping[str, Statistic]
    index: Sequence[IndexEntry]  # by block


def pack_footer(statistics: Mapping[str, Statistic], index: Sequence[IndexEntry], seed: int) -> bytes:
    """Footer and end of an archive. seed: the CRC-32 of the header."""
    text = to_json(check_statistics(statistics))
    if len(text) > JSON_BYTES:
        raise LimitError(f"the statistics have {len(text):,} bytes, the limit is {JSON_BYTES:,}")
    start = FOOTER.pack(FOOTER_SYNC, len(index), len(text), sum(entry.images for entry in index))
    data = start + text + b"".join(INDEX_ENTRY.pack(*entry) for entry in index)
    data += CRC.pack(zlib.crc32(data, seed))
    return data + END.pack(len(data), END_MAGIC)


def read_footer(source: ByteSource, seed: int) -> Footer:
    """The footer that follows its sync word, which has been read, and the end of the archive."""
    offset = source.position - len(FOOTER_SYNC)
    what = "the footer"
    start = FOOTER_SYNC + source.take(FOOTER.size - len(FOOTER_SYNC), what)
    _, blocks, length, count = FOOTER.unpack(start)
    if blocks > BLOCKS or length > JSON_BYTES:
        raise source.damage(what, offset, f"claims {blocks:,} blocks and {length:,} bytes of statistics")
    text = source.take(length, what)
    index = source.take(blocks * INDEX_ENTRY.size, what)
    checksum = zlib.crc32(index, zlib.crc32(text, zlib.crc32(start, seed)))
    if CRC.unpack(source.take(CRC.size, what)) != (checksum,):
        raise source.damage(what, offset, "fails its checksum")
    length, magic = END.unpack(source.take(END.size, what))
    if length != source.position - END.size - offset or magic != END_MAGIC or not source.is_at_end():
        raise source.damage("the end of the archive", source.position - END.size, "is not where it should be")
    try:
        statistics = check_statistics(from_json(text))
    except (ValueError, UsageError) as error:
        raise source.damage(what, offset, f"makes no sense ({error})") from error
    entries = [IndexEntry(*entry) for entry in INDEX_ENTRY.iter_unpack(index)]
    if any(entry.offset >= offset for entry in entries):
        raise source.damage(what, offset, "has an index that points behind the last block")
    if any(a.offset >= b.offset for a, b in pairwise(entries)):
        raise source.damage(what, offset, "has an index that is out of order")
    if any(not 1 <= entry.images <= BLOCK_IMAGES for entry in entries):
        raise source.damage(what, offset, f"has an index of blocks of other than 1 to {BLOCK_IMAGES:,} images")
    if sum(entry.images for entry in entries) != count:
        raise source.damage(what, offset, "counts other images than its index")
    return Footer(count, statistics, entries)


def find_footer(source: ByteSource, seed: int) -> Footer:
    """The footer, found from the end of a file that seeks."""
    size = source.size()
    if size < END.size:
        raise source.damage("the end of the archive", size, "is missing")
    source.seek(size - END.size)
    length, magic = END.unpack(source.take(END.size, "the end of the archive"))
    offset = size - END.size - length
    if magic != END_MAGIC or offset < 0:
        raise source.damage("the end of the archive", size - END.size, "is not where it should be")
    source.seek(offset)
    if source.take(len(FOOTER_SYNC), "the footer") != FOOTER_SYNC:
        raise source.damage("the footer", offset, "does not begin with its sync word")
    return read_footer(source, seed)


def check_statistics(statistics: Mapping[str, object]) -> Mapping[str, Statistic]:
    checked: dict[str, Statistic] = {}
    for name, value in statistics.items():
        if not isinstance(value, int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
            raise UsageError(f"the statistic {name!r} must be a finite number or a text, not {value!r}")
        if not can_be_shown(name) or (isinstance(value, str) and not can_be_shown(value)):
            raise UsageError(f"the statistic {name!r} has characters that steer a terminal")
        checked[name] = value
    return checked
