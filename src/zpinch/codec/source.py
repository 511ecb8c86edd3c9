"""The bytes of an archive, read forward, with a position for every complaint.

Reads in pieces, so that a claimed length takes no memory before its bytes exist. Knows nothing of the format.
"""

import os
from typing import BinaryIO

from zpinch.errors import CorruptArchive, UsageError

PIECE = 1 << 20
NEAR = 1 << 8  # where a word is sought first
SECTOR = 1 << 12  # what a disk gives or does not


class ByteSource:
    """A binary file whose first byte, as it stands, is byte 0 of the archive."""

    def __init__(self, file: BinaryIO) -> None:
        name = getattr(file, "name", None)
        self.name = name if isinstance(name, str) else os.fsdecode(name) if isinstance(name, bytes) else "archive"
        if self.name == "<stdin>":
            self.name = "standard input"
        self.position = 0
        self.advice = "Get a fresh copy."  # what a person can do about damage
        self.unreadable: set[int] = set()  # where sectors begin that find() went on behind
        self._file = file
        self._origin = file.tell() if file.seekable() else None

    @property
    def is_seekable(self) -> bool:
        return self._origin is not None

    def seek(self, position: int) -> None:
        if self._origin is not None:
            self._file.seek(self._origin + position)
        elif position != self.position:
            raise UsageError(f"{self.name}: a pipe is read once, from front to back. Save it to a file first")
        self.position = position

    def size(self) -> int:
        """Bytes of the archive; only of a file that seeks."""
        assert self._origin is not None
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(self._origin + self.position)
        return end - self._origin

    def take(self, count: int, what: str) -> bytes:
        """Exactly `count` bytes, or CorruptArchive."""
        data = self.take_up_to(count)
        if len(data) < count:
            raise CorruptArchive(f"{self.name}: the file ends at byte {self.position:,}, inside {what}. {self.advice}")
        return data

    def take_up_to(self, count: int) -> bytes:
        """`count` bytes, or what is left before the end."""
        pieces: list[bytes] = []
        missing = count
        while missing and (piece := self._read(min(missing, PIECE))):
            pieces.append(piece)
            self.position += len(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def find(self, word: bytes, position: int) -> int | None:
        """Where `word` next stands at or after `position`, in a file that seeks.

        Reads little more than lies before it: of words by the million each would take a PIECE. What a disk does not
        give counts as zeros.
        """
        self.seek(position)
        kept, size = b"", NEAR
        while piece := self._read_around(position, size):
            kept += piece
            position += len(piece)
            size = min(2 * size, PIECE)
            if (at := kept.find(word)) >= 0:
                return position - len(kept) + at
            kept = kept[1 - len(word) :]
        return None

    def is_at_end(self) -> bool:
        """Whether nothing follows; what follows is not given back."""
        return not self._read(1)

    def _read(self, count: int) -> bytes:
        try:
            return self._file.read(count)
        except OSError as error:
            raise CorruptArchive(
                f"{self.name}: what follows byte {self.position:,} cannot be read: {error.strerror or error}. Copy it "
                f"to another disk, with ddrescue if nothing else does it. {self.advice}"
            ) from error

    def _read_around(self, position: int, count: int) -> bytes:
        """`count` bytes from where the file stands, or the sector there, as zeros where it cannot be read."""
        try:
            return self._file.read(count)
        except OSError:
            count = SECTOR - position % SECTOR
            self.seek(position)
        try:
            return self._file.read(count)
        except OSError:
            self.unreadable.add(position)
            self.seek(position + count)
            return bytes(count)

    def damage(self, what: str, offset: int, reason: str) -> CorruptArchive:
        return CorruptArchive(
            f"{self.name}: {what} at byte {offset:,} {reason}: the file was altered or truncated there. {self.advice}"
        )
