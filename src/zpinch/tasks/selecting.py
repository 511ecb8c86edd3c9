"""Which images of an archive are wanted, by number or by name, and reading no more blocks than hold them."""

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.container import ArchiveReader, Block
from zpinch.errors import UsageError
from zpinch.images.naming import composed


class Piece(NamedTuple):
    """Images of one block."""

    first: int  # number, in the archive, of the block's first image
    block: Block
    which: NDArray[np.intp]  # positions within the block, ascending

    @property
    def names(self) -> tuple[str, ...]:
        """Stored names; where there are none, file names from the numbers in the archive."""
        names = self.block.names
        return tuple(f"{self.first + i:06d}.png" if names is None else names[i] for i in self.which.tolist())


class Selection(NamedTuple):
    """Image numbers from `start` to before `stop` (None: to the end) whose name fits a shell pattern (None: any)."""

    start: int = 0
    stop: int | None = None
    pattern: str | None = None

    @property
    def is_everything(self) -> bool:
        return self == Selection()

    def pieces(self, reader: ArchiveReader) -> Iterator[Piece]:
        """The chosen images in order. A file is read where they are; a pipe, or all of it, from front to back."""
        if self.pattern is not None and not reader.header.has_names:
            raise UsageError(f"{reader.name} stores no names. Choose images by number: --range 0:100")
        if reader.is_seekable:
            self._check_range(reader.name, reader.footer.count)
        if self.is_everything or not reader.is_seekable:
            first = 0
            for block in reader.blocks():
                yield from self._piece(
                    first, len(block.codes), lambda block=block: block.names, lambda block=block: block
                )
                first += len(block.codes)
            self._check_range(reader.name, first)
            return
        for number, first in enumerate(block_starts([entry.images for entry in reader.footer.index])):
            images = reader.footer.index[number].images
            names, block = (lambda n=number: reader.read_names(n)), (lambda n=number: reader.read_block(n))
            yield from self._piece(first, images, names, block)

    def _piece(
        self, first: int, images: int, names: Callable[[], Sequence[str] | None], block: Callable[[], Block]
    ) -> Iterator[Piece]:
        """The chosen images of a block, if it has any; names, and then codes, are read only where they matter."""
        stop = images if self.stop is None else min(self.stop - first, images)
        which = np.arange(max(self.start - first, 0), stop)
        if which.size and self.pattern is not None:
            fits, stored = re.compile(fnmatch.translate(composed(self.pattern))).match, names() or ()
            which = np.array([i for i in which.tolist() if fits(composed(stored[i]))], np.intp)
        if which.size:
            yield Piece(first, block(), which)

    def _check_range(self, name: str, count: int) -> None:
        if (self.start, self.stop) != (0, None) and (self.start >= count or (self.stop or 0) > count):
            stop = "" if self.stop is None else f"{self.stop}"
            raise UsageError(f"{name} holds images 0 to {count - 1:,}: {self.start}:{stop} reaches beyond.")


def parse_range(text: str) -> tuple[int, int | None]:
    """(5000, 5010) of "5000:5010", (17, 18) of "17"; either side may be left out.

    >>> parse_range("100:"), parse_range("17")
    ((100, None), (17, 18))
    """
    found = re.fullmatch(r"(\d{0,15})(?:(:)(\d{0,15}))?", text, re.ASCII)
    if not found or not (found[1] or found[3]):
        raise UsageError(f"--range is FIRST:END in image numbers, such as 5000:5010 for ten images, not {text!r}.")
    start = int(found[1] or 0)
    stop = start + 1 if not found[2] else int(found[3]) if found[3] else None
    if stop is not None and stop <= start:
        raise UsageError(f"--range {text} holds no image: the end is the number after the last one.")
    return start, stop


def block_starts(sizes: Sequence[int]) -> list[int]:
    """The number of the first image of each block."""
    return [0, *accumulate(sizes)][: len(sizes)]
