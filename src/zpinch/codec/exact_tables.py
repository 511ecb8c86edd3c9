"""What a network of integers makes of the windows on a canvas: tables of how likely each value of a pixel is.

Every number is an integer (integer_net.py), so that any machine, any number of threads and any batch finds the same
tables. Images of one place go through the network in chunks, maybe in several threads.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.exact_canvas import Canvas, Pixels, Place, Symbols
from zpinch.codec.exact_net import ABOVE, NIBBLE, NO_MISS, OFFSET_BITS, WINDOW, ExactNet
from zpinch.codec.integer_net import (
    MAX_ACTIVATION,
    Float,
    IntegerLayer,
    requantise_columns,
    rescale_columns,
    weights_from_columns,
    weights_from_logits,
)
from zpinch.codec.tables import SCALE, SCALE_BITS

CHUNK = 512  # columns that go through the network at once: they fit a core's cache

Weights: TypeAlias = NDArray[np.uint32]
Tables: TypeAlias = NDArray[np.int64]  # weights too, a table in each column
Share: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]  # `map`, maybe over threads


class Chunk(NamedTuple):
    """Some images at one place, and what the network makes of their windows."""

    place: int
    images: NDArray[np.intp]  # (m,)
    sums: Float  # (hidden, m): accumulators of the second layer


class Accumulators(NamedTuple):
    """Of all images at some places; a window of nothing but background is computed once a place, not once an image."""

    empty: Float  # (hidden, places): accumulators of the second layer
    chunks: list[Chunk]


def accumulators_of(
    net: ExactNet, canvas: Canvas, places: list[Place], channel: int, guesses: Symbols | None, share: Share
) -> Accumulators:
    first = net.first[channel]
    scale = np.int32(1) << (first.shift.astype(np.int32) - OFFSET_BITS)
    offsets = [(net.rows[place.row].astype(np.int32) + net.columns[place.column]) * scale for place in places]

    def accumulated(window: Pixels, guess: Symbols | None, offset: NDArray[np.int32]) -> Float:
        inputs = features(window, net.background)
        if guess is not None:
            inputs[: len(window)] = from_guess(window, guess, channel)
        sums = first.columns(inputs)
        return net.second.columns(requantise_columns(sums + offset.astype(sums.dtype), first.shift))

    def at_place(at: int) -> list[Chunk]:
        window = canvas.window(places[at], channel)
        active = np.flatnonzero((window != net.background).any(0))
        chunks = np.array_split(active, -(-len(active) // CHUNK)) if len(active) else []
        near = None if guesses is None else guesses[:, at]
        return [
            Chunk(
                at,
                images,
                accumulated(window.take(images, 1), None if near is None else near[:, images], offsets[at][:, None]),
            )
            for images in chunks
        ]

    nothing = np.full((net.inputs(channel), 1), net.background, np.uint8)
    flat = np.full((net.channels, 1), net.background, np.int32) if net.relative else None
    empty = accumulated(nothing, flat, np.stack(offsets, axis=1))
    return Accumulators(empty, [chunk for chunks in share(at_place, range(len(places))) for chunk in chunks])


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
