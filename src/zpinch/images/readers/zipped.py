"""A .zip of images, read in place and never unpacked to disk.

What an archive claims is checked before it is believed: entries are read up to a limit, an archive that would swell too
much is refused. An entry that is encrypted, named twice, or named to leave the folder (absolute, .., a drive) counts
as a bad image. One top folder that holds folders of images is looked through when it has the archive's own name, or
train/ and test/ inside.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from zpinch.errors import CorruptImage, LimitError, ZpinchError
from zpinch.images.layout import SPLITS, Layout, Place, is_image, read_layout
from zpinch.images.naming import leaves, readable, safe_name
from zpinch.images.readers.encoded import Shelf, shelf_from
from zpinch.images.readers.metadata import KINDS as METADATA
from zpinch.images.readers.metadata import read_metadata
from zpinch.images.readers.packed import check_unpacked, most_unpacked

MAX_ENTRY_BYTES = 1 << 26


def read_zip(path: Path, source: str, *, skip_bad: bool) -> tuple[Layout, list[zipfile.ZipInfo]]:
    with open_zip(path, source) as archive:
        # Not is_dir(), which fails on an empty name.
        entries = [info for info in archive.infolist() if not info.filename.endswith("/")]
    total = sum(info.file_size for info in entries)
    check_unpacked(total, most_unpacked(path, packed=True), source)
    names = without_top([shown_name(info.filename) for info in entries], path.stem)

    @contextmanager
    def open_file(position: int) -> Generator[BinaryIO]:
        with open_zip(path, source) as archive:
            yield io.BytesIO(read_entry(archive, entries[position]))

    labelled = read_metadata(names, source, open_file, skip_bad=skip_bad)
    return read_layout(names, source, skip_bad=skip_bad, labelled=labelled), entries


def zip_shelf(path: Path, source: str, *, split: str, skip_bad: bool) -> Shelf:
    layout, entries = read_zip(path, source, skip_bad=skip_bad)
    first_at: dict[str, int] = {}
    for position, info in enumerate(entries):
        first_at.setdefault(info.filename, position)

    @contextmanager
    def unlock() -> Generator[Callable[[Place], BinaryIO]]:
        with open_zip(path, source) as archive:

            def open_place(place: Place) -> BinaryIO:
                info = entries[place.position]
                if first_at[info.filename] != place.position:
                    raise CorruptImage(f"{place.name} stands twice in {source}: the first one counts")
                return io.BytesIO(read_entry(archive, info))

            yield open_place

    return shelf_from(layout, source, split, unlock)


def read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The bytes of one entry, checked against its checksum."""
    name = readable(info.filename)
    if leaves(info.filename):
        raise CorruptImage(f"{name}: a name that leaves the archive's folder")
    if info.flag_bits & 1:
        raise CorruptImage(f"{name} is encrypted. Unpack the archive first.")
    if info.file_size > MAX_ENTRY_BYTES:
        raise LimitError(f"{name} unpacks to {info.file_size:,} bytes; the limit is {MAX_ENTRY_BYTES:,} an image")
    with unzipping(name), open_entry(archive, info) as file:
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
    with unzipping(source):
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


@contextmanager
def unzipping(name: str) -> Generator[None]:
    """zipfile and its decompressors raise many things on damaged bytes; all leave as CorruptImage."""
    try:
        yield
    except ZpinchError:
        raise
    except Exception as error:
        raise CorruptImage(f"{name}: damaged zip data: {error}") from error


def shown_name(name: str) -> str:
    """The name of an entry as a layout takes it."""
    return safe_name(name) if leaves(name) else readable(name).replace("\\", "/")


def without_top(names: list[str], stem: str) -> list[str]:
    """Names without the one top folder that all images are in, where that folder is no class."""
    images = [name.split("/") for name in names if is_image(name)]
    if not images or any(len(parts) < 2 or parts[0] != images[0][0] for parts in images):
        return names
    top = images[0][0]
    has_folders = all(len(parts) > 2 for parts in images)
    is_wrapping = has_folders and (top == stem or {parts[1] for parts in images} >= set(SPLITS))
    if not is_wrapping and not any(f"{top}/{kind}" in names for kind in METADATA):
        return names
    return [name.removeprefix(f"{top}/") for name in names]
