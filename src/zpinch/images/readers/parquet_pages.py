"""What a parquet file claims, read from its footer and the headers of its pages before pyarrow sees either.

pyarrow takes the memory that a page asks for, while the sums in the footer may say less; and asking it for a column of
a row group ends the whole process on some footers (an uncaught C++ exception, found by bench/fuzz.py). Both are
structures in Thrift's compact form; parquet.thrift gives the numbers of the fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zpinch.errors import CorruptImage, LimitError
from zpinch.images.naming import readable
from zpinch.images.readers.packed import check_unpacked, most_unpacked

MAX_PAGE_BYTES = 1 << 26
_MAX_FOOTER_BYTES = 1 << 24
_PAGE_HEADER_BYTES = 1 << 14  # with the smallest and the largest value, which writers shorten
_SMALLEST_PAGE = 8
_MAGIC = b"PAR1"
_BINARY, _LISTS, _STRUCT = 8, (9, 10), 12
_DEPTH = 12


class Chunk(NamedTuple):
    """One column in one row group."""

    column: str
    values: int
    start: int  # of its first page
    size: int  # of all its pages, packed


class Page(NamedTuple):
    unpacked: int
    packed: int
    values: int  # 0 for a dictionary
    header: int  # bytes of the header itself


def check_pages(path: Path, where: str) -> dict[str, int]:
    """How many values the pages of each column claim, by its name, once no page and no sum of them is too large."""
    total, most = 0, most_unpacked(path, packed=True)
    length = path.stat().st_size
    pages, most_pages = 0, length // _SMALLEST_PAGE
    values: dict[str, int] = {}
    with open(path, "rb") as file:
        for chunk in _chunks(_footer(file, where), where):
            at, seen = chunk.start, 0
            while at < chunk.start + chunk.size and seen < chunk.values:
                page = _read_page(file, at, where)
                if page.unpacked > MAX_PAGE_BYTES:
                    raise LimitError(
                        f"{where}: its page at byte {at:,} unpacks to {page.unpacked:,} bytes; "
                        f"the limit is {MAX_PAGE_BYTES:,}"
                    )
                if (pages := pages + 1) > most_pages:
                    raise CorruptImage(f"{where}: its pages overlap")
                total += page.unpacked
                check_unpacked(total, most, where)
                seen += page.values
                end = at + page.header + page.packed
                if end > length:  # pyarrow would take the time and the memory for it before it looks
                    raise CorruptImage(
                        f"{where}: its page at byte {at:,} claims {page.packed:,} bytes, more than follow"
                    )
                at = end
            values[chunk.column] = values.get(chunk.column, 0) + seen
    return values


def _footer(file: BinaryIO, where: str) -> bytes:
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length > size - 12:
        raise CorruptImage(f"{where} is no parquet file, or was cut off: it does not end as one")
    if length > _MAX_FOOTER_BYTES:
        raise LimitError(f"{where} has a footer of {length:,} bytes; the limit is {_MAX_FOOTER_BYTES:,}")
    file.seek(size - 8 - length)
    return file.read(length)


def _chunks(footer: bytes, where: str) -> Iterator[Chunk]:
    """FileMetaData.4 are the row groups, RowGroup.1 the columns, ColumnChunk.3 what is said of one."""
    cursor = Cursor(footer)
    try:
        for _, row_groups in cursor.only(4, cursor.fields()):
            for _, columns in cursor.only(1, cursor.structs(row_groups)):
                for _, told in cursor.only(3, cursor.structs(columns)):
                    if told != _STRUCT:
                        raise ValueError("a column without what is said of it")
                    yield _chunk(cursor)
    except (IndexError, ValueError) as error:
        raise CorruptImage(f"{where}: its footer cannot be read: {error}") from error


def _chunk(cursor: Cursor) -> Chunk:
    """ColumnMetaData: 3 is the path in the schema, 5, 7, 9 and 11 are numbers."""
    column, told = "", {5: 0, 7: 0, 9: 0, 11: 0}
    for number, kind in cursor.fields():
        if number == 3 and kind in _LISTS:
            count, _ = cursor.list_head()
            parts = [cursor.binary() for _ in range(count)]
            column = readable(parts[0].decode("utf-8", "surrogateescape")) if parts else ""
        elif number in told and kind in (5, 6):
            told[number] = cursor.zigzag()
        else:
            cursor.skip(kind)
    values, size, start, dictionary = told.values()
    start = min(start, dictionary) if dictionary > 0 else start
    if min(values, size, start) < 0:
        raise ValueError("a negative place or size")
    return Chunk(column, values, start, size)


def _read_page(file: BinaryIO, at: int, where: str) -> Page:
    """PageHeader: 2 is the unpacked size, 3 the packed one; 5 and 8 are pages of data, whose 1 counts values."""
    file.seek(at)
    cursor = Cursor(file.read(_PAGE_HEADER_BYTES))
    unpacked = packed = -1
    values = 0
    try:
        for number, kind in cursor.fields():
            if number in (2, 3) and kind == 5:
                size = cursor.zigzag()
                unpacked, packed = (size, packed) if number == 2 else (unpacked, size)
            elif number in (5, 8) and kind == _STRUCT:
                for inner, inner_kind in cursor.fields():
                    if inner == 1 and inner_kind == 5:
                        values = cursor.zigzag()
                    else:
                        cursor.skip(inner_kind)
            else:
                cursor.skip(kind)
        if min(unpacked, packed, values) < 0:
            raise ValueError("without sizes")
    except (IndexError, ValueError) as error:
        raise CorruptImage(f"{where}: its page at byte {at:,} has no readable header: {error}") from error
    return Page(unpacked, packed, values, cursor.at)


class Cursor:
    """A place in Thrift's compact form. What is not asked for is passed over without being kept."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number that does not end")

    def zigzag(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def binary(self) -> bytes:
        length = self.varint()
        self.at += length
        if self.at > len(self.data):
            raise IndexError("a text that does not end")
        return self.data[self.at - length : self.at]

    def fields(self) -> Iterator[tuple[int, int]]:
        """(number, kind) of each field of a structure; whoever takes one reads its value or skips it."""
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.zigzag()
            yield number, head & 15

    def list_head(self) -> tuple[int, int]:
        """How many elements follow, of which kind."""
        head = self.byte()
        return (head >> 4 if head >> 4 < 15 else self.varint()), head & 15

    def structs(self, kind: int) -> Iterator[tuple[int, int]]:
        """The fields of all structures of a list, one after the other."""
        count, element = self.list_head() if kind in _LISTS else (0, 0)
        if kind not in _LISTS or (count and element != _STRUCT):
            raise ValueError(f"kind {kind} of {element} instead of a list of structures")
        for _ in range(count):
            yield from self.fields()

    def only(self, wanted: int, fields: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Those fields that have one number; the others are skipped."""
        for number, kind in fields:
            if number == wanted:
                yield number, kind
            else:
                self.skip(kind)

    def skip(self, kind: int, depth: int = _DEPTH) -> None:
        if not depth:
            raise ValueError("structures too deep")
        if kind == 3:
            self.at += 1
        elif kind in (4, 5, 6):
            self.varint()
        elif kind == 7:
            self.at += 8
        elif kind == _BINARY:
            self.binary()
        elif kind in _LISTS:
            count, element = self.list_head()
            if count > len(self.data) - self.at:
                raise IndexError(f"a list of {count:,}")
            for _ in range(count):
                self.skip(3 if element in (1, 2) else element, depth - 1)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth - 1)
        elif kind not in (1, 2):
            raise ValueError(f"kind {kind}, which there is not")
