"""Reading an archive: every byte is checked before what it says is believed.

blocks() decodes front to back in one pass, also from a pipe; scan() checks the same bytes without a model;
read_block() and read_names() go straight to one block of a file; salvage() saves what a damaged file still has.
Whatever is wrong with the bytes is a CorruptArchive that says where. Which model fits is judged by check_parts
(header.py).
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from zpinch.codec.block import (
    Block,
    BlockSummary,
    Coder,
    Frame,
    read_frame,
    read_packed_names,
    unpack_block,
    unpack_frame_names,
)
from zpinch.codec.exact_net import ExactNet
from zpinch.codec.footer import Footer, IndexEntry, find_footer, read_footer
from zpinch.codec.header import read_header
from zpinch.codec.layout import BLOCK_SYNC, BLOCKS, CRC, FOOTER_SYNC
from zpinch.codec.names import unpack_names
from zpinch.codec.source import SECTOR, ByteSource
from zpinch.errors import CorruptArchive, UsageError, WrongModel

STRANGER = "is another block than the footer's index says"
SALVAGE_PASSES = 16  # times the size of the file that false blocks may take to look through


class Salvaged(NamedTuple):
    number: int  # as the block was written; gaps show what is lost
    block: Block


class ArchiveReader:
    """The archive that begins where `file` stands. header is known at once, footer when the file seeks or is read."""

    def __init__(self, file: BinaryIO, *, coder: Coder | None = None) -> None:
        self._source = ByteSource(file)
        self.header, self._seed = read_header(self._source)
        self._model_start = self._source.position
        self._model: bytes | None = None
        size = self.header.model_bytes
        self._blocks_start = self._model_start + (size + CRC.size if size else 0)
        if size and not self._source.is_seekable:
            self._model = self._read_model()
        self._footer: Footer | None = None
        self.strangers = 0  # whole blocks that salvage() left out, for the footer does not list them
        self._coder: Coder | None = None
        if coder:
            self.use(coder)

    def use(self, coder: Coder) -> None:
        """Decode with this coder: the header, which says whose it must be, has been read."""
        if isinstance(coder, ExactNet):
            if coder.coder != self.header.coder or coder.image_shape != self.header.image_shape:
                raise WrongModel(
                    f"{self.name}: is not an archive of {coder.image_shape} pixels, which this exact layer decodes. "
                    f"Pass -m with the model that wrote it, '{self.header.model_name}'."
                )
        elif (
            coder.coder != self.header.coder
            or coder.channels != self.header.code_shape[0]
            or (self.header.has_labels and not coder.labels)
        ):
            raise WrongModel(
                f"{self.name}: holds codes of {self.header.code_shape[0]} channels"
                f"{' with labels' if self.header.has_labels else ''}, the model codes {coder.channels} channels and "
                f"{coder.labels} labels. Pass -m with the model that wrote it, '{self.header.model_name}'."
            )
        self._coder = coder

    @property
    def name(self) -> str:
        """The file's, for messages."""
        return self._source.name

    @property
    def is_seekable(self) -> bool:
        return self._source.is_seekable

    @property
    def size(self) -> int:
        """Bytes of a file that seeks."""
        return self._source.size()

    @property
    def position(self) -> int:
        """Bytes from the first of the archive; after blocks() or scan(), all of them."""
        return self._source.position

    @property
    def unreadable(self) -> int:
        """Bytes that the disk did not give to salvage(), at most."""
        return SECTOR * len(self._source.unreadable)

    @property
    def footer(self) -> Footer:
        if self._footer is None:
            if not self._source.is_seekable:
                raise UsageError(f"{self.name}: a pipe shows its footer after its last block")
            position = self._source.position
            self._footer = find_footer(self._source, self._seed)
            self._source.seek(position)
        return self._footer

    def model(self) -> bytes | None:
        """The model that the archive holds, packed, and checked; None where it holds none."""
        if self.header.model_bytes and self._model is None:
            position = self._source.position
            self._source.seek(self._model_start)
            self._model = self._read_model()
            self._source.seek(position)
        return self._model

    def _read_model(self) -> bytes:
        data = self._source.take(self.header.model_bytes, "the model inside")
        if CRC.unpack(self._source.take(CRC.size, "the model inside")) != (zlib.crc32(data, self._seed),):
            raise self._source.damage("the model inside", self._model_start, "fails its checksum")
        return data

    def blocks(self) -> Iterator[Block]:
        """All blocks in order, each verified before it is given; the last step verifies the footer."""
        coder = self._needed_coder()
        return (self._unpack(frame, coder) for frame in self._frames())

    def scan(self) -> Iterator[BlockSummary]:
        """Check framing, checksums, names and footer without a model."""
        return (self._summary(frame) for frame in self._frames())

    def read_block(self, number: int) -> Block:
        """One block of a file that seeks."""
        coder = self._needed_coder()
        self._seek_block(number)
        frame = self._frame(number)
        if entry_of(frame) != self.footer.index[number]:
            raise self._source.damage(f"block {number:,}", frame.offset, STRANGER)
        return self._unpack(frame, coder)

    def read_names(self, number: int) -> tuple[str, ...] | None:
        """The names in one block of a file that seeks.

        Its codes are not read, so only zlib's own checksum holds, and that the block calls itself the one in the index.
        """
        if not self.header.has_names:
            return None
        self._seek_block(number)
        packed = read_packed_names(self._source, number, self.header)
        try:
            if packed[:3] != self.footer.index[number]:
                raise CorruptArchive(STRANGER)
            return unpack_names(packed.data, packed.images)
        except CorruptArchive as error:
            raise self._source.damage(f"block {number:,}", packed.offset, str(error)) from error

    def salvage(self) -> Iterator[Salvaged]:
        """Every whole block of a damaged file that seeks, in the order of the file. What is missing is skipped.

        A number comes once; while the footer can be read, only as the block that it lists. It goes on behind what the
        disk does not give.
        """
        coder, source, position = self._needed_coder(), self._source, self._blocks_start
        if not self.is_seekable:
            raise UsageError(f"{self.name}: a damaged archive is salvaged from a file, not from a pipe. Save it first")
        listed, given, self.strangers = self._listed_blocks(), set[int](), 0
        allowance = SALVAGE_PASSES * source.size()
        while (found := source.find(BLOCK_SYNC, position)) is not None:
            source.seek(found + len(BLOCK_SYNC))
            try:
                frame = read_frame(source, 0, self.header, self._seed)
                if frame.number in given or frame.number >= BLOCKS:
                    raise CorruptArchive("is a copy, or has an impossible number")
                if listed is not None and listed.get(frame.number) != (frame.images, frame.checksum):
                    self.strangers += 1
                    raise CorruptArchive("is another archive's")
                block = unpack_block(frame, self.header, coder)
            except CorruptArchive:
                # Sync words by the thousand, each before a long false block, would be read for ever.
                allowance -= source.position - found
                if allowance < 0:
                    raise CorruptArchive(f"{self.name}: too much of it is false blocks to look through") from None
                position = found + 1
            else:
                position = source.position
                given.add(frame.number)
                yield Salvaged(frame.number, block)

    def _listed_blocks(self) -> dict[int, tuple[int, int]] | None:
        """(images, checksum) by number, or None when the footer is lost."""
        try:
            return {number: entry[1:] for number, entry in enumerate(self.footer.index)}
        except CorruptArchive:
            return None

    def _needed_coder(self) -> Coder:
        if self._coder is None:
            raise UsageError(f"{self.name}: its blocks decode with the coder of model '{self.header.model_name}'")
        return self._coder

    def _seek_block(self, number: int) -> None:
        """Go to a block of a file that seeks, and read its sync word."""
        index = self.footer.index
        if not 0 <= number < len(index):
            raise UsageError(f"{self.name}: there is no block {number:,}, the last is {len(index) - 1:,}")
        self._source.seek(index[number].offset)
        if self._source.take(len(BLOCK_SYNC), f"block {number:,}") != BLOCK_SYNC:
            raise self._source.damage(f"block {number:,}", index[number].offset, "does not begin with its sync word")

    def _frames(self) -> Iterator[Frame]:
        source = self._source
        self.model()  # all bytes of the archive are checked, those too
        source.seek(self._blocks_start)
        index: list[IndexEntry] = []
        while (sync := source.take(len(BLOCK_SYNC), "the archive, before its footer")) == BLOCK_SYNC:
            frame = self._frame(len(index))
            index.append(entry_of(frame))
            position = source.position
            yield frame
            source.seek(position)  # the caller may have read elsewhere
        offset = source.position - len(sync)
        if sync != FOOTER_SYNC:
            raise source.damage(f"block {len(index):,}", offset, "does not begin with its sync word")
        footer = read_footer(source, self._seed)
        if footer.index != index:
            raise source.damage("the footer", offset, "lists other blocks than are there")
        self._footer = footer

    def _frame(self, number: int) -> Frame:
        frame = read_frame(self._source, number, self.header, self._seed)
        if frame.number != number:
            reason = f"is block {frame.number:,}, so that blocks were swapped, repeated or left out"
            raise self._source.damage(f"block {number:,}", frame.offset, reason)
        return frame

    def _unpack(self, frame: Frame, coder: Coder) -> Block:
        try:
            return unpack_block(frame, self.header, coder)
        except CorruptArchive as error:
            raise self._source.damage(f"block {frame.number:,}", frame.offset, str(error)) from error

    def _summary(self, frame: Frame) -> BlockSummary:
        try:
            names = unpack_frame_names(frame, self.header)
        except CorruptArchive as error:
            raise self._source.damage(f"block {frame.number:,}", frame.offset, str(error)) from error
        return BlockSummary(frame.number, frame.images, names, frame.kind)


def entry_of(frame: Frame) -> IndexEntry:
    return IndexEntry(frame.offset, frame.images, frame.checksum)
