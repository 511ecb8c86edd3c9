"""Lines of a text file, plain or .gz, each of bounded length: what pixel CSV and metadata files are read from.

Bytes that are not UTF-8 stay in the text as Python's surrogates, so that the line that has them can be named and left
out. Line ends are \\n or \\r\\n; a byte order mark is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from zpinch.errors import CorruptImage
from zpinch.images.readers.packed import check_unpacked

MAX_LINE_BYTES = 1 << 20  # a row of 128x128 RGB has a fifth of it


def text_lines(file: BinaryIO, where: str, *, most: int) -> Iterator[str]:
    """Each line with its end. most: bytes after which the file is refused."""
    done = number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number, done = number + 1, done + len(line)
        check_unpacked(done, most, where)
        if len(line) > MAX_LINE_BYTES:
            raise CorruptImage(f"{where}, line {number:,}: longer than {MAX_LINE_BYTES:,} bytes")
        if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise CorruptImage(f"{where} is UTF-16. Save it as UTF-8 (in Excel: CSV UTF-8).")
        text = line.decode("utf-8", "surrogateescape")
        yield text.removeprefix("\ufeff") if number == 1 else text
