"""Makes the golden archives: run once for each format version, then never again for that one.

    python tests/codec/make_golden.py FOLDER latent|autoregressive|solid

FOLDER/golden holds what every later reader must read, FOLDER/golden_damaged what it must refuse. Files that are
there already are never written again: another zlib would pack them into other bytes.
"""

import hashlib
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from codec_cases import header_for, make_tables, random_prior, write_archive

from zpinch.codec.block import join_symbols
from zpinch.codec.coder import encode
from zpinch.codec.container import Block
from zpinch.codec.layout import BLOCK, BLOCK_SYNC, END, END_MAGIC, FOOTER, FOOTER_SYNC
from zpinch.codec.tables import CodeTables
from zpinch.model.parts import integer_tensors


def make_latent(folder: Path) -> None:
    rng = np.random.default_rng(1)
    tables = make_tables(rng, 3, 4, 15, 0.5)
    labels = rng.integers(0, 3, 40).astype(np.int32)
    codes = drawn_from(tables, labels, rng)
    codes[30:] = rng.integers(-100_000, 100_000, size=(10, 4, 1, 2))  # these ten are stored
    names = tuple(f"{'abc'[label]}/{number:04}.png" for number, label in enumerate(labels))
    blocks = [Block(codes[a:b], labels[a:b], names[a:b]) for a, b in ((0, 16), (16, 30), (30, 40))]
    header = header_for(blocks[0], block_images=16, class_names=("a", "b", "c"), created_by="zpinch 0.1.0")
    data = write_archive(header, tables, blocks)
    start = len(header.to_bytes())
    second = data.index(BLOCK_SYNC, start + 1)
    third = data.index(BLOCK_SYNC, second + 1)
    footer = data.rindex(FOOTER_SYNC)
    golden = folder / "golden" / "latent-v1.zpn"
    write_new(golden, data)
    keep_expected(golden, tables, codes, labels, names, first_block=16)

    def forged(block: bytes, images: int) -> bytes:
        """One block, every checksum right."""
        head = data[:start]
        seed = zlib.crc32(head[:-4])
        body = block + struct.pack("<I", zlib.crc32(block, seed))
        end = FOOTER.pack(FOOTER_SYNC, 1, 2, images) + b"{}" + struct.pack("<QI", start, images) + body[-4:]
        end += struct.pack("<I", zlib.crc32(end, seed))
        return head + body + end + END.pack(len(end), END_MAGIC)

    def block_of(images: int, payload: bytes, packed_names: bytes) -> bytes:
        symbols = join_symbols(codes[:images], labels[:images])
        digest = hashlib.blake2b(symbols.tobytes(), digest_size=8).digest()
        return BLOCK.pack(BLOCK_SYNC, 0, images, 0, len(payload), len(packed_names), digest) + payload + packed_names

    payload = encode(codes[:4], labels[:4], tables)
    packed = zlib.compress("\0".join(names[:4]).encode())
    damaged = {
        "truncated-in-footer": data[:-30],
        "truncated-in-block": data[: second + 40],
        "truncated-in-header": data[: start // 2],
        "bit-flipped-in-payload": data[: start + 60] + bytes([data[start + 60] ^ 4]) + data[start + 61 :],
        "bit-flipped-in-header": data[:40] + bytes([data[40] ^ 1]) + data[41:],
        "blocks-swapped": data[:start] + data[second:third] + data[start:second] + data[third:],
        "block-repeated": data[:second] + data[start:second] + data[second:],
        "block-missing": data[:second] + data[third:],
        "footer-missing": data[:footer],
        "bytes-after-the-end": data + b"\0",
        "copied-in-text-mode": data.replace(b"\r\n", b"\n"),
        "names-are-a-bomb": forged(block_of(4, payload, zlib.compress(bytes(1 << 20), 9)), 4),
        "codes-are-wrong": forged(block_of(4, encode(codes[1:5], labels[1:5], tables), packed), 4),
        "escape-without-need": forged(block_of(4, payload + (1 << 20).to_bytes(3, "little"), packed), 4),
        "impossible-state": forged(block_of(4, struct.pack("<I", 4) + b"\xff" * 16, packed), 4),
    }
    for name, bad in damaged.items():
        write_new(folder / "golden_damaged" / f"{name}.zpn", bad)


def make_autoregressive(folder: Path) -> None:
    """The coder of zpinch 0.2: two images of a grid code with escapes, and a block that is stored."""
    prior = random_prior((3, 1, 2), labels=3, entries=9, seed=11)
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 30).astype(np.int32)
    codes = prior.sample(labels.astype(np.intp), rng).astype(np.int32)
    codes[5, 1], codes[7, 2, 0, 1] = 40, -1000
    codes[20:] = rng.integers(-100_000, 100_000, size=(10, 3, 1, 2))
    names = tuple(f"{'abc'[label]}/{number:04}.png" for number, label in enumerate(labels))
    blocks = [Block(codes[a:b], labels[a:b], names[a:b]) for a, b in ((0, 12), (12, 20), (20, 30))]
    changes = {"class_names": ("a", "b", "c"), "created_by": "zpinch 0.2.0", "coder": prior.coder}
    identity = "275ab2f1bb628b1c81999ee582232e11576719f3e5c175920d6e71c122bfe42b"
    parts = {"generator": "5e" * 32, "autoregressive": identity}
    header = header_for(blocks[0], block_images=16, parts=parts, **changes)
    golden = folder / "golden" / "autoregressive-v1.zpn"
    write_new(golden, write_archive(header, prior, blocks))
    np.savez_compressed(
        golden.with_suffix(".npz"),
        **integer_tensors(prior),
        codes=codes,
        labels=labels,
        names=np.array(names),
        payload=np.frombuffer(encode(codes[:12], labels[:12], prior), np.uint8),
    )


def make_solid(folder: Path) -> None:
    """2026-11-26: a block that is coded, and two whose images repeat each other, one of them with large codes."""
    rng = np.random.default_rng(3)
    tables = make_tables(rng, 3, 4, 15, 0.5)
    labels = rng.integers(0, 3, 72).astype(np.int32)
    codes = drawn_from(tables, labels, rng)
    codes[24:48], labels[24:48] = codes[24], labels[24]
    codes[48:] = rng.integers(-(1 << 20), (1 << 20) + 1, size=(1, 4, 1, 2))
    names = tuple(f"{'abc'[label]}/{number:04}.png" for number, label in enumerate(labels))
    blocks = [Block(codes[a : a + 24], labels[a : a + 24], names[a : a + 24]) for a in (0, 24, 48)]
    header = header_for(blocks[0], block_images=24, class_names=("a", "b", "c"), created_by="zpinch 0.2.0")
    golden = folder / "golden" / "solid-codes-v1.zpn"
    write_new(golden, write_archive(header, tables, blocks))
    keep_expected(golden, tables, codes, labels, names, first_block=24)


def drawn_from(tables: CodeTables, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes (n, 4, 1, 2) that the tables expect."""
    drawn = [[rng.choice(16, size=2, p=t / 2**24) for t in tables.weights[label]] for label in labels]
    return np.array(drawn, np.int32).reshape(-1, 4, 1, 2) + tables.first[:, None, None]


def keep_expected(
    golden: Path, tables: CodeTables, codes: np.ndarray, labels: np.ndarray, names: tuple[str, ...], *, first_block: int
) -> None:
    """Beside the archive, what must come out of it."""
    np.savez_compressed(
        golden.with_suffix(".npz"),
        weights=tables.weights,
        first=tables.first,
        label_weights=tables.label_weights,
        codes=codes,
        labels=labels,
        names=np.array(names),
        payload=np.frombuffer(encode(codes[:first_block], labels[:first_block], tables), np.uint8),
    )


def write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)


if __name__ == "__main__":
    {"latent": make_latent, "autoregressive": make_autoregressive, "solid": make_solid}[sys.argv[2]](Path(sys.argv[1]))
