"""The autoregressive prior in integers: the distribution of each code value given all values before it.

A masked network (Germain et al. 2015, MADE) over the channels of a position, which also sees the label, the position,
and the four neighbouring positions that are known by then. Everything is an integer (integer_net.py), so that every
machine finds the same tables. `walk` is the one way through it: coding, decoding, counting bits and drawing new codes
only differ in how the next symbol is chosen. A prior that predicts codes well makes files smaller *and* samples better.

It is trained by training/fit_autoregressive.py and given to the bit in docs/format.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.integer_net import MAX_ACTIVATION, Float, IntegerLayer, rescale, weights_from_logits
from zpinch.codec.layout import Shape
from zpinch.codec.range_coder import RangeDecoder, RangeEncoder
from zpinch.codec.tables import ESCAPE_BITS, MAX_CODE, SCALE_BITS, check_array, check_weights, rows_of, symbols_of
from zpinch.errors import LimitError, ModelError

ONE = 64  # the activation that stands for 1
IMAGES = 1024  # that go through the network together: their symbols are coded in turn, so this is part of the format
MAX_ENTRIES = 64  # of a table, the escape symbol included
MAX_WEIGHTS = 1 << 26  # of a layer
NEIGHBOURS = ((0, -1), (-1, -1), (-1, 0), (-1, 1))  # (rows, columns) to each

Symbols = NDArray[np.int32]
Place = tuple[slice, int, int, int]  # images, channel, row, column
Choose = Callable[[NDArray[np.int32], Place], Symbols]  # logits (n, entries) and their place -> symbols (n,)


@dataclass(frozen=True, eq=False)
class IntegerPrior:
    """The network that predicts each code value from those before it, in integers.

    code           channels, height, width
    first          (channels,) int32: the code value of entry 0. The last entry of a table is the escape symbol
    label_weights  (labels,) uint32 that sum to 2^24 and code the labels themselves; None without labels
    layers         from inputs to channels x units, between those, and to channels x entries: logits in 1/256 bit

    A symbol enters as a thermometer of `entries - 1` inputs, of which as many are ONE as the symbol says. The inputs
    are: the channels of this position; in a grid, those of each neighbour; labels + 1, of which one is ONE; in a grid,
    the position likewise.

    What channel c computes sees channels of its own position only before c, whatever the weights are.
    """

    code: Shape
    first: NDArray[np.int32]
    label_weights: NDArray[np.uint32] | None
    layers: tuple[IntegerLayer, ...]
    coder: ClassVar[str] = "autoregressive-1"  # as the header of an archive names it
    _steps: Float = field(init=False, repr=False)  # (channels of all places, entries, units): what a symbol adds
    _context: Float = field(init=False, repr=False)  # (labels + 1 + positions, units)

    def __post_init__(self) -> None:
        channels = self.channels
        check_array("first", self.first, np.int32, 1)
        if self.label_weights is not None:
            check_array("label_weights", self.label_weights, np.uint32, 1)
            check_weights("label_weights", self.label_weights)
        shapes = [layer.weight.shape for layer in self.layers]
        if self.first.shape != (channels,) or len(shapes) < 2 or shapes[-1][0] % channels:
            raise ModelError(f"layers {shapes} are no autoregressive prior of codes {self.code}")
        units = shapes[0][0]
        inner = [(units, units)] * (len(shapes) - 2)
        wanted = [(units, inputs(self.code, self.entries, self.labels)), *inner, (shapes[-1][0], units)]
        if shapes != wanted or units % channels:
            raise ModelError(f"layers {shapes} of an autoregressive prior must be {wanted} for codes {self.code}")
        if not 2 <= self.entries <= MAX_ENTRIES or max(layer.weight.size for layer in self.layers) > MAX_WEIGHTS:
            raise LimitError(f"an autoregressive prior has 2 to {MAX_ENTRIES} entries a table, not {self.entries}")
        if (np.abs(self.first.astype(np.int64)) + self.entries > MAX_CODE).any():
            raise LimitError(f"an autoregressive prior reaches beyond ±{MAX_CODE:,}, which the format does not hold")
        enter = self.layers[0].factor * ONE
        ends = channels * places(self.code) * (self.entries - 1)
        steps = enter[:ends].reshape(-1, self.entries - 1, units).cumsum(1, dtype=enter.dtype)
        object.__setattr__(self, "_steps", np.concatenate([np.zeros_like(steps[:, :1]), steps], 1))
        object.__setattr__(self, "_context", enter[ends:])

    @property
    def channels(self) -> int:
        return self.code[0]

    @property
    def labels(self) -> int:
        return 0 if self.label_weights is None else self.label_weights.size

    @property
    def units(self) -> int:
        """Of each inner layer, for each channel."""
        return len(self.layers[0].bias) // self.channels

    @property
    def entries(self) -> int:
        """Of each table, the escape symbol included."""
        return len(self.layers[-1].bias) // self.channels

    @property
    def escape(self) -> int:
        return self.entries - 1

    def rows(self, count: int, labels: NDArray[np.integer] | None) -> NDArray[np.intp]:
        """The label each of `count` images is coded with; `self.labels` stands for none."""
        return rows_of(count, labels, self.labels)

    def symbols(self, codes: NDArray[np.integer]) -> Symbols:
        """Codes (n, *code) as indices into their tables, the escape symbol for what lies outside."""
        return symbols_of(codes, self.first[:, None, None], self.escape)

    def encode(self, symbols: Symbols, rows: NDArray[np.intp], encoder: RangeEncoder) -> None:
        """Append symbols (n, *code) of images with labels `rows` (n,)."""

        def choose(logits: NDArray[np.int32], place: Place) -> Symbols:
            chosen = np.ascontiguousarray(symbols[place])
            encoder.encode_each(chosen, weights_from_logits(logits))
            return chosen

        self.walk(rows, choose)

    def decode(self, rows: NDArray[np.intp], decoder: RangeDecoder) -> Symbols:
        """The next symbols (n, *code), of images with labels `rows` (n,)."""
        return self.walk(rows, lambda logits, _: decoder.decode_each(weights_from_logits(logits)))

    def bits(self, codes: NDArray[np.integer], labels: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """Ideal code length of each image, (n,): codes, escaped values and, where given, labels."""
        symbols, rows = self.symbols(codes), self.rows(len(codes), labels)
        total = ESCAPE_BITS * (symbols == self.escape).sum((1, 2, 3)).astype(np.float64)
        if labels is not None and self.label_weights is not None:
            total += SCALE_BITS - np.log2(self.label_weights[rows])

        def choose(logits: NDArray[np.int32], place: Place) -> Symbols:
            chosen = symbols[place]
            weights = weights_from_logits(logits)[np.arange(len(chosen)), chosen]
            total[place[0]] += SCALE_BITS - np.log2(weights)
            return chosen

        self.walk(rows, choose)
        return total

    def sample(self, rows: NDArray[np.intp], rng: np.random.Generator, *, temperature: float = 1.0) -> Symbols:
        """New codes (n, *code) for labels `rows` (n,). Logits are divided by `temperature`; nothing is escaped."""

        def choose(logits: NDArray[np.int32], place: Place) -> Symbols:
            scaled = np.rint(logits[:, :-1] / max(temperature, 1e-3)).astype(np.int64)
            right = weights_from_logits(scaled).cumsum(1, dtype=np.int64)
            return (right <= rng.integers(1 << SCALE_BITS, size=(len(logits), 1))).sum(1).astype(np.int32)

        return self.walk(rows, choose) + self.first[:, None, None]

    def walk(self, rows: NDArray[np.intp], choose: Choose) -> Symbols:
        """The symbols (n, *code) that `choose` gives when asked for each in coding order.

        The order: images by IMAGES; in those, positions by row and column; there, channels; there, images.
        """
        symbols = np.empty((len(rows), *self.code), np.int32)
        for start in range(0, len(rows), IMAGES):
            few = slice(start, min(start + IMAGES, len(rows)))
            known = symbols[few]
            for y, x in np.ndindex(self.code[1:]):
                sums = self._begin(known, rows[few], y, x)
                for channel in range(self.channels):
                    known[:, channel, y, x] = chosen = choose(self._logits(sums, channel), (few, channel, y, x))
                    later = (channel + 1) * self.units
                    sums[0][:, later:] += self._steps[channel, chosen, later:]
        return symbols

    def _begin(self, known: Symbols, rows: NDArray[np.intp], y: int, x: int) -> list[Float]:
        """Every layer's sums (n, out) before a symbol of this position is known."""
        sums = [np.tile(layer.offset, (len(rows), 1)) for layer in self.layers]
        sums[0] += self._context[rows]
        height, width = self.code[1:]
        if height * width == 1:
            return sums
        sums[0] += self._context[self.labels + 1 + y * width + x]
        for number, (down, right) in enumerate(NEIGHBOURS, 1):
            if y + down >= 0 and 0 <= x + right < width:
                for channel in range(self.channels):
                    symbol = known[:, channel, y + down, x + right]
                    sums[0] += self._steps[number * self.channels + channel, symbol]
        return sums

    def _logits(self, sums: list[Float], channel: int) -> NDArray[np.int32]:
        """Logits (n, entries) of a channel, all before it being known; passes its units on to the sums above them."""
        own = slice(channel * self.units, (channel + 1) * self.units)
        for depth, layer in enumerate(self.layers[:-1]):
            active = np.clip(rescale(sums[depth][:, own].copy(), layer.shift[own]), 0, MAX_ACTIVATION)
            factor = self.layers[depth + 1].factor
            seeing = slice(channel * factor.shape[1] // self.channels, None)
            sums[depth + 1][:, seeing] += active.astype(factor.dtype, copy=False) @ factor[own, seeing]
        own = slice(channel * self.entries, (channel + 1) * self.entries)
        return rescale(sums[-1][:, own].copy(), self.layers[-1].shift[own]).astype(np.int32)


def places(code: Shape) -> int:
    """Positions that a channel's distribution sees: its own and, in a grid, four more."""
    return 1 if code[1] * code[2] == 1 else 1 + len(NEIGHBOURS)


def inputs(code: Shape, entries: int, labels: int) -> int:
    """How many inputs an autoregressive prior has."""
    positions = code[1] * code[2]
    return code[0] * places(code) * (entries - 1) + labels + 1 + (positions if positions > 1 else 0)
