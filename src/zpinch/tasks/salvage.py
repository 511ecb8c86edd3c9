"""What can still be had of a damaged archive, and an honest account of what cannot."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zpinch.codec.container import ArchiveReader, Footer
from zpinch.errors import CorruptArchive
from zpinch.images.naming import counted
from zpinch.tasks.selecting import Piece, block_starts


class Gap(NamedTuple):
    """Blocks in a row that are missing, and the images that stood in them; `stop` is the number after the last one."""

    block: int
    block_stop: int
    image: int
    image_stop: int

    def __str__(self) -> str:
        blocks = f"block {self.block:,}"
        if self.block_stop > self.block + 1:
            blocks = f"blocks {self.block:,} to {self.block_stop - 1:,}"
        return f"{blocks}, images {self.image:,} to {self.image_stop - 1:,}"


class Lost(NamedTuple):
    """What is missing. Without the footer nobody knows what came after the last block that was found."""

    gaps: tuple[Gap, ...]
    images: int  # in the gaps
    expected: int | None  # images the archive held, as its footer says; None when the footer is lost too
    strangers: int = 0  # whole blocks that the footer does not list, left out: another archive's, joined to this one
    unreadable: int = 0  # bytes that the disk did not give, at most

    def lines(self) -> tuple[str, ...]:
        told = [f"lost: {gap}" for gap in self.gaps]
        if self.expected is None:
            told.append("lost: the footer; what followed the last block found is not known")
        if self.strangers:
            told.append(
                f"left out: {counted(self.strangers, 'block')} of another archive of this model, which the footer at "
                "the end does not list. Two archives were joined: cut them apart"
            )
        if self.unreadable:
            told.append(
                f"up to {self.unreadable:,} bytes cannot be read from this disk: ddrescue may copy more of them. "
                "Salvage the copy"
            )
        return tuple(told)


class Rescue:
    """One walk over the whole blocks of a damaged file; what is missing is known after it."""

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._footer = readable_footer(reader) if reader.is_seekable else None  # of a pipe the walk itself refuses
        self._found: set[int] = set()

    def pieces(self) -> Iterator[Piece]:
        sizes = [entry.images for entry in self._footer.index] if self._footer else []
        starts = block_starts(sizes)
        for number, block in self._reader.salvage():
            self._found.add(number)
            # Without the footer every block before counts as full, which is how zpinch writes them.
            first = starts[number] if self._footer else number * self._reader.header.block_images
            yield Piece(first, block, np.arange(len(block.codes)))

    def lost(self) -> Lost | None:
        """None when the archive is complete after all."""
        if self._footer:
            sizes = [entry.images for entry in self._footer.index]
        else:
            sizes = [self._reader.header.block_images] * (max(self._found, default=-1) + 1)
        gaps: list[Gap] = []
        for number, (first, size) in enumerate(zip(block_starts(sizes), sizes, strict=True)):
            if number in self._found:
                continue
            if gaps and gaps[-1].block_stop == number:
                gaps[-1] = gaps[-1]._replace(block_stop=number + 1, image_stop=first + size)
            else:
                gaps.append(Gap(number, number + 1, first, first + size))
        strangers = self._reader.strangers
        if self._footer and not gaps and not strangers:
            return None
        images = sum(gap.image_stop - gap.image for gap in gaps)
        expected = self._footer.count if self._footer else None
        return Lost(tuple(gaps), images, expected, strangers, self._reader.unreadable)


def readable_footer(reader: ArchiveReader) -> Footer | None:
    try:
        return reader.footer
    except CorruptArchive:
        return None
