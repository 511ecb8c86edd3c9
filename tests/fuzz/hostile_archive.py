"""Archives (.zpn), damaged and forged: checksums as they fall, or made right again so that what is behind is reached.

What the reader accepts, the independent reader in tests/oracles must accept with the same content.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from hostile_images import Input, Target
from mutations import NUMBERS, mutated
from read_archive import read_archive

from zpinch.codec.block import from_planes, from_zigzag, hash_symbols
from zpinch.codec.canonical import to_json
from zpinch.codec.container import ArchiveReader, Block
from zpinch.codec.layout import BLOCK, BLOCK_SYNC, CRC, END, END_MAGIC, FOOTER, FOOTER_SYNC, HEADER, MAGIC, VERSION
from zpinch.codec.solid import pack_solid
from zpinch.codec.tables import CodeTables
from zpinch.errors import ZpinchError

GOLDEN = Path(__file__).parents[1] / "golden" / "latent-v1.zpn"


class Golden:
    """The golden archive cut into its parts."""

    def __init__(self) -> None:
        self.data = GOLDEN.read_bytes()
        with np.load(GOLDEN.with_suffix(".npz")) as arrays:
            self.arrays = dict(arrays)
        self.tables = CodeTables(self.arrays["weights"], self.arrays["first"], self.arrays["label_weights"])
        reader = ArchiveReader(io.BytesIO(self.data), coder=self.tables)
        self.blocks = list(reader.blocks())
        starts = [entry.offset for entry in reader.footer.index]
        self.footer_start = self.data.rindex(FOOTER_SYNC)
        self.header: dict[str, Any] = json.loads(self.data[HEADER.size : starts[0] - 4])
        ends = [*starts[1:], self.footer_start]
        self.bodies = [self.data[start : end - 4] for start, end in zip(starts, ends, strict=True)]


@lru_cache
def golden() -> Golden:
    return Golden()


VALUES: tuple[Any, ...] = (*NUMBERS, -1, 0.5, 0.0, -0.5, 1e308, None, True, False, "", "x", "a\nb", [], [1, 8, 8],
                           [1, 1, 1], [0, 1, 1], [1, 1 << 22, 1], {}, {"x": "y"}, ["a", "b", "c"],
                           ["a"] * 300)  # fmt: skip


def forged(rng: Random) -> bytes:
    """Parts changed one by one, then every checksum and length of the frame made right, or nearly all."""
    g = golden()
    header = dict(g.header)
    if rng.random() < 0.4:
        header[rng.choice([*header, "new", "model_bytes"])] = rng.choice(VALUES)
    inside = rng.randbytes(rng.randrange(1, 40)) if rng.random() < 0.2 else b""
    if inside and rng.random() < 0.9:
        header["model_bytes"] = len(inside)
    text = to_json(header) if rng.random() < 0.95 else mutated(rng, to_json(header))
    start = HEADER.pack(MAGIC, rng.choice((VERSION,) * 20 + (0, 2)), len(text)) + text
    seed = zlib.crc32(start)
    out, index = bytearray(start + CRC.pack(seed)), list[bytes]()
    if inside:
        out += inside + CRC.pack(zlib.crc32(inside, seed if rng.random() < 0.9 else 0))
    bodies = list(g.bodies) if rng.random() < 0.8 else rng.choices(g.bodies, k=rng.randrange(5))
    for number, body in enumerate(bodies):
        if rng.random() < 0.4:
            body = changed_block(rng, body, number)
        checksum = zlib.crc32(body, seed)
        images = BLOCK.unpack_from(body)[2] if len(body) >= BLOCK.size else 0
        index.append(struct.pack("<QII", len(out), images, checksum))
        out += body + CRC.pack(checksum)
    count = sum(struct.unpack("<QII", entry)[1] for entry in index)
    statistics = b"{}" if rng.random() < 0.8 else mutated(rng, b'{"mse":0.1,"n":3}')
    claimed = (len(index), len(statistics), count) if rng.random() < 0.8 else [rng.choice(NUMBERS) for _ in range(3)]
    footer = FOOTER.pack(FOOTER_SYNC, claimed[0] % 2**32, claimed[1] % 2**32, claimed[2]) + statistics + b"".join(index)
    if rng.random() < 0.1:
        footer = mutated(rng, footer)
    footer += CRC.pack(zlib.crc32(footer, seed))
    return bytes(
        out + footer + END.pack(len(footer) if rng.random() < 0.95 else rng.choice(NUMBERS) % 2**32, END_MAGIC)
    )


def changed_block(rng: Random, body: bytes, number: int) -> bytes:
    fields = list(BLOCK.unpack_from(body))
    rest = body[BLOCK.size :]
    payload, names = rest[: fields[4]], rest[fields[4] :]
    match rng.randrange(5):
        case 0:
            at = rng.randrange(1, 6)
            fields[at] = rng.choice(NUMBERS) % (256 if at == 3 else 2**32)
            return BLOCK.pack(*fields) + rest
        case 1:
            payload = mutated(rng, payload)
        case 2:
            names = zlib.compress(mutated(rng, zlib.decompress(names)))
        case 3:
            names = zeros(rng.choice((0, 1, 1 << 12, 1 << 22)))
        case _:
            fields[3] = rng.choice((1, 3))
            small = (0, 1, 2) if fields[3] == 1 else (0, 2, 4)  # zigzag: 0, 1 and 2, which are labels too
            planes = bytes(rng.choices(small, k=16 * 9)) + bytes(3 * 16 * 9)
            planes = planes if rng.random() < 0.5 else mutated(rng, planes)
            payload = zlib.compress(planes) if fields[3] == 1 else pack_solid(planes, 1 << 20) or b""
            payload = payload if rng.random() < 0.7 else mutated(rng, payload)
            fields[2], fields[6] = 16, symbols_hash(planes, is_zigzag=fields[3] == 3)
    return BLOCK.pack(BLOCK_SYNC, number, fields[2], fields[3], len(payload), len(names), fields[6]) + payload + names


def symbols_hash(planes: bytes, *, is_zigzag: bool) -> bytes:
    """Of the symbols of 16 images of the golden archive; of planes of another size anything."""
    if len(planes) != 4 * 16 * 9:
        return bytes(8)
    symbols = from_planes(planes, 16 * 9)
    return hash_symbols(from_zigzag(symbols) if is_zigzag else symbols)


@lru_cache
def zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def make(rng: Random) -> Input:
    data = forged(rng) if rng.random() < 0.6 else mutated(rng, golden().data, golden().bodies)
    return Input({"a.zpn": data})


def read(path: Path, made: Input, rng: Random) -> None:
    """From front to back, and one of the other ways; what the first one met is counted."""
    g = golden()
    (data,) = made.files.values()
    errors: list[ZpinchError] = []
    blocks: list[Block] = []
    for way in (0, rng.randrange(1, 4)):
        try:
            reader = ArchiveReader(io.BytesIO(data), coder=g.tables)
            if way == 0:
                blocks = list(reader.blocks())
            elif way == 1:
                list(reader.scan())
            elif way == 2:
                list(reader.salvage())
            else:
                reader.read_block(rng.randrange(4))
        except ZpinchError as error:
            errors.append(error)
            if way == 0:
                blocks = []
    if blocks and data != g.data:
        told = read_archive(data, g.arrays)
        assert np.array_equal(np.concatenate([block.codes for block in blocks]), told.codes)
        assert blocks[0].labels is None or np.array_equal(np.concatenate([b.labels for b in blocks]), told.labels)
        assert blocks[0].names is None or [name for block in blocks for name in block.names or ()] == told.names
    elif blocks:
        assert np.array_equal(np.concatenate([block.codes for block in blocks]), g.arrays["codes"])
    if errors:
        raise errors[0]


TARGETS = {"archive": Target(make, read)}
