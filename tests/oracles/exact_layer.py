"""The exact layer of docs/format.md in plain integers, pixel by pixel: slow, and without our NumPy.

Written from the specification alone; it stands on the other two oracles.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import range_coder
from integer_net import accumulate, requantise, table

Images = list[list[list[list[int]]]]  # image, channel, row, column


class Layer:
    def __init__(self, numbers: Mapping[str, Any], name: str) -> None:
        self.weight, self.bias, self.shift = (numbers[f"{name}.{part}"] for part in ("weight", "bias", "shift"))

    def sums(self, a: Sequence[int], offsets: Sequence[int] | None = None) -> list[int]:
        sums = accumulate(a, self.weight, self.bias)
        if offsets is None:
            return sums
        return [s + o * 2**shift // 16 for s, o, shift in zip(sums, offsets, self.shift, strict=True)]

    def logits(self, a: Sequence[int]) -> list[int]:
        return [(s + (1 << k >> 1)) // (1 << k) for s, k in zip(self.sums(a), self.shift, strict=True)]


class Predictor:
    """numbers: what ExactNet.tensors names, as nested lists."""

    def __init__(self, numbers: Mapping[str, Any], background: int, shape: tuple[int, int, int]) -> None:
        self.numbers, self.background, self.shape = numbers, background, shape
        self.first = [Layer(numbers, f"first{channel}") for channel in range(shape[0])]
        self.relative = "relative" in numbers
        self.second, self.high, self.low = (Layer(numbers, name) for name in ("second", "high", "low"))

    def window(self, image: list[list[list[int]]], channel: int, y: int, x: int) -> list[int]:
        channels, height, width = self.shape

        def pixel(c: int, row: int, column: int) -> int:
            inside = 0 <= row < height and 0 <= column < width
            return image[c][row][column] if inside else self.background

        above = [pixel(c, y + dy, x + dx) for c in range(channels) for dy in range(-6, 0) for dx in range(-6, 7)]
        left = [pixel(c, y, x + dx) for c in range(channels) for dx in range(-6, 0)]
        return above + left + [pixel(c, y, x) for c in range(channel)]

    def guess(self, image: list[list[list[int]]], channel: int, y: int, x: int, of: int) -> int:
        """What channel `of` of a pixel is compared with when `channel` is coded."""
        if of < channel:
            return image[of][y][x]

        def gradient(c: int) -> int:
            def pixel(row: int, column: int) -> int:
                return image[c][row][column] if row >= 0 and column >= 0 else self.background

            up, left, corner = pixel(y - 1, x), pixel(y, x - 1), pixel(y - 1, x - 1)
            return sorted((up, left, up + left - corner))[1]

        if of > channel or channel == 0:
            return gradient(of)
        return min(255, max(0, gradient(of) + image[of - 1][y][x] - gradient(of - 1)))

    def values(self, image: list[list[list[int]]], window: list[int], channel: int, y: int, x: int) -> list[int]:
        if not self.relative:
            return window
        channels = range(self.shape[0])
        order = [c for c in channels for _ in range(78)] + [c for c in channels for _ in range(6)] + [channel] * channel
        guesses = [self.guess(image, channel, y, x, c) for c in channels]
        return [min(255, max(0, value - guesses[c] + 128)) for value, c in zip(window, order, strict=True)]

    def second_sums(self, image: list[list[list[int]]], channel: int, y: int, x: int) -> list[int]:
        window = self.window(image, channel, y, x)
        a = self.values(image, window, channel, y, x) + [255 * (value != self.background) for value in window]
        layer = self.first[channel]
        places = [r + c for r, c in zip(self.numbers["rows"][y], self.numbers["columns"][x], strict=True)]
        return self.second.sums(requantise(layer.sums(a, places), layer.shift))

    def high_table(self, sums: list[int]) -> list[int]:
        return table(self.high.logits(requantise(sums, self.second.shift)))

    def low_table(self, sums: list[int], high: int) -> list[int]:
        given = zip(sums, self.numbers["given"][high], self.second.shift, strict=True)
        return table(self.low.logits(requantise([s + g * 2**k // 16 for s, g, k in given], self.second.shift)))

    def bin_table(self, sums: list[int], max_error: int, guess: int | None) -> list[int]:
        high, step = self.high_table(sums), 2 * max_error + 1
        bins = [0] * ((255 + max_error) // step + 1)
        for nibble in range(16):
            for lower, weight in enumerate(self.low_table(sums, nibble)):
                value = 16 * nibble + lower if guess is None else (16 * nibble + lower + guess - 136) % 256
                bins[(value + max_error) // step] += high[nibble] * weight >> 24
        weights = [(b * ((1 << 24) - len(bins)) >> 24) + 1 for b in bins]
        weights[bins.index(max(bins))] += (1 << 24) - sum(weights)
        return weights


def decode(predictor: Predictor, words: Sequence[int], count: int, max_error: int = 0) -> Images:
    decoder = range_coder.Decoder(words)
    images = decode_images(predictor, decoder, count, max_error)
    if not decoder.is_exhausted():
        raise ValueError("data left over")
    return images


def decode_images(predictor: Predictor, decoder: range_coder.Decoder, count: int, max_error: int) -> Images:
    channels, height, width = predictor.shape
    images = [[[[0] * width for _ in range(height)] for _ in range(channels)] for _ in range(count)]
    step = 2 * max_error + 1
    for time in range(width + 7 * (height - 1)):
        places = [(y, time - 7 * y) for y in range(height) if 0 <= time - 7 * y < width]
        for channel in range(channels):
            pixels = [(image, y, x) for y, x in places for image in images]
            sums = [predictor.second_sums(image, channel, y, x) for image, y, x in pixels]
            guesses = [
                predictor.guess(image, channel, y, x, channel) if predictor.relative else None for image, y, x in pixels
            ]
            if max_error:
                tables = [predictor.bin_table(s, max_error, g) for s, g in zip(sums, guesses, strict=True)]
                found = [decoder.decode(t, 1)[0] for t in tables]
                values = [min(255, q * step) for q in found]
            else:
                high = [decoder.decode(predictor.high_table(s), 1)[0] for s in sums]
                low = [decoder.decode(predictor.low_table(s, h), 1)[0] for s, h in zip(sums, high, strict=True)]
                values = [16 * h + lower for h, lower in zip(high, low, strict=True)]
                values = [v if g is None else (v + g - 136) % 256 for v, g in zip(values, guesses, strict=True)]
            for (image, y, x), value in zip(pixels, values, strict=True):
                image[channel][y][x] = value
    return images
