"""The exact layer: pixels coded one by one, each with a table that a network of integers makes of those before it.

Encoding and decoding are one walk over a canvas (exact_canvas.py), which differs only in where a symbol comes from; the
tables are the same on every machine (exact_tables.py). exact_net.py has the network, docs/format.md the rules. Threads
share the work a place each: they gain where BLAS itself is kept to one (tasks do that).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.exact_canvas import Canvas, Pixels, Symbols, wavefront
from zpinch.codec.exact_net import NIBBLE, NO_MISS, ExactNet
from zpinch.codec.exact_tables import (
    CHUNK,
    Accumulators,
    Chunk,
    Share,
    Weights,
    accumulators_of,
    bin_tables,
    high_tables,
    low_tables,
)
from zpinch.codec.range_coder import RangeDecoder, RangeEncoder
from zpinch.codec.tables import SCALE_BITS
from zpinch.errors import CorruptArchive, UsageError

THREADS = 2
MAX_ERROR = 127

Choose: TypeAlias = Callable[[Symbols, Weights], Symbols]  # symbols (n,), ignored in decoding, and a table for each


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


def walk_known(net: ExactNet, pixels: Pixels, code: Choose, max_error: int) -> None:
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


def walk(net: ExactNet, canvas: Canvas, code: Choose, max_error: int, pool: ThreadPoolExecutor) -> None:
    """Code all pixels of a canvas; those that decoding finds are put there as they come."""
    channels, height, width = net.image_shape
    for places in wavefront(height, width):
        rows, columns = np.array(places).T
        # A few pixels are done sooner than they are handed to another thread.
        share: Share = pool.map if len(places) * canvas.image.shape[-1] > CHUNK else map
        for channel in range(channels):
            guesses = canvas.guesses(rows, columns, channel) if net.relative else None
            sums = accumulators_of(net, canvas, places, channel, guesses, share)
            known = canvas.image[channel, rows, columns].astype(np.int32)  # (places, n)
            guess = None if guesses is None else guesses[channel]
            if max_error:
                found = code_bins(net, sums, known, guess, code, max_error, share)
            elif guess is not None:
                found = code_nibbles(net, sums, (known - guess + NO_MISS) & 255, code, share)
                found = (found + guess - NO_MISS) & 255
            else:
                found = code_nibbles(net, sums, known, code, share)
            canvas.image[channel, rows, columns] = found


def code_nibbles(net: ExactNet, sums: Accumulators, known: Symbols, code: Choose, share: Share) -> Symbols:
    """Pixels (places, n), the upper nibbles of all before the lower ones."""
    weights = np.empty((*known.shape, NIBBLE), np.uint32)

    def fill_high(chunk: Chunk) -> None:
        weights[chunk.place, chunk.images] = high_tables(net, chunk.sums)

    weights[:] = high_tables(net, sums.empty)[:, None]
    list(share(fill_high, sums.chunks))
    high = code((known >> 4).ravel(), weights.reshape(-1, NIBBLE)).reshape(known.shape)

    def fill_low(chunk: Chunk) -> None:
        weights[chunk.place, chunk.images] = low_tables(net, chunk.sums, high[chunk.place, chunk.images])

    each = np.arange(NIBBLE)
    for place, empty in enumerate(sums.empty.T):
        weights[place] = low_tables(net, empty[:, None].repeat(NIBBLE, 1), each)[high[place]]
    list(share(fill_low, sums.chunks))
    low = code((known & 15).ravel(), weights.reshape(-1, NIBBLE)).reshape(known.shape)
    return high * NIBBLE + low


def code_bins(
    net: ExactNet, sums: Accumulators, known: Symbols, guess: Symbols | None, code: Choose, max_error: int, share: Share
) -> Symbols:
    """Pixels (places, n) that are multiples of 2 max_error + 1, or 255, with one table for all of them."""
    step = 2 * max_error + 1
    size = (255 + max_error) // step + 1
    weights = np.empty((*known.shape, size), np.uint32)

    def fill(chunk: Chunk) -> None:
        near = None if guess is None else guess[chunk.place, chunk.images]
        weights[chunk.place, chunk.images] = bin_tables(net, chunk.sums, max_error, near).T

    flat = None if guess is None else np.full(len(known), net.background)
    weights[:] = bin_tables(net, sums.empty, max_error, flat).T[:, None]
    list(share(fill, sums.chunks))
    symbols = code(((known + max_error) // step).ravel(), weights.reshape(-1, size)).reshape(known.shape)
    return np.minimum(symbols * step, 255)
