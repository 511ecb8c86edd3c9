"""Archives: what goes in comes out, also through pipes, in the same bytes, and as the independent reader sees it."""

import io
import json
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from codec_cases import (
    Case,
    cases,
    header_for,
    make_tables,
    read_blocks,
    same_block,
    small_archive,
    split_block,
    write_archive,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from read_archive import read_archive

from zpinch.codec.container import (
    MAGIC,
    ArchiveHeader,
    ArchiveReader,
    ArchiveWriter,
    Block,
    check_parts,
    images_per_block,
)
from zpinch.codec.layout import RANGE_CODED, SOLID
from zpinch.codec.tables import CodeTables
from zpinch.errors import LimitError, UsageError, WrongModel, ZpinchError

SMALL = small_archive()


def arrays(tables: CodeTables) -> dict[str, np.ndarray]:
    given = {"weights": tables.weights, "first": tables.first}
    return given if tables.label_weights is None else {**given, "label_weights": tables.label_weights}


@settings(max_examples=60)
@given(cases(), st.integers(1, 30))
def test_round_trip_and_the_independent_reader(case: Case, size: int) -> None:
    blocks = split_block(case.block, size)
    header = header_for(case.block)
    data = write_archive(header, case.tables, blocks)
    assert data == write_archive(header, case.tables, blocks)
    found = read_blocks(data, case.tables)
    assert all(same_block(a, b) for a, b in zip(found, blocks, strict=True))

    archive = read_archive(data, arrays(case.tables))
    assert same_block(Block(archive.codes, archive.labels, archive.names and tuple(archive.names)), case.block)
    assert archive.header | {"model_bytes": 0} == json.loads(json.dumps(header.__dict__))


def test_reader_offers_the_same_in_three_ways() -> None:
    reader = ArchiveReader(io.BytesIO(SMALL.data), coder=SMALL.tables)
    assert reader.header == SMALL.header
    assert reader.footer.count == 14
    assert reader.footer.statistics == {"mse": 0.0123, "recipe": "fusion", "images": 7}
    assert all(same_block(a, b) for a, b in zip(reader.blocks(), SMALL.blocks, strict=True))
    assert all(same_block(a, b) for a, b in zip(reader.blocks(), SMALL.blocks, strict=True))
    for number in (2, 0, 1):
        assert same_block(reader.read_block(number), SMALL.blocks[number])
    summaries = list(ArchiveReader(io.BytesIO(SMALL.data)).scan())
    assert [summary.names for summary in summaries] == [block.names for block in SMALL.blocks]
    assert [summary.kind for summary in summaries] == [RANGE_CODED, SOLID, RANGE_CODED]
    assert [summary.images for summary in summaries] == [entry.images for entry in reader.footer.index]


def test_blocks_may_be_read_while_others_are() -> None:
    reader = ArchiveReader(io.BytesIO(SMALL.data), coder=SMALL.tables)
    walk = reader.blocks()
    first = next(walk)
    assert same_block(reader.read_block(2), SMALL.blocks[2])
    assert all(same_block(a, b) for a, b in zip([first, *walk], SMALL.blocks, strict=True))


def test_sizes_add_up() -> None:
    file = io.BytesIO()
    writer = ArchiveWriter(file, SMALL.header, SMALL.tables)
    before = file.tell()
    sizes = [writer.write(block) for block in SMALL.blocks]
    assert file.tell() - before == sum(size.codes + size.names + 33 for size in sizes)


class Pipe(io.RawIOBase):
    """Neither seeks nor takes or gives more than a few bytes at once."""

    def __init__(self, data: bytes = b"") -> None:
        self.data, self.at = bytearray(data), 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        piece = self.data[self.at : self.at + min(len(buffer), 7)]
        buffer[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)

    def write(self, data: memoryview) -> int:
        self.data += data[:5]
        return min(5, len(data))


def test_pipes() -> None:
    pipe = Pipe()
    writer = ArchiveWriter(pipe, SMALL.header, SMALL.tables)
    for block in SMALL.blocks:
        writer.write(block)
    writer.finish({"mse": 0.0123, "recipe": "fusion", "images": 7})
    assert bytes(pipe.data) == SMALL.data
    reader = ArchiveReader(Pipe(SMALL.data), coder=SMALL.tables)
    with pytest.raises(UsageError, match="pipe"):
        _ = reader.footer
    assert all(same_block(a, b) for a, b in zip(reader.blocks(), SMALL.blocks, strict=True))
    assert reader.footer.count == 14
    with pytest.raises(UsageError, match="pipe"):
        list(reader.scan())


@pytest.mark.parametrize("taken", [None, 0])
def test_what_takes_nothing_is_no_file_for_an_archive(taken: int | None) -> None:
    """A pipe that does not wait gives None: the same bytes were offered to it for ever."""
    calls: list[memoryview] = []

    class Full(Pipe):
        def write(self, data: memoryview) -> int | None:  # type: ignore[override]
            calls.append(data)
            assert len(calls) < 3
            return taken

    with pytest.raises(UsageError, match=rf"gave {taken}, .* a pipe that waits"):
        ArchiveWriter(Full(), SMALL.header, SMALL.tables)


def test_an_archive_may_begin_anywhere_in_a_file() -> None:
    file = io.BytesIO(b"something else" + SMALL.data)
    file.seek(14)
    reader = ArchiveReader(file, coder=SMALL.tables)
    assert reader.footer.count == 14
    assert same_block(reader.read_block(1), SMALL.blocks[1])
    assert len(list(reader.blocks())) == 3


def test_an_empty_archive() -> None:
    data = write_archive(SMALL.header, SMALL.tables, [])
    assert read_blocks(data, SMALL.tables) == []
    assert ArchiveReader(io.BytesIO(data)).footer.count == 0


def test_images_the_model_does_not_know_take_no_more_than_zlib() -> None:
    rng = np.random.default_rng(0)
    tables = make_tables(rng, 0, 4, 9, 0.01)
    codes = rng.integers(-(1 << 20), 1 << 20, size=(500, 4, 1, 1)).astype(np.int32)
    size = ArchiveWriter(io.BytesIO(), header_for(Block(codes), block_images=500), tables).write(Block(codes))
    assert size.codes <= len(zlib.compress(codes.tobytes(), 9))


def test_blocks_have_limits() -> None:
    assert images_per_block((1, 28, 28)) == 4096
    assert images_per_block((3, 64, 64)) == 341
    assert images_per_block((1, 8, 8), (4096, 1, 1)) == 1024
    with pytest.raises(LimitError, match="--size"):
        images_per_block((3, 2048, 2048))


BLOCK_ = SMALL.blocks[0]


@pytest.mark.parametrize(
    "block",
    [
        replace(BLOCK_, codes=BLOCK_.codes[:5]),
        replace(BLOCK_, codes=BLOCK_.codes[:, :1]),
        replace(BLOCK_, labels=None),
        replace(BLOCK_, names=None),
        replace(BLOCK_, names=("x",)),
        replace(BLOCK_, names=("a\0b", *"bcdef")),
        replace(BLOCK_, names=("\ud800", *"bcdef")),
        replace(BLOCK_, names=("x" * 1025, *"bcdef")),
        replace(BLOCK_, labels=np.full(6, 3, np.int32)),
        replace(BLOCK_, codes=np.full_like(BLOCK_.codes, (1 << 20) + 1)),
        Block(np.zeros((0, 2, 1, 2), np.int32), np.zeros(0, np.int32), ()),
        Block(np.zeros((7, 2, 1, 2), np.int32), np.zeros(7, np.int32), ("x",) * 7),
    ],
)
def test_a_block_that_does_not_fit_leaves_the_archive_as_it_was(block: Block) -> None:
    file = io.BytesIO()
    writer = ArchiveWriter(file, SMALL.header, SMALL.tables)
    before = file.getvalue()
    with pytest.raises((UsageError, LimitError)):
        writer.write(block)
    assert file.getvalue() == before


def test_nothing_follows_the_footer() -> None:
    writer = ArchiveWriter(io.BytesIO(), SMALL.header, SMALL.tables)
    with pytest.raises(UsageError):
        writer.finish({"mse": float("nan")})
    with pytest.raises(UsageError):
        writer.finish({"\x1b[2J": 1})
    with pytest.raises(LimitError):
        writer.finish({"long": "x" * 70_000})
    writer.finish()
    for act in (lambda: writer.write(BLOCK_), writer.finish):
        with pytest.raises(UsageError, match="finished"):
            act()


@pytest.mark.parametrize(
    "change",
    [
        {"image_shape": (1, 8)},
        {"image_shape": (0, 8, 8)},
        {"code_shape": [1, 8, 8]},
        {"code_shape": (1 << 23, 1, 1)},
        {"step": 0.0},
        {"step": 1},
        {"step": float("inf")},
        {"model_name": "\x1b[2J"},
        {"parts": {"prior": 3}},
        {"parts": ["prior"]},
        {"class_names": ("a", "b\n")},
        {"block_images": 0},
        {"block_images": 4097},
        {"has_labels": 1},
        {"coder": "range-2"},
        {"layers": ("latent", "exact")},
        {"tile_grid": (2, 2)},
    ],
)
def test_headers_are_checked(change: dict[str, object]) -> None:
    with pytest.raises(ZpinchError):
        header_for(BLOCK_, **change)


def test_a_header_has_a_limit() -> None:
    with pytest.raises(LimitError):
        header_for(BLOCK_, class_names=("x" * 1000,) * 70).to_bytes()


def test_the_wrong_model_is_named() -> None:
    check_parts(SMALL.header, {**SMALL.header.parts, "critic": "0"}, "digits")
    other = {"generator": "5e" * 32, "prior": "77ab" * 16}
    with pytest.raises(WrongModel) as caught:
        check_parts(SMALL.header, other, "cells", file_name="numbers.zpn")
    assert str(caught.value) == (
        "numbers.zpn was written by model 'digits' (prior 3f3f3f…), this is 'cells' (prior 77ab77…). "
        "Pass -m with the model that wrote it."
    )
    with pytest.raises(WrongModel, match="no generator"):
        check_parts(SMALL.header, {}, "cells")


@pytest.mark.parametrize(("labels", "channels"), [(0, 2), (3, 3)])
def test_tables_of_another_shape_are_another_model(labels: int, channels: int) -> None:
    tables = make_tables(np.random.default_rng(0), labels, channels, 9, 1.0)
    with pytest.raises(WrongModel, match="digits"):
        ArchiveReader(io.BytesIO(SMALL.data), coder=tables)


def test_decoding_needs_tables() -> None:
    reader = ArchiveReader(io.BytesIO(SMALL.data))
    acts: list[Callable[[], object]] = [reader.blocks, lambda: reader.read_block(0), lambda: next(reader.salvage())]
    for act in acts:
        with pytest.raises(UsageError, match="digits"):
            act()
    with pytest.raises(UsageError, match="no block"):
        ArchiveReader(io.BytesIO(SMALL.data), coder=SMALL.tables).read_block(3)


def test_a_header_reads_as_written() -> None:
    header = header_for(BLOCK_, model_name="Größe 数", class_names=("a b", "ü"), created_by="zpinch 0.1.0")
    data = write_archive(header, SMALL.tables, [])
    assert data.startswith(MAGIC)
    assert ArchiveReader(io.BytesIO(data)).header == header
    assert isinstance(ArchiveReader(io.BytesIO(data)).header, ArchiveHeader)
