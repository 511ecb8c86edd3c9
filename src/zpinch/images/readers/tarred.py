"""A .tar of images, plain or .gz, read in place and in the order of its entries; the layout is as in a .zip.

The headers are read here, not by tarfile: what a header claims is compared with the file before anything is skipped
or taken, and long names have a limit. Read are old, ustar, GNU and pax archives. Links, folders and devices are
ignored, sparse files refused. An archive that does not end with its block of zeros is truncated. Which entries are
images, and of what class, is decided in `entries`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zpinch.errors import CorruptImage, ImageError
from zpinch.images.naming import readable
from zpinch.images.readers.encoded import Shelf
from zpinch.images.readers.entries import Entries, entries_shelf, read_entries, without_samples
from zpinch.images.readers.packed import check_crowd, check_entry, check_unpacked, is_packed, most_unpacked, open_packed
from zpinch.images.readers.records import read_exactly

_BLOCK = 512
_FILES = b"0\0007"
_WITHOUT_BYTES = b"123456"  # links, devices, folders: nothing follows them, whatever size they claim
_LONG_NAME, _PAX = b"L", b"xX"  # they describe the entry after them
_PASSED_OVER = b"Kg"  # the target of a link, and what holds for all entries: they may stand between those and it
_SPARSE = b"S"
_PIECE = 1 << 20
_MAX_EXTRA_BYTES = 1 << 16  # of a long name or a pax header
_OCTAL = re.compile(rb"[ \0]*([0-7]{1,12})[ \0]*")
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ([^=\n]+)=")


class Entry(NamedTuple):
    name: str
    offset: int  # of its bytes in the unpacked archive
    size: int


def is_tar(path: Path) -> bool:
    return path.name.lower().endswith((".tar", ".tar.gz", ".tgz"))


def tar_shelf(path: Path, source: str, *, split: str, skip_bad: bool) -> Shelf:
    packed = is_packed(path)
    with open_packed(path, source, packed=packed) as file:
        found = list(_entries(file, path, source, packed=packed))

    @contextmanager
    def opened() -> Generator[Callable[[int], bytes]]:
        with open_packed(path, source, packed=packed) as file:
            yield lambda position: _read_entry(file, found[position])

    entries = without_samples(Entries([entry.name for entry in found], opened))
    layout = read_entries(entries, _stem(path), source, skip_bad=skip_bad)
    # Sorted by name, a packed archive would be unpacked from its start again for every image.
    places = {split: sorted(group, key=lambda place: place.position) for split, group in layout.places.items()}
    return entries_shelf(entries, layout._replace(places=places), source, split)


def _stem(path: Path) -> str:
    return re.sub(r"(\.tar|\.tar\.gz|\.tgz)$", "", path.name, flags=re.IGNORECASE)


def _read_entry(file: BinaryIO, entry: Entry) -> bytes:
    name = readable(entry.name)
    check_entry(entry.size, name)
    file.seek(entry.offset)
    return bytes(read_exactly(file, entry.size, name))


def _entries(file: BinaryIO, path: Path, source: str, *, packed: bool) -> Iterator[Entry]:
    """Every file of the archive in turn; at last its end is verified."""
    most, held = most_unpacked(path, packed=packed), path.stat().st_size
    count = at = 0
    extra: dict[bytes, bytes] = {}  # what a header of its own says about the entry after it
    while any(header := bytes(read_exactly(file, _BLOCK, f"{source}, entry at byte {at:,}"))):
        where = f"{source}, entry at byte {at:,}"
        kind, size = header[156:157], _checked_size(header, where)
        is_extra = kind in _LONG_NAME or kind in _PAX
        if not is_extra and kind not in _PASSED_OVER:
            size = 0 if kind in _WITHOUT_BYTES else _decimal(extra[b"size"], where) if b"size" in extra else size
        start, at = at + _BLOCK, at + _BLOCK + -(-size // _BLOCK) * _BLOCK
        if packed:
            check_unpacked(at, most, source)
        elif at > most:
            raise CorruptImage(f"{where} ends early: {at - most:,} bytes are missing")
        check_crowd(count := count + 1, held, source)
        if is_extra:
            if size > _MAX_EXTRA_BYTES:
                raise CorruptImage(f"{where}: a name or header of {size:,} bytes; the limit is {_MAX_EXTRA_BYTES:,}")
            data = bytes(read_exactly(file, size, where))
            extra |= _pax(data, where) if kind in _PAX else {b"path": data.split(b"\0")[0]}
        elif kind not in _PASSED_OVER:
            if kind in _SPARSE or any(key.startswith(b"GNU.sparse.") for key in extra):
                raise ImageError(f"{where} is stored with holes. Pack the archive again without --sparse.")
            name = (extra.get(b"path") or _own_name(header)).decode("utf-8", "surrogateescape")
            if kind in _FILES and not name.endswith("/"):
                yield Entry(name, start, size)
            extra = {}
        file.seek(at)
    while packed and (rest := file.read(_PIECE)):  # to its end, where gzip keeps the checksum
        check_unpacked(at := at + len(rest), most, source)


def _checked_size(header: bytes, where: str) -> int:
    told = _number(header[148:156])
    sums = [sum(header[:148]) + 8 * ord(" ") + sum(header[156:])]
    sums.append(sums[0] - 256 * sum(byte > 127 for byte in header[:148] + header[156:]))  # some old tars add signed
    if told not in sums:
        raise CorruptImage(f"{where}: its header fails its checksum, or this is no .tar")
    size = _number(header[124:136])
    if size is None:
        raise CorruptImage(f"{where}: its header gives no usable size")
    return size


def _number(field: bytes) -> int | None:
    if field[0] == 0x80:  # GNU's binary form, for what octal does not hold
        return int.from_bytes(field[1:])
    found = _OCTAL.fullmatch(field)
    return int(found[1], 8) if found else 0 if not field.strip(b" \0") else None


def _own_name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _pax(data: bytes, where: str) -> dict[bytes, bytes]:
    """Records of the form `LENGTH KEY=VALUE\\n`, whose length counts all of itself."""
    told: dict[bytes, bytes] = {}
    at = 0
    while at < len(data.rstrip(b"\0")):
        found = _PAX_RECORD.match(data, at)
        end = at + int(found[1]) if found else 0
        if not found or not found.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise CorruptImage(f"{where}: its pax header cannot be read")
        told[found[2]] = data[found.end() : end - 1]
        at = end
    return told


def _decimal(field: bytes, where: str) -> int:
    if not re.fullmatch(rb"[0-9]{1,18}", field):
        raise CorruptImage(f"{where}: its pax header gives no usable size")
    return int(field)
