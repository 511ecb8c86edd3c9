"""Damage to bytes and texts, drawn from a seeded random.Random: what every fuzz target starts from."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

NUMBERS = (0, 1, 2, 3, 7, 8, 9, 28, 64, 127, 128, 129, 255, 256, 1 << 15, (1 << 16) - 1, 1 << 20, 1 << 24,
           (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
WORDS = ("", "0", "1", "7", "255", "256", "-1", "+1", "1.0", "1e3", "nan", "inf", "0x10", "1_0", "9" * 30, "٣", "cat",
         "CON", "a b", '"', '""', '"a\nb"', "'", ",", ";", "\t", "\0", "\r", "\n", "\udcff", "\ufeff", "é" * 200,
         "x" * 3000, "..", "../x", "/x", "C:/x", "\\", "label", "file_name", "{}", "[]", "null", "true")  # fmt: skip


def mutated(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """`data` with one to four changes; others: what pieces may be spliced in from."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, length = rng.randrange(len(out) + 1), rng.choice((1, 1, 2, 4, 8, 40, 300))
        if rng.random() < 0.3:  # headers stand in front
            at = min(at, rng.randrange(64))
        match rng.randrange(8):
            case 0 if out:
                out[at % len(out)] ^= 1 << rng.randrange(8)
            case 1 if out:
                out[at % len(out)] = rng.randrange(256)
            case 2:
                size, order = rng.choice("BHIQ"), rng.choice("<>")
                number = struct.pack(order + size, rng.choice(NUMBERS) % (1 << 8 * struct.calcsize(size)))
                out[at : at + len(number)] = number
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = rng.randbytes(length)
            case 5:
                out[at:at] = out[at : at + length]
            case 6:
                del out[at:]
            case _:
                source = rng.choice(others or (data,))
                start = rng.randrange(len(source) + 1)
                out[at : at + rng.choice((0, length))] = source[start : start + length]
    return bytes(out)


def word(rng: Random, usual: Sequence[str], hostility: float) -> str:
    return rng.choice(WORDS) if rng.random() < hostility else rng.choice(usual)
