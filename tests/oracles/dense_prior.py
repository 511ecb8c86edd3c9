"""The autoregressive prior, written from docs/format.md the other way round: dense and masked.

All symbols are given; the logits of a place come from one pass, where zpinch goes through its channels in turn. Sums
are of integers below 2^53, so that float64 adds them exactly.
"""

from decimal import Decimal, localcontext

import numpy as np


def logits(code, entries, labels, layers, symbols, label, y, x):
    """(n, channels, entries) at place (y, x). layers: (weight, bias, shift) each; symbols: (n, *code); label: (n,)."""
    channels, height, width = code
    places = [(y, x)]
    if height * width > 1:
        places += [(y, x - 1), (y - 1, x - 1), (y - 1, x), (y - 1, x + 1)]
    inputs, owner = [], []
    for number, (row, column) in enumerate(places):
        inside = 0 <= row < height and 0 <= column < width
        for channel in range(channels):
            level = symbols[:, channel, row, column] if inside else np.zeros(len(symbols), int)
            inputs.append(level[:, None] > np.arange(entries - 1))
            owner += [channel if number == 0 else -1] * (entries - 1)
    inputs.append(np.asarray(label)[:, None] == np.arange(labels + 1))
    if height * width > 1:
        inputs.append(np.tile(np.arange(height * width) == y * width + x, (len(symbols), 1)))
    a, sees_itself = 64.0 * np.concatenate(inputs, 1), False
    owner = np.array(owner + [-1] * (a.shape[1] - len(owner)))
    for weight, bias, shift in layers:
        mine = np.arange(len(weight)) // (len(weight) // channels)
        mask = mine[:, None] >= owner if sees_itself else mine[:, None] > owner
        sums = (a @ (weight * mask).T.astype(float)).astype(np.int64) + bias
        halves = (1 << shift.astype(np.int64)) >> 1
        shifted = (sums + halves) >> shift.astype(np.int64)
        a, owner, sees_itself = np.clip(shifted, 0, 255).astype(float), mine, True
    return shifted.reshape(len(symbols), channels, entries)


def coding_tables(logits):
    """The integers that coordinates are coded with, (n, entries), of their logits."""
    below = logits.max(1, keepdims=True) - logits
    powers = POWERS[below % 256] >> np.minimum(below // 256, 60)
    share = ((1 << 24) - logits.shape[1]) * 2**32 // powers.sum(1, keepdims=True)
    weights = (powers * share >> 32) + 1
    weights[np.arange(len(weights)), logits.argmax(1)] += (1 << 24) - weights.sum(1)
    return weights


def power(fraction):
    """floor(2^(24 - fraction / 256))."""
    with localcontext() as context:
        context.prec = 60
        return int(Decimal(2) ** (24 - Decimal(fraction) / 256))


POWERS = np.array([power(fraction) for fraction in range(256)])
