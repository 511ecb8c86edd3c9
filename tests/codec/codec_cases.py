"""What the tests of the codec are tried on: any tables, any codes, any names, and one small fixed archive."""

import io
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from zpinch.codec.coder import CodePrior
from zpinch.codec.container import ArchiveHeader, ArchiveReader, ArchiveWriter, Block
from zpinch.codec.integer_net import IntegerLayer
from zpinch.codec.integer_prior import IntegerPrior, inputs
from zpinch.codec.tables import MAX_CODE, CodeTables, integer_weights


class Case(NamedTuple):
    tables: CodeTables
    block: Block


def make_tables(rng: np.random.Generator, labels: int, channels: int, size: int, sharpness: float) -> CodeTables:
    """Random tables; a low sharpness makes a few entries likely and most of weight 1."""
    weights = integer_weights(rng.dirichlet(np.full(size + 1, sharpness), size=(labels + 1, channels)))
    first = rng.integers(-size, 2, size=channels).astype(np.int32)
    if not labels:
        return CodeTables(weights, first)
    return CodeTables(weights, first, integer_weights(rng.dirichlet(np.ones(labels))))


def random_prior(code=(5, 1, 1), *, labels: int = 3, entries: int = 7, units: int = 4, depth: int = 2, seed: int = 0):
    rng = np.random.default_rng(seed)
    channels = code[0]
    sizes = [inputs(code, entries, labels), *[channels * units] * depth, channels * entries]
    layers = []
    for a, b in pairwise(sizes):
        weight = rng.integers(-127, 128, (b, a)).astype(np.int8)
        bias = rng.integers(-20_000, 20_000, b).astype(np.int32)
        layers.append(IntegerLayer(weight, bias, rng.integers(4, 9, b).astype(np.uint8)))
    shares = integer_weights(rng.random(labels) + 0.1) if labels else None
    return IntegerPrior(code, rng.integers(-9, 3, channels).astype(np.int32), shares, tuple(layers))


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Tables, and a block that they code well, badly, or mostly as escapes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = draw(st.sampled_from([0, 0, 1, 3]))
    count, channels = draw(st.integers(1, 30)), draw(st.integers(1, 4))
    height, width = draw(st.sampled_from([(1, 1), (1, 3), (2, 2)]))
    size = draw(st.sampled_from([1, 2, 9, 60]))
    tables = make_tables(rng, labels, channels, size, draw(st.sampled_from([0.05, 1.0, 20.0])))
    reach = draw(st.sampled_from([size, 2 * size + 3, MAX_CODE]))
    codes = rng.integers(-reach, reach + 1, size=(count, channels, height, width)).astype(np.int32)
    codes[rng.random(codes.shape) < 0.5] = tables.first[0]
    stored_labels = rng.integers(0, labels, count).astype(np.int32) if labels and draw(st.booleans()) else None
    stored_names = tuple(draw(st.lists(names, min_size=count, max_size=count))) if draw(st.booleans()) else None
    return Case(tables, Block(codes, stored_labels, stored_names))


def header_for(block: Block, **changes: object) -> ArchiveHeader:
    values: dict[str, object] = {
        "image_shape": (1, 8, 8),
        "code_shape": block.codes.shape[1:],
        "step": 0.5,
        "parts": {"generator": "5e" * 32, "prior": "3f" * 32},
        "model_name": "digits",
        "block_images": 64,
        "has_labels": block.labels is not None,
        "has_names": block.names is not None,
    }
    return ArchiveHeader(**{**values, **changes})  # type: ignore[arg-type]


def split_block(block: Block, size: int) -> list[Block]:
    labels, names = block.labels, block.names
    return [
        Block(
            block.codes[start : start + size],
            None if labels is None else labels[start : start + size],
            None if names is None else names[start : start + size],
        )
        for start in range(0, len(block.codes), size)
    ]


def write_archive(header: ArchiveHeader, tables: CodePrior, blocks: list[Block]) -> bytes:
    file = io.BytesIO()
    writer = ArchiveWriter(file, header, tables)
    for block in blocks:
        writer.write(block)
    writer.finish({"mse": 0.0123, "recipe": "fusion", "images": 7})
    return file.getvalue()


def read_blocks(data: bytes, tables: CodeTables) -> list[Block]:
    return list(ArchiveReader(io.BytesIO(data), coder=tables).blocks())


def same_block(found: Block, wanted: Block) -> bool:
    return (
        np.array_equal(found.codes, wanted.codes)
        and (found.labels is None) == (wanted.labels is None)
        and (found.labels is None or np.array_equal(found.labels, wanted.labels))
        and found.names == wanted.names
    )


class Small(NamedTuple):
    """An archive of a few hundred bytes with everything in it: labels, names, escapes, both kinds of block."""

    tables: CodeTables
    header: ArchiveHeader
    blocks: list[Block]
    data: bytes


def small_archive() -> Small:
    rng = np.random.default_rng(7)
    tables = make_tables(rng, 3, 2, 9, 1.0)
    coded = tables.first[:, None, None] + rng.integers(0, 10, size=(6, 2, 1, 2)).astype(np.int32)
    badly = np.full((5, 2, 1, 2), 70_000, dtype=np.int32)
    blocks = [
        Block(coded, np.array([0, 2, 1, 1, 0, 2], np.int32), tuple(f"zéro/{i}.png" for i in range(6))),
        Block(badly, np.zeros(5, np.int32), ("same",) * 5),
        Block(coded[:3], np.full(3, 2, np.int32), ("", "../up", "数.png")),
    ]
    header = header_for(blocks[0], block_images=6, class_names=("a", "b", "c"))
    return Small(tables, header, blocks, write_archive(header, tables, blocks))
