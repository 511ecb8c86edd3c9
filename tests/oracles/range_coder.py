"""The range coder of docs/format.md in plain integers: slow, obviously right, and without constriction.

Written from the specification alone, with the standard library alone.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

WORD = 1 << 32
STATE = 1 << 64


class Encoder:
    def __init__(self) -> None:
        self.low, self.range = 0, STATE - 1
        self.words: list[int] = []

    def encode(self, symbols: Iterable[int], weights: Sequence[int]) -> None:
        if len(weights) == 1:
            return
        left = [0, *accumulate(weights)]
        for symbol in symbols:
            scale = self.range >> 24
            self.low += scale * left[symbol]
            self.range = scale * weights[symbol]
            self.low = self.carry(self.low)
            if self.range < WORD:
                self.words.append(self.low >> 32)
                self.low = (self.low << 32) % STATE
                self.range <<= 32

    def carry(self, low: int) -> int:
        if low >= STATE:
            low -= STATE
            at = len(self.words) - 1
            self.words[at] += 1
            while self.words[at] == WORD:
                self.words[at] = 0
                at -= 1
                self.words[at] += 1
        return low

    def finish(self) -> list[int]:
        if self.range < STATE - 1:
            end = self.carry(self.low + WORD - 1)
            self.words.append(end >> 32)
            if (self.low + self.range) % STATE >> 32 == self.words[-1]:
                self.words.append(0)
        return self.words


class Decoder:
    def __init__(self, words: Iterable[int]) -> None:
        self.words = list(words)
        self.read = 0
        self.range = STATE - 1
        self.ahead = self.next_word() * WORD + self.next_word()

    def next_word(self) -> int:
        self.read += 1
        return self.words[self.read - 1] if self.read <= len(self.words) else 0

    def decode(self, weights: Sequence[int], count: int) -> list[int]:
        if len(weights) == 1:
            return [0] * count
        left = [0, *accumulate(weights)]
        symbols: list[int] = []
        for _ in range(count):
            scale = self.range >> 24
            place = self.ahead // scale
            if place >= 1 << 24:
                raise ValueError("a state that no encoder produces")
            symbol = bisect_right(left, place) - 1
            self.ahead -= scale * left[symbol]
            self.range = scale * weights[symbol]
            if self.range < WORD:
                self.ahead = self.ahead * WORD + self.next_word()
                self.range <<= 32
            symbols.append(symbol)
        return symbols

    def is_exhausted(self) -> bool:
        return self.read >= len(self.words) and (self.range == STATE - 1 or self.ahead < 2 * WORD - 1)
