"""Writing an archive in one pass: header, blocks as they come, footer. Memory is bounded by the block."""

import zlib
from collections.abc import Mapping
from typing import BinaryIO

from zpinch.codec.block import Block, BlockSize, Coder, check_decodes, pack_block
from zpinch.codec.footer import IndexEntry, Statistic, pack_footer
from zpinch.codec.header import ArchiveHeader
from zpinch.codec.layout import BLOCKS, CRC
from zpinch.errors import LimitError, UsageError


class ArchiveWriter:
    """Writes to any binary stream, a pipe included. Without finish() the archive counts as truncated.

    Raises UsageError for a stream that takes nothing: a pipe that does not wait, a write() that tells no count.
    """

    def __init__(
        self, file: BinaryIO, header: ArchiveHeader, coder: Coder, *, model: bytes = b"", verify: bool = False
    ) -> None:
        """model: what the header says will follow it. verify: decode each block again before it is written."""
        if len(model) != header.model_bytes:
            raise UsageError(
                f"the header tells of a model of {header.model_bytes:,} bytes, this one has {len(model):,}"
            )
        if coder.channels != header.code_shape[0] or coder.coder != header.coder:
            raise UsageError(
                f"a prior of {coder.channels} channels for the coder {coder.coder} does not fit codes of "
                f"{header.code_shape} for {header.coder}"
            )
        self.header = header
        self._file = file
        self._coder = coder
        self._verify = verify
        self._index: list[IndexEntry] = []
        self._position = 0
        self._is_finished = False
        start = header.to_bytes()
        (self._seed,) = CRC.unpack(start[-CRC.size :])
        self._append(start)
        if model:
            self._append(model + CRC.pack(zlib.crc32(model, self._seed)))

    @property
    def position(self) -> int:
        """Bytes written; after finish(), the size of the archive."""
        return self._position

    def write(self, block: Block) -> BlockSize:
        """Append a block. A block that cannot be written raises before a byte of it is."""
        if self._is_finished:
            raise UsageError("the archive is finished: no block can follow its footer")
        if len(self._index) == BLOCKS:
            raise LimitError(f"an archive holds at most {BLOCKS:,} blocks. Begin another one")
        packed = pack_block(block, len(self._index), self.header, self._seed, self._coder)
        if self._verify:
            check_decodes(packed, self.header, self._seed, self._coder)
        self._index.append(IndexEntry(self._position, len(block.codes), packed.checksum))
        self._append(packed.data)
        return packed.size

    def finish(self, statistics: Mapping[str, Statistic] | None = None) -> None:
        """Write the footer. The file is left open."""
        if self._is_finished:
            raise UsageError("the archive is finished already")
        self._append(pack_footer(statistics or {}, self._index, self._seed))
        self._is_finished = True

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:  # an unbuffered pipe takes what fits
            taken = self._file.write(rest)
            if not taken:
                raise UsageError(
                    f"the file takes nothing: its write() gave {taken}, not how many bytes it took. Write the archive "
                    "to a path, a binary file, or a pipe that waits until there is room."
                )
            rest = rest[taken:]
        self._position += len(data)
