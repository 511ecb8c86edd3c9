"""Damage, by accident and on purpose: always CorruptArchive, never wrong codes, never much memory."""

import contextlib
import io
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from codec_cases import header_for, make_tables, read_blocks, same_block, small_archive, write_archive
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.codec.block import hash_symbols
from zpinch.codec.canonical import from_json, to_json
from zpinch.codec.container import ArchiveHeader, ArchiveReader, Block, IndexEntry
from zpinch.codec.layout import (
    BLOCK,
    BLOCK_SYNC,
    END,
    END_MAGIC,
    FOOTER,
    FOOTER_SYNC,
    HEADER,
    INDEX_ENTRY,
    MAGIC,
    SOLID,
    STORED,
)
from zpinch.codec.solid import QUICK, pack_solid
from zpinch.codec.tables import CodeTables
from zpinch.errors import ArchiveError, CorruptArchive

SMALL = small_archive()
INDEX = list(ArchiveReader(io.BytesIO(SMALL.data)).footer.index)
STARTS = [entry.offset for entry in INDEX]
FOOTER_START = SMALL.data.rindex(FOOTER_SYNC)
SEED = zlib.crc32(SMALL.data[: STARTS[0] - 4])


def assert_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptArchive):
        read_blocks(data, SMALL.tables)
    with pytest.raises(CorruptArchive):
        list(ArchiveReader(io.BytesIO(data)).scan())


def test_truncated_at_every_byte() -> None:
    for length in range(len(SMALL.data)):
        assert_corrupt(SMALL.data[:length])


def test_every_single_bit_flipped() -> None:
    for at in range(len(SMALL.data)):
        for bit in range(8):
            data = bytearray(SMALL.data)
            data[at] ^= 1 << bit
            with pytest.raises(CorruptArchive):
                read_blocks(bytes(data), SMALL.tables)


def test_a_block_read_alone_is_right_or_corrupt() -> None:
    """And right where another block is damaged."""
    for at in range(len(SMALL.data)):
        data = bytearray(SMALL.data)
        data[at] ^= 0x41
        damaged = sum(at >= start for start in STARTS) - 1
        for number in range(3):
            try:
                block = ArchiveReader(io.BytesIO(data), coder=SMALL.tables).read_block(number)
            except CorruptArchive:
                assert damaged in (-1, number) or at >= FOOTER_START
                continue
            assert same_block(block, SMALL.blocks[number])


@settings(max_examples=200)
@given(st.data())
def test_any_splice_is_noticed(data: st.DataObject) -> None:
    size = len(SMALL.data)
    start, end, source = (data.draw(st.integers(0, size)) for _ in range(3))
    patch = data.draw(st.binary(max_size=20) | st.just(SMALL.data[source : source + 40]))
    damaged = SMALL.data[: min(start, end)] + patch + SMALL.data[max(start, end) :]
    if damaged != SMALL.data:
        assert_corrupt(damaged)


def blocks_in_order(*numbers: int) -> bytes:
    pieces = [SMALL.data[a:b] for a, b in zip(STARTS, [*STARTS[1:], FOOTER_START], strict=True)]
    return SMALL.data[: STARTS[0]] + b"".join(pieces[n] for n in numbers) + SMALL.data[FOOTER_START:]


def test_blocks_swapped_repeated_or_left_out() -> None:
    assert blocks_in_order(0, 1, 2) == SMALL.data
    for numbers in [(1, 0, 2), (0, 0, 1, 2), (0, 1), (1, 2), (0, 1, 2, 2), (), (0, 2)]:
        assert_corrupt(blocks_in_order(*numbers))


def test_blocks_and_footers_of_another_archive() -> None:
    other = write_archive(header_for(SMALL.blocks[0], model_name="cells"), SMALL.tables, SMALL.blocks)
    start = ArchiveReader(io.BytesIO(other)).footer.index[0].offset
    assert_corrupt(SMALL.data[: STARTS[0]] + other[start:])
    assert_corrupt(SMALL.data[:FOOTER_START] + other[other.rindex(FOOTER_SYNC) :])
    # The same header, another last block of the same size: the index has its checksum.
    block = SMALL.blocks[2]
    changed = write_archive(
        SMALL.header, SMALL.tables, [*SMALL.blocks[:2], Block(block.codes[::-1], *block_rest(block))]
    )
    assert len(changed) == len(SMALL.data)
    assert_corrupt(changed[:FOOTER_START] + SMALL.data[FOOTER_START:])
    assert_corrupt(SMALL.data + b"\0")
    assert_corrupt(SMALL.data + SMALL.data)


def test_names_are_not_those_of_another_archive() -> None:
    others = [Block(old.codes, old.labels, tuple(name[::-1] for name in old.names or ())) for old in SMALL.blocks]
    other = write_archive(SMALL.header, SMALL.tables, others)
    reader = ArchiveReader(io.BytesIO(SMALL.data))
    assert [reader.read_names(number) for number in range(3)] == [block.names for block in SMALL.blocks]
    joined = ArchiveReader(io.BytesIO(SMALL.data + other))  # the index is that of the second, the blocks of the first
    with pytest.raises(CorruptArchive, match="another block"):
        joined.read_names(0)


def block_rest(block: Block) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    return block.labels, block.names


def test_messages_say_what_where_and_what_to_do() -> None:
    file = io.BytesIO(SMALL.data[:-40] + b"x" + SMALL.data[-39:])
    file.name = "numbers.zpn"
    with pytest.raises(
        CorruptArchive, match=r"numbers\.zpn: the footer at byte [\d,]+ fails its checksum: .*--salvage"
    ):
        list(ArchiveReader(file).scan())
    file = io.BytesIO(SMALL.data[: STARTS[1] + 5])
    file.name = "numbers.zpn"
    with pytest.raises(CorruptArchive, match=r"numbers\.zpn: the file ends at byte [\d,]+, inside block 1\."):
        list(ArchiveReader(file).scan())
    with pytest.raises(CorruptArchive, match="no zpinch archive"):
        ArchiveReader(io.BytesIO(b"\x89PNG\r\n\x1a\nxxxxxxxx"))
    with pytest.raises(CorruptArchive, match="text mode"):
        ArchiveReader(io.BytesIO(SMALL.data.replace(b"\r\n", b"\n")))


# Damage on purpose: checksums are right, what they cover is not.


def with_crc(data: bytes, seed: int = 0) -> bytes:
    return data + struct.pack("<I", zlib.crc32(data, seed))


def forged_header(text: bytes, version: int = 1) -> bytes:
    return with_crc(HEADER.pack(MAGIC, version, len(text)) + text)


def forged(header: ArchiveHeader, *blocks: bytes, footer: bytes | None = None) -> bytes:
    """An archive of blocks that are given up to their checksums."""
    start = header.to_bytes()
    seed = zlib.crc32(start[:-4])
    if footer is None:
        footer = FOOTER.pack(FOOTER_SYNC, len(blocks), 2, 0) + b"{}"
    footer = with_crc(footer, seed)
    return start + b"".join(with_crc(b, seed) for b in blocks) + footer + END.pack(len(footer), END_MAGIC)


def forged_block(payload: bytes, names: bytes = b"", kind: int = 0, images: int = 1, digest: bytes = bytes(8)) -> bytes:
    return BLOCK.pack(BLOCK_SYNC, 0, images, kind, len(payload), len(names), digest) + payload + names


PLAIN = header_for(Block(SMALL.blocks[0].codes))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"3",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"\xff",
        b"1" * 5000,
        *(
            to_json({**from_json(PLAIN.to_bytes()[14:-4]), **change})
            for change in (
                {"extra": 1},
                {"step": "0.5"},
                {"step": True},
                {"parts": {"prior": []}},
                {"parts": []},
                {"image_shape": [1, 8, 1 << 70]},
                {"image_shape": {"a": 1}},
                {"class_names": [["a"]]},
                {"class_names": None},
                {"block_images": 1 << 40},
                {"model_name": "\x1b[31m"},
            )
        ),
        PLAIN.to_bytes()[14:-4].replace(b'"step":0.5', b'"step":NaN'),
        PLAIN.to_bytes()[14:-4].replace(b'"step":0.5', b'"step":0.50'),
        PLAIN.to_bytes()[14:-4].replace(b'"step":0.5', b'"step":0.5,"step":0.5'),
        PLAIN.to_bytes()[14:-4].replace(b"digits", b"\\ud800"),
    ],
)
def test_headers_that_make_no_sense(text: bytes) -> None:
    assert ArchiveReader(io.BytesIO(forged_header(PLAIN.to_bytes()[14:-4]))).header == PLAIN
    with pytest.raises(CorruptArchive):
        ArchiveReader(io.BytesIO(forged_header(text)))


def test_json_of_any_depth_is_read_or_refused() -> None:
    for depth in range(400, 1100):  # Python's limit is 1,000 calls, and writing takes other ones than reading
        with contextlib.suppress(ValueError):
            assert from_json(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


def test_what_a_newer_zpinch_wrote_is_not_called_corrupt() -> None:
    text = PLAIN.to_bytes()[14:-4]
    for newer in (
        forged_header(text, version=2),
        forged_header(text.replace(b"range-1", b"range-2")),
        forged_header(text.replace(b'["latent"]', b'["exact","latent"]')),
    ):
        with pytest.raises(ArchiveError, match="-U zpinch") as caught:
            ArchiveReader(io.BytesIO(newer))
        assert not isinstance(caught.value, CorruptArchive)


def solid(data: bytes) -> bytes:
    packed = pack_solid(data, len(data) + 99)
    assert packed is not None
    return packed


@pytest.mark.parametrize(("kind", "compress"), [(STORED, zlib.compress), (SOLID, solid)])
def test_blocks_that_make_no_sense(kind: int, compress: Callable[[bytes], bytes]) -> None:
    tables = make_tables(np.random.default_rng(0), 0, 2, 9, 1.0)
    planes = compress(bytes(16))
    far = (0x7F7F7F7F, -(1 << 31)) if kind == STORED else (-0x3FBFBFC0, 1 << 30)
    good = hash_symbols(np.zeros(4, np.int32))
    assert_reads = read_blocks(forged_with_images(forged_block(planes, kind=kind, digest=good)), tables)
    assert assert_reads[0].codes.tolist() == [[[[0, 0]], [[0, 0]]]]
    for block in (
        forged_block(planes, kind=kind),
        forged_block(planes, kind=2, digest=good),
        forged_block(planes, kind=kind, images=0, digest=good),
        forged_block(planes, kind=kind, images=65, digest=good),
        forged_block(planes, b"x", kind=kind, digest=good),
        forged_block(planes + b"x", kind=kind, digest=good),
        forged_block(planes[:-1], kind=kind, digest=good),
        forged_block(b"", kind=kind, digest=good),
        forged_block(compress(bytes(15)), kind=kind, digest=good),
        forged_block(compress(bytes(17)), kind=kind, digest=good),
        forged_block(compress(b"\x7f" * 16), kind=kind, digest=hash_symbols(np.full(4, far[0], "<i4"))),
        forged_block(compress(bytes(12) + b"\x80" * 4), kind=kind, digest=hash_symbols(np.full(4, far[1], "<i4"))),
        forged_block(bytes(4)),
    ):
        with pytest.raises(CorruptArchive):
            read_blocks(forged_with_images(block), tables)


@pytest.mark.parametrize(("label", "is_known"), [(0, True), (2, True), (3, False), (-1, False)])
def test_stored_labels_are_ones_the_model_has(label: int, is_known: bool) -> None:
    symbols = np.array([0, 0, 0, 0, label], "<i4")
    planes = zlib.compress(symbols.view(np.uint8).reshape(5, 4).T.tobytes())
    header = header_for(Block(SMALL.blocks[0].codes, SMALL.blocks[0].labels))
    data = forged_with_images(forged_block(planes, kind=1, digest=hash_symbols(symbols)), header)
    if is_known:
        assert read_blocks(data, SMALL.tables)[0].labels.tolist() == [label]
    else:
        with pytest.raises(CorruptArchive, match="label"):
            read_blocks(data, SMALL.tables)


def forged_with_images(block: bytes, header: ArchiveHeader = PLAIN, images: int = 1) -> bytes:
    start = header.to_bytes()
    checksum = zlib.crc32(block, zlib.crc32(start[:-4]))
    footer = FOOTER.pack(FOOTER_SYNC, 1, 2, images) + b"{}" + struct.pack("<QII", len(start), images, checksum)
    return forged(header, block, footer=footer)


def names_in(packed: bytes, images: int) -> tuple[str, ...] | None:
    header = header_for(Block(SMALL.blocks[0].codes, None, ()))
    data = forged_with_images(forged_block(bytes(4), packed, images=images), header, images)
    (found,) = ArchiveReader(io.BytesIO(data)).scan()
    return found.names


@pytest.mark.parametrize(
    ("packed", "images", "said"),
    [
        (b"", 1, "zlib data"),
        (b"xx", 1, "zlib data that does not unpack"),
        (zlib.compress(b"a")[:-1], 1, "zlib data"),
        (zlib.compress(b"a") + b"b", 1, "zlib data of another length"),
        (zlib.compress(bytes(5000)), 1, "zlib data of another length"),
        (zlib.compress(b"\xff"), 1, "not UTF-8"),
        (zlib.compress(b"a\0b"), 1, "2 names for 1 images"),
        (zlib.compress(b"a"), 2, "1 names for 2 images"),
        (zlib.compress(b"x" * 1025 + b"\0a"), 2, "a name of more than 1,024 bytes"),
    ],
)
def test_names_that_make_no_sense(packed: bytes, images: int, said: str) -> None:
    with pytest.raises(CorruptArchive, match=said):
        names_in(packed, images)


def test_names_that_do() -> None:
    assert names_in(zlib.compress(b"a"), 1) == ("a",)
    assert names_in(zlib.compress(b"x" * 1024 + "\0é".encode()), 2) == ("x" * 1024, "é")


@pytest.mark.parametrize(
    "footer",
    [
        FOOTER.pack(FOOTER_SYNC, 0, 2, 1) + b"{}",
        FOOTER.pack(FOOTER_SYNC, 1, 2, 0) + b"{}",
        FOOTER.pack(FOOTER_SYNC, 0, 3, 0) + b"{ }",
        FOOTER.pack(FOOTER_SYNC, 0, 8, 0) + b'{"a":[]}',
        FOOTER.pack(FOOTER_SYNC, 0, 10, 0) + b'{"a":"\\n"}',
        FOOTER.pack(FOOTER_SYNC, 1, 2, 0) + b"{}" + bytes(16),
    ],
)
def test_footers_that_make_no_sense(footer: bytes) -> None:
    assert list(ArchiveReader(io.BytesIO(forged(PLAIN, footer=FOOTER.pack(FOOTER_SYNC, 0, 2, 0) + b"{}"))).scan()) == []
    with pytest.raises(CorruptArchive):
        list(ArchiveReader(io.BytesIO(forged(PLAIN, footer=footer))).scan())


def reindexed(*index: IndexEntry) -> bytes:
    """The small archive with another index, its checksum and its count right."""
    footer = FOOTER.pack(FOOTER_SYNC, len(index), 2, sum(entry.images for entry in index)) + b"{}"
    footer = with_crc(footer + b"".join(INDEX_ENTRY.pack(*entry) for entry in index), SEED)
    return SMALL.data[:FOOTER_START] + footer + END.pack(len(footer), END_MAGIC)


def test_an_index_is_not_believed_before_its_blocks_are_read() -> None:
    """A reader that begins at the end takes memory by it: for the numbers of 2^32 images of a block, for names."""
    a, b, c = INDEX
    assert ArchiveReader(io.BytesIO(reindexed(a, b, c))).footer.index == INDEX
    for index in (
        (a, b, c._replace(images=(1 << 32) - 1)),
        (a, b, c._replace(images=4097)),
        (a, b._replace(images=0), c),
        (b, a, c),
        (a, *[b] * 1000, c),
        (a, b, c._replace(offset=FOOTER_START)),
    ):
        with pytest.raises(CorruptArchive, match="an index"):
            _ = ArchiveReader(io.BytesIO(reindexed(*index))).footer


# Claimed lengths.


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(megabytes)), packer.flush()])


WIDE = header_for(Block(np.zeros((1, 1, 32, 32), np.int32)), image_shape=(1, 32, 32), block_images=4096)
WIDE_NAMED = header_for(Block(np.zeros((1, 1, 32, 32), np.int32), None, ()), image_shape=(1, 32, 32), block_images=4096)
ONE_CHANNEL = CodeTables(np.array([[[1 << 23, 1 << 23]]], np.uint32), np.array([0], np.int32))


@pytest.mark.parametrize(
    "make",
    [
        lambda: HEADER.pack(MAGIC, 1, 0xFFFFFFFF) + b"{}",
        lambda: WIDE.to_bytes() + BLOCK.pack(BLOCK_SYNC, 0, 4096, 0, 1 << 24, 0, bytes(8)),
        lambda: WIDE.to_bytes() + BLOCK.pack(BLOCK_SYNC, 0, 4096, 0, 0xFFFFFFFF, 0xFFFFFFFF, bytes(8)),
        lambda: WIDE_NAMED.to_bytes() + BLOCK.pack(BLOCK_SYNC, 0, 4096, 0, 0, 1 << 22, bytes(8)),
        lambda: WIDE.to_bytes() + FOOTER.pack(FOOTER_SYNC, 1 << 18, 1 << 16, 1 << 60),
        lambda: forged(
            WIDE, footer=FOOTER.pack(FOOTER_SYNC, 1 << 18, 2, 0) + b"{}" + b"\xff" * 8 + bytes((16 << 18) - 8)
        ),
        lambda: WIDE.to_bytes() + FOOTER.pack(FOOTER_SYNC, 0xFFFFFFFF, 0xFFFFFFFF, 1 << 60),
        lambda: forged(WIDE, forged_block(bytes(4), images=4096)),  # decodes to 4 million symbols, none of them right
        lambda: forged(WIDE, forged_block(bomb(100), kind=1, images=4096)),
        lambda: forged(
            WIDE, forged_block(lzma.compress(bytes(100 << 20), lzma.FORMAT_RAW, filters=QUICK), kind=SOLID, images=4096)
        ),
        lambda: forged(WIDE_NAMED, forged_block(bytes(4), bomb(100), images=4096)),
    ],
)
def test_claimed_lengths_take_no_memory(make: Callable[[], bytes]) -> None:
    file = io.BytesIO(make())
    tracemalloc.start()
    try:
        with pytest.raises(CorruptArchive):
            list(ArchiveReader(file, coder=ONE_CHANNEL).blocks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


# Salvage.


def salvaged(data: bytes) -> dict[int, Block]:
    return {found.number: found.block for found in ArchiveReader(io.BytesIO(data), coder=SMALL.tables).salvage()}


def test_whole_blocks_are_salvaged_whatever_happened_to_the_rest() -> None:
    for number, start in enumerate(STARTS):
        damaged = bytearray(SMALL.data)
        damaged[start + 20] ^= 1
        found = salvaged(bytes(damaged))
        assert sorted(found) == [n for n in range(3) if n != number]
        assert all(same_block(block, SMALL.blocks[n]) for n, block in found.items())
    assert sorted(salvaged(SMALL.data)) == [0, 1, 2]
    assert sorted(salvaged(SMALL.data[: STARTS[2] + 9])) == [0, 1]
    assert sorted(salvaged(SMALL.data[: STARTS[1]] + BLOCK_SYNC * 3 + SMALL.data[STARTS[1] + 2 :])) == [0, 2]
    assert list(salvaged(blocks_in_order(2, 0))) == [2, 0]


def test_salvage_ends() -> None:
    false_block = BLOCK.pack(BLOCK_SYNC, 0, 4096, 0, 8000, 0, bytes(8))
    file = io.BytesIO(WIDE.to_bytes() + false_block * 3000)
    with pytest.raises(CorruptArchive, match="false blocks"):
        list(ArchiveReader(file, coder=ONE_CHANNEL).salvage())


class CountingFile(io.BytesIO):
    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_false_sync_words_are_looked_through_in_bounded_time() -> None:
    start = SMALL.data[: STARTS[0]]
    file = CountingFile(start + BLOCK_SYNC * 10_000 + SMALL.data[STARTS[0] :])
    assert [found.number for found in ArchiveReader(file, coder=SMALL.tables).salvage()] == [0, 1, 2]
    assert file.count < 100 * len(file.getvalue())
