"""A .zip of images, read in place and never unpacked to disk.

What an archive claims is checked before it is believed: entries are read up to a limit, an archive that would swell too
much is refused. An entry that is encrypted counts as a bad image. Which entries are images, and of what class, is
decided in `entries`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from zpinch.errors import CorruptImage
from zpinch.images.naming import readable
from zpinch.images.readers.encoded import Shelf
from zpinch.images.readers.entries import Entries, entries_shelf, read_entries, without_samples
from zpinch.images.readers.packed import check_entry, check_unpacked, most_unpacked, reading


def zip_shelf(path: Path, source: str, *, split: str, skip_bad: bool) -> Shelf:
    with open_zip(path, source) as archive:
        # Not is_dir(), which fails on an empty name.
        infos = [info for info in archive.infolist() if not info.filename.endswith("/")]
    total = sum(info.file_size for info in infos)
    check_unpacked(total, most_unpacked(path, packed=True), source)

    @contextmanager
    def opened() -> Generator[Callable[[int], bytes]]:
        with open_zip(path, source) as archive:
            yield lambda position: read_entry(archive, infos[position])

    entries = without_samples(Entries([info.filename for info in infos], opened))
    layout = read_entries(entries, path.stem, source, skip_bad=skip_bad)
    return entries_shelf(entries, layout, source, split)


def read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The bytes of one entry, checked against its checksum."""
    name = readable(info.filename)
    if info.flag_bits & 1:
        raise CorruptImage(f"{name} is encrypted. Unpack the archive first.")
    check_entry(info.file_size, name, does="unpacks to")
    with reading(name, "zip"), open_entry(archive, info) as file:
        data = file.read(info.file_size)
    if len(data) != info.file_size:
        raise CorruptImage(f"{name} ends early: {info.file_size - len(data):,} bytes are missing")
    return data


def open_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    """An entry to be read with bounded reads: zipfile bounds what it takes only for these two compressions."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CorruptImage(f"{readable(info.filename)} is packed by an unusual method. Pack it again with deflate.")
    return cast(BinaryIO, archive.open(info))


@contextmanager
def open_zip(path: Path, source: str) -> Generator[zipfile.ZipFile]:
    with reading(source, "zip"):
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive
