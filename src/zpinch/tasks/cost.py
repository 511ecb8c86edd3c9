"""Whether a model knows the images it is given: what they cost beside those of its training, as codes or as pixels."""

import heapq
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.codec import exact
from zpinch.codec.container import Block
from zpinch.model.bottleneck import DEFAULT_QUALITY
from zpinch.model.model import Model
from zpinch.tasks.plain_data import is_figure

TOO_MANY = 2.0  # times the bits of training
NAMED = 5
TRAINING_BITS = "held-out bits"  # in the model's facts: mean bits of a code of a held-out image
TRAINING_EXACT_BITS = "held-out bits per byte, lossless"  # mean bits of a byte of held-out images in the exact layer


class Costly(NamedTuple):
    bits: float
    position: int
    name: str


class CostWatch:
    """Adds up what images cost, and remembers the dearest.

    usual: bits of an image like those of the training; None when nobody knows. price: bits of each image of a block. A
    block that is cheap as it was written is believed; only in one that looks dear every image is priced. what_then: the
    end of the warning's sentence.
    """

    def __init__(self, usual: float | None, price: Callable[[Block], NDArray[np.float64]], what_then: str) -> None:
        self._usual, self._price, self._what_then = usual, price, what_then
        self._bits, self._images = 0.0, 0
        self._dearest: list[Costly] = []

    def see(self, block: Block, first: int, code_bytes: int) -> None:
        """A block, the number of its first image, and what its codes or pixels took."""
        self._images += len(block.codes)
        if self._usual is None or 8 * code_bytes < TOO_MANY * self._usual * len(block.codes):
            self._bits += 8 * code_bytes
            return
        bits = self._price(block)
        self._bits += float(bits.sum())
        rows = [
            Costly(float(bits[i]), first + i, block.names[i] if block.names else f"image {first + i:,}")
            for i in np.argsort(bits)[-NAMED:].tolist()
        ]
        self._dearest = heapq.nlargest(NAMED, [*self._dearest, *rows])

    def warnings(self) -> tuple[str, ...]:
        """One sentence when images cost twice what those of the training did, else nothing."""
        if self._usual is None or not self._images or self._bits < TOO_MANY * self._usual * self._images:
            return ()
        names = ", ".join(f"{row.name} ({row.bits:,.0f})" for row in self._dearest)
        return (
            f"these images cost {self._bits / self._images:,.0f} bits each, those of the model's training "
            f"{self._usual:,.0f}: it was trained on others, and {self._what_then}. Dearest: {names}. "
            "Train a model on images like these.",
        )


def watch_codes(model: Model, quality: int = DEFAULT_QUALITY) -> CostWatch:
    prior = model.require_codes("compress", quality=quality)
    finer = max(0.0, -math.log2(model.config.ratio(quality))) * math.prod(model.config.code)  # bits more, at most
    known = usual_of(model, TRAINING_BITS)
    return CostWatch(
        None if known is None else known + finer,
        lambda block: prior.bits(block.codes, block.labels),
        "will not show these well",
    )


def watch_pixels(model: Model, max_error: int) -> CostWatch:
    """What is kept within some levels is held to what lossless would cost: it costs no more."""
    net, known = model.require_exact("compress"), usual_of(model, TRAINING_EXACT_BITS)
    return CostWatch(
        None if known is None else known * math.prod(model.config.image),
        lambda block: exact.bits(net, block.codes.astype(np.uint8), max_error=max_error),
        "packs these badly, though without loss" if max_error == 0 else "packs these badly",
    )


def usual_of(model: Model, fact: str) -> float | None:
    known = model.facts.get(fact)  # an older model has none
    return float(known) if is_figure(known) and known > 0 else None
