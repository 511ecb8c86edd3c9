"""The autoregressive prior, written from docs/format.md the other way round: dense, masked, in 64-bit integers.

All symbols are given; the logits of every coordinate come from one pass, where zpinch goes through them in turn.
"""

from decimal import Decimal, localcontext

import numpy as np


def logits(code, entries, labels, layers, symbols, label):
    """(channels, h, w, entries) of one image. layers: (weight, bias, shift) each; symbols: (channels, h, w)."""
    channels, height, width = code
    result = np.zeros((channels, height, width, entries), np.int64)
    for y in range(height):
        for x in range(width):
            places = [(y, x)]
            if height * width > 1:
                places += [(y, x - 1), (y - 1, x - 1), (y - 1, x), (y - 1, x + 1)]
            inputs, owner = [], []
            for number, (row, column) in enumerate(places):
                for channel in range(channels):
                    inside = 0 <= row < height and 0 <= column < width
                    level = symbols[channel, row, column] if inside else 0
                    inputs += [64] * level + [0] * (entries - 1 - level)
                    owner += [channel if number == 0 else -1] * (entries - 1)
            inputs += [64 * (index == label) for index in range(labels + 1)]
            if height * width > 1:
                inputs += [64 * (index == y * width + x) for index in range(height * width)]
            owner += [-1] * (len(inputs) - len(owner))
            a, sees_itself = np.array(inputs, np.int64), False
            for number, (weight, bias, shift) in enumerate(layers):
                mine = np.arange(len(weight)) // (len(weight) // channels)
                mask = mine[:, None] >= owner if sees_itself else mine[:, None] > np.array(owner)
                sums = (weight.astype(np.int64) * mask) @ a + bias
                shifted = np.array([(int(v) + (1 << int(s) >> 1)) >> int(s) for v, s in zip(sums, shift, strict=True)])
                a = shifted if number == len(layers) - 1 else np.clip(shifted, 0, 255)
                owner, sees_itself = mine, True
            result[:, y, x] = a.reshape(channels, entries)
    return result


def table(logits):
    """The integers that a coordinate is coded with."""
    largest = max(logits)
    powers = [power(largest - logit) for logit in logits]
    share = ((1 << 24) - len(logits)) * 2**32 // sum(powers)
    weights = [p * share // 2**32 + 1 for p in powers]
    weights[logits.index(largest)] += (1 << 24) - sum(weights)
    return weights


def power(below):
    """floor(2^(24 - f)), f the fraction of below / 256, halved as often as it has wholes."""
    with localcontext() as context:
        context.prec = 60
        whole = int(Decimal(2) ** (24 - Decimal(below % 256) / 256))
    return whole >> min(below // 256, 64)
