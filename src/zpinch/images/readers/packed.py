"""A file that may be packed with gzip: its first two bytes tell, not its name.

What one may unpack to is bounded by `most_unpacked`, the same rule as for a .zip: readers that go through a file
to its end compare as they go.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from zpinch.errors import CorruptImage, ImageError, LimitError, ZpinchError
from zpinch.images.naming import readable

MAX_SWELLING = 200  # unpacked over packed; whole sets of PNG are near 1, of blank BMP near 100
SMALL_BYTES = 1 << 28  # below this a file may swell as it likes
MAX_ENTRY_BYTES = 1 << 26  # of one encoded image

_SMALL_CROWD = 1 << 16
_BYTES_EACH = 16  # the smallest PNG has 67


def is_packed(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise ImageError(f"{path.name} cannot be read: {error.strerror}") from error


@contextmanager
def open_packed(path: Path, where: str, *, packed: bool) -> Generator[BinaryIO]:
    """The bytes inside; damage to the packing leaves as CorruptImage wherever in the block it is met."""
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            yield cast(BinaryIO, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorruptImage(f"{where}: damaged gzip data: {error}") from error
    except OSError as error:
        raise ImageError(f"{where} cannot be read: {error.strerror or error}") from error


@contextmanager
def reading(where: str, kind: str) -> Generator[None]:
    """Libraries raise many things on damaged bytes; all leave as errors of ours about `where`. kind: zip, parquet"""
    try:
        yield
    except ZpinchError:
        raise
    except PermissionError as error:
        raise ImageError(f"{where} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise LimitError(f"{where} needs more memory than there is") from error
    except Exception as error:
        told = readable(str(error).strip().partition("\n")[0])
        raise CorruptImage(f"{where}: damaged {kind} data: {told[:300]}") from error


def most_unpacked(path: Path, *, packed: bool) -> int:
    """How many bytes of a file are read before it is refused as a bomb."""
    size = path.stat().st_size
    return max(SMALL_BYTES, MAX_SWELLING * size) if packed else size


def check_unpacked(n_bytes: int, most: int, where: str) -> None:
    if n_bytes > most:
        raise LimitError(f"{where} unpacks to more than {most:,} bytes, over {MAX_SWELLING} times its size: not read")


def check_entry(n_bytes: int, name: str, *, does: str = "has") -> None:
    if n_bytes > MAX_ENTRY_BYTES:
        raise LimitError(f"{name} {does} {n_bytes:,} bytes; the limit is {MAX_ENTRY_BYTES:,} an image")


def check_crowd(count: int, held: int, where: str) -> None:
    """Refuse a file that claims images by the million in a few bytes: each takes memory before any is looked at."""
    if count > max(_SMALL_CROWD, held // _BYTES_EACH):
        raise LimitError(f"{where} claims {count:,} images or more in {held:,} bytes: not read")
