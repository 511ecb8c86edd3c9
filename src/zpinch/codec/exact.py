"""The exact layer: pixels coded one by one, each with a table that a network of integers makes of those before it.

All images of a block advance together along a wavefront: a pixel needs what lies up to six rows above and six columns
to either side, so that all (row, column) of equal column + 7 row can be coded at once. Every number is an integer
(integer_net.py), so that any machine, any number of threads and any batch finds the same tables. Encoding and decoding
are one walk, which differs only in where a symbol comes from. exact_net.py has the network, docs/format.md the rules.
Threads share the work a place each: they gain where BLAS itself is kept to one (tasks do that).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.exact_net import ABOVE, NIBBLE, OFFSET_BITS, WINDOW, ExactNet
from zpinch.codec.integer_net import (
    MAX_ACTIVATION,
    Float,
    IntegerLayer,
    requantise_columns,
    rescale_columns,
    weights_from_columns,
    weights_from_logits,
)
from zpinch.codec.range_coder import RangeDecoder, RangeEncoder
from zpinch.codec.tables import SCALE, SCALE_BITS
from zpinch.errors import CorruptArchive, UsageError

THREADS = 2
CHUNK = 512  # columns that go through the network at once: they fit a core's cache
MAX_ERROR = 127
NO_MISS = 0x88  # the symbol of a pixel that is as guessed: misses of -8 to 7 have one upper nibble

Pixels: TypeAlias = NDArray[np.uint8]
Symbols: TypeAlias = NDArray[np.int32]
Weights: TypeAlias = NDArray[np.uint32]
Tables: TypeAlias = NDArray[np.int64]  # weights too, a table in each column
Share: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]  # `map`, maybe over threads
Coder: TypeAlias = Callable[[Symbols, Weights], Symbols]  # symbols (n,), ignored in decoding, and a table for each


class Place(NamedTuple):
    row: int
    column: int


def encode(net: ExactNet, pixels: Pixels, *, max_error: int = 0) -> NDArray[np.uint32]:
    """Images (n, channels, height, width) uint8 as the words of a range coder.

    max_error: the most levels by which what comes back may differ. Raises UsageError.
    """
    encoder = RangeEncoder()
    encode_into(encoder, net, pixels, max_error=max_error)
    return encoder.words()


def decode(net: ExactNet, words: NDArray[np.uint32], count: int, *, max_error: int = 0) -> Pixels:
    """The images that `encode` was given, or what it may have changed them to. CorruptArchive."""
    decoder = RangeDecoder(words)
    pixels = decode_from(decoder, net, count, max_error=max_error)
    if not decoder.is_exhausted():
        raise CorruptArchive("has data left over after its last pixel")
    return pixels


def encode_into(encoder: RangeEncoder, net: ExactNet, pixels: Pixels, *, max_error: int) -> None:
    def code(symbols: Symbols, weights: Weights) -> Symbols:
        encoder.encode_each(symbols, weights)
        return symbols

    walk_known(net, pixels, code, max_error)


def bits(net: ExactNet, pixels: Pixels, *, max_error: int = 0) -> NDArray[np.float64]:
    """What each of the images that `encode` takes costs: ideal code lengths, (n,)."""
    costs = np.zeros(len(pixels))

    def price(symbols: Symbols, weights: Weights) -> Symbols:
        shares = np.take_along_axis(weights, symbols[:, None], axis=1)
        costs[:] += (SCALE_BITS - np.log2(shares)).reshape(-1, len(costs)).sum(0)
        return symbols

    walk_known(net, pixels, price, max_error)
    return costs


def walk_known(net: ExactNet, pixels: Pixels, code: Coder, max_error: int) -> None:
    if pixels.shape[1:] != net.image_shape:
        raise UsageError(f"an exact layer for images of {net.image_shape} cannot code {pixels.shape[1:]}")
    canvas = Canvas(net, len(pixels))
    canvas.image[:] = np.moveaxis(within(pixels, max_error), 0, -1)
    with ThreadPoolExecutor(THREADS) as pool:
        walk(net, canvas, code, max_error, pool)


def decode_from(decoder: RangeDecoder, net: ExactNet, count: int, *, max_error: int) -> Pixels:
    canvas = Canvas(net, count)
    with ThreadPoolExecutor(THREADS) as pool:
        walk(net, canvas, lambda _, weights: decoder.decode_each(weights), max_error, pool)
    return np.ascontiguousarray(np.moveaxis(canvas.image, -1, 0))


def within(pixels: Pixels, max_error: int) -> Pixels:
    """The pixels rounded to multiples of 2 max_error + 1, or 255: none changes by more than max_error."""
    if not 0 <= max_error <= MAX_ERROR:
        raise UsageError(f"--max-error must be 0 to {MAX_ERROR}, not {max_error}")
    step = 2 * max_error + 1
    return np.minimum((pixels.astype(np.int32) + max_error) // step * step, 255).astype(np.uint8)


def wavefront(height: int, width: int) -> Iterator[list[Place]]:
    """Places that can be coded at once, first row first, in the order of time = column + 7 row."""
    lag = WINDOW + 1
    for time in range(width + lag * (height - 1)):
        rows = range(max(0, -(-(time - width + 1) // lag)), min(height, time // lag + 1))
        if rows:
            yield [Place(row, time - lag * row) for row in rows]


class Canvas:
    """Images on their way, with the margins that windows reach into. The last axis counts the images."""

    def __init__(self, net: ExactNet, count: int) -> None:
        channels, height, width = net.image_shape
        self._planes = np.full((channels, height + WINDOW, width + 2 * WINDOW, count), net.background, np.uint8)
        self.image = self._planes[:, WINDOW:, WINDOW:-WINDOW]  # (channels, height, width, n)

    def window(self, place: Place, channel: int) -> Pixels:
        """What a prediction sees, (k, n): above, by channel, row and column; to the left; then earlier channels."""
        y, x = place.row, place.column
        count = self.image.shape[-1]
        above = self._planes[:, y : y + WINDOW, x : x + 2 * WINDOW + 1].reshape(-1, count)
        left = self._planes[:, y + WINDOW, x : x + WINDOW].reshape(-1, count)
        return np.concatenate([above, left, self.image[:channel, y, x]])

    def guesses(self, rows: NDArray[np.intp], columns: NDArray[np.intp], channel: int) -> Symbols:
        """What a pixel's channels may be, (channels, places, n): those before `channel` are known; the others follow
        the gradient of their neighbours, `channel` as far from it as the channel before.
        """
        y, x = rows + WINDOW, columns + WINDOW
        up, left, corner = (self._planes[:, y - dy, x - dx].astype(np.int32) for dy, dx in ((1, 0), (0, 1), (1, 1)))
        guess = np.clip(up + left - corner, np.minimum(up, left), np.maximum(up, left))
        known = self.image[:channel, rows, columns].astype(np.int32)
        if channel:
            guess[channel] = np.clip(guess[channel] + known[-1] - guess[channel - 1], 0, 255)
        guess[:channel] = known
        return guess


def walk(net: ExactNet, canvas: Canvas, code: Coder, max_error: int, pool: ThreadPoolExecutor) -> None:
    """Code all pixels of a canvas; those that decoding finds are put there as they come."""
    channels, height, width = net.image_shape
    for places in wavefront(height, width):
        rows, columns = np.array(places).T
        # A few pixels are done sooner than they are handed to another thread.
        share: Share = pool.map if len(places) * canvas.image.shape[-1] > CHUNK else map
        for channel in range(channels):
            guesses = canvas.guesses(rows, columns, channel) if net.relative else None
            sight = look(net, canvas, places, channel, guesses, share)
            known = canvas.image[channel, rows, columns].astype(np.int32)  # (places, n)
            guess = None if guesses is None else guesses[channel]
            if max_error:
                found = code_bins(net, sight, known, guess, code, max_error, share)
            elif guess is not None:
                found = code_nibbles(net, sight, (known - guess + NO_MISS) & 255, code, share)
                found = (found + guess - NO_MISS) & 255
            else:
                found = code_nibbles(net, sight, known, code, share)
            canvas.image[channel, rows, columns] = found


class Piece(NamedTuple):
    """Some images at one place, and what the network makes of their windows."""

    place: int
    images: NDArray[np.intp]  # (m,)
    sums: Float  # (hidden, m): accumulators of the second layer


class Sight(NamedTuple):
    """A window of nothing but background is looked at once a place, not once an image."""

    empty: Float  # (hidden, places): accumulators of the second layer
    pieces: list[Piece]


def look(
    net: ExactNet, canvas: Canvas, places: list[Place], channel: int, guesses: Symbols | None, share: Share
) -> Sight:
    first = net.first[channel]
    scale = np.int32(1) << (first.shift.astype(np.int32) - OFFSET_BITS)
    offsets = [(net.rows[place.row].astype(np.int32) + net.columns[place.column]) * scale for place in places]

    def glance(window: Pixels, guess: Symbols | None, offset: NDArray[np.int32]) -> Float:
        inputs = features(window, net.background)
        if guess is not None:
            inputs[: len(window)] = from_guess(window, guess, channel)
        sums = first.columns(inputs)
        return net.second.columns(requantise_columns(sums + offset.astype(sums.dtype), first.shift))

    def see(at: int) -> list[Piece]:
        window = canvas.window(places[at], channel)
        active = np.flatnonzero((window != net.background).any(0))
        pieces = np.array_split(active, -(-len(active) // CHUNK)) if len(active) else []
        near = None if guesses is None else guesses[:, at]
        return [
            Piece(
                at,
                images,
                glance(window.take(images, 1), None if near is None else near[:, images], offsets[at][:, None]),
            )
            for images in pieces
        ]

    nothing = np.full((net.inputs(channel), 1), net.background, np.uint8)
    flat = np.full((net.channels, 1), net.background, np.int32) if net.relative else None
    empty = glance(nothing, flat, np.stack(offsets, axis=1))
    return Sight(empty, [piece for pieces in share(see, range(len(places))) for piece in pieces])


def features(window: Pixels, background: int) -> NDArray[np.float32]:
    """Values (k, m), and below them 255 where they differ from the background: (2 k, m)."""
    a = np.empty((2 * len(window), window.shape[1]), np.float32)
    a[: len(window)] = window
    np.multiply(window != background, np.float32(255), out=a[len(window) :])
    return a


def from_guess(window: Pixels, guess: Symbols, channel: int) -> Symbols:
    """Values (k, m) as how far they are from the guess (channels, m) of their channel, with 128 for not at all."""
    earlier = guess[channel : channel + 1].repeat(channel, 0)
    each = np.concatenate([guess.repeat(ABOVE, 0), guess.repeat(WINDOW, 0), earlier])
    return np.clip(window - each + 128, 0, 255)


def code_nibbles(net: ExactNet, sight: Sight, known: Symbols, code: Coder, share: Share) -> Symbols:
    """Pixels (places, n), the upper nibbles of all before the lower ones."""
    weights = np.empty((*known.shape, NIBBLE), np.uint32)

    def fill_high(piece: Piece) -> None:
        weights[piece.place, piece.images] = high_tables(net, piece.sums)

    weights[:] = high_tables(net, sight.empty)[:, None]
    list(share(fill_high, sight.pieces))
    high = code((known >> 4).ravel(), weights.reshape(-1, NIBBLE)).reshape(known.shape)

    def fill_low(piece: Piece) -> None:
        weights[piece.place, piece.images] = low_tables(net, piece.sums, high[piece.place, piece.images])

    each = np.arange(NIBBLE)
    for place, sums in enumerate(sight.empty.T):
        weights[place] = low_tables(net, sums[:, None].repeat(NIBBLE, 1), each)[high[place]]
    list(share(fill_low, sight.pieces))
    low = code((known & 15).ravel(), weights.reshape(-1, NIBBLE)).reshape(known.shape)
    return high * NIBBLE + low


def code_bins(
    net: ExactNet, sight: Sight, known: Symbols, guess: Symbols | None, code: Coder, max_error: int, share: Share
) -> Symbols:
    """Pixels (places, n) that are multiples of 2 max_error + 1, or 255, with one table for all of them."""
    step = 2 * max_error + 1
    size = (255 + max_error) // step + 1
    weights = np.empty((*known.shape, size), np.uint32)

    def fill(piece: Piece) -> None:
        near = None if guess is None else guess[piece.place, piece.images]
        weights[piece.place, piece.images] = bin_tables(net, piece.sums, max_error, near).T

    flat = None if guess is None else np.full(len(known), net.background)
    weights[:] = bin_tables(net, sight.empty, max_error, flat).T[:, None]
    list(share(fill, sight.pieces))
    symbols = code(((known + max_error) // step).ravel(), weights.reshape(-1, size)).reshape(known.shape)
    return np.minimum(symbols * step, 255)


def high_tables(net: ExactNet, sums: Float) -> Weights:
    """Tables (m, 16) of the upper nibble from the second layer's accumulators (hidden, m)."""
    return tables(net.high, requantise_columns(sums.copy(), net.second.shift))


def low_tables(net: ExactNet, sums: Float, high: NDArray[np.integer]) -> Weights:
    """Tables (m, 16) of the lower nibble, given the upper one (m,)."""
    chosen = np.zeros((NIBBLE, len(high)), sums.dtype)
    chosen[high, np.arange(len(high))] = 1
    given = net.given.astype(np.int32) << (net.second.shift.astype(np.int32) - OFFSET_BITS)
    told = given.T.astype(sums.dtype) @ chosen
    told += sums
    return tables(net.low, requantise_columns(told, net.second.shift))


def bin_tables(net: ExactNet, sums: Float, max_error: int, guess: NDArray[np.integer] | None) -> Tables:
    """Tables (bins, m): with both nibbles' tables as probabilities, the sum over the pixels of each bin.

    guess: (m,), what the nibbles are relative to.
    """
    high, count = high_tables(net, sums).T.astype(np.int64), sums.shape[1]
    joint = all_low_tables(net, sums)
    joint *= high[:, None]
    joint >>= SCALE_BITS
    joint = joint.reshape(256, count)
    if guess is not None:
        joint = np.take_along_axis(joint, (np.arange(256)[:, None] - guess + NO_MISS) & 255, 0)
    starts = np.maximum(np.arange(0, 256 + max_error, 2 * max_error + 1) - max_error, 0)
    bins = np.add.reduceat(joint, starts, axis=0)
    weights = (bins * (SCALE - len(starts)) >> SCALE_BITS) + 1
    weights[bins.argmax(0), np.arange(count)] += SCALE - weights.sum(0)
    return weights


def all_low_tables(net: ExactNet, sums: Float) -> Tables:
    """`low_tables` of every upper nibble, (16, 16, m)."""
    # Accumulators and offsets are divided before they are added, so that it is done once; powers of two round nothing.
    halfway = sums * np.ldexp(np.ones(1, sums.dtype), -net.second.shift.astype(np.int32)[:, None])
    halfway += sums.dtype.type(0.5)
    given = net.given.astype(sums.dtype) / sums.dtype.type(2**OFFSET_BITS)
    accumulators = np.empty((NIBBLE, NIBBLE, sums.shape[1]), net.low.factor.dtype)
    told = np.empty_like(sums)
    for nibble in range(NIBBLE):
        np.add(halfway, given[nibble, :, None], out=told)
        np.clip(np.floor(told, out=told), 0, MAX_ACTIVATION, out=told)
        accumulators[nibble] = net.low.columns(told)
    return weights_from_columns(rescale_columns(accumulators, net.low.shift))


def tables(head: IntegerLayer, a: Float) -> Weights:
    logits = rescale_columns(head.columns(a), head.shift)
    return weights_from_logits(logits.T.astype(np.int32))
