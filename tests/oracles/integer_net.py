"""The integer networks of docs/format.md in plain integers: slow, and without NumPy's or BLAS's help.

Written from the specification alone, with the standard library alone.
"""

from collections.abc import Sequence
from math import isqrt

Row = Sequence[int]


def accumulate(activations: Row, weight: Sequence[Row], bias: Row) -> list[int]:
    return [sum(w * a for w, a in zip(row, activations, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def requantise(accumulators: Row, shift: Row) -> list[int]:
    return [min(255, max(0, (a + ((1 << s) >> 1)) // (1 << s))) for a, s in zip(accumulators, shift, strict=True)]


def power(t: int) -> int:
    """floor(2^(24 - i / 256)), halved once for each 256 in t, where i is the rest."""
    value: int = 1 << (24 * 256 - t % 256)
    for _ in range(8):
        value = isqrt(value)
    return value >> (t // 256)


def table(logits: Row) -> list[int]:
    most = max(logits)
    powers = [power(most - logit) for logit in logits]
    share = (((1 << 24) - len(logits)) << 32) // sum(powers)
    weights = [(p * share >> 32) + 1 for p in powers]
    weights[logits.index(most)] += (1 << 24) - sum(weights)
    return weights
