"""What the pages of a parquet file claim, read from their own headers before pyarrow unpacks one.

pyarrow takes the memory that a page asks for, and the sums in the footer may say less than its pages do. A page header
is a structure in Thrift's compact form (parquet.thrift, PageHeader): 2 is the unpacked size, 3 the packed size; 5 and 8
are there in pages of data, of either version, and begin with the number of values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from zpinch.errors import CorruptImage, LimitError
from zpinch.images.readers.packed import check_unpacked, most_unpacked

MAX_PAGE_BYTES = 1 << 26
_HEADER_BYTES = 1 << 17
_UNPACKED, _PACKED, _DATA = 2, 3, (5, 8)
_DEPTH = 8

Struct = dict[int, Any]


def check_pages(path: Path, metadata: Any, where: str) -> dict[str, int]:
    """How many values the pages of each column claim, by its name, once no page and no sum of them is too large."""
    total, most = 0, most_unpacked(path, packed=True)
    values: dict[str, int] = {}
    with open(path, "rb") as file:
        for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
            for chunk in (group.column(number) for number in range(group.num_columns)):
                at = chunk.data_page_offset
                if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < at:
                    at = chunk.dictionary_page_offset
                end, seen = at + chunk.total_compressed_size, 0
                while at < end and seen < chunk.num_values:
                    page, size = _read_header(file, at, where)
                    unpacked, packed = page.get(_UNPACKED, -1), page.get(_PACKED, -1)
                    if unpacked < 0 or packed < 0:
                        raise CorruptImage(f"{where}: its page at byte {at:,} has no size")
                    if unpacked > MAX_PAGE_BYTES:
                        raise LimitError(
                            f"{where}: its page at byte {at:,} unpacks to {unpacked:,} bytes; "
                            f"the limit is {MAX_PAGE_BYTES:,}"
                        )
                    total += unpacked
                    check_unpacked(total, most, where)
                    seen += sum(page[kind].get(1, 0) for kind in _DATA if kind in page)
                    at += size + packed
                name = chunk.path_in_schema.split(".")[0]
                values[name] = values.get(name, 0) + seen
    return values


def _read_header(file: BinaryIO, at: int, where: str) -> tuple[Struct, int]:
    file.seek(at)
    try:
        return _struct(file.read(_HEADER_BYTES), 0, _DEPTH)
    except (IndexError, ValueError) as error:
        raise CorruptImage(f"{where}: its page at byte {at:,} has no readable header") from error


def _struct(data: bytes, at: int, depth: int) -> tuple[Struct, int]:
    found: Struct = {}
    number = 0
    while head := data[at]:
        at += 1
        number, at = (number + (head >> 4), at) if head >> 4 else _zigzag(data, at)
        found[number], at = _value(data, at, head & 15, depth)
    return found, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if not depth:
        raise ValueError("too deep")
    match kind:
        case 1 | 2:
            return kind == 1, at
        case 3:
            return data[at], at + 1
        case 4 | 5 | 6:
            return _zigzag(data, at)
        case 7:
            return None, at + 8
        case 8:
            length, at = _varint(data, at)
            return None, at + length
        case 12:
            return _struct(data, at, depth - 1)
        case _:
            raise ValueError(f"a field of kind {kind}, which no page header has")


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
    raise ValueError("a number that does not end")
