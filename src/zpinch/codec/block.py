"""Blocks: up to 4 MiB of images, each decodable and verifiable on its own.

A block is framed by a sync word and a CRC-32 that starts from the header's, numbered, and carries a hash of the
symbols it must decode to. Its codes are range coded, or packed (solid.py) where that is smaller: images that repeat
each other, or that the model does not know. In an archive of the exact layer the symbols are pixels (pixel_block.py);
the frame is the same.
"""

import hashlib
import io
import zlib
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.coder import CodePrior, Codes, Labels, decode, encode
from zpinch.codec.exact_canvas import Pixels
from zpinch.codec.exact_net import ExactNet
from zpinch.codec.header import ArchiveHeader
from zpinch.codec.layout import BLOCK, BLOCK_SYNC, CRC, RANGE_CODED, RAW, SOLID, STORED, packed_limit
from zpinch.codec.names import pack_names, packed_names_limit, unpack, unpack_names
from zpinch.codec.pixel_block import pack_pixels, pixel_symbols, unpack_pixels
from zpinch.codec.solid import pack_solid, unpack_solid
from zpinch.codec.source import ByteSource
from zpinch.codec.tables import MAX_CODE
from zpinch.errors import CorruptArchive, ModelError, UsageError

Coder: TypeAlias = CodePrior | ExactNet


@dataclass(frozen=True, eq=False)
class Block:
    codes: Codes | Pixels  # (n, channels, h, w): codes int32, or the pixels themselves uint8
    labels: Labels | None = None  # (n,)
    names: tuple[str, ...] | None = None  # n of them


class BlockSize(NamedTuple):
    """Bytes a block takes in the archive, beside its frame."""

    codes: int  # with the labels
    names: int


class BlockSummary(NamedTuple):
    """What a block says without a model."""

    number: int
    images: int
    names: tuple[str, ...] | None
    kind: int  # of its payload, as in layout.py


class PackedBlock(NamedTuple):
    data: bytes
    checksum: int
    size: BlockSize


class Frame(NamedTuple):
    """A block as it stands in the archive, its checksum verified, its codes still coded."""

    number: int
    offset: int
    images: int
    kind: int
    symbols_hash: bytes
    payload: bytes
    packed_names: bytes
    checksum: int


def pack_block(block: Block, number: int, header: ArchiveHeader, seed: int, coder: Coder) -> PackedBlock:
    """A block as it stands in the archive. seed: the CRC-32 of the header."""
    check_block(block, header)
    if isinstance(coder, ExactNet):
        symbols = pixel_symbols(block.codes.astype(np.uint8, copy=False), block.labels)
        kind, payload = pack_pixels(block.codes.astype(np.uint8, copy=False), block.labels, header, coder)
    else:
        symbols = join_symbols(block.codes, block.labels)
        kind, payload = pack_codes(block.codes.astype(np.int32, copy=False), block.labels, coder)
    names = b"" if block.names is None else pack_names(block.names)
    lengths = len(payload), len(names)
    start = BLOCK.pack(BLOCK_SYNC, number, len(block.codes), kind, *lengths, hash_symbols(symbols))
    data = start + payload + names
    checksum = zlib.crc32(data, seed)
    return PackedBlock(data + CRC.pack(checksum), checksum, BlockSize(*lengths))


def check_decodes(packed: PackedBlock, header: ArchiveHeader, seed: int, coder: Coder) -> None:
    """Decode a block that is about to be written. Raises ModelError when that fails on this very machine."""
    source = ByteSource(io.BytesIO(packed.data))
    source.take(len(BLOCK_SYNC), "a block")
    try:
        unpack_block(read_frame(source, 0, header, seed), header, coder)
    except CorruptArchive as error:
        raise ModelError(f"this machine does not decode what it has just coded ({error}): do not trust it") from error


def pack_codes(codes: Codes, labels: Labels | None, prior: CodePrior) -> tuple[int, bytes]:
    """The kind and the bytes of a payload, the shortest there is."""
    coded = encode(codes, labels, prior)
    solid = pack_solid(byte_planes(zigzag(join_symbols(codes, labels))), len(coded))
    return (RANGE_CODED, coded) if solid is None or len(solid) >= len(coded) else (SOLID, solid)


class PackedNames(NamedTuple):
    """The names in a block as they stand there, and what the block says of itself, unverified."""

    offset: int
    images: int
    checksum: int
    data: bytes


class FrameStart(NamedTuple):
    """What a block says before its payload, every length within its limit."""

    offset: int
    number: int
    images: int
    kind: int
    payload_length: int
    names_length: int
    symbols_hash: bytes
    data: bytes


def read_start(source: ByteSource, number: int, header: ArchiveHeader) -> FrameStart:
    offset = source.position - len(BLOCK_SYNC)
    what = f"block {number:,}"
    data = BLOCK_SYNC + source.take(BLOCK.size - len(BLOCK_SYNC), what)
    _, found, images, kind, payload_length, names_length, symbols_hash = BLOCK.unpack(data)
    kinds = (RANGE_CODED, STORED, RAW, SOLID) if header.is_exact else (RANGE_CODED, STORED, SOLID)
    if not 1 <= images <= header.block_images or kind not in kinds:
        raise source.damage(what, offset, f"claims {images:,} images of kind {kind}")
    payload_limit = packed_limit(header.symbol_bytes(images))
    names_limit = packed_names_limit(images) if header.has_names else 0
    if payload_length > payload_limit or names_length > names_limit:
        raise source.damage(what, offset, f"claims {payload_length:,} bytes of codes, {names_length:,} of names")
    return FrameStart(offset, found, images, kind, payload_length, names_length, symbols_hash, data)


def read_frame(source: ByteSource, number: int, header: ArchiveHeader, seed: int) -> Frame:
    """The block that follows its sync word, which has been read, or CorruptArchive."""
    start, what = read_start(source, number, header), f"block {number:,}"
    payload = source.take(start.payload_length, what)
    names = source.take(start.names_length, what)
    checksum = zlib.crc32(names, zlib.crc32(payload, zlib.crc32(start.data, seed)))
    if CRC.unpack(source.take(CRC.size, what)) != (checksum,):
        raise source.damage(what, start.offset, "fails its checksum")
    return Frame(start.number, start.offset, start.images, start.kind, start.symbols_hash, payload, names, checksum)


def read_packed_names(source: ByteSource, number: int, header: ArchiveHeader) -> PackedNames:
    """The names of the block that follows its sync word. The payload is skipped."""
    start, what = read_start(source, number, header), f"block {number:,}"
    source.seek(source.position + start.payload_length)
    names = source.take(start.names_length, what)
    (checksum,) = CRC.unpack(source.take(CRC.size, what))
    return PackedNames(start.offset, start.images, checksum, names)


def unpack_block(frame: Frame, header: ArchiveHeader, coder: Coder) -> Block:
    """The images of a frame, or CorruptArchive with a reason but without a place."""
    names = unpack_frame_names(frame, header)
    if isinstance(coder, ExactNet):
        codes, labels = unpack_pixels(frame.kind, frame.payload, frame.images, header, coder)
        symbols = pixel_symbols(codes, labels)
    else:
        codes, labels = unpack_codes(frame, header, coder)
        symbols = join_symbols(codes, labels)
    if hash_symbols(symbols) != frame.symbols_hash:
        raise CorruptArchive("decodes to other codes than were written")
    return Block(codes, labels, names)


def unpack_codes(frame: Frame, header: ArchiveHeader, prior: CodePrior) -> tuple[Codes, Labels | None]:
    if frame.kind != RANGE_CODED:
        symbols = unpack_symbols(frame, symbol_count(frame.images, header))
        codes, labels = np.split(symbols, [frame.images * int(np.prod(header.code_shape))])
        codes, labels = codes.reshape(-1, *header.code_shape), labels if header.has_labels else None
        if labels is not None and (labels.min() < 0 or labels.max() >= prior.labels):
            raise CorruptArchive("holds a label that the model does not have")
        return codes, labels
    return decode(frame.payload, frame.images, header.code_shape, prior, has_labels=header.has_labels)


def unpack_frame_names(frame: Frame, header: ArchiveHeader) -> tuple[str, ...] | None:
    return unpack_names(frame.packed_names, frame.images) if header.has_names else None


def symbol_count(images: int, header: ArchiveHeader) -> int:
    return images * (int(np.prod(header.code_shape)) + header.has_labels)


def join_symbols(codes: Codes | Pixels, labels: NDArray[np.integer] | None) -> NDArray[np.int32]:
    """All codes in scan order, image by image, then all labels, as little-endian 32-bit integers."""
    return np.concatenate([codes.ravel(), [] if labels is None else labels], dtype="<i4", casting="unsafe")


def hash_symbols(symbols: bytes | NDArray[np.int32]) -> bytes:
    data = symbols if isinstance(symbols, bytes) else symbols.tobytes()
    return hashlib.blake2b(data, digest_size=8).digest()


def unpack_symbols(frame: Frame, count: int) -> NDArray[np.int32]:
    """Symbols that are packed, not coded."""
    if frame.kind == STORED:
        symbols = from_planes(unpack(frame.payload, 4 * count), count)
    else:
        symbols = from_zigzag(from_planes(unpack_solid(frame.payload, 4 * count), count))
    if symbols.min() < -MAX_CODE or symbols.max() > MAX_CODE:
        raise CorruptArchive(f"holds a code beyond ±{MAX_CODE:,}")
    return symbols


def zigzag(symbols: NDArray[np.int32]) -> NDArray[np.int32]:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ...: all but the lowest bytes of small integers are zero.

    >>> zigzag(np.array([0, -1, 1, -2], np.int32)).tolist()
    [0, 1, 2, 3]
    """
    return symbols << 1 ^ symbols >> 31


def from_zigzag(symbols: NDArray[np.int32]) -> NDArray[np.int32]:
    return symbols >> 1 & 0x7FFFFFFF ^ -(symbols & 1)


def byte_planes(symbols: NDArray[np.int32]) -> bytes:
    # All lowest bytes first, then all second ones: small integers pack two to three times better than in turn.
    return symbols.view(np.uint8).reshape(-1, 4).T.tobytes()


def from_planes(planes: bytes, count: int) -> NDArray[np.int32]:
    if len(planes) != 4 * count:
        raise CorruptArchive("holds fewer packed codes than it should")
    return np.frombuffer(planes, dtype=np.uint8).reshape(4, -1).T.copy().view("<i4").ravel()


def check_block(block: Block, header: ArchiveHeader) -> None:
    count = len(block.codes)
    if block.codes.shape[1:] != header.code_shape or not 1 <= count <= header.block_images:
        raise UsageError(
            f"a block of codes {block.codes.shape} does not fit the header: "
            f"1 to {header.block_images:,} images of {header.code_shape}"
        )
    for what, held, promised in (
        ("labels", block.labels, header.has_labels),
        ("names", block.names, header.has_names),
    ):
        if (held is not None) != promised or (held is not None and len(held) != count):
            raise UsageError(f"a block of {count:,} images must have {f'{count:,}' if promised else 'no'} {what}")
